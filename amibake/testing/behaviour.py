"""What loopback machines answer, how they misbehave, and what they write down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ran:
    """A command that a machine was told to run: its text, its input, the `environment` that came with it, and where
    it ran an uploaded script, that `script`'s text; and whether it was to run as root by `sudo`."""

    command: str
    input: bytes
    environment: dict[str, str]
    script: str = ""
    sudo: bool = False


@dataclass(frozen=True)
class Answer:
    """What a recorded command answers. `does` is called first; with `stays` it does not end before the connection."""

    status: int = 0
    stdout: str = ""
    stderr: str = ""
    does: Callable[[], object] | None = field(default=None, repr=False)
    stays: bool = False


def exits(status: int, stdout: str = "", stderr: str = "") -> Answer:
    """The answer of a command that prints this and exits so."""
    return Answer(status, stdout, stderr)


@dataclass
class Behaviour:
    """How machines behave. Shared by those of one `LoopbackMachines`; may be changed at any time.

    Attributes:
        answers: (text, Answer): the first whose text occurs in a command or its script; without one: exit status 0.
        refuse_connections: So many connections are accepted and closed at once.
        refuse_logins: So many logins are refused.
        drop_after: When so many bytes of one command's input have arrived the connection is dropped, once.
        drop_instead: The connection is dropped, once, in place of the answer to a command in which this text occurs.
        drop_times: How often the next of these two happens, where that is not once.
        methods: What the machines let people log in by: of "publickey", "password", "keyboard-interactive".
        refuse_forwarding: They connect nobody on to other machines.
        refuse_commands: They run nothing for anybody.
        refuse_sudo: Their users can't become root. Otherwise they can, as far as anything shows: what really runs,
            runs as the user who runs the tests.
    """

    answers: list[tuple[str, Answer]] = field(default_factory=list)
    refuse_connections: int = 0
    refuse_logins: int = 0
    drop_after: int | None = None
    drop_instead: str | None = None
    drop_times: int = 1
    methods: Sequence[str] = ("publickey",)
    refuse_forwarding: bool = False
    refuse_commands: bool = False
    refuse_sudo: bool = False

    def dropping(self) -> None:
        """A connection is being dropped, as `drop_after` or `drop_instead` wants it."""
        self.drop_times -= 1
        if self.drop_times <= 0:
            self.drop_times, self.drop_after, self.drop_instead = 1, None, None

    def on(self, text: str, answer: Answer) -> None:
        """From now on this is what commands with this text answer."""
        self.answers.insert(0, (text, answer))
