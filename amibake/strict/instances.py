"""Instances whose states are those that EC2 shows, with a machine behind each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

from moto.core.utils import utcnow
from moto.ec2 import utils
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import instances as hooked

from amibake.strict.groups import ingress_of
from amibake.strict.work import Lane, Phase

if TYPE_CHECKING:
    from amibake.strict.images import Ami
    from amibake.strict.machines import Ingress, Launch

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
GONE = frozenset({"shutting-down", "terminated"})
REFUSED = {
    "started": GONE | {"stopping"},
    "stopped": GONE | {"pending"},
    "rebooted": frozenset(CODES) - {"running"},
}


class Instance(hooked.Instance):
    """moto's instance, with the state taken from the current phase and the addresses from the machine.

    Everything but `_switch_on`, `_capture` and `_restart`, which are work, is called with the world locked.
    """

    __module__ = hooked.__name__  # moto's metaclass reads the service's name from it
    VALID_ATTRIBUTES = hooked.Instance.VALID_ATTRIBUTES | {"enaSupport"}

    def __init__(self, ec2_backend: Any, *args: Any, **kwargs: Any) -> None:
        self.world = ec2_backend.world
        self.lane = Lane()
        self.phase = Phase.settled("pending")
        self.image: Any = None
        self.address: str | None = None
        self.up = False
        """The machine has its address and has not been told to go down."""
        self.ingress: tuple[Ingress, ...] = ()
        """What the machine was last told to let in."""
        self._capturing = False
        self.ena_support = True
        self.spot_request: Any = None
        self.cpu_credits: str | None = None
        self.ipv6_wanted = 0
        """How many IPv6 addresses the launch asked for."""
        super().__init__(ec2_backend, *args, **kwargs)
        self.nics[0].public_ip = None  # moto makes one up; the machine will say
        self.security_groups = list(dict.fromkeys(self.nics[0].group_set))

    @property
    def _state(self) -> Any:
        name = self.phase.shown(self.world.clock())
        return hooked.InstanceState(name, CODES[name])

    @_state.setter
    def _state(self, _: Any) -> None:
        """moto sets it in passing; the phase alone decides."""

    @property
    def state_reason(self) -> Any:
        """Why the state is what it is; `Server.InternalError` when the machine failed."""
        if self._failure:
            return hooked.StateReason("Server.InternalError: Internal error", "Server.InternalError")
        return self._state_reason

    @state_reason.setter
    def state_reason(self, reason: Any) -> None:
        self._state_reason = reason

    @property
    def state_transition_reason(self) -> Any:
        """For people: who asked for it and when, or what the machine failed of."""
        return f"Server.InternalError: {self._failure}" if self._failure else self._reason

    @property
    def _failure(self) -> Exception | None:
        return self.phase.error if self.state == self.phase.failed else None

    @property
    def private_ip(self) -> str | None:
        """The machine's address, once it has one and until it is gone."""
        return None if self.state == "terminated" else self.address

    @property
    def private_ip_address(self) -> str | None:
        """The same, by the name that answers use."""
        return self.private_ip

    @property
    def private_dns_name(self) -> str:
        """Empty while there is no address."""
        return super().private_dns_name if self.private_ip else ""

    @property
    def public_ip(self) -> str | None:
        """The machine's address too, if the launch asked for a public one, from the moment at which it is known until
        the instance goes down."""
        return self.nics[0].public_ip if self.state in ("pending", "running") else None

    @property
    def public_ip_address(self) -> str | None:
        """The same, by the name that answers use."""
        return self.public_ip

    @property
    def public_dns_name(self) -> str | None:
        """As EC2 words it, while there is a public address; no resolver here knows it."""
        name: str | None = super().public_dns_name
        return name

    @property
    def ipv6_address(self) -> str | None:
        """The first, if the launch asked for any and the machine has its IPv4 address."""
        return next(iter(self.nics[0].ipv6_addresses), None) if self.nics else None

    @property
    def spot_instance_request_id(self) -> str | None:
        """Of a spot instance."""
        return self.spot_request.id if self.spot_request else None

    def require(self, verb: str) -> None:
        """Raise IncorrectInstanceState unless the instance can be "started", "stopped" or "rebooted" now."""
        if self.state in REFUSED[verb]:
            message = f"The instance '{self.id}' is not in a state from which it can be {verb}."
            raise EC2ClientError("IncorrectInstanceState", message)
        persistent = self.spot_request and self.spot_request.type == "persistent"
        if verb == "stopped" and self.lifecycle == "spot" and not persistent:
            message = (
                f"You can't stop the Spot Instance '{self.id}' because it is associated with a one-time Spot "
                "Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests."
            )
            raise EC2ClientError("UnsupportedOperation", message)

    def run(self, launch: Launch) -> None:
        """Have the machine made and switched on; if that fails the instance is terminated."""

        def do() -> None:
            try:
                self._switch_on(lambda: self.world.machines.run(launch))
            except Exception:
                with self.world.changing():
                    self.release()
                    self._later(lambda: self.world.machines.terminate(self.id))
                raise

        self._enter("pending", "running", self.world.delays.running, do, failed="terminated")

    def start(self) -> Any:
        """Switch a stopped machine on; a running or pending instance is left alone, as on EC2."""
        before = self._state
        if before.name == "stopped":
            self._reason, self.state_reason = "", hooked.StateReason()
            do = partial(self._switch_on, lambda: self.world.machines.start(self.id))
            self._enter("pending", "running", self.world.delays.running, do, failed="stopped")
        return before

    def stop(self, *, force: bool = False) -> Any:
        """Shut the machine down, whatever its shutdown behaviour; one that stops already is left alone."""
        before = self._state
        if before.name not in {"stopping", "stopped"}:
            self._put_down()
            do = partial(self.world.machines.stop, self.id, force=force)
            self._enter("stopping", "stopped", self.world.delays.stopped, do, failed="stopped")
        return before

    def terminate(self) -> Any:
        """Remove the machine. An image that is still being made of it fails."""
        before = self._state
        if before.name not in GONE:
            for image in self.ec2_backend.amis.values():
                if image.source_instance_id == self.id and image.state == "pending":
                    image.fail(f"Instance {self.id} was terminated while the image was pending")
            self.release()
            if self.spot_request:
                self.spot_request.end("instance-terminated-by-user")
            do = partial(self.world.machines.terminate, self.id)
            self._enter("shutting-down", "terminated", self.world.delays.terminated, do, failed="terminated")
        return before

    def interrupt(self) -> None:
        """EC2 takes a spot instance back."""
        self.terminate()
        self.spot_request.end("instance-terminated-no-capacity")
        reason = "Server.SpotInstanceTermination"
        self._reason = reason
        self.state_reason = hooked.StateReason(f"{reason}: Spot instance termination", reason)

    def reboot(self) -> None:
        """Restart the machine; the state stays `running`."""
        self._later(lambda: self.world.machines.reboot(self.id))

    def powered_off(self) -> None:
        """The machine went down by itself: stop or terminate, as its shutdown behaviour says."""
        if self.phase.after != "running" or self._capturing:
            return
        if self.instance_initiated_shutdown_behavior == "terminate":
            self.terminate()
        else:
            self._put_down()
            self._enter("stopping", "stopped", self.world.delays.stopped)
        reason = "Client.InstanceInitiatedShutdown"
        self.state_reason = hooked.StateReason(f"{reason}: Instance initiated shutdown", reason)

    def capture(self, image: Ami) -> None:
        """Have the disk kept as the image's. A machine that runs is stopped for it and then started again, also
        with NoReboot: `Machines` captures stopped machines only."""
        running = self.state == "running"
        due = self.world.clock() + self.world.delays.available
        work = self._later(partial(self._capture, image, running=running))
        image.enter(Phase(during="pending", after="available", due=due, work=work, failed="failed"))
        if running:
            self._later(self._restart)

    def discard(self, image: Ami) -> None:
        """Have the disk of an image that came to nothing forgotten, after its capture."""

        def do() -> None:
            if image.captured:
                self.world.machines.delete_image(image.id)

        self._later(do)

    def release(self) -> None:
        """Give back volumes and interfaces, as moto does on termination."""
        self.up = False
        super().terminate()
        for interface in self.network_interfaces:
            self.detach_eni(interface)

    def _put_down(self) -> None:
        self.up = False
        for interface in self.network_interfaces:
            interface.stop()
        self._reason = f"User initiated ({utcnow():%Y-%m-%d %H:%M:%S} GMT)"
        reason = "Client.UserInitiatedShutdown"
        self.state_reason = hooked.StateReason(f"{reason}: User initiated shutdown", reason)

    def _enter(
        self, during: str, after: str, delay: float, do: Callable[[], None] | None = None, failed: str = ""
    ) -> None:
        due = self.world.clock() + delay
        work = self._later(do) if do else None
        self.phase = Phase(during=during, after=after, due=due, work=work, failed=failed)

    def _later(self, do: Callable[[], None]) -> Any:
        return self.world.later(self.lane, do)

    def _switch_on(self, switch: Callable[[], str]) -> None:
        address = switch()
        with self.world.changing():
            if self.phase.after != "running":
                return  # it was told to go down meanwhile, and its interfaces may be gone
            self._move_to(address)
            self.ingress = ingress_of(self)
        self.world.machines.set_ingress(self.id, self.ingress)

    def _move_to(self, address: str) -> None:
        interface = self.nics[0]
        interface.private_ip_address = address
        interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
        interface.private_dns_name = utils.generate_dns_from_ip(address)
        interface.ipv6_addresses = [_ipv6(address, number) for number in range(self.ipv6_wanted)]
        if interface.public_ip_auto_assign:
            interface.public_ip = address
        self.address, self.up = address, True

    def _capture(self, image: Ami, *, running: bool) -> None:
        if image.phase.after == "failed":
            return
        self._capturing = running
        if running:
            self.world.machines.stop(self.id, force=False)
        self.world.machines.create_image(self.id, image.id)
        image.captured = True

    def _restart(self) -> None:
        try:
            if self.phase.after == "running":
                self._switch_on(lambda: self.world.machines.start(self.id))
        except Exception:
            with self.world.changing():
                self._put_down()
                self.phase = Phase.settled("stopped")
            raise
        finally:
            self._capturing = False


def _ipv6(address: str, number: int) -> str:
    """Made up from the IPv4 address, in a private range."""
    return str(IPv6Address((0xFD00 << 112) | (number << 32) | int(IPv4Address(address))))
