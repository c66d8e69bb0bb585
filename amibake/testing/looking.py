"""What a test can look at once it has baked, wherever that was."""

from __future__ import annotations

import base64
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from amibake.ec2.cloud import tag_dict
from amibake.image import BUILD, EXPIRES, Image
from amibake.images import find_images
from amibake.strict import Request
from amibake.testing.baked import Bake, Machine, Prepared, heading
from amibake.testing.behaviour import Behaviour
from amibake.testing.leftovers import temporary

if TYPE_CHECKING:
    import boto3


class Looking(ABC):
    """An account in which a test bakes.

    Attributes:
        session: For `session=`; without one everything leads here too.
        calls: The calls to EC2 in the order in which they came: `call.action`, `call.params`, `call.region`.
    """

    session: boto3.Session
    calls: list[Request]
    _behaviour: Behaviour

    def __init__(self) -> None:
        self._aside = threading.local()
        self._known: set[str] = set()
        """What was there before the test baked anything."""

    @abstractmethod
    def _builder(self, instance_id: str) -> tuple[int, Machine] | None:
        """Which of all it is, and what was done on it; None for one that a bake has not launched here."""

    @property
    def bakes(self) -> list[Bake]:
        """All bakes that have launched a builder, in that order."""
        found: list[tuple[int, Bake]] = []
        with self._looking():
            for region in self._regions():
                ec2 = self._ec2(region)
                instances = [one for many in ec2.describe_instances()["Reservations"] for one in many["Instances"]]
                for instance in instances:
                    builder = self._builder(instance["InstanceId"])
                    if builder is not None and EXPIRES in tag_dict(instance.get("Tags")):
                        number, machine = builder
                        found.append((number, _bake(ec2, region, instance, machine)))
        return [bake for _, bake in sorted(found, key=lambda one: one[0])]

    @property
    def last(self) -> Bake:
        """The bake that has launched its builder last.

        Raises:
            LookupError: there is none.
        """
        if not (bakes := self.bakes):
            made = ", ".join(dict.fromkeys(call.action for call in self.calls)) or "none"
            raise LookupError(f"no bake has launched a builder; the calls made: {made}")
        return bakes[-1]

    @property
    def images(self) -> list[Image]:
        """The images that were baked and published here, the newest first."""
        with self._looking():
            listed = [find_images(region=region, session=self.session) for region in self._regions()]
        found = {image.id: image for images in listed for image in images}
        return [image for image in found.values() if image.id not in self._known]

    @property
    def leftovers(self) -> list[str]:
        """The ids and names of everything temporary that is there, sorted: instances that are not terminated, keys,
        groups, volumes, drafts, snapshots without an image, launch templates, roles. What the test has made itself
        counts too."""
        with self._looking():
            iam = self.session.client("iam")
            found = set[str]().union(*(temporary(self._ec2(region), iam) for region in self._regions()))
        return sorted(found - self._known)

    def script(self, name: str) -> Prepared:
        """Says how a script is to end, before it is run.

        Args:
            name: "primal" or "carnivore" for the provisioning script of that recipe, whichever it is; a local file; or
                text that occurs in the script or in the command.
        """
        return Prepared(self._behaviour, name)

    def story(self) -> str:
        """What was done here, for a person: the bakes with their uploads and scripts, images, leftovers, calls."""
        lines = [line for bake in self.bakes for line in _told(bake)]
        lines += [f"image {image.id} {image.name!r}" for image in self.images]
        lines += [f"left behind: {name}" for name in self.leftovers]
        actions = [call.action for call in self.calls]
        return "\n".join([*lines, "calls: " + (", ".join(_counted(actions)) or "none")])

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """What is looked at meanwhile is neither in the calls nor refused."""
        self._aside.looking = True
        try:
            yield
        finally:
            self._aside.looking = False

    @property
    def _looks(self) -> bool:
        return bool(getattr(self._aside, "looking", False))

    def _regions(self) -> list[str]:
        return list(dict.fromkeys([str(self.session.region_name), *(call.region for call in self.calls)]))

    def _ec2(self, region: str) -> Any:
        return self.session.client("ec2", region_name=region)


def _bake(ec2: Any, region: str, instance: dict[str, Any], machine: Machine) -> Bake:
    tags, name = tag_dict(instance.get("Tags")), instance["InstanceId"]
    attribute = ec2.describe_instance_attribute(InstanceId=name, Attribute="userData").get("UserData") or {}
    data = base64.b64decode(attribute.get("Value") or "").decode(errors="replace")
    return Bake(tags[BUILD], region, name, instance["InstanceType"], instance["ImageId"], tags, data or None, machine)


def _told(bake: Bake) -> Iterator[str]:
    yield f"bake {bake.id}: {bake.instance_id} ({bake.instance_type}) from {bake.source_ami}, {bake.region}"
    uploads = bake.uploads
    yield from (f"  sent up: {name}" for name in uploads[:20])
    if len(uploads) > 20:
        yield f"  … and {len(uploads) - 20} more"
    yield from (f"  ran {heading(script)}" for script in bake.scripts)


def _counted(actions: list[str]) -> Iterator[str]:
    """The same, one after another of the same name as one."""
    before, times = "", 0
    for action in [*actions, ""]:
        if action == before:
            times += 1
            continue
        if before:
            yield before if times == 1 else f"{before} x {times}"
        before, times = action, 1
