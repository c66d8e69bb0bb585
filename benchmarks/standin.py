"""The EC2 that both sides bake in: amibake's strict one, over HTTP, with the delays of the real one or with none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from amibake.sandbox.api import ApiServer, listen
from amibake.sandbox.session import local_session
from amibake.strict import Delays, StrictEC2
from amibake.strict.profiles import Profiles
from benchmarks.machines import EC2Machines, Park
from benchmarks.measure import Failed

AWS_LIKE = Delays(running=7, stopped=17, available=41, terminated=9)
"""What EC2 takes for a small Debian image, in seconds."""
NONE = Delays()
REGION = "us-east-1"
KEY = "bench"


class _AtOnce:
    """Does the machines' work within the call that asks for it."""

    def submit(self, do: Callable[[], None], /) -> None:
        do()


@dataclass(frozen=True)
class StandIn:
    """Where it is, and what it has."""

    url: str
    source_ami: str
    ec2: StrictEC2

    def environment(self) -> dict[str, str]:
        """What a process needs to be told, to use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "NO_PROXY": "127.0.0.1",
        }

    def actions(self) -> list[str]:
        """What was asked of it, "RunInstances" and the like, in this order."""
        return [request.action for request in self.ec2.requests]

    def images(self) -> int:
        """How many images were made, once it is certain that nothing temporary has stayed.

        Raises:
            Failed: something has.
        """
        client = local_session(self.url, REGION, KEY).client("ec2")
        instances = [one for found in client.describe_instances()["Reservations"] for one in found["Instances"]]
        left = {one["InstanceId"] for one in instances if one["State"]["Name"] not in ("shutting-down", "terminated")}
        left |= {pair["KeyName"] for pair in client.describe_key_pairs()["KeyPairs"]}
        left |= {group["GroupName"] for group in client.describe_security_groups()["SecurityGroups"]} - {"default"}
        if left:
            raise Failed(f"what is temporary has stayed: {', '.join(sorted(left))}")
        return len(client.describe_images(Owners=["self"])["Images"])


@contextmanager
def stand_in(park: Park, delays: Delays) -> Iterator[StandIn]:
    """Serve it on loopback, with empty books and warmed up."""
    machines = EC2Machines(park, delays.running)
    with _empty_profiles_allowed(), StrictEC2(machines, delays=delays, executor=_AtOnce()) as ec2:
        source_ami = ec2.add_image(name="debian-12-amd64-20250316-2053", owner_id="136693071363", region=REGION)
        with closing(listen(0)) as listening, ApiServer(listening, KEY) as server:
            found = StandIn(server.url, source_ami, ec2)
            found.images()
            ec2.requests.clear()
            yield found


@contextmanager
def _empty_profiles_allowed() -> Iterator[None]:
    """Packer names an instance profile in each launch, with an empty name for none, which EC2 lets pass."""
    strictly = Profiles.find_profile

    def find_profile(self: Profiles, named: Mapping[str, str] | None) -> Any:
        return strictly(self, {field: value for field, value in (named or {}).items() if value})

    with mock.patch.object(Profiles, "find_profile", find_profile):
        yield
