"""What the tests of launching share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from amibake.builder import Builder
from amibake.ec2.cloud import Cloud
from amibake.ec2.instance import Machine
from amibake.ec2.launching import builder_instance
from amibake.ec2.network import Network
from amibake.ec2.source import SourceImage

Refuse = Callable[..., list[dict[str, Any]]]
NOWHERE = Network()


def builder(**options: Any) -> Builder:
    return Builder(**{"ami_name": "shop {{timestamp}}", "instance_type": "t3.micro", **options})


@contextmanager
def launched(
    cloud: Cloud, options: Builder, source: SourceImage, network: Network = NOWHERE, **given: Any
) -> Iterator[Machine]:
    """A builder with these options."""
    arguments: dict[str, Any] = {"key_name": None, "group_ids": [], "profile": None, **given}
    with builder_instance(cloud, options, source, network, **arguments) as machine:
        yield machine


def wire(cloud: Cloud, operation: str) -> list[dict[str, str]]:
    """What is sent to EC2 from now on for this operation: the literal query parameters of each call."""
    calls: list[dict[str, str]] = []

    def keep(params: Mapping[str, Any], **_: Any) -> None:
        calls.append({name: str(value) for name, value in params["body"].items()})

    client = cloud.ec2._client  # type: ignore[attr-defined]
    client.meta.events.register(f"before-call.ec2.{operation}", keep)
    return calls


def answers(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, call: str, *first: tuple[str, str] | dict[str, Any]
) -> list[dict[str, Any]]:
    """The first answers to this call: EC2's code and message of a refusal, or what it says; then the real ones. Answers
    with what is asked, as it is asked."""
    waiting, asked = list(first), list[dict[str, Any]]()
    real = getattr(cloud.ec2._client, call)  # type: ignore[attr-defined]

    def answer(**arguments: Any) -> Any:
        asked.append(arguments)
        if not waiting:
            return real(**arguments)
        said = waiting.pop(0)
        if isinstance(said, dict):
            return said
        raise ClientError({"Error": {"Code": said[0], "Message": said[1]}}, call)

    monkeypatch.setattr(cloud.ec2._client, call, answer)  # type: ignore[attr-defined]
    return asked


def states(cloud: Cloud) -> list[str]:
    reservations = cloud.ec2.describe_instances()["Reservations"]
    return [one["State"]["Name"] for reservation in reservations for one in reservation["Instances"]]


def tags(resource: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
