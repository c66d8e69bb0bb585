"""What goes into the two images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.recipes import shipped
from amibake.testing import Place, exits


@pytest.fixture
def appserver(tmp_path: Path) -> Path:
    tree = tmp_path / "appserver"
    (tree / "deploy/env").mkdir(parents=True)
    (tree / "package.json").write_text('{"name": "shop"}')
    (tree / "cluster.js").write_text("// forks")
    (tree / "deploy/env/staging.json").write_text("{}")
    return tree


def primal(place: Place, **options: Any) -> amibake.Image:
    return amibake.build_primal(
        **{"source_ami": place.source_ami, "instance_type": "t3.micro", "session": place.session, **options}
    )


def carnivore(place: Place, appserver: Path, **options: Any) -> amibake.Image:
    return amibake.build_carnivore(
        **{
            "source_ami": place.source_ami,
            "appserver": appserver,
            "instance_type": "t3.micro",
            "session": place.session,
            **options,
        }
    )


def test_primal_sends_the_tube_and_runs_the_articles_script(place: Place) -> None:
    image = primal(place)
    assert re.fullmatch(r"ponyfoo-primal \d{10}", image.name)
    machine = place.machines.newest
    tube = machine.upload("/tmp/mailtube")
    assert sorted(path.name for path in tube.iterdir()) == sorted(path.name for path in shipped("mailtube").iterdir())
    assert "express" in json.loads((tube / "package.json").read_text())["dependencies"]
    ran = machine.ran[0]
    assert ran.script == shipped("primal").read_text()
    assert {key: value for key, value in ran.environment.items() if key != "AMIBAKE_BUILD"} == {
        "INSTANCE_USER": "admin",
        "NVM_VERSION": "v0.24.0",
        "NODE_VERSION": "0.10",
        "NODE_SOURCE": "nvm",
        "NODE_MIRROR": "",
    }
    assert image.tags["amibake:app"] == "ponyfoo"
    assert image.tags["amibake:stage"] == "primal"


def test_with_no_option_at_all_it_is_the_articles_image_which_is_gone(place: Place) -> None:
    with pytest.raises(amibake.SourceImageNotFound, match="ami-22de994a") as caught:
        amibake.build_primal(session=place.session)
    assert "amibake.DEBIAN_12" in caught.value.hint


def test_the_users_package_json_and_its_lock_are_laid_over_the_tube(place: Place, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"name": "mine"}')
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3}')
    shipped_before = (shipped("mailtube") / "package.json").read_text()
    primal(place, package_json=tmp_path / "mine.json", app="shop", node_version="22", environment_vars={"X": "1"})
    machine = place.machines.newest
    assert json.loads(machine.upload("/tmp/mailtube/package.json").read_text())["name"] == "mine"
    assert machine.upload("/tmp/mailtube/package-lock.json").exists()
    assert machine.ran[0].environment["NODE_VERSION"] == "22"
    assert machine.ran[0].environment["X"] == "1"
    assert (shipped("mailtube") / "package.json").read_text() == shipped_before


def test_a_tube_a_script_and_more_steps_of_ones_own(place: Place, tmp_path: Path) -> None:
    (tmp_path / "tube").mkdir()
    (tmp_path / "tube/package.json").write_text("{}")
    script = tmp_path / "mine.sh"
    script.write_text("echo mine\n")
    primal(
        place,
        mailtube=tmp_path / "tube",
        script=script,
        provisioners=[amibake.Shell(inline=["echo after"])],
        ami_name="mine {{timestamp}}",
    )
    machine = place.machines.newest
    assert [path.name for path in machine.upload("/tmp/mailtube").iterdir()] == ["package.json"]
    assert [ran.script for ran in machine.ran[:2]] == ["echo mine\n", "#!/bin/sh -e\necho after\n"]


def test_carnivore_sends_the_application_and_names_the_service(place: Place, appserver: Path) -> None:
    image = carnivore(place, appserver, app="shop", server_name="shop.test www.shop.test", nginx_workers=2)
    assert re.fullmatch(r"shop-carnivore-staging \d{10}", image.name)
    machine = place.machines.newest
    assert machine.upload("/tmp/appserver/deploy/env/staging.json").read_text() == "{}"
    assert machine.ran[0].script == shipped("carnivore").read_text()
    assert {key: value for key, value in machine.ran[0].environment.items() if key != "AMIBAKE_BUILD"} == {
        "INSTANCE_USER": "admin",
        "NGINX_WORKERS": "2",
        "SERVER_NAME": "shop.test www.shop.test",
        "NODE_ENV": "staging",
        "NAME": "shop-staging",
    }
    assert image.tags["amibake:node-env"] == "staging"
    assert image.tags["amibake:stage"] == "carnivore"


def test_a_carnivore_stands_on_its_primal(place: Place, appserver: Path) -> None:
    base = primal(place, app="shop")
    image = carnivore(place, appserver, app="shop", source_ami=base.id)
    assert image.source_ami == base.id
    assert place.machines.newest.upload("/tmp/mailtube/package.json").exists()


def test_every_mistake_is_in_one_error_and_nothing_is_launched(place: Place, tmp_path: Path) -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        primal(
            place,
            app="pony foo",
            package_json=tmp_path / "absent.json",
            mailtube=tmp_path / "absent",
            script=tmp_path / "absent",
            node_source="apt",
            instance_typ="t3.micro",
            stage="mine",
            ssh_port=0,
        )
    text = "\n".join(caught.value.mistakes)
    for expected in (
        "app: 'pony foo' is not one word",
        "package_json: ",
        'node_source: \'apt\' is neither "nvm" nor "tarball"',
        "stage: no such option of this recipe",
        "instance_typ: no such option; did you mean instance_type?",
        "ssh_port: ",
        "Shell: script: ",
        "mailtube: ",
    ):
        assert expected in text
    assert place.machines.all == {}


def test_an_application_without_package_json_is_refused(place: Place, appserver: Path, tmp_path: Path) -> None:
    (appserver / "package.json").unlink()
    with pytest.raises(amibake.InvalidOption, match=r"appserver: .*package\.json: No such file"):
        carnivore(place, appserver)
    with pytest.raises(amibake.InvalidOption, match=r"appserver: .*absent is not a directory"):
        carnivore(place, tmp_path / "absent")
    (appserver / "package.json").write_text("[]")
    with pytest.raises(amibake.InvalidOption, match="holds no JSON object"):
        carnivore(place, appserver)


def test_secrets_of_other_environments_never_leave_this_machine(place: Place, appserver: Path) -> None:
    (appserver / "deploy/env/production.json").write_text('{"password": "hunter2"}')
    carnivore(place, appserver)
    sent = place.machines.newest.upload("/tmp/appserver")
    assert [path.name for path in (sent / "deploy/env").iterdir()] == ["staging.json"]
    assert (sent / "cluster.js").exists()


def test_what_the_service_and_the_environment_need_is_asked_for_beforehand(place: Place, appserver: Path) -> None:
    with pytest.raises(amibake.InvalidOption, match=r"node_env: .*has no production\.json, only staging"):
        carnivore(place, appserver, node_env="production")
    (appserver / "cluster.js").unlink()
    with pytest.raises(amibake.InvalidOption, match=r"appserver: .*has no cluster\.js"):
        carnivore(place, appserver)
    own = appserver.parent / "own.sh"
    own.write_text("true\n")
    assert carnivore(place, appserver, script=own).id


@pytest.mark.parametrize(
    ("recipe", "option", "value"),
    [
        (amibake.build_primal, "node_version", 22),
        (amibake.build_primal, "environment_vars", ["A=b"]),
        (amibake.build_primal, "provisioners", amibake.Shell(inline=["true"])),
    ],
)
def test_values_of_the_wrong_kind_are_said_of_their_option(place: Place, recipe: Any, option: str, value: Any) -> None:
    with pytest.raises(amibake.InvalidOption, match=f"{option}: "):
        recipe(session=place.session, **{option: value})


def test_a_release_line_of_node_can_be_named(place: Place) -> None:
    primal(place, node_version="lts/iron")
    assert place.machines.newest.ran[0].environment["NODE_VERSION"] == "lts/iron"


@pytest.mark.parametrize(
    ("option", "value"), [("server_name", "shop.test; }"), ("nginx_workers", 0), ("node_env", "../x"), ("app", "")]
)
def test_values_that_would_break_out_of_a_configuration_are_refused(
    place: Place, appserver: Path, option: str, value: object
) -> None:
    with pytest.raises(amibake.InvalidOption, match=f"{option}: "):
        carnivore(place, appserver, **{option: value})


def test_a_failing_primal_names_the_script_and_leaves_no_image(place: Place) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(100, stderr="primal: the step 'packages' failed\n"))
    with pytest.raises(amibake.ScriptFailed, match=r"primal exited with status 100") as caught:
        primal(place)
    assert "the step 'packages' failed" in str(caught.value)
    assert place.session.client("ec2").describe_images(Owners=["self"])["Images"] == []


def test_two_applications_live_in_one_account(place: Place, appserver: Path) -> None:
    shop, blog = primal(place, app="shop"), primal(place, app="blog")
    assert carnivore(place, appserver, app="blog", source_ami=blog.id).source_ami == blog.id

    def found(**wanted: str) -> str | None:
        image = amibake.find_image(session=place.session, **wanted)
        return image.id if image else None

    assert found(app="shop", stage="primal") == shop.id
    assert found(app="blog", stage="primal") == blog.id
    assert found(app="shop", stage="carnivore") is None
    assert found(app="blog", stage="carnivore", node_env="staging") is not None
    assert found(app="blog", stage="carnivore", node_env="production") is None


def test_what_cleans_up_after_a_failure_is_checked_and_done(place: Place, appserver: Path) -> None:
    with pytest.raises(amibake.InvalidOption, match="/no/such"):
        primal(place, error_cleanup_provisioners=[amibake.Shell(script="/no/such")])
    assert not place.machines.all
    place.machines.behaviour.on("fail now", exits(1))
    steps: dict[str, Any] = {
        "provisioners": [amibake.Shell(inline=["fail now"])],
        "error_cleanup_provisioners": [amibake.Shell(inline=["fetch the logs"])],
    }
    with pytest.raises(amibake.ScriptFailed):
        primal(place, **steps)
    assert "fetch the logs" in place.machines.newest.ran[-1].script
    with pytest.raises(amibake.ScriptFailed):
        carnivore(place, appserver, **steps)
    assert ["fetch the logs" in machine.ran[-1].script for machine in place.machines.all.values()] == [True, True]
