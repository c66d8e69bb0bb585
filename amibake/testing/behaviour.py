"""What loopback machines answer, how they misbehave, and what they write down."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Ran:
    """A command that a machine was told to run: its text, its input, the `environment` that came with it, and where
    it ran an uploaded script, that `script`'s text; whether it was to run as root by `sudo`; who had logged in; and
    the exit `status`, None before it has one."""

    command: str
    input: bytes
    environment: dict[str, str]
    script: str = ""
    sudo: bool = False
    user: str = ""
    status: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a recorded command answers. `does` is called first; with `stays` it does not end before the connection;
    with `runs` it really runs, and these commands, by their names, are scripts of the test's; with `drops` the
    connection is lost instead."""

    status: int = 0
    stdout: str = ""
    stderr: str = ""
    does: Callable[[], object] | None = field(default=None, repr=False)
    stays: bool = False
    runs: Mapping[str, str] | None = None
    drops: bool = False


Question = str | Callable[[Ran], bool]
"""Which commands are meant: those in which, or in whose script, this text occurs; or those of which it is true."""


def exits(status: int, stdout: str = "", stderr: str = "") -> Answer:
    """The answer of a command that prints this and exits so."""
    return Answer(status, stdout, stderr)


@dataclass
class Behaviour:
    """How machines behave. Shared by those of one `LoopbackMachines`; may be changed at any time.

    Attributes:
        answers: (question, Answer): the first that means a command; without one: exit status 0.
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

    answers: list[tuple[Question, Answer]] = field(default_factory=list)
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

    def on(self, question: Question, answer: Answer) -> None:
        """From now on this is what the commands that are meant answer."""
        self.answers.insert(0, (question, answer))

    def answer(self, ran: Ran) -> Answer | None:
        """What a test has prepared for it."""
        return next((answer for question, answer in self.answers if _means(question, ran)), None)


def _means(question: Question, ran: Ran) -> bool:
    return question in f"{ran.command}\n{ran.script}" if isinstance(question, str) else question(ran)


def words_of(command: str) -> list[str]:
    """The words of a command; none where a shell would not take it."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def uploaded_script(command: str, upload: Callable[[str], Path]) -> str:
    """The text of the uploaded file that this command names, if it does; `upload` says where such a file is here."""
    paths = (upload(word) for word in words_of(command) if "/" in word)
    # Path.is_file fails on a word that is too long to be a path, such as a key
    script = next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113
    return script.read_text(errors="replace") if script else ""
