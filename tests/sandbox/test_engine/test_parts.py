"""The engine's parts that need no machine: running programs, watching processes, and what podman is told."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from amibake.errors import AmibakeError
from amibake.sandbox import containers
from amibake.sandbox.commands import CommandFailed, run
from amibake.sandbox.watch import Watch, has_ended

GROUP_OF_TWO = "{first} sleep 1000 & echo $! >{file}; wait"


def ends(pid: int) -> bool:
    """Whether a process that is not our child ends, or is a zombie nobody waits for."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_a_program_gets_its_input_and_surroundings_and_gives_its_output(tmp_path: Path) -> None:
    assert run("sh", "-c", "cat; pwd; echo $X", stdin="in\n", cwd=tmp_path, env={"X": "x"}) == f"in\n{tmp_path}\nx\n"


def test_a_failure_says_which_program_and_what_it_wrote() -> None:
    with pytest.raises(CommandFailed, match=r"`sh .*exited with status 3: no such luck") as caught:
        run("sh", "-c", "echo ignored; echo no such luck >&2; exit 3")
    assert caught.value.status == 3
    with pytest.raises(CommandFailed, match="said on stdout"):
        run("sh", "-c", "echo said on stdout; exit 1")


@pytest.mark.parametrize("first", ["", "trap '' TERM;"])
def test_a_program_that_takes_too_long_is_ended_with_its_children(
    tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amibake.sandbox.commands._GRACE", 0.5)
    script = GROUP_OF_TWO.format(file=tmp_path / "pid", first=first)
    with pytest.raises(CommandFailed, match=r"did not end in time: 0\.5 s") as caught:
        run("sh", "-c", script, timeout=0.5)
    assert caught.value.status == -1
    assert ends(int((tmp_path / "pid").read_text()))


def test_an_interruption_ends_the_program_and_is_passed_on(tmp_path: Path) -> None:
    fifo = tmp_path / "pid"
    os.mkfifo(fifo)
    started: list[int] = []

    def interrupt() -> None:
        started.append(int(fifo.read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    script = GROUP_OF_TWO.format(file=fifo, first="read go;")
    with pytest.raises(KeyboardInterrupt):
        # It gets its input once `run` knows it; what is interrupted while it is made is left to `end_children`.
        run("sh", "-c", script, stdin="go\n")
    interrupting.join()
    assert ends(started[0])


def test_a_watch_calls_back_once_for_what_ended_and_not_for_what_was_discarded() -> None:
    watch = Watch()
    ended: list[str] = []
    both = threading.Semaphore(0)

    def callback(name: str) -> None:
        ended.append(name)
        both.release()

    processes = [subprocess.Popen(["cat"], stdin=subprocess.PIPE) for _ in range(3)]
    pidfds = [os.pidfd_open(process.pid) for process in processes]
    for name, pidfd in zip("abc", pidfds, strict=True):
        watch.add(pidfd, lambda name=name: callback(name))  # type: ignore[misc]
    watch.discard(pidfds[1])
    assert not has_ended(pidfds[1])
    for process in (processes[1], processes[0], processes[2]):
        process.communicate()
    assert both.acquire(timeout=30)
    assert both.acquire(timeout=30)
    watch.discard(pidfds[0])
    watch.close()
    assert sorted(ended) == ["a", "c"]
    assert all(has_ended(pidfd, within=30) for pidfd in pidfds)
    for pidfd in pidfds:
        os.close(pidfd)


def test_a_console_is_put_together_from_conmons_log() -> None:
    lines = ["F one\r", "P tw", "P o: ", "F 2  ", "F "]
    log = "".join(f"2026-01-02T03:04:05.6+00:00 stdout {line}\n" for line in lines) + "cut"
    assert containers.console_text(log) == "one\ntwo: 2  \n\n"


def test_which_init_boots(tmp_path: Path) -> None:
    (tmp_path / "sbin").mkdir()
    assert containers.find_init(tmp_path) == "sysvinit"
    (tmp_path / "sbin/init").symlink_to("/lib/systemd/systemd")
    assert containers.find_init(tmp_path) == "systemd"


@pytest.mark.parametrize(
    ("resolv", "upstream", "options", "warns"),
    [
        ("nameserver 192.0.2.53\nsearch a.test b.test\n", None, ["192.0.2.53", "a.test", "b.test"], False),
        (
            "nameserver 127.0.0.53\nsearch a.test\n",
            "nameserver 192.0.2.54\nnameserver fe80::1%eth0\n",
            ["192.0.2.54"],
            False,
        ),
        ("nameserver 127.0.0.1\nnameserver 192.0.2.55\n", None, ["192.0.2.55"], False),
        ("nameserver 127.0.0.1\nnameserver\n", None, [], True),
        (None, None, [], True),
    ],
)
def test_name_servers_are_this_machines_as_far_as_an_instance_reaches_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    resolv: str | None,
    upstream: str | None,
    options: list[str],
    warns: bool,
) -> None:
    files = [tmp_path / "resolv.conf", tmp_path / "upstream"]
    for path, text in zip(files, (resolv, upstream), strict=True):
        if text is not None:
            path.write_text(text)
    monkeypatch.setattr(containers, "RESOLVERS", files)
    assert [option.partition("=")[2] for option in containers.resolver_options()] == options
    assert ("names do not resolve" in caplog.text) == warns


def test_limits_are_our_own_where_nothing_above_them_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_NOFILE: (512, 20000), resource.RLIMIT_NPROC: (100, 1 << 62)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    most = Path("/proc/sys/kernel/pid_max").read_text().strip()
    assert containers.ulimits(capabilities=0) == ['"nofile=1024:20000"', f'"nproc={most}:{most}"']
    assert containers.ulimits(capabilities=1 << 24) == []


def test_a_helper_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_FAREWELL", 0)
    arguments = ["conmon", "-c", "import time; time.sleep(1000)", "/run/amibake-0123abcd/exits"]
    with subprocess.Popen(arguments, executable=sys.executable) as helper:
        try:
            while not Path(f"/proc/{helper.pid}/cmdline").read_bytes():
                pass  # for a moment after exec the kernel does not tell it yet
            containers.Containers("0123abcd", tmp_path).close()
            assert helper.wait(30) == -9
        finally:
            helper.kill()


def test_a_container_that_podman_does_not_remove_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = threading.Semaphore(0)

    def refuse(_: str) -> None:
        tried.release()
        raise CommandFailed(("podman", "rm"), 125, "glued")

    machines = containers.Containers("0123abcd", tmp_path)
    monkeypatch.setattr(machines, "remove", refuse)
    for number in range(2):
        machines.forget(f"i-{number}")
        assert tried.acquire(timeout=60)
    machines.end_forgetting()
    machines.forget("i-3")
    assert re.findall(r"(i-\d): its container goes with the sandbox only", caplog.text) == ["i-0", "i-1"]


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_a_link_in_place_of_tmp_does_not_open_this_machine_to_the_container(tmp_path: Path, kind: str) -> None:
    ours, rootfs = tmp_path / "ours", tmp_path / "rootfs"
    ours.mkdir()
    rootfs.mkdir()
    if kind == "link":
        (rootfs / "tmp").symlink_to(ours)
    elif kind == "file":
        (rootfs / "tmp").touch()
    found = containers._own_tmp(rootfs)
    assert found == rootfs / "tmp"
    assert not found.is_symlink()
    assert found.stat().st_mode & 0o7777 == 0o1777
    assert ours.stat().st_mode & 0o7777 != 0o1777


def test_an_init_whose_number_is_a_strangers_is_not_taken_for_ours(tmp_path: Path) -> None:
    machines = containers.Containers("0123abcd", tmp_path)
    with pytest.raises(AmibakeError, match="went down as soon as"):
        machines._pidfd(os.getpid())
    with subprocess.Popen(["true"]) as gone:
        pass
    with pytest.raises(AmibakeError, match="went down as soon as"):
        machines._pidfd(gone.pid)


@pytest.mark.parametrize(("enabled", "options"), [("Y", 1), ("N", 0), (None, 0)])
def test_podmans_apparmor_profile_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: str | None, options: int
) -> None:
    if enabled:
        (tmp_path / "enabled").write_text(f"{enabled}\n")
    monkeypatch.setattr(containers, "APPARMOR", tmp_path / "enabled")
    assert len(containers._apparmor_options()) == options
