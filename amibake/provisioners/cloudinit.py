"""`WaitForCloudInit` waits until the builder's first boot is done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from amibake.errors import InvalidOption, ScriptFailed
from amibake.events import Warned
from amibake.host import Host
from amibake.provisioners.common import Step

_RECOVERABLE = 2

# cloud-init knows --wait since 18.1, and exits with 2 after errors that it could recover from since 23.4.
_WAIT = """
command -v cloud-init >/dev/null 2>&1 || exit 0
if ! cloud-init status --help 2>/dev/null | grep -q -e --wait; then
    until [ -e "$1" ] || [ -e /run/cloud-init/disabled ] || [ -e /etc/cloud/cloud-init.disabled ]; do sleep 1; done
    exit 0
fi
said=$(cloud-init status --wait 2>&1)
status=$?
case $said in *'status: error'*) [ $status != 0 ] || status=1 ;; esac
[ $status != 0 ] || exit 0
cloud-init status --long 2>&1 || true
[ $status = 2 ] || tail -n 20 "$2" 2>/dev/null || sudo -n tail -n 20 "$2" 2>/dev/null
exit $status
"""
_FINISHED = "/var/lib/cloud/instance/boot-finished"
_LOG = "/var/log/cloud-init-output.log"


@dataclass(frozen=True, kw_only=True)
class WaitForCloudInit(Step):
    """Wait until cloud-init is done with the builder's first boot.

    Until then it may write to apt's sources, hold dpkg's lock, or add users. Where there is no cloud-init, or it is
    disabled, there is nothing to wait for.

    An error that cloud-init has recovered from is a warning.

    Attributes:
        timeout: How long it may take, in seconds or as in "10m".
    """

    timeout: float | str | None = 600.0

    def __str__(self) -> str:
        return "wait for cloud-init"

    def check(self) -> None:
        """Raises InvalidOption, with every mistake."""
        mistakes = list(self.common_mistakes())
        if mistakes:
            raise InvalidOption(*(f"WaitForCloudInit: {mistake}" for mistake in mistakes))

    def provision(self, host: Host) -> None:
        """Wait.

        Raises:
            ScriptFailed: cloud-init has failed; the error has what it says of that, and the last lines of its log.
            WaitTimeout: it is not done in time.
        """
        # Not by a program of amibake's own, which a machine of a test would run: it has no first boot of its own.
        command = f"exec {shlex.join(['sh', '-c', _WAIT, 'wait-for-cloud-init', _FINISHED, _LOG])}"
        done = host.run(command, capture=True, timeout=self.limit, name="cloud-init", when_lost="repeat")
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if done.status == _RECOVERABLE:
            host.emit(Warned(f"cloud-init is done, but not without errors: {'; '.join(lines)}"))
        elif done.status != 0:
            tail = tuple(lines)
            raise ScriptFailed("cloud-init has failed", status=done.status, tail=tail[-60:] or done.tail)
