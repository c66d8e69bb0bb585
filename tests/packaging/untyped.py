"""Mistakes in a user's program; each line that is wrong says so."""

import amibake

amibake.build_primal(app=5)  # wrong
amibake.build_primal(app="shop", instance_tpye="t3.micro")  # wrong
amibake.build_carnivore("ami-1")  # wrong
amibake.Shell(inline="not a list of lines", sudo="yes")  # wrong
name = amibake.find_image(app="shop").name  # wrong
amibake.bake(amibake.Builder(ami_name="x"), [object()])  # wrong
