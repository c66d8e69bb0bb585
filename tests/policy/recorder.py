"""What a bake in this process asks of AWS, as questions to IAM, each at the moment of its call."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import boto3

from amibake.testing import Place
from tests.policy.authorization import Params, Tags, questions
from tests.policy.evaluator import Question


@cache
def _session() -> boto3.Session:
    """One for all, which reads AWS's models once."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")


class Recorder:
    """Listens to all clients of a place's session that are made from now on.

    Attributes:
        calls: Every call, as in "ec2:RunInstances".
        questions: What IAM is asked about all of them, each once.
    """

    def __init__(self, place: Place) -> None:
        self.calls: set[str] = set()
        self.questions: dict[Question, None] = {}
        self._clients: dict[tuple[str, str], Any] = {}
        for region in ("us-east-1", "eu-west-1", "us-west-2"):
            self.client("ec2", region)  # making clients is not for threads
        self._template: dict[str, Any] = {}
        place.session.events.register("before-parameter-build", self._hear)

    def _hear(self, params: Mapping[str, Any], event_name: str, context: Any, **_: Any) -> None:
        service, call = event_name.split(".")[1:]
        if call == "CreateLaunchTemplate":
            self._template = deepcopy(dict(params["LaunchTemplateData"]))
        self.calls.add(f"{service}:{call}")
        self.questions |= dict.fromkeys(questions(self, service, call, context["client_region"], params))

    def begin(self) -> None:
        """Forget what was asked until now."""
        self.calls.clear()
        self.questions.clear()

    def tags(self, region: str, kind: str, name: str) -> Tags:
        """The tags that a resource has now."""
        ec2 = self.client("ec2", region)
        if kind == "key-pair" and not name.startswith("key-"):
            found = ec2.describe_key_pairs(Filters=[{"Name": "key-name", "Values": [name]}])["KeyPairs"]
            return {tag["Key"]: tag["Value"] for one in found for tag in one.get("Tags", ())}
        tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [name]}])["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def template(self) -> Params:
        """The newest launch template."""
        return self._template

    def roles(self, profile: str) -> list[str]:
        """The roles of an instance profile."""
        found = self.client("iam", "us-east-1").get_instance_profile(InstanceProfileName=profile)
        return [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]

    def client(self, service: str, region: str) -> Any:
        """A client that is not listened to."""
        key = (service, region)
        if key not in self._clients:
            self._clients[key] = _session().client(service, region_name=region)
        return self._clients[key]
