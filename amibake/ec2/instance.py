"""Instances: launched, seen, and ended whatever happens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from amibake.builder import Builder
from amibake.ec2.cloud import CONSISTENCY, RELEASE, Cloud, missing
from amibake.ec2.refused import refusal
from amibake.ec2.request import Request
from amibake.ec2.resource import eventually, remove, resource, unless_gone
from amibake.ec2.watch import INSTANCES, watching
from amibake.errors import AmibakeError, NoCapacity, NotAuthorized, WaitTimeout
from amibake.waiting import Deadline, Pending, wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

T = TypeVar("T")

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Colours and cursors, which a console is full of."""

Interface = Literal["public_ip", "private_ip", "public_dns", "private_dns", "ipv6", "instance_id"]
"""Which of its addresses an instance is reached at; "instance_id" for what finds it by that."""

UNKNOWN = "InvalidInstanceID.NotFound"
"""EC2's word for an instance that it does not know, or not yet."""

_CANT_STOP = "IncorrectInstanceState"

STEADY = 1.0
"""Seconds between two looks at what a bake waits for, once it may be there any moment."""

_STARTS = 600.0
"""Seconds for which an instance may be pending."""

_STOPS = 8.0
"""Seconds before which an instance has hardly ever stopped."""

_INTERRUPTION = "Server.SpotInstance"
_NO_ROOM = "Server.InsufficientInstanceCapacity"
_LAUNCH_FAILED = "Client.InternalError"
_SWITCHED_OFF = "Client.InstanceInitiatedShutdown"
_BY_ITSELF = (
    "It was shut down from within: by a provisioner, its user data or somebody on it. Leave that out: a bake stops its "
    'builder itself. With shutdown_behavior="stop" such a builder is not terminated, but not imaged either.'
)
_HINTS = {
    _LAUNCH_FAILED: "Where its volumes are encrypted, it may be that their KMS key can't be used: see kms_key_id.",
    _SWITCHED_OFF: _BY_ITSELF,
}


@dataclass(frozen=True)
class _Not:
    """It is not yet what it is to be."""

    seen: str


@dataclass(frozen=True)
class Machine:
    """An instance that we launched. One that `is_spot` can't be stopped, and EC2 may take it away."""

    cloud: Cloud
    id: str
    is_spot: bool = False

    def describe(self) -> InstanceTypeDef | None:
        """What EC2 says of it, or None while it does not know it yet."""
        try:
            reservations = self.cloud.ec2.describe_instances(InstanceIds=[self.id])["Reservations"]
        except AmibakeError as error:
            if missing(error):
                return None
            raise
        return reservations[0]["Instances"][0] if reservations else None

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """For `check_alive` again and again: while the block lasts it costs no call where others ask as well. What it
        yields answers with whether the instance was still pending, now or the last time, as it may be for a while."""
        pending, starting = False, Deadline(_STARTS)
        with watching(self.cloud, INSTANCES, self.id, self.describe) as sight:

            def alive() -> bool:
                nonlocal pending
                found, before = sight.look(), pending
                self._check_alive(found)
                pending = found is not None and found["State"]["Name"] == "pending" and starting.remaining() > 0
                return before or pending

            yield alive

    def check_alive(self) -> None:
        """Raises AmibakeError, with EC2's reason, once the instance is going down or gone: NoCapacity where EC2 has
        taken back a spot instance."""
        self._check_alive(self.describe())

    def _check_alive(self, found: InstanceTypeDef | None) -> None:
        if found and found["State"]["Name"] not in ("pending", "running"):
            raise self._gone(found)

    def wait_for_address(self, which: Interface | None, *, prefer_private: bool = False, running: bool = True) -> str:
        """The address to reach it at, once it is `running`, or else as soon as EC2 has given it one. With None the
        public one where it has one, else the private one; `prefer_private` is for those who are in its network already,
        and then the private one."""
        wanted = which or ("private_ip" if prefer_private else None)

        def judge(found: InstanceTypeDef | None) -> str | _Not:
            if found is None:
                return _Not("unknown")
            state = found["State"]["Name"]
            if state not in ("pending", "running"):
                raise self._gone(found)
            if state == "running":
                return self._addresses(found)[wanted] or _Not("running, without an address")
            # it may get a public one still
            early = "" if running else self._addresses(found)[wanted or "public_ip"]
            return early or _Not(state)

        return self._wait(
            f"instance {self.id} to run" if running else f"an address of instance {self.id}",
            judge,
            awaited="instance running" if running else "address of the instance",
            deadline=Deadline(_STARTS, within=self.cloud.deadline),
            hint="Without an address of the wanted kind: see associate_public_ip_address and ssh_interface.",
        )

    def wait_until(self, wanted: str, *, deadline: Deadline, on_the_way: tuple[str, ...]) -> InstanceTypeDef | None:
        """Wait for a state; answers with what EC2 says of it then. Raises AmibakeError when it turns into a state that
        does not lead there."""

        unknown = list[Deadline]()

        def judge(found: InstanceTypeDef | None) -> tuple[InstanceTypeDef | None] | _Not:
            if found is None and wanted != "terminated":  # there it is, though, as everybody else at EC2 knows
                unknown.extend([Deadline(CONSISTENCY)] * (not unknown))
                if unknown[0].remaining() > 0:
                    return _Not("unknown")
            unknown.clear()
            state = found["State"]["Name"] if found else "terminated"
            if state == wanted:
                return (found,)
            if state in on_the_way:
                return _Not(state)
            raise self._gone(found, f" where it should become {wanted}")

        early = _STOPS if wanted == "stopped" else 0.0
        what = f"instance {self.id} to be {wanted}"
        (found,) = self._wait(what, judge, awaited=f"instance {wanted}", deadline=deadline, early=early)
        return found

    def _wait(
        self,
        what: str,
        judge: Callable[[InstanceTypeDef | None], T | _Not],
        *,
        awaited: str,
        deadline: Deadline,
        early: float = 0.0,
        hint: str = "",
    ) -> T:
        """Look at it until `judge` has something else to say than what it is `_Not`."""
        ledger = self.cloud.ledger
        with ledger.waits(awaited), watching(self.cloud, INSTANCES, self.id, self.describe) as sight:

            def probe() -> T | Pending:
                answer = judge(sight.look())
                return sight.pending(answer.seen) if isinstance(answer, _Not) else answer

            return wait_for(what, probe, deadline=deadline, emit=ledger.emit, early=early, steady=STEADY, hint=hint)

    def stop(self) -> InstanceTypeDef | None:
        """Shut it down and wait until it is off; answers with what EC2 says of it then."""
        stop = partial(self.cloud.ec2.stop_instances, InstanceIds=[self.id])
        deadline = Deadline(600, within=self.cloud.deadline)
        try:
            eventually(self.cloud, stop, UNKNOWN)
        except AmibakeError as error:
            if error.code != _CANT_STOP:
                raise
            self.check_alive()  # which knows better why
            self.wait_until("running", deadline=deadline, on_the_way=("pending",))  # a quick one lets us in before
            eventually(self.cloud, stop, UNKNOWN, _CANT_STOP)  # not all of EC2 has heard of that at the same moment
        return self.wait_until("stopped", deadline=deadline, on_the_way=("running", "stopping"))

    def wait_until_stopped_by_itself(self) -> InstanceTypeDef | None:
        """Wait until it has switched itself off, for as long as the bake may take."""
        on_the_way = ("pending", "running", "stopping")
        return self.wait_until("stopped", deadline=self.cloud.deadline, on_the_way=on_the_way)

    def be_ready(self, builder: Builder) -> InstanceTypeDef | None:
        """Stop it, or wait until it has done so by itself, and make it ready to be imaged; answers with what EC2 says
        of it then. A spot instance can't be stopped: it is sealed, and has only to run in EC2's eyes."""
        if self.is_spot:
            return self.wait_until("running", deadline=self.cloud.deadline, on_the_way=("pending",))
        found = self.wait_until_stopped_by_itself() if builder.disable_stop_instance else self.stop()
        self.prepare_for_image(builder)
        return found

    def prepare_for_image(self, builder: Builder) -> None:
        """Give the stopped builder the attributes that its image gets from it: a shutdown stops instances of the image,
        and the network drivers are those that the options speak of."""
        for attribute in _attributes(builder):
            modify = partial(self.cloud.ec2.modify_instance_attribute, InstanceId=self.id, **attribute)
            eventually(self.cloud, modify, UNKNOWN)

    def terminate(self, *, instead: Callable[[], object] | None = None) -> None:
        """End it and wait until it is gone, unless it is to go `unwatched`: once EC2 has said that it goes down nothing
        stops that. `instead` is what else ends it, where we may not."""
        terminate = partial(self.cloud.ec2.terminate_instances, InstanceIds=[self.id])
        try:
            unless_gone(self.cloud, self.id, terminate)
        except NotAuthorized:
            if instead is None:
                raise
            instead()
        if self.id in self.cloud.unwatched:
            return
        anything = ("pending", "running", "stopping", "stopped", "shutting-down")
        try:
            self.wait_until("terminated", deadline=Deadline(RELEASE), on_the_way=anything)
        except WaitTimeout:
            raise
        except AmibakeError as error:  # EC2 has said that it goes down, which nothing stops
            self.cloud.ledger.warn(f"instance {self.id} is being terminated, unwatched: {error.message}")

    def last_words(self) -> str:
        """Its state, whether it has a public address, and the last 20 lines of its console, for an error's hint. Never
        raises."""
        try:
            found = self.describe()
        except AmibakeError as error:
            return f"instance {self.id}: {error.message}"
        state = found["State"]["Name"] if found else "unknown to EC2"
        public = found.get("PublicIpAddress") if found else None
        where = f", with {f'the public address {public}' if public else 'no public address'}"
        return f"instance {self.id} is {state}{where if state == 'running' else ''}; {self._console()}"

    def requires_tokens(self) -> bool:
        """Whether its metadata is told to nobody who does not speak IMDSv2, as far as EC2 says; never raises."""
        try:
            found = self.describe()
        except AmibakeError:
            return False
        return bool(found) and (found or {}).get("MetadataOptions", {}).get("HttpTokens") == "required"

    def _console(self) -> str:
        """What its console says: at the moment, of kinds of instances of which EC2 knows that; else some time after the
        boot."""
        console = partial(self.cloud.ec2.get_console_output, InstanceId=self.id)
        try:
            try:
                output = console(Latest=True).get("Output", "")
            except AmibakeError:
                output = console().get("Output", "")
        except AmibakeError as error:
            return f"its console can't be read: {error.message}"
        lines = [_CONTROL.sub("", line).rstrip() for line in output.splitlines()]
        tail = "".join(f"\n  {line}" for line in [line for line in lines if line][-20:])
        return f"its console ends with:{tail}" if tail else "its console shows nothing, which it does late"

    def _addresses(self, found: InstanceTypeDef) -> dict[Interface | None, str]:
        public, private = found.get("PublicIpAddress", ""), found.get("PrivateIpAddress", "")
        interfaces = found.get("NetworkInterfaces", ())
        sixes = [six.get("Ipv6Address", "") for one in interfaces for six in one.get("Ipv6Addresses", ())]
        return {
            None: public or private,
            "public_ip": public,
            "private_ip": private,
            "public_dns": found.get("PublicDnsName", ""),
            "private_dns": found.get("PrivateDnsName", ""),
            "ipv6": next(iter(sixes), ""),
            "instance_id": self.id,
        }

    def _gone(self, found: InstanceTypeDef | None, instead: str = "") -> AmibakeError:
        """The error of an instance that is not what it should be."""
        if found is None:
            return AmibakeError(f"instance {self.id} is terminated{instead}")
        code = found.get("StateReason", {}).get("Code", "")
        reason = found.get("StateReason", {}).get("Message") or found.get("StateTransitionReason") or "no reason given"
        if code.startswith(_INTERRUPTION):
            return NoCapacity(
                f"spot instance {self.id} was interrupted by EC2 ({reason})",
                hint="Bake again, with more spot_instance_types or subnets, or on demand: without spot_price.",
            )
        message = f"instance {self.id} is {found['State']['Name']}{instead}: {reason}"
        if code == _NO_ROOM:
            return NoCapacity(message, hint="Try another instance type, subnet or time.")
        return AmibakeError(message, hint=_HINTS.get(code, ""))


def _attributes(builder: Builder) -> Iterator[Request]:
    """One ModifyInstanceAttribute takes one attribute."""
    if builder.ends_itself:
        yield {"InstanceInitiatedShutdownBehavior": {"Value": "stop"}}
    if builder.ena_support is not None:
        yield {"EnaSupport": {"Value": builder.ena_support}}
    if builder.sriov_support:
        yield {"SriovNetSupport": {"Value": "simple"}}


def run_instance(cloud: Cloud, request: Request, *, token: str | None = None) -> Machine:
    """Launch one instance. The client token, the build's id by default, makes a repeated call answer with the same one.

    Raises:
        InvalidOption: what EC2 refuses of an option.
        NoCapacity: EC2 has no room.
    """
    try:
        answer = cloud.ec2.run_instances(**request, MinCount=1, MaxCount=1, ClientToken=token or cloud.build)
    except AmibakeError as error:
        raise refusal(error) from error
    return Machine(cloud, answer["Instances"][0]["InstanceId"])


def terminated(
    cloud: Cloud, request: Request, *, keep: Callable[[str], bool] = lambda _: False
) -> AbstractContextManager[str]:
    """Launch the one instance of this build; yields its id. At the end of the block it is terminated, unless it is to
    be `keep`t."""
    return launched(cloud, lambda: run_instance(cloud, request).id, release=partial(end, cloud), keep=keep)


def launched(
    cloud: Cloud,
    create: Callable[[], str],
    *,
    release: Callable[[str], object],
    keep: Callable[[str], bool] = lambda _: False,
) -> AbstractContextManager[str]:
    """The one instance of this build, whatever call makes it; yields its id, and `release`s it in the end, unless it is
    to be `keep`t."""

    def find() -> list[str]:
        return [found["InstanceId"] for found in found_by_tag(cloud)]

    def let_go(instance_id: str) -> None:
        release(instance_id)

    return resource(cloud, "instance", create=create, find=find, release=let_go, keep=keep)


def found_by_tag(cloud: Cloud) -> list[InstanceTypeDef]:
    """The instances of this build that are not terminated."""
    reservations = cloud.ec2.describe_instances(Filters=cloud.of_this_build())["Reservations"]
    found = [instance for one in reservations for instance in one["Instances"]]
    return [instance for instance in found if instance["State"]["Name"] != "terminated"]


def end(cloud: Cloud, instance_id: str, *, instead: Callable[[], object] | None = None) -> bool:
    """Terminate an instance; answers whether it is gone. Where it is not, it is a leftover. See `Machine.terminate`."""
    terminate = Machine(cloud, instance_id).terminate
    if instead is not None:
        terminate = partial(terminate, instead=instead)
    return remove(cloud, "instance", instance_id, terminate)
