"""`Reboot` restarts the builder."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass

from amibake import waiting
from amibake.errors import AuthenticationFailed, ConnectionLost, InvalidOption, ScriptFailed, SSHTimeout, WaitTimeout
from amibake.host import Completed, Host, WhenLost
from amibake.provisioners.common import Step, is_text, mistakes_of_switch
from amibake.remote import program
from amibake.waiting import Deadline, Pending

BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""A random id that Linux makes at each boot (proc_sys_kernel(5))."""

_NO_SUDO = 4
_NO_COMMAND = 5
_LOOK = 5.0
"""Seconds that a builder gets to answer while it goes down."""
_ATTEMPT = 15.0
"""Seconds for getting in again, each time."""
_FAILED_AFTER = 15.0
"""Seconds after which a command that failed is believed: a reboot may end it before it is done."""

# What ends with the connection only starts it: the command is in a session of its own, and its output in a file.
_START = """
log=$1 sudo=$2 by=$3
PATH=$PATH:/usr/sbin:/sbin
as_root=
if [ "$sudo" = sudo ] && [ "$(id -u)" != 0 ]; then
    sudo -n true || exit 4
    as_root='sudo -n'
fi
if [ -z "$by" ]; then
    if [ -d /run/systemd/system ]; then by='systemctl reboot'
    elif command -v reboot >/dev/null; then by=reboot
    elif command -v shutdown >/dev/null; then by='shutdown -r now'
    else exit 5
    fi
fi
umask 077
: >"$log" || exit 1
setsid $as_root sh -c 'sleep 0.3; (eval "$1"); echo "exit status $?"' amibake "$by" >"$log" 2>&1 </dev/null &
"""

_LOOK_AT = """
boot_id=$(cat "$1") || exit 1
echo "$boot_id"
if [ "$boot_id" = "$3" ]; then cat "$2"; else rm -f "$2"; fi
exit 0
"""


@dataclass(frozen=True, kw_only=True)
class Reboot(Step):
    """Restart the builder, and go on as soon as it can be logged in to again.

    What tells is the boot id: nothing else is done before it is another one, however long the machine takes to go down.

    Attributes:
        timeout: How long the builder may take until it can be logged in to again, in seconds or as in "5m".
        command: What restarts it, as a shell command. By default the first that is there of `systemctl reboot` (where
            systemd is the init), `reboot` and `shutdown -r now`.
        sudo: Run the command as root, by sudo where the user is not root.
    """

    timeout: float | str | None = 300.0
    command: str | None = None
    sudo: bool = True

    def __str__(self) -> str:
        return "reboot"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = [*self.common_mistakes(), *mistakes_of_switch("sudo", self.sudo)]
        if self.command is not None and not is_text(self.command):
            mistakes.append("command: has to be a shell command")
        if mistakes:
            raise InvalidOption(*(f"Reboot: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Restart it, and connect again.

        Raises:
            WaitTimeout: it did not go down, or did not come back; the message says which.
            ScriptFailed: sudo asks for a password, or the command failed and nothing came of it.
            HostKeyChanged: it came back with another host key.
        """
        deadline = Deadline(host.remaining() if self.limit is None else min(self.limit, host.remaining()))
        log = f"/tmp/.amibake-reboot-{secrets.token_hex(6)}"  # noqa: S108 - random, 0600; sealing removes it at the latest
        watch = _Watch(host, log, deadline)
        self._start(host, log)
        waiting.wait_for("the reboot", watch.look, deadline=deadline, emit=host.emit, first=0.5, most=2.0)

    def _start(self, host: Host, log: str) -> None:
        # Named otherwise than our other programs are, so that no machine of a test ever runs it.
        words = ["sh", "-c", _START, "reboot-by-amibake", log, "sudo" if self.sudo else "user", self.command or ""]
        try:
            started = host.run(f"exec {shlex.join(words)}", capture=True, timeout=30, name="reboot")
        except ConnectionLost:
            return  # it was quick
        if started.status != 0:
            raise _not_started(started)


class _Watch:
    """Looks whether a machine has been restarted since this was made."""

    def __init__(self, host: Host, log: str, deadline: Deadline) -> None:
        self._host = host
        self._log = log
        self._deadline = deadline
        self._lost = False
        self._seen = "nothing"
        self._before = ""
        self._before, _ = self._ask("repeat")
        self._began = waiting.clock.now()

    def look(self) -> str | Pending:
        """The new boot id, once there is one and a connection to the machine."""
        try:
            if self._lost:
                self._host.reconnect(timeout=min(_ATTEMPT, self._deadline.remaining()))
                self._lost = False
            boot_id, said = self._ask("raise")
        except (ConnectionLost, SSHTimeout, AuthenticationFailed, WaitTimeout) as error:
            # At the end the time is up for whatever is asked, which tells nothing of the machine.
            if self._deadline.remaining() > 0:
                self._lost = True
                self._seen = f"it went down and is not back: {error.message}"
            return Pending(self._seen)
        if boot_id != self._before:
            return boot_id
        if said and said[-1].startswith("exit status ") and said[-1] != "exit status 0":
            self._give_up_on(said)
        self._seen = "the machine runs on since before, with the boot id " + boot_id
        if said:
            self._seen += f"; the command said: {'; '.join(said)}"
        return Pending(self._seen)

    def _give_up_on(self, said: list[str]) -> None:
        if waiting.clock.now() - self._began >= _FAILED_AFTER:
            status = int(said[-1].removeprefix("exit status "))
            raise ScriptFailed("the command that reboots has failed", status=status, tail=tuple(said[:-1]))

    def _ask(self, when_lost: WhenLost) -> tuple[str, list[str]]:
        """The boot id, and the last lines that the command has printed."""
        question = program("boot-id", _LOOK_AT, BOOT_ID, self._log, self._before)
        seen = self._host.run(question, capture=True, timeout=_LOOK, name="the boot id", when_lost=when_lost)
        if seen.status != 0:
            raise ScriptFailed("the builder's boot id can't be read", status=seen.status, tail=seen.tail)
        boot_id, *said = seen.stdout.split("\n")
        return boot_id, [line for line in said if line.strip()][-5:]


def _not_started(started: Completed) -> ScriptFailed:
    if started.status == _NO_SUDO:
        return ScriptFailed(
            "reboot: the user may not use sudo without a password",
            status=started.status,
            tail=started.tail,
            hint="sudo=False runs a `command` that needs none",
        )
    if started.status == _NO_COMMAND:
        return ScriptFailed(
            "reboot: there is neither systemctl, reboot nor shutdown on the builder",
            status=started.status,
            hint="`command` can name what restarts it",
        )
    return ScriptFailed("reboot: could not be started", status=started.status, tail=started.tail)
