"""Faults at the calls of a bake, as they come over the wire: what was asked never arrives, is refused, or is done and
the answer does not come."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import parse_qs, urlencode

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber

_SEND = BotocoreStubber.__call__


@dataclass(frozen=True)
class Call:
    """One call of a bake, as it comes over the wire."""

    service: str
    action: str
    params: dict[str, str]
    request: AWSPreparedRequest
    event: str

    def done(self, *, without: tuple[str, ...] = ()) -> AWSResponse:
        """What EC2 answers; it is done, but `without` the parameters that begin like these."""
        request = self.request
        if without:
            rest = {name: value for name, value in self.params.items() if not name.startswith(without)}
            request = copy.copy(request)
            request.body = urlencode(rest)
        answer: AWSResponse | None = _SEND(botocore_stubber, self.event, request)
        assert answer is not None, "there is no such service"
        return answer

    def answer(self, status: int, body: str) -> AWSResponse:
        """What something else answers."""
        return AWSResponse(self.request.url, status, HTTPHeaders(), _Raw(body.encode()))

    def refusal(self, status: int, code: str, message: str) -> AWSResponse:
        """EC2's, or IAM's, error."""
        error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        if self.service == "ec2":
            body = f"<Response><Errors>{error}</Errors><RequestID>r-1</RequestID></Response>"
        else:
            body = f"<ErrorResponse>{error}<RequestId>r-1</RequestId></ErrorResponse>"
        return self.answer(status, f'<?xml version="1.0" encoding="UTF-8"?>{body}')


class _Raw(io.BytesIO):
    """A body, as urllib3 would hand it over."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while chunk := self.read():
            yield chunk


Fault = Callable[[Call], AWSResponse]
"""Answers a call, or raises what botocore would."""


def throttled(call: Call) -> AWSResponse:
    if call.service == "ec2":
        return call.refusal(503, "RequestLimitExceeded", "Request limit exceeded.")
    return call.refusal(400, "Throttling", "Rate exceeded")


def internal_error(call: Call) -> AWSResponse:
    code = "InternalError" if call.service == "ec2" else "ServiceFailure"
    return call.refusal(500, code, "An internal error has occurred")


def unavailable(call: Call) -> AWSResponse:
    return call.answer(503, "<html><body><h1>503 Service Unavailable</h1></body></html>")


def reset(call: Call) -> AWSResponse:
    raise ConnectionClosedError(endpoint_url=call.request.url)


def cut(call: Call) -> AWSResponse:
    answer = call.done()
    return call.answer(answer.status_code, answer.text[: len(answer.text) // 2])


def lost(call: Call) -> AWSResponse:
    call.done()
    raise ReadTimeoutError(endpoint_url=call.request.url)


TRANSIENT: dict[str, Fault] = {
    "throttled": throttled,
    "internal_error": internal_error,
    "unavailable": unavailable,
    "reset": reset,
    "cut": cut,
    "lost": lost,
}

_INSTANCE, _IMAGE, _SNAPSHOT = "InvalidInstanceID.NotFound", "InvalidAMIID.NotFound", "InvalidSnapshot.NotFound"
_GROUP, _TEMPLATE, _ROLE = "InvalidGroup.NotFound", "InvalidLaunchTemplateId.NotFound", "NoSuchEntity"
NOT_KNOWN_YET = {
    "AddRoleToInstanceProfile": _ROLE,
    "AuthorizeSecurityGroupIngress": _GROUP,
    "CopyImage": _IMAGE,
    "CreateFleet": _TEMPLATE,
    "CreateImage": _INSTANCE,
    "CreateTags": _IMAGE,
    "DeleteInstanceProfile": _ROLE,
    "DeleteKeyPair": "InvalidKeyPair.NotFound",
    "DeleteLaunchTemplate": _TEMPLATE,
    "DeleteRole": _ROLE,
    "DeleteRolePolicy": _ROLE,
    "DeleteSecurityGroup": _GROUP,
    "DeleteTags": _IMAGE,
    "DescribeImages": _IMAGE,
    "DescribeInstances": _INSTANCE,
    "EnableImageDeprecation": _IMAGE,
    "EnableImageDeregistrationProtection": _IMAGE,
    "ModifyImageAttribute": _IMAGE,
    "ModifyInstanceAttribute": _INSTANCE,
    "ModifySnapshotAttribute": _SNAPSHOT,
    "PutRolePolicy": _ROLE,
    "RegisterImage": _SNAPSHOT,
    "RemoveRoleFromInstanceProfile": _ROLE,
    "RunInstances": "InvalidKeyPair.NotFound",
    "StopInstances": _INSTANCE,
    "TerminateInstances": _INSTANCE,
}
"""The calls about what the bake has just made, and EC2's word for not knowing it. Deregistering is of older things."""


def not_known_yet(call: Call) -> AWSResponse:
    """EC2 does not know what it has made a moment before."""
    return call.refusal(404 if call.service == "iam" else 400, NOT_KNOWN_YET[call.action], "no such thing")


class Injector:
    """Sees every call while the block lasts, and lets some go wrong."""

    def __init__(self) -> None:
        self.seen: list[Call] = []

    def strike(self, _: Call, /) -> Fault | None:
        """The fault of this call, if it is to have one."""
        return None

    def answer(self, event_name: str, request: AWSPreparedRequest) -> AWSResponse:
        """What a client gets to its request."""
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        params = {name: values[0] for name, values in parse_qs(body).items()}
        service, action = event_name.split(".")[1:3]
        call = Call(service, action, params, request, event_name)
        self.seen.append(call)
        fault = self.strike(call)
        return fault(call) if fault else call.done()


@dataclass(frozen=True)
class Placement:
    """The so-manieth call of an action; of those about things of the bake's own where `own` says so."""

    action: str
    number: int
    own: bool = False

    def concerns(self, call: Call) -> bool:
        """Whether it is one of those that are counted."""
        return call.action == self.action and (not self.own or is_about_own(call))

    def __str__(self) -> str:
        return f"{self.action} {self.number}"


@dataclass
class Placed:
    """A fault, so many `times` in a row, and how often its call was made and met it."""

    placement: Placement
    fault: Fault
    times: int = 1
    reached: int = 0
    met: int = 0


class Faults(Injector):
    """Faults at single calls."""

    def __init__(self, *placed: Placed) -> None:
        super().__init__()
        self.placed = placed

    def strike(self, call: Call, /) -> Fault | None:
        for one in self.placed:
            if one.placement.concerns(call):
                one.reached += 1
                if one.reached >= one.placement.number and one.met < one.times:
                    one.met += 1
                    return one.fault
        return None


def is_about_own(call: Call) -> bool:
    """Whether it names something that the bake has made: by its id, not by a filter."""
    if call.action in ("DescribeImages", "DescribeInstances"):
        prefix = call.action.removeprefix("Describe").removesuffix("s") + "Id"
        return any(name.startswith(prefix) for name in call.params)
    return call.action in NOT_KNOWN_YET


def placements(calls: list[Call], *, own: bool = False) -> list[Placement]:
    """The first call of each action, and the last where there are several."""
    counts: dict[str, int] = {}
    for call in calls:
        if not own or is_about_own(call):
            counts[call.action] = counts.get(call.action, 0) + 1
    first = dict.fromkeys(counts, 1)
    if own and "DescribeImages" in first:
        first["DescribeImages"] = 2  # the first that is looked at by its id is the source image
    return [
        Placement(action, number, own) for action, last in counts.items() for number in sorted({first[action], last})
    ]


SomeInjector = TypeVar("SomeInjector", bound=Injector)


@contextmanager
def injected(injector: SomeInjector) -> Iterator[SomeInjector]:
    """Everything that clients send meanwhile goes through it. A handler of botocore's own would not do: moto's is asked
    as well, whatever another one has answered."""

    def send(_: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **__: Any) -> AWSResponse:
        return injector.answer(event_name, request)

    with mock.patch.object(BotocoreStubber, "__call__", send):
        yield injector
