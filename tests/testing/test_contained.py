"""What a bakery writes down of bakes that are somewhere else; here it is in process too, so that it costs little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

import amibake
from amibake.ssh.keys import make_key_pair
from amibake.testing import LoopbackMachine, Place, in_process
from amibake.testing.contained import SandboxBakery, in_sandbox

pytestmark = pytest.mark.usefixtures("no_thread_left")


@dataclass
class Cloud:
    """As much of a LocalCloud as a bakery uses."""

    session: boto3.Session
    node_mirror: str = "http://198.18.0.1/dist"
    environment: dict[str, str] = field(
        default_factory=lambda: {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    )


@pytest.fixture
def place() -> Iterator[Place]:
    with in_process() as place:
        yield place


@pytest.fixture
def bakery(place: Place) -> Iterator[SandboxBakery]:
    with in_sandbox(Cloud(place.session)) as here:  # type: ignore[arg-type]
        yield here


def bake(*steps: amibake.Provisioner, told: list[str] | None = None) -> amibake.Image:
    builder = amibake.Builder(ami_name="x {{uuid}}", source_ami=amibake.DEBIAN_12, instance_type="t3.micro")
    image: amibake.Image = amibake.bake(
        builder, steps, on_event=lambda event: told.append(str(event)) if told is not None else None
    )
    return image


def test_what_is_sent_up_and_run(bakery: SandboxBakery, tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_bytes(b"one")
    (tmp_path / "tree/left-out").write_text("")
    (tmp_path / "tree/link").symlink_to("nowhere")
    (tmp_path / "single").write_text("two")
    image = bake(
        amibake.File(f"{tmp_path}/tree/", "/srv/tree/", exclude=["left-out"]),
        amibake.File(tmp_path / "single", "/srv/single"),
        amibake.File(content="three", destination="note"),
        amibake.Shell(inline=["echo it's time"], environment_vars={"A": "b", "S": amibake.Secret("hidden")}),
        amibake.Shell(inline=["as root"], sudo=True),
    )
    (done,) = bakery.bakes
    assert done.upload("/srv/tree").files() == ["link", "sub/file"]
    assert done.upload("/srv/single").text() == "two"
    assert done.upload("note").text() == "three"
    assert "/home/admin/note" in done.uploads
    assert done.script("echo it's time").environment == {"AMIBAKE_BUILD": done.id, "A": "b", "S": "hidden"}
    assert (done.script("as root").sudo, done.script("as root").status) == (True, 0)
    assert [one.id for one in bakery.images] == [image.id]
    assert bakery.leftovers == []
    assert f"bake {done.id}: {done.instance_id} (t3.micro)" in bakery.story()


def test_a_link_that_is_sent_up_twice(bakery: SandboxBakery, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("nowhere")
    up = amibake.File(f"{tmp_path}/tree/", "/srv/tree/")
    bake(up, up)
    assert bakery.last.upload("/srv/tree").files() == ["link"]


def test_a_machine_that_is_no_instance_is_provisioned(bakery: SandboxBakery, tmp_path: Path) -> None:
    key = make_key_pair()
    with LoopbackMachine("127.79.0.1", tmp_path / "machine", [key.public]) as machine:
        (tmp_path / "key").write_bytes(key.private)
        (tmp_path / "key").chmod(0o600)
        steps = [amibake.File(content="x", destination="/tmp/x"), amibake.Shell(inline=["true"])]
        amibake.provision(machine.address, steps, username="admin", key=tmp_path / "key", port=machine.port)
        assert machine.upload("/tmp/x").read_text() == "x"
    assert bakery.bakes == []


def test_a_script_whose_end_is_prepared_is_not_run(bakery: SandboxBakery, place: Place) -> None:
    told: list[str] = []
    bakery.script("primal").exits(3, stdout="before\n", stderr="npm ERR!\n")
    with pytest.raises(amibake.ScriptFailed, match=r"exited with status 3\n  before\n  npm ERR!"):
        amibake.build_primal(app="shop", source_ami=place.source_ami, on_event=lambda event: told.append(str(event)))
    assert [line for line in told if line in ("before", "npm ERR!")] == ["before", "npm ERR!"]
    assert bakery.last.script("primal").status == 3
    assert not [ran for ran in place.machines.newest.ran if "NODE_SOURCE" in ran.environment]
    done: list[str] = []
    bakery.script("primal").does(lambda: done.append("this"))
    amibake.build_primal(app="shop", source_ami=place.source_ami)
    assert done == ["this"]


def test_node_comes_from_the_mirror_unless_told_otherwise(bakery: SandboxBakery, place: Place) -> None:
    def environment(**options: str) -> dict[str, str]:
        amibake.build_primal(app="shop", source_ami=place.source_ami, **options)  # type: ignore[arg-type]
        (ran,) = [ran for ran in place.machines.newest.ran if "NODE_SOURCE" in ran.environment]
        return ran.environment

    there = environment()
    assert (there["NODE_SOURCE"], there["NODE_MIRROR"]) == ("tarball", "http://198.18.0.1/dist")
    assert bakery.last.script("primal").environment["NODE_SOURCE"] == "nvm"  # what the test's own code asked for
    assert environment(node_mirror="http://mirror.test")["NODE_SOURCE"] == "nvm"
    assert environment(node_source="tarball")["NODE_MIRROR"] == ""


def test_what_is_in_process_only(bakery: SandboxBakery) -> None:
    for name in ("fault", "drops_connection", "clock"):
        with pytest.raises(
            AttributeError, match=rf"bakery\.{name} is in process only, not with @pytest\.mark\.sandbox"
        ):
            getattr(bakery, name)
    with pytest.raises(AttributeError, match="is in process only"):  # and not: exits with 0 without being run
        bakery.script("primal").drops_connection()
    with pytest.raises(AttributeError, match=r"^other$"):
        bakery.other  # noqa: B018


def test_what_was_there_before(place: Place) -> None:
    with in_sandbox(Cloud(place.session)) as earlier:  # type: ignore[arg-type]
        bake()
        place.session.client("ec2").create_security_group(GroupName="mine", Description="x")
        assert earlier.leftovers == ["mine"]
    with in_sandbox(Cloud(place.session)) as later:  # type: ignore[arg-type]
        assert [*later.images, *later.bakes, *later.leftovers] == []
        bake()
        assert (len(later.images), len(later.bakes)) == (1, 1)
