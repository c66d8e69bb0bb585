"""`bakery`: a whole EC2 in this process, for the tests of those who bake with amibake."""

from __future__ import annotations

import difflib
import ipaddress
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import URLLib3Session
from moto.core.models import botocore_stubber

from amibake.builder.source import WHEEZY
from amibake.image import APP, BUILD, NODE_ENV, PUBLISHED, STAGE, STATE
from amibake.strict import Delays, Fault, Request
from amibake.testing.accounts import ANYBODY
from amibake.testing.baked import Machine
from amibake.testing.clock import FakeClock
from amibake.testing.looking import Looking
from amibake.testing.place import Place, in_process

_OWNER_OF_WHEEZY = "379101102735"


class Bakery(Looking):
    """An account that is empty but for some public images, in which every bake is quick, and all that it did can be
    looked at. Everything of boto3's, with or without a session, leads here.

    Attributes:
        place: What it is made of, for tests that need more: the machines, the strict EC2.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self._behaviour = place.machines.behaviour
        self._check_action, self._record = place.ec2.check_action, place.ec2.record

    @property
    def session(self) -> boto3.Session:  # type: ignore[override] # nobody sets it
        """For `session=`; without one everything leads here too."""
        return self.place.session

    @property
    def clock(self) -> FakeClock:
        """The library's clock: `clock.now()` seconds have passed, `clock.sleep(3600)` lets an hour pass."""
        return self.place.clock

    @property
    def calls(self) -> list[Request]:  # type: ignore[override] # likewise
        """The calls to EC2 in the order in which they came: `call.action`, `call.params`, `call.region`."""
        return list(self.place.ec2.requests)

    def fault(self, action: str, code: str, message: str | None = None, *, times: int | None = None) -> Fault:
        """Let a call fail, in EC2's own words where no message is given: `fault("RunInstances",
        "InsufficientInstanceCapacity")`.

        Args:
            action: EC2's name for the call.
            code: EC2's code of the error.
            message: What it says.
            times: How many of these calls fail, amibake's retries counted; None is all.

        Returns:
            The fault, whose `met` is how often it happened; `lift()` ends it.

        Raises:
            ValueError: EC2 has no such call.
        """
        actions = list(self.session.client("ec2").meta.service_model.operation_names)
        if action not in actions:
            near = difflib.get_close_matches(action, actions, 1)
            raise ValueError(f"EC2 has no call {action!r}" + (f"; {near[0]}?" if near else ""))
        return self.place.ec2.refuse(action, code, message, times=times)

    def drops_connection(self, *, after: int, times: int = 1) -> None:
        """Let the SSH connection be lost in the middle of an upload, or of another command's input.

        Args:
            after: When so many bytes of it have arrived.
            times: How often this happens, each time at the next upload that is long enough.
        """
        self._behaviour.drop_after, self._behaviour.drop_times = after, times

    def add_image(self, *, name: str, owner_id: str = "136693071363", **more: Any) -> str:
        """Put a public image there to bake from, and answer with its id; see `amibake.strict.StrictEC2.add_image`."""
        return self.place.ec2.add_image(name=name, owner_id=owner_id, **{"region": self.session.region_name, **more})

    def add_baked_image(self, *, app: str, stage: str, node_env: str | None = None, name: str | None = None) -> str:
        """Put a published image there, as an earlier bake would have left it, and answer with its id. `find_image` and
        "latest-primal" find it; it is none of `images`."""
        tags: Mapping[str, str | None] = {APP: app, STAGE: stage, NODE_ENV: node_env, STATE: PUBLISHED, BUILD: "0" * 16}
        image_id = self.add_image(
            name=name or " ".join(filter(None, [f"{app}-{stage}", node_env, f"{self.clock.epoch():.0f}"])),
            owner_id=self.place.ec2.account_id,
            tags={key: value for key, value in tags.items() if value is not None},
            creation_date=datetime.fromtimestamp(self.clock.epoch(), UTC),
        )
        self._known.add(image_id)
        return image_id

    def check_action(self, region: str, action: str) -> None:
        """In place of the strict EC2's own."""
        if not self._looks:
            self._check_action(region, action)

    def record(self, region: str, action: str, query: Mapping[str, Sequence[str]]) -> None:
        """In place of the strict EC2's own."""
        if not self._looks:
            self._record(region, action, query)

    def _builder(self, instance_id: str) -> tuple[int, Machine] | None:
        machines = self.place.machines.all
        return list(machines).index(instance_id), machines[instance_id]


@contextmanager
def bakery(*, region: str = "us-east-1", delays: Delays | None = None) -> Iterator[Bakery]:
    """A bakery for as long as the block lasts; the pytest fixture of this name is one for a test.

    Nothing that botocore sends leaves this machine meanwhile: what the EC2 in this process does not answer raises
    ConnectionError.

    Args:
        region: The session's, and boto3's default.
        delays: EC2's own slowness, on the bakery's clock, on which nobody waits.
    """
    with (
        mock.patch.object(URLLib3Session, "send", _only_here),
        in_process(region=region, username=ANYBODY, delays=delays) as place,
    ):
        # the article's own, long withdrawn, which is the default of build_primal
        place.ec2.add_image(
            name="debian-wheezy-amd64-hvm-2015-01-20",
            owner_id=_OWNER_OF_WHEEZY,
            image_id=WHEEZY,
            region=region,
            creation_date="2015-01-20T00:00:00+00:00",
            deprecated=True,
        )
        here = Bakery(place)
        with (
            mock.patch.object(place.ec2, "check_action", here.check_action),
            mock.patch.object(place.ec2, "record", here.record),
        ):
            yield here


_really_send = URLLib3Session.send


def _only_here(self: URLLib3Session, request: AWSPreparedRequest) -> Any:
    where = urllib.parse.urlsplit(request.url)
    if _is_here(where.hostname or ""):
        return _really_send(self, request)
    # sessions and clients from before moto was imported, such as a module's own, do not ask it themselves
    answer = botocore_stubber("before-send", request)
    if answer is None:
        called = f"{request.method} {where.netloc}"
        raise ConnectionError(f"a bakery lets nothing out: {called} is a call that it does not answer")
    return answer


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
