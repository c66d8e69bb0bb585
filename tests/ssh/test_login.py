"""Every way to log in: keys, certificates, passwords, the SSH agent; against a server, and with a real agent."""

from __future__ import annotations

import base64
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import paramiko
import pytest

from amibake.errors import AuthenticationFailed, SSHTimeout
from amibake.events import Event, Waiting
from amibake.ssh.agent import agent_keys
from amibake.ssh.connect import connect
from amibake.ssh.credentials import Credentials
from amibake.ssh.keys import KeyPair, make_key_pair
from amibake.ssh.transport import ClientTransport, Patience
from amibake.testing import Account
from amibake.testing.clock import FakeClock
from amibake.testing.door import Door
from amibake.testing.sshd import LoopbackMachine
from amibake.waiting import Deadline
from tests.ssh.certificates import certificate
from tests.ssh.conftest import Connect

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def machine(tmp_path: Path, key: KeyPair) -> Iterator[LoopbackMachine]:
    with LoopbackMachine("127.78.0.1", tmp_path / "machine", [key.public], password="hunter2", execute=True) as machine:
        yield machine


@pytest.fixture
def enter(enter: Connect) -> Connect:
    return lambda credentials, **options: enter(credentials=credentials, **{"timeout": 60.0, **options})


def test_something_is_needed_to_log_in() -> None:
    with pytest.raises(ValueError, match="a key, a password or the SSH agent is needed"):
        Credentials("admin")
    with pytest.raises(ValueError, match="is needed to log in"):
        connect("127.78.0.1", username="admin", deadline=Deadline(1), emit=lambda _: None)


def test_no_secret_is_shown(key: KeyPair) -> None:
    assert "hunter2" not in repr(Credentials("admin", key, password="hunter2"))


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
@pytest.mark.parametrize("signed_by", ["ed25519", "rsa"])
def test_a_certificate(
    kind: Literal["ed25519", "rsa"], signed_by: Literal["ed25519", "rsa"], machine: LoopbackMachine, enter: Connect
) -> None:
    pair, authority = make_key_pair(kind), make_key_pair(signed_by)
    machine.accounts = [Account("admin", authorities=[authority.public])]
    for made_out_to, admitted in (("admin", True), ("root", False)):
        shown = KeyPair(pair.public, pair.private, certificate(pair, authority, made_out_to))
        if admitted:
            enter(Credentials("admin", shown)).close()
        else:
            with pytest.raises(AuthenticationFailed, match="refuses the key for the user admin"):
                enter(Credentials("admin", shown))
    name, good = certificate(pair, authority, "admin").split()
    forged = bytearray(base64.b64decode(good))
    forged[-1] ^= 1
    for line in (certificate(pair, make_key_pair(), "admin"), f"{name} {base64.b64encode(forged).decode()}"):
        with pytest.raises(AuthenticationFailed):
            enter(Credentials("admin", KeyPair(pair.public, pair.private, line)))


@pytest.mark.parametrize("methods", [["password"], ["publickey", "password"], ["keyboard-interactive"]])
def test_a_password(methods: list[str], machine: LoopbackMachine, enter: Connect, events: list[Event]) -> None:
    machine.behaviour.methods = methods
    with enter(Credentials("admin", password="hunter2")) as host:
        assert host.run("echo in", capture=True).stdout == "in\n"
        host.reconnect()
    assert machine.logins == 2
    assert events == []


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_the_wrong_password(method: str, machine: LoopbackMachine, enter: Connect, events: list[Event]) -> None:
    machine.behaviour.methods = [method]
    with pytest.raises(AuthenticationFailed, match=f"the password for the user admin; it offers: {method}") as caught:
        enter(Credentials("admin", password="hunter3"))
    assert "hunter3" not in str(caught.value)
    assert {event.seen for event in events if isinstance(event, Waiting)} == {
        f"the password is refused (offered: {method})"
    }


def test_a_password_is_told_to_one_question_only(
    machine: LoopbackMachine, enter: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.behaviour.methods = ["keyboard-interactive"]
    heard: list[list[str]] = []

    def more(door: Door, answers: list[str]) -> Any:
        heard.append(answers)
        if len(heard) == 1:
            return paramiko.server.InteractiveQuery("", "", ("Name: ", True), ("New password: ", False))
        return paramiko.common.AUTH_SUCCESSFUL

    monkeypatch.setattr(Door, "check_auth_interactive_response", more)
    enter(Credentials("admin", password="hunter2")).close()
    assert heard == [["hunter2"], ["", ""]]


def test_one_way_after_the_other(machine: LoopbackMachine, enter: Connect) -> None:
    machine.behaviour.methods = ["publickey", "password"]
    enter(Credentials("admin", make_key_pair(), "hunter2")).close()
    assert machine.logins == 1
    with pytest.raises(AuthenticationFailed, match="refuses the key and the password for the user admin; it offers: p"):
        enter(Credentials("admin", make_key_pair(), "hunter3"))


def test_a_server_that_wants_both(
    machine: LoopbackMachine, key: KeyPair, enter: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.behaviour.methods = ["publickey", "password"]
    monkeypatch.setattr(Door, "check_auth_publickey", lambda *_: paramiko.common.AUTH_PARTIALLY_SUCCESSFUL)
    enter(Credentials("admin", key, "hunter2")).close()
    with pytest.raises(AuthenticationFailed, match="refuses the key for"):
        enter(Credentials("admin", key))


def test_several_users(machine: LoopbackMachine, enter: Connect) -> None:
    other = make_key_pair()
    machine.accounts.append(Account("other", [other.public]))
    enter(Credentials("other", other)).close()
    with pytest.raises(AuthenticationFailed):
        enter(Credentials("admin", other))


@contextmanager
def fake_agent(path: Path, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Something that listens where an agent should, and answers each question on a connection of its own."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with ThreadPoolExecutor() as pool, suppress(OSError):
                while True:
                    pool.submit(answer_to, listener.accept()[0])

        def answer_to(sock: socket.socket) -> None:
            with sock, suppress(BrokenPipeError):
                sock.sendall(answer(sock.recv(65536)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


class OpenSSHAgent:
    """OpenSSH's ssh-agent, which is given its keys as files."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, pair: KeyPair, *options: str, cert: str = "") -> None:
        file = self._path / "key"
        file.write_bytes(pair.private)
        file.chmod(0o600)
        (self._path / "key.pub").write_text(pair.public)
        if cert:
            (self._path / "key-cert.pub").write_text(cert)
        subprocess.run(["ssh-add", "-q", *options, file], check=True, capture_output=True)

    def delete_all(self) -> None:
        subprocess.run(["ssh-add", "-qD"], check=True, capture_output=True)


class SmallAgent:
    """As much of an agent as is needed where there is no ssh-agent. With "-c" a key is not signed with."""

    def __init__(self) -> None:
        self._keys: dict[bytes, tuple[paramiko.PKey, bool]] = {}

    def add(self, pair: KeyPair, *options: str, cert: str = "") -> None:
        key = pair.signer()
        self._keys[key.asbytes()] = (key, "-c" not in options)
        if cert:
            self._keys[base64.b64decode(cert.split()[1])] = (key, True)

    def delete_all(self) -> None:
        self._keys.clear()

    def answer(self, question: bytes) -> bytes:
        asked, answer = paramiko.Message(question[4:]), paramiko.Message()
        if asked.get_byte() == b"\x0b":
            answer.add_byte(b"\x0c")
            answer.add_int(len(self._keys))
            for blob in self._keys:
                answer.add_string(blob)
                answer.add_string("a key")
            return framed(answer.asbytes())
        key, signs = self._keys[asked.get_binary()]
        data, flags = asked.get_binary(), asked.get_int()
        if not signs:
            return framed(b"\x05")
        signature = key.sign_ssh_data(data, {2: "rsa-sha2-256", 4: "rsa-sha2-512"}.get(flags, key.get_name()))
        answer.add_byte(b"\x0e")
        answer.add_string(signature.asbytes())
        return framed(answer.asbytes())


Agent = OpenSSHAgent | SmallAgent
AGENTS = ["small", *(["OpenSSH"] if shutil.which("ssh-agent") else [])]


@pytest.fixture(params=AGENTS)
def agent(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent at SSH_AUTH_SOCK."""
    where = tmp_path / "agent"
    where.mkdir()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(where / "socket"))
    if request.param == "small":
        small = SmallAgent()
        with fake_agent(where / "socket", small.answer):
            yield small
        return
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    started = subprocess.Popen(["ssh-agent", "-D", "-a", where / "socket"], stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()  # it listens once it says where
    try:
        yield OpenSSHAgent(where)
    finally:
        started.terminate()
        started.communicate()


def test_no_agent(tmp_path: Path, enter: Connect, monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(AuthenticationFailed, match="there is no SSH agent: SSH_AUTH_SOCK is not set"):
        agent_keys()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    with pytest.raises(AuthenticationFailed, match="there is no SSH agent: No such file or directory"):
        enter(Credentials("admin", agent=True))
    assert clock.now() == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "it closed the connection"),
        (framed(b"\5"), "it refused"),
        (b"HTTP/1.1 400 Bad Request", "what answers is no agent"),
        (framed(b"\14\0\0\0\0"), "the SSH agent has no keys"),
    ],
    ids=["closed", "refused", "no agent", "empty"],
)
def test_an_agent_that_is_no_use(answer: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    with fake_agent(tmp_path / "socket", lambda _: answer), pytest.raises(AuthenticationFailed, match=message):
        agent_keys()


def test_an_agent_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    monkeypatch.setattr("amibake.ssh.agent._ANSWERS_WITHIN", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with pytest.raises(AuthenticationFailed, match=r"the SSH agent does not answer within 0\.05 s"):
            agent_keys()


def test_a_key_that_the_agent_does_not_sign_with(
    machine: LoopbackMachine, key: KeyPair, enter: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    small = SmallAgent()
    small.add(key, "-c")
    with fake_agent(tmp_path / "socket", small.answer):
        with pytest.raises(
            AuthenticationFailed,
            match=r"the agent's keys for .* publickey; the agent does not sign with a key: it refused",
        ):
            enter(Credentials("admin", agent=True))
        machine.behaviour.methods = ["publickey", "password"]
        enter(Credentials("admin", password="hunter2", agent=True)).close()


@pytest.fixture
def silent_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: KeyPair) -> Iterator[threading.Event]:
    """Says that it has the key, and nothing when it is to sign with it, until it tires of that, which is set then."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    small, over, tired = SmallAgent(), threading.Event(), threading.Event()
    small.add(key)

    def answer(question: bytes) -> bytes:
        if question[4] == 13:
            if not over.wait(60):
                tired.set()
            return b""
        return small.answer(question)

    with fake_agent(tmp_path / "socket", answer):
        try:
            yield tired
        finally:
            over.set()


def test_an_agent_that_does_not_say_whether_it_signs(
    silent_agent: threading.Event, machine: LoopbackMachine, enter: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amibake.ssh.agent._ANSWERS_WITHIN", 0.3)
    why = r"the agent does not sign with a key: no answer within 0\.3 s"
    machine.behaviour.methods = ["publickey", "password"]
    enter(Credentials("admin", password="hunter2", agent=True)).close()
    with pytest.raises(SSHTimeout, match=f"last seen: {why}") as caught:
        enter(Credentials("admin", agent=True), timeout=0.01)
    assert "refuse" not in caught.value.message


def test_an_agent_is_not_waited_for_once_the_attempt_is_over(silent_agent: threading.Event, enter: Connect) -> None:
    with pytest.raises(SSHTimeout, match=r"Authentication timeout\."):
        enter(Credentials("admin", agent=True), timeout=0.01, patience=Patience(auth=0.3))
    assert not silent_agent.is_set()
    assert [thread.name for thread in threading.enumerate() if isinstance(thread, ClientTransport)] == []


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_the_keys_of_an_agent_are_tried_in_turn(
    kind: Literal["ed25519", "rsa"],
    agent: Agent,
    machine: LoopbackMachine,
    enter: Connect,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forwarded: list[object] = []
    monkeypatch.setattr(Door, "check_channel_forward_agent_request", lambda _, channel: forwarded.append(channel))
    with pytest.raises(AuthenticationFailed, match="has no keys"):
        enter(Credentials("admin", agent=True))
    mine = make_key_pair(kind, "mine")
    agent.add(make_key_pair(comment="another"))
    agent.add(make_key_pair(comment="to be confirmed"), "-c")
    agent.add(mine)
    assert [key.kind for key in agent_keys()] == ["ssh-ed25519", "ssh-ed25519", mine.public.split()[0]]
    machine.accounts = [Account("admin", [mine.public])]
    with enter(Credentials("admin", agent=True)) as host:
        host.run("true")
        host.reconnect()
    assert machine.logins == 2
    assert events == []
    assert forwarded == []
    with pytest.raises(AuthenticationFailed, match="refuses the agent's keys for the user other"):
        enter(Credentials("other", agent=True))
    agent.delete_all()
    with pytest.raises(AuthenticationFailed, match="has no keys"):
        enter(Credentials("admin", agent=True))


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_certificate_in_an_agent(
    kind: Literal["ed25519", "rsa"], agent: Agent, machine: LoopbackMachine, enter: Connect
) -> None:
    pair, authority = make_key_pair(kind), make_key_pair()
    machine.accounts = [Account("admin", authorities=[authority.public])]
    agent.add(pair, cert=certificate(pair, authority, "admin"))
    enter(Credentials("admin", agent=True)).close()
    assert machine.logins == 1
    assert len(agent_keys()) == 2


def test_a_server_that_has_had_enough(
    machine: LoopbackMachine, enter: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    small = SmallAgent()
    for _ in range(12):
        small.add(make_key_pair())
    with (
        fake_agent(tmp_path / "socket", small.answer),
        pytest.raises(AuthenticationFailed, match="refuses the agent's keys"),
    ):
        enter(Credentials("admin", agent=True))
