"""A failed bake whose builder is kept, mended, and taken up again."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.events import Event, Output
from amibake.host import Host
from amibake.ssh.keys import make_key_pair
from amibake.testing import Place, exits
from tests.account import temporary

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}


def bake(place: Place, *steps: Any, **options: Any) -> Any:
    ours = ("on_error", "resume", "error_cleanup_provisioners", "on_event")
    how = {name: options.pop(name) for name in ours if name in options}
    builder = amibake.Builder(
        **{"ami_name": "shop {{timestamp}}", "source_ami": place.source_ami, "instance_type": "t3.micro", **options}
    )
    return amibake.bake(builder, steps or [amibake.Shell(inline=["make it"])], session=place.session, **how)


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def failed(place: Place, **options: Any) -> amibake.ScriptFailed:
    place.machines.behaviour.on("make it", exits(1, stderr="no\n"))
    with pytest.raises(amibake.ScriptFailed) as caught:
        bake(place, on_error="keep", **options)
    return caught.value


def test_a_bake_in_a_directory_that_it_may_not_look_into_makes_its_image(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `sudo -u` from root's home."""
    unlink = Path.unlink

    def may_not(path: Path, *, missing_ok: bool = False) -> None:
        if not path.is_absolute():
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", may_not)
    assert bake(place).id


@pytest.mark.parametrize(
    "more", [{}, {"spot_price": "auto"}, {"temporary_iam_instance_profile_policy_document": POLICY}]
)
def test_a_kept_builder_is_mended_and_baked(place: Place, more: dict[str, Any]) -> None:
    error = failed(place, **more)
    assert error.build is not None
    key = Path(f"amibake-{error.build}.pem")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    machine = place.machines.newest
    (instance_id,) = place.machines.all
    assert f"ssh -i {key} -p 22 admin@{machine.address}" in error.hint
    assert f"resume={error.build!r}" in error.hint
    kinds = [line.split(" is kept")[0].rpartition(" ")[0] for line in error.leftovers]
    assert {"instance", "key pair", "security group"} <= set(kinds)
    assert any(f"aws ec2 terminate-instances --instance-ids {instance_id}" in line for line in error.leftovers)

    place.machines.behaviour.answers.clear()
    amibake.provision(machine.address, [amibake.Shell(inline=["mend it"])], key=key)
    assert "mend it" in machine.ran[-1].script

    image = bake(place, amibake.Shell(inline=["the rest"]), resume=error.build, **more)
    assert list(place.machines.all) == [instance_id]
    assert image.tags["amibake:build"] == error.build
    assert "the rest" in machine.ran[-2].script
    assert (image.leftovers, temporary(place.session.client("ec2"), place.session.client("iam"))) == ((), set())


def test_an_error_of_somebody_elses_says_it_in_a_note(place: Place) -> None:
    class Broken:
        def check(self) -> None: ...

        def provision(self, _: Host) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        bake(place, Broken(), on_error="keep")
    build = next(note for note in caught.value.__notes__ if note.startswith("amibake build ")).split()[-1]
    assert any(f"resume={build!r}" in note for note in caught.value.__notes__)
    bake(place, resume=build)


def test_an_interrupt_and_a_sealed_builder_are_not_kept(place: Place) -> None:
    class Interrupted:
        def check(self) -> None: ...

        def provision(self, _: Host) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bake(place, Interrupted(), on_error="keep")
    place.ec2.refuse("StopInstances")
    with pytest.raises(amibake.NotAuthorized) as caught:
        bake(place, on_error="keep")
    assert caught.value.leftovers == ()


def test_what_cannot_be_resumed_is_said(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption, match="resume: no builder of build 0123456789abcdef is running"):
        bake(place, resume="0123456789abcdef")
    error = failed(place)
    key = Path(f"amibake-{error.build}.pem")
    saved = key.read_bytes()
    key.unlink()
    place.machines.behaviour.answers.clear()
    with pytest.raises(amibake.InvalidOption, match=f"resume: the key to the builder: {key}"):
        bake(place, resume=error.build)
    assert temporary(place.session.client("ec2")) != set()
    key.write_bytes(saved)
    bake(place, resume=error.build)


@pytest.mark.parametrize("resume", ["*", "", "../x", "0123", 5])
def test_an_id_that_is_none_is_refused(place: Place, resume: Any) -> None:
    with pytest.raises(amibake.InvalidOption, match="resume: the id of a bake, 16 hex digits"):
        bake(place, resume=resume)
    assert place.ec2.requests == []


def test_a_resumed_builder_has_to_be_what_the_options_say(place: Place) -> None:
    error = failed(place)
    place.machines.behaviour.answers.clear()
    other = place.ec2.add_image(name="other", owner_id="136693071363")
    with pytest.raises(amibake.InvalidOption) as caught:
        bake(place, resume=error.build, source_ami=other, instance_type="t3.small")
    assert [line.partition(":")[0] for line in caught.value.mistakes] == ["source_ami", "instance_type"]
    bake(place, resume=error.build)


def test_what_is_resumed_lives_as_long_as_the_bake_that_resumes_it(place: Place) -> None:
    error = failed(place)
    place.machines.behaviour.answers.clear()
    place.clock.sleep(3 * 3600)
    ec2 = place.session.client("ec2")
    expires: list[int] = []

    class Look:
        def check(self) -> None: ...

        def provision(self, _: Host) -> None:
            (reservation,) = ec2.describe_instances()["Reservations"]
            tagged = [reservation["Instances"][0]["Tags"], ec2.describe_key_pairs()["KeyPairs"][0]["Tags"]]
            expires.extend(int(tag["Value"]) for tags in tagged for tag in tags if tag["Key"] == "amibake:expires")

    bake(place, Look(), resume=error.build)
    assert all(moment > place.clock.epoch() + 4 * 3600 for moment in expires)
    assert len(expires) == 2


def test_a_builder_that_nobody_could_get_into_is_not_kept(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    error = failed(place)
    monkeypatch.chdir(tmp_path)
    assert (error.status, error.leftovers) == (1, ())
    assert temporary(place.session.client("ec2")) == set()


def test_the_key_goes_with_the_builder_whatever_becomes_of_the_resumed_bake(place: Place) -> None:
    error = failed(place)
    assert f"rm amibake-{error.build}.pem" in error.leftovers[-1]
    with pytest.raises(amibake.ScriptFailed):
        bake(place, resume=error.build)
    error = failed(place)
    place.machines.behaviour.answers.clear()
    assert bake(place, resume=error.build, skip_create_ami=True) is None


def test_the_way_in_is_the_bakes_own(place: Place, tmp_path: Path) -> None:
    pair = make_key_pair(comment="jump")
    key = tmp_path / "jump"
    key.write_bytes(pair.private)
    bastion = place.machines.add_bastion([pair.public], username="jump")
    way = {
        "ssh_bastion_host": bastion.address,
        "ssh_bastion_username": "jump",
        "ssh_bastion_private_key_file": key,
    }
    error = failed(place, **way)
    assert f"-J jump@{bastion.address}:22 -p 22 admin@" in error.hint
    place.machines.behaviour.answers.clear()
    bake(place, resume=error.build, **way)
    key.unlink()


def test_error_cleanup_provisioners_run_before_the_builder_goes_and_hide_nothing(place: Place) -> None:
    place.machines.behaviour.on("make it", exits(7))
    place.machines.behaviour.on("collect logs", exits(1, stderr="no logs\n"))
    heard: list[Event] = []
    with pytest.raises(amibake.ScriptFailed, match="exited with status 7"):
        bake(
            place,
            error_cleanup_provisioners=[amibake.Shell(inline=["collect logs"]), amibake.Shell(inline=["say goodbye"])],
            on_event=heard.append,
        )
    scripts = [ran.script for ran in place.machines.newest.ran]
    assert [script.splitlines()[-1] for script in scripts if script] == ["make it", "collect logs", "say goodbye"]
    assert Output("stderr", "no logs") in heard


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"on_error": "ask"}, "on_error: "),
        ({"on_error": "keep", "communicator": "none"}, "on_error: there is no way"),
        ({"error_cleanup_provisioners": [amibake.File("/no/such", "/x")]}, "File: source: "),
        ({"error_cleanup_provisioners": amibake.Shell(inline=["x"])}, "error_cleanup_provisioners: "),
    ],
)
def test_what_is_wrong_with_these_is_said_beforehand(place: Place, how: dict[str, Any], said: str) -> None:
    with pytest.raises(amibake.InvalidOption, match=said):
        bake(place, **how)
    assert place.machines.all == {}


def test_provision_checks_before_it_connects(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        amibake.provision("127.77.0.9", [amibake.Shell(script="/no/such")], key="/no/such.pem")
    assert [line.partition(":")[0] for line in caught.value.mistakes] == ["Shell", "key"]


def test_only_and_except_go_by_the_name_of_the_bake(place: Place) -> None:
    bake(
        place,
        amibake.Shell(inline=["everywhere"]),
        amibake.Shell(inline=["here"], only=["shop-*"]),
        amibake.Shell(inline=["elsewhere"], only=["blog-*"]),
        amibake.Shell(inline=["not here"], except_=["*-primal"]),
        app="shop",
        stage="primal",
    )
    ran = [ran.script.splitlines()[-1] for ran in place.machines.newest.ran[:-1]]
    assert ran == ["everywhere", "here"]


def test_an_interrupt_while_cleaning_up_keeps_nothing(place: Place) -> None:
    class Impatient:
        def check(self) -> None: ...

        def provision(self, _: Host) -> None:
            raise KeyboardInterrupt

    place.machines.behaviour.on("make it", exits(1))
    with pytest.raises(KeyboardInterrupt) as caught:
        bake(place, on_error="keep", error_cleanup_provisioners=[Impatient()])
    assert isinstance(caught.value.__cause__, amibake.ScriptFailed)
    assert temporary(place.session.client("ec2"), place.session.client("iam")) == set()
