"""A bake from end to end, in process: what is made, what is left, and what is said when it goes wrong."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import amibake
from amibake import events, flow
from amibake.host import Host
from amibake.testing import Place, exits


def builder(place: Place, **options: Any) -> amibake.Builder:
    return amibake.Builder(
        **{
            "ami_name": "shop {{timestamp}}",
            "source_ami": place.source_ami,
            "instance_type": "t3.micro",
            "tags": {"team": "web", "source": "{{ .SourceAMIName }}"},
            "app": "shop",
            "stage": "primal",
            **options,
        }
    )


def images(place: Place) -> list[str]:
    return [image["ImageId"] for image in place.session.client("ec2").describe_images(Owners=["self"])["Images"]]


class Does:
    """A provisioner that does whatever a test wants."""

    def __init__(self, do: Callable[[Host], object]) -> None:
        self._do = do

    def check(self) -> None: ...

    def provision(self, host: Host) -> None:
        self._do(host)


def test_a_bake_makes_an_image_of_what_was_uploaded_and_run(place: Place, tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text("hello")
    seen: list[events.Event] = []
    before = int(place.clock.epoch())
    image = amibake.bake(
        builder(place),
        [
            amibake.File(f"{tmp_path}/", "/srv/app"),
            amibake.Shell(inline=["cd /srv/app", "./install.sh"], environment_vars={"COLOUR": "blue"}),
        ],
        session=place.session,
        on_event=seen.append,
    )
    machine = place.machines.newest
    assert machine.upload("/srv/app/app.js").read_text() == "hello"
    (ran, _seal) = machine.ran
    assert ran.script == "#!/bin/sh -e\ncd /srv/app\n./install.sh\n"
    assert ran.environment["COLOUR"] == "blue"
    assert ran.environment["AMIBAKE_BUILD"] == image.tags["amibake:build"]
    assert images(place) == [image.id]
    assert before <= int(image.name.removeprefix("shop ")) <= int(place.clock.epoch())
    assert {key: value for key, value in image.tags.items() if key != "amibake:build"} == {
        "Name": image.name,
        "team": "web",
        "source": "debian-12-amd64-20250316-2053",
        "amibake:app": "shop",
        "amibake:stage": "primal",
        "amibake:source-ami": place.source_ami,
        "amibake:version": amibake.__version__,
        "amibake:state": "published",
    }
    assert (image.region, image.source_ami, image.ids) == ("us-east-1", place.source_ami, {"us-east-1": image.id})
    assert (image.warnings, image.leftovers) == ((), ())
    steps = [event.step for event in seen if isinstance(event, events.StepFinished)]
    assert steps == [
        "look up what is needed",
        "launch the builder",
        "connect to the builder",
        f"upload {tmp_path}/ to /srv/app",
        "run an inline script",
        "seal the builder",
        "stop the builder",
        "make the image",
        "remove what is temporary",
        "publish the image",
    ]
    assert list(image.timings) == steps
    assert image.timings["make the image"] >= 30


def test_without_anybody_listening_events_go_to_logging(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="amibake")
    place.machines.behaviour.on("hello", exits(0, "hello there\n"))
    amibake.bake(builder(place), [amibake.Shell(inline=["echo hello there"])], session=place.session)
    assert "hello there" in caplog.messages
    assert "run an inline script: done after 0.0 s" in caplog.messages


def test_the_builder_lets_in_one_address_and_no_more(place: Place) -> None:
    amibake.bake(builder(place), session=place.session)
    (rules,) = place.machines.ingress.values()
    assert [(rule.protocol, rule.from_port, rule.to_port, rule.cidrs) for rule in rules] == [
        ("tcp", 22, 22, ("127.0.0.1/32",))
    ]


def test_without_the_ingress_rule_nobody_gets_in(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "admit_ssh", lambda *_: None)
    with pytest.raises(amibake.SSHTimeout, match="timed out") as caught:
        amibake.bake(builder(place, ssh_timeout=60), session=place.session)
    assert "is running, with the public address " in caught.value.hint
    assert "; its console ends with:" in caught.value.hint
    assert images(place) == []


def test_a_failing_script_ends_the_bake_with_its_status_and_last_lines(place: Place) -> None:
    place.machines.behaviour.on("npm install", exits(3, "fetching\n", "npm ERR! no\n"))
    with pytest.raises(amibake.ScriptFailed, match="exited with status 3") as caught:
        amibake.bake(builder(place), [amibake.Shell(inline=["npm install"])], session=place.session)
    assert caught.value.status == 3
    assert "npm ERR! no" in str(caught.value)
    assert caught.value.build is not None
    assert caught.value.leftovers == ()
    assert images(place) == []


def test_the_wrong_user_is_refused_and_the_error_says_what_the_machine_offers(place: Place) -> None:
    with pytest.raises(amibake.AuthenticationFailed, match="ubuntu") as caught:
        amibake.bake(builder(place, ssh_username="ubuntu"), session=place.session)
    assert "ssh_username" in caught.value.hint
    assert "console" in caught.value.hint


def test_a_builder_that_dies_is_not_waited_for(place: Place) -> None:
    def die(_: Host) -> None:
        ec2 = place.session.client("ec2")
        ec2.terminate_instances(InstanceIds=[next(iter(place.machines.all))])
        place.clock.sleep(60)

    with pytest.raises(amibake.AmibakeError, match=r"instance i-\w+ is terminated"):
        amibake.bake(builder(place), [Does(die), amibake.Shell(inline=["true"])], session=place.session)


def test_a_builder_that_dies_before_ssh_answers_is_an_ssh_timeout_with_its_last_words(place: Place) -> None:
    place.machines.behaviour.refuse_connections = 1000

    def die(event: events.Event) -> None:
        if isinstance(event, events.Waiting) and event.what.startswith("SSH"):
            place.session.client("ec2").terminate_instances(InstanceIds=[next(iter(place.machines.all))])

    before = place.clock.now()
    with pytest.raises(amibake.SSHTimeout, match=r"is shutting-down: .*User initiated") as caught:
        amibake.bake(builder(place), session=place.session, on_event=die)
    assert "console" in caught.value.hint
    assert place.clock.now() - before < 60


def test_an_unknown_source_image_launches_nothing(place: Place) -> None:
    with pytest.raises(amibake.SourceImageNotFound):
        amibake.bake(builder(place, source_ami="ami-00000000"), session=place.session)
    assert place.machines.all == {}


def test_mistakes_of_all_provisioners_are_in_one_error_and_nothing_is_launched(place: Place) -> None:
    with pytest.raises(amibake.InvalidOption) as caught:
        amibake.bake(
            builder(place),
            [amibake.File("/no/such", "/srv"), amibake.Shell(script="/no/such"), "echo"],  # type: ignore[list-item]
            session=place.session,
        )
    assert len(caught.value.mistakes) == 3
    assert "provisioner 3: str is not one; it has to be an object with check() and provision()" in caught.value.mistakes
    assert place.machines.all == {}


def test_provisioners_may_come_from_a_generator(place: Place) -> None:
    amibake.bake(builder(place), (amibake.Shell(inline=[text]) for text in ("one", "two")), session=place.session)
    scripts = [ran.script for ran in place.machines.newest.ran]
    assert scripts[:2] == ["#!/bin/sh -e\none\n", "#!/bin/sh -e\ntwo\n"]


@pytest.mark.parametrize("given", [amibake.Shell(inline=["true"]), [amibake.Shell], None])
def test_what_is_no_list_of_provisioners_is_refused(place: Place, given: Any) -> None:
    with pytest.raises(amibake.InvalidOption, match="provisioner"):
        amibake.bake(builder(place), given, session=place.session)
    with pytest.raises(amibake.InvalidOption, match="builder: a Builder, not dict"):
        amibake.bake({"ami_name": "shop"}, session=place.session)  # type: ignore[arg-type]


def test_somebody_who_listens_and_fails_does_no_harm(place: Place) -> None:
    heard: list[events.Event] = []

    def fail(event: events.Event) -> None:
        heard.append(event)
        raise BrokenPipeError

    image = amibake.bake(builder(place), session=place.session, on_event=fail)
    assert images(place) == [image.id]
    assert len(heard) == 1


def test_the_users_run_tags_are_on_what_is_temporary_and_not_on_the_image(place: Place) -> None:
    seen: dict[str, dict[str, str]] = {}

    def look(_: Host) -> None:
        ec2 = place.session.client("ec2")
        (pair,), (volume,) = ec2.describe_key_pairs()["KeyPairs"], ec2.describe_volumes()["Volumes"]
        for what, resource in {"pair": pair, "volume": volume}.items():
            seen[what] = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}

    image = amibake.bake(builder(place, run_tags={"cost": "42"}), [Does(look)], session=place.session)
    assert [tags["cost"] for tags in seen.values()] == ["42", "42"]
    assert "cost" not in image.tags


def test_any_exception_says_which_bake_it_was(place: Place) -> None:
    def fail(_: Host) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        amibake.bake(builder(place), [Does(fail)], session=place.session)
    assert any(note.startswith("amibake build ") for note in caught.value.__notes__)


def test_ctrl_c_removes_everything_and_goes_on_as_ctrl_c(place: Place) -> None:
    def interrupt(_: Host) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        amibake.bake(builder(place), [Does(interrupt)], session=place.session)
    assert images(place) == []


def test_a_program_that_handles_a_signal_itself_keeps_its_handler(place: Place) -> None:
    heard: list[int] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        amibake.bake(builder(place), [Does(lambda _: os.kill(os.getpid(), signal.SIGTERM))], session=place.session)
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert heard == [signal.SIGTERM]


def test_an_interrupt_while_the_image_is_made_removes_the_draft(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "wait_until_available", interrupt)
    with pytest.raises(KeyboardInterrupt):
        amibake.bake(builder(place), session=place.session)
    assert images(place) == []


def test_a_refused_delete_is_a_leftover_of_the_image(place: Place) -> None:
    class Refusing:
        """The session of somebody who may not delete key pairs."""

        region_name = place.session.region_name

        def client(self, *arguments: Any, **options: Any) -> Any:
            client = place.session.client(*arguments, **options)
            client.delete_key_pair = self._refuse
            return client

        def _refuse(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DeleteKeyPair")

    image = amibake.bake(builder(place), session=Refusing())  # type: ignore[arg-type]
    (leftover,) = image.leftovers
    assert "remove it with: aws ec2 delete-key-pair" in leftover
    (pair,) = place.session.client("ec2").describe_key_pairs()["KeyPairs"]
    place.session.client("ec2").delete_key_pair(KeyName=pair["KeyName"])


def test_an_image_is_published_only_when_all_went_well(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise amibake.AmibakeError("the last call failed")

    monkeypatch.setattr(flow, "publish", fail)
    with pytest.raises(amibake.AmibakeError, match="the last call failed"):
        amibake.bake(builder(place), session=place.session)
    assert images(place) == []


@pytest.mark.parametrize(("status", "said"), [(3, "is the machine that this runs on"), (4, "no passwordless sudo")])
def test_where_it_cannot_seal_the_bake_succeeds_with_a_warning(place: Place, status: int, said: str) -> None:
    place.machines.behaviour.on("exec sh -s", exits(status))
    image = amibake.bake(builder(place), session=place.session)
    (warning,) = image.warnings
    assert said in warning


def test_a_seal_that_fails_is_an_error(place: Place) -> None:
    place.machines.behaviour.on("exec sh -s", exits(1, stderr="disk full\n"))
    with pytest.raises(amibake.ScriptFailed, match="could not be sealed"):
        amibake.bake(builder(place), session=place.session)


def test_an_address_of_ones_own_is_used_instead_of_ec2s(place: Place) -> None:
    heard: list[str] = []

    def listen(host: Host) -> None:
        heard.append(host.data["Host"])

    # 127.77.0.1 is the address that the place gives to its first machine
    amibake.bake(builder(place, ssh_host="127.77.0.1"), [Does(listen)], session=place.session)
    assert heard == ["127.77.0.1"]
