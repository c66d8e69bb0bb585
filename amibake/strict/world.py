"""The strict EC2 itself: what is swapped in moto while it is installed, and what its parts share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from threading import Lock
from types import TracebackType
from typing import Any, Self
from unittest import mock

from moto.core import DEFAULT_ACCOUNT_ID, responses
from moto.ec2 import models, utils
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models import instances as instances_module
from moto.ec2.responses import EC2Response

from amibake.errors import AmibakeError
from amibake.strict.books import all_backends
from amibake.strict.catalogue import Catalogue
from amibake.strict.faults import Faults
from amibake.strict.groups import Groups, ingress_of
from amibake.strict.idempotency import Answered
from amibake.strict.images import Images
from amibake.strict.imaginary import ImaginaryMachines
from amibake.strict.imaging import Imaging
from amibake.strict.instances import Instance
from amibake.strict.launches import Launches
from amibake.strict.lifecycle import Lifecycle
from amibake.strict.machines import Machines
from amibake.strict.places import Places
from amibake.strict.profiles import Profiles
from amibake.strict.record import Record
from amibake.strict.requests import Response
from amibake.strict.sharing import Sharing
from amibake.strict.snapshots import ImageSnapshot, Snapshots
from amibake.strict.spot import Spot
from amibake.strict.subnets import Subnets
from amibake.strict.templates import Templates
from amibake.strict.transitions import Transitions
from amibake.strict.work import Delays, Executor, Lane, Work

MACHINE_THREADS = 16
MORE_INSTANCE_FILTERS = {"client-token": "client_token", "instance-lifecycle": "lifecycle"}
ZERO_DELAYS = Delays()
_actions = cache(responses.method_names_from_class)  # moto finds them anew for each request


class Backend(
    Launches,
    Templates,
    Spot,
    Places,
    Profiles,
    Transitions,
    Imaging,
    Lifecycle,
    Sharing,
    Images,
    Snapshots,
    Groups,
    Subnets,
    EC2Backend,
):
    """moto's books of one account in one region, kept strictly."""

    world: StrictEC2

    def __init__(self, region_name: str, account_id: str) -> None:
        self.unseen: dict[str, ImageSnapshot] = {}
        super().__init__(region_name, account_id)
        self.answered: dict[tuple[str, str], Answered] = {}
        """By action and client token."""


class StrictEC2(Catalogue, Faults, Record):
    """moto's EC2, as strict as the real one, while the `with` block lasts.

    It works under `moto.mock_aws()` (enter that first: it empties moto's books) and in a process that serves a
    ThreadedMotoServer. Moto is global to a process, so only one can be installed at a time. It starts
    with no images and no instances; afterwards moto is what it was.

    Args:
        machines: What stands behind the instances; with None there is nothing, and addresses are made up.
        clock: Seconds, from any origin.
        delays: What EC2's own slowness adds to the machines'.
        executor: What runs the work of the machines; by default 16 threads, ended with the block.
        epoch: The date, as seconds since 1970, by which images are deprecated and protected.
        late_snapshots: How many seconds after CreateImage or CopyImage its snapshots begin to show, pending, unless
            their image is available before. They show also if it has been deregistered meanwhile.
        profile_delay: How many seconds EC2 does not know an instance profile yet, after a launch has first named it.

    Raises:
        AmibakeError: On entering, when another one is installed.
    """

    def __init__(
        self,
        machines: Machines | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        delays: Delays = ZERO_DELAYS,
        executor: Executor | None = None,
        epoch: Callable[[], float] = time.time,
        late_snapshots: float = 0.0,
        profile_delay: float = 0.0,
    ) -> None:
        Faults.__init__(self)
        Record.__init__(self)
        self.machines: Machines = machines or ImaginaryMachines()
        self.clock = clock
        self.delays = delays
        self.epoch = epoch
        self.late_snapshots = late_snapshots
        self.profile_delay = profile_delay
        self.account_id: str = DEFAULT_ACCOUNT_ID
        """The account of clients whose credentials moto does not know."""
        self.lane = Lane()
        """For what belongs to no instance."""
        self._given_executor = executor
        self._executor: Executor | None = None
        self._lock = Lock()
        self._profiles: dict[str, float] = {}
        """When a launch first named them, by id."""
        self._queued: set[Lane] = set()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        if ec2_backends.backend is not EC2Backend:
            raise AmibakeError("a strict EC2 is installed in this process already", hint="leave its with block first")
        with ExitStack() as undo:
            undo.enter_context(mock.patch.object(EC2Response, "_dispatch", _dispatch))
            undo.enter_context(mock.patch.object(responses, "method_names_from_class", _actions))
            undo.enter_context(mock.patch.object(instances_module, "Instance", Instance))
            undo.enter_context(mock.patch.dict(utils.filter_dict_attribute_mapping, MORE_INSTANCE_FILTERS))
            undo.enter_context(mock.patch.object(self.machines, "on_power_off", self._on_power_off))
            self._swap_backends(undo)
            self._executor = self._given_executor or _threads(undo)
            undo.callback(setattr, self, "_executor", None)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def now(self) -> datetime:
        """The date, in UTC."""
        return datetime.fromtimestamp(self.epoch(), UTC)

    def interrupt(self, instance_id: str) -> None:
        """Take a spot instance back: it shuts down and is terminated, for the reason Server.SpotInstanceTermination.

        Raises:
            AmibakeError: There is no such spot instance.
        """
        with self.changing():
            for backend in all_backends():
                instance = backend.get_instance_by_id(instance_id)
                if instance and instance.spot_request:
                    instance.interrupt()
                    return
        raise AmibakeError(f"there is no spot instance {instance_id}")

    def boots(self, instance_id: str) -> bool:
        """Whether an instance is pending: EC2 has given it an address, but nothing listens there yet."""
        found = [backend.get_instance_by_id(instance_id) for backend in all_backends()]
        return any(one.state == "pending" for one in found if one)

    def set_free_addresses(self, subnet_id: str, count: int) -> None:
        """Let a subnet have so many free addresses now: AvailableIpAddressCount, which launches use up.

        Raises:
            AmibakeError: There is no such subnet.
        """
        with self.changing():
            for backend in all_backends():
                if backend.set_free_addresses(subnet_id, count):
                    return
        raise AmibakeError(f"there is no subnet {subnet_id}")

    def knows_profile(self, profile_id: str) -> bool:
        """Whether EC2 knows an instance profile by now; a launch has named it."""
        now = self.clock()
        return now - self._profiles.setdefault(profile_id, now) >= self.profile_delay

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change the books, alone; what that gives the machines to do starts once the lock is released."""
        with self._lock:
            yield
            executor = self._executor
            if not executor:
                return  # not installed any more: the books are moto's own again
            self._refresh_ingress()
            queued, self._queued = self._queued, set()
        for lane in queued:
            lane.go(executor)

    def later(self, lane: Lane, do: Callable[[], None]) -> Work:
        """Queue work for a machine; called within `changing`, at whose end it starts."""
        self._queued.add(lane)
        return lane.add(do)

    def _refresh_ingress(self) -> None:
        for backend in all_backends():
            for instance in backend.all_instances():
                rules = ingress_of(instance) if instance.up else instance.ingress
                if rules != instance.ingress:
                    instance.ingress = rules
                    self.later(instance.lane, partial(self.machines.set_ingress, instance.id, rules))

    def _on_power_off(self, instance_id: str, rebooting: bool) -> None:
        if rebooting or not self._executor:
            return
        with self.changing():
            for backend in all_backends():
                if instance := backend.get_instance_by_id(instance_id):
                    instance.powered_off()

    def _swap_backends(self, undo: ExitStack) -> None:
        kept = dict(ec2_backends)
        undo.callback(ec2_backends.update, kept)
        undo.callback(ec2_backends.clear)
        strict = type("EC2Backend", (Backend,), {"__module__": models.__name__, "world": self})
        undo.enter_context(mock.patch.object(ec2_backends, "backend", strict))
        ec2_backends.clear()


def _dispatch(_: Any, request: Any, full_url: str | None = None, headers: Any = None) -> Any:
    """In place of EC2Response's own: the strict one answers."""
    return Response()._dispatch(request, full_url, headers)  # noqa: SLF001 - moto's name


def _threads(undo: ExitStack) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(MACHINE_THREADS, "machine")
    undo.callback(pool.shutdown, cancel_futures=True)
    return pool
