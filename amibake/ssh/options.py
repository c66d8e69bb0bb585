"""How SSH connections are kept up and enciphered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amibake.ssh.dial import DEAD_AFTER

if TYPE_CHECKING:
    import paramiko


@dataclass(frozen=True)
class Options:
    """The same for each connection of a bake, the one to the bastion included.

    Attributes:
        keep_alive_interval: Seconds between two questions whether the peer is there; 0 or less: none are asked.
        answers_within: Seconds after the first unanswered question in which anything at all has to come from the peer,
            else it is taken for dead. That adds to the interval: it may have died just after its last answer.
        ciphers: Those that may be used, the best first; none: paramiko's own choice, AES-GCM first, which takes the
            least of both sides' time.
        key_exchange_algorithms: The same of key exchanges.
    """

    keep_alive_interval: float = 5.0
    answers_within: float = DEAD_AFTER - 6.0
    ciphers: Sequence[str] = ()
    key_exchange_algorithms: Sequence[str] = ()

    def apply(self, transport: paramiko.Transport) -> None:
        """To one that has not begun yet. Names must be known: see `check_algorithms`."""
        security = transport.get_security_options()
        security.ciphers = tuple(self.ciphers or sorted(security.ciphers, key=lambda name: "-gcm" not in name))
        if self.key_exchange_algorithms:
            security.kex = tuple(self.key_exchange_algorithms)


def check_algorithms(ciphers: Sequence[str] = (), key_exchange_algorithms: Sequence[str] = ()) -> list[str]:
    """What is wrong with these names: one line for each list, which says what there is."""
    if not ciphers and not key_exchange_algorithms:
        return []
    from amibake.ssh.library import paramiko

    # Its table, because the security options list only what is on by default.
    transport = paramiko.Transport
    ciphers_known = sorted(transport._cipher_info)  # type: ignore[attr-defined] # noqa: SLF001
    exchanges_known = sorted(transport._kex_info)  # type: ignore[attr-defined] # noqa: SLF001
    return [
        *_unknown("ssh_ciphers", ciphers, ciphers_known),
        *_unknown("ssh_key_exchange_algorithms", key_exchange_algorithms, exchanges_known),
    ]


def _unknown(option: str, given: Iterable[str], known: Sequence[str]) -> list[str]:
    wrong = [name for name in given if name not in known]
    return [f"{option}: {', '.join(wrong)} is not known; there are: {', '.join(known)}"] if wrong else []
