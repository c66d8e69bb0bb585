"""Launching an instance from an image."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from amibake.builder.access import Access
from amibake.builder.source import AMI_ID
from amibake.ec2 import cloud as ec2
from amibake.ec2.images import find_by_id
from amibake.ec2.instance import Machine, terminated
from amibake.ec2.request import Request, network_placement
from amibake.errors import InvalidOption
from amibake.events import Emit
from amibake.image import APP, BUILD, NAME, NODE_ENV, STAGE, Image
from amibake.interrupts import interruptible
from amibake.ledger import Ledger

if TYPE_CHECKING:
    from amibake.ec2.cloud import Session


@dataclass(frozen=True)
class Instance:
    """A launched instance. As a context manager it is terminated in the end.

    Attributes:
        id: Its id.
        region: Where it runs.
        public_ip: Its public address when it was launched, or "".
        private_ip: Its private address.
    """

    id: str
    region: str
    public_ip: str
    private_ip: str
    _machine: Machine = field(repr=False)

    @property
    def state(self) -> str:
        """What EC2 says now: "pending", "running", "stopping", "stopped", "shutting-down" or "terminated"."""
        found = self._machine.describe()
        return found["State"]["Name"] if found else "terminated"

    def terminate(self) -> None:
        """End it, and wait until it is gone."""
        self._machine.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.terminate()


def launch(
    image: Image | str,
    *,
    instance_type: str = "t1.micro",
    subnet_id: str | None = None,
    security_group_ids: Sequence[str] = (),
    associate_public_ip_address: bool | None = None,
    key_name: str | None = None,
    iam_instance_profile: str | None = None,
    user_data: str | None = None,
    shutdown_behavior: Literal["stop", "terminate"] = "stop",
    tags: Mapping[str, str] | None = None,
    region: str | None = None,
    timeout: float = 600,
    session: Session | None = None,
    on_event: Emit | None = None,
) -> Instance:
    """Launch one instance and wait until it runs and has an address; its software may need a moment more.

    The application's tags on the image (`amibake:app`, `amibake:stage`, `amibake:node-env`) go on the instance and its
    volumes, with the image's name as `Name`; `tags` has the last word. `region` is the image's, or for an id the
    session's. `timeout` is in seconds. `shutdown_behavior` is what a shutdown from within does to it, whatever its
    image. The other arguments are EC2's RunInstances'.

    Raises:
        InvalidOption: no such image, or what EC2 will not launch; then nothing runs.
        AmibakeError: it did not come up; then it has been terminated.
    """
    image_id = image.id if isinstance(image, Image) else str(image)
    if not re.match(AMI_ID, image_id):
        raise InvalidOption(f"image: {image_id!r} is neither an Image nor the id of one")
    ledger, build = Ledger(on_event), secrets.token_hex(8)
    where = region or (image.region if isinstance(image, Image) else None)
    cloud = ec2.connect(session, build=build, ledger=ledger, access=Access(region=where), seconds=timeout)
    found = find_by_id(cloud, image_id)
    if found is None:
        raise InvalidOption(f"image: there is no {image_id} in {cloud.region}")
    inherited = {key: value for key, value in found.tags.items() if key in (APP, STAGE, NODE_ENV)}
    marks = ec2.tag_list({NAME: found.name, **inherited, **(tags or {}), BUILD: build})
    request: Request = {
        "ImageId": image_id,
        "InstanceType": instance_type,
        "InstanceInitiatedShutdownBehavior": shutdown_behavior,  # the builder's own may be stored in the image
        "TagSpecifications": [{"ResourceType": kind, "Tags": marks} for kind in ("instance", "volume")],
        **network_placement(subnet_id, list(security_group_ids), public=associate_public_ip_address),
    }
    if key_name is not None:
        request["KeyName"] = key_name
    if iam_instance_profile is not None:
        request["IamInstanceProfile"] = {"Name": iam_instance_profile}
    if user_data is not None:
        request["UserData"] = user_data
    up: list[str] = []
    with (
        ledger.signed(build),
        interruptible(left=ledger.unreleased),
        ledger.step(f"launch {image_id}"),
        terminated(cloud, request, keep=up.__contains__) as instance_id,
    ):
        machine = Machine(cloud, instance_id)
        machine.wait_for_address(None)
        running = machine.describe() or {}
        up.append(instance_id)
    return Instance(
        id=machine.id,
        region=cloud.region,
        public_ip=running.get("PublicIpAddress", ""),
        private_ip=running.get("PrivateIpAddress", ""),
        _machine=machine,
    )
