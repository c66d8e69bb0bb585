"""A user's test with `@pytest.mark.sandbox`: the same file as in process, and everything in it really happens."""

from __future__ import annotations

import amibake
from amibake.sandbox import LocalCloud
from amibake.testing.contained import in_sandbox


def test_a_bake_that_a_test_looks_at(cloud: LocalCloud, debian: str) -> None:
    builder = amibake.Builder(ami_name="x {{uuid}}", source_ami=debian, instance_type="t3.micro")
    steps = [
        amibake.File(content="hello", destination="/tmp/greeting"),
        amibake.Shell(
            inline=["grep hello /tmp/greeting", "test $(id -u) = 0", "exit 4"], sudo=True, valid_exit_codes=[4]
        ),
        amibake.Shell(inline=["never run here"]),
    ]
    with in_sandbox(cloud) as bakery:
        bakery.script("never run here").exits(0)
        image = amibake.bake(builder, steps)
        assert bakery.last.upload("/tmp/greeting").text() == "hello"
        assert bakery.last.script("grep hello").status == 4
        assert bakery.last.source_ami == debian
        assert [one.id for one in bakery.images] == [image.id]
        assert bakery.leftovers == []
        made = [call.action for call in bakery.calls]
        assert made.index("RunInstances") < made.index("StopInstances") < made.index("CreateImage")
