"""`amibake sandbox list`, `ssh` and `console`."""

from __future__ import annotations

import fcntl
import io
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from amibake.cli.sandboxes import _ssh
from amibake.sandbox import LocalCloud, living, owner
from amibake.sandbox.commands import interact
from amibake.sandbox.living import Living, look
from tests.cli.conftest import Run
from tests.cli.test_schema import checked


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "amibake"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One for all tests, whose instances run nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with LocalCloud(engine="none") as cloud:
            yield cloud


@pytest.fixture
def instance(cloud: LocalCloud) -> str:
    """One of its instances."""
    ec2 = cloud.session.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    return str(launched["Instances"][0]["InstanceId"])


def test_where_none_is_up_the_way_to_one_is_named(run: Run, cache: Path) -> None:
    assert run("sandbox", "list").stdout == "no sandbox is up: amibake sandbox up\n"
    cache.rmdir()
    assert run("sandbox", "list", "-q").stdout == ""
    done = run("sandbox", "console", "i-0123")
    assert (done.exit_code, done.stderr.splitlines()) == (
        2,
        ["error: instance: no sandbox here has i-0123", "hint: no sandbox is up: amibake sandbox up"],
    )


def test_what_is_up_is_listed_with_its_instances(run: Run, cloud: LocalCloud, instance: str) -> None:
    heading, *lines = run("sandbox", "list").stdout.splitlines()
    assert heading.startswith(f"sandbox {cloud.id} in us-east-1, since ")
    assert heading.endswith(cloud.endpoint_url)
    assert any(line.split()[0] == instance and "t3.micro" in line for line in lines)
    assert instance in run("sandbox", "list", "-q").stdout.split()
    output = run("sandbox", "list", "--json").stdout
    (found,) = checked(output)[-1]["sandboxes"]
    assert (found["id"], found["node_mirror"]) == (cloud.id, cloud.node_mirror)
    assert instance in {one["id"] for one in found["instances"]}
    assert cloud.environment["AWS_SECRET_ACCESS_KEY"] not in output
    cloud.session.client("ec2").terminate_instances(InstanceIds=[instance])


def test_one_without_instances_says_so(run: Run, cache: Path) -> None:
    with LocalCloud(engine="none"):
        assert run("sandbox", "list").stdout.splitlines()[1:] == ["  no instances"]
    assert look(cache) == []


def test_one_that_was_killed_is_not_listed(run: Run, cache: Path) -> None:
    directory = cache / "clouds" / "0123abcd"
    directory.mkdir(parents=True)
    (directory / "lock").touch()
    (directory / "cloud.json").write_text("{}")
    (cache / "clouds" / "4567abcd").mkdir()
    assert run("sandbox", "list").stdout == "no sandbox is up: amibake sandbox up\n"


@pytest.fixture
def ending(cache: Path) -> Iterator[str]:
    """One whose process lives, and whose API answers no more: what it has is being removed."""
    directory = cache / "clouds" / "0123abcd"
    directory.mkdir(parents=True)
    with socket.socket() as taken, (directory / "lock").open("w") as lock:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        fcntl.flock(lock, fcntl.LOCK_EX)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        facts = {"id": "0123abcd", "key": "k", "region": "us-east-1", "engine": "podman", "endpoint_url": url}
        (directory / "cloud.json").write_text(json.dumps({**facts, "node_mirror": "x", "pid": 1, "since": 1.0}))
        yield "sandbox 0123abcd, process 1, does not answer as it should"


def test_one_that_ends_keeps_nobody_from_the_others(run: Run, ending: str) -> None:
    with LocalCloud(engine="none") as cloud:
        done = run("sandbox", "list", "--json")
        assert (done.exit_code, f"warning: {ending}" in done.stderr) == (0, True)
        assert [one["id"] for one in checked(done.stdout)[-1]["sandboxes"]] == [cloud.id]
        ec2 = cloud.session.client("ec2")
        image = ec2.describe_images()["Images"][0]["ImageId"]
        launched = ec2.run_instances(ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
        assert run("sandbox", "console", launched["Instances"][0]["InstanceId"]).exit_code == 0


@pytest.mark.parametrize("command", ["ssh", "console"])
def test_what_only_one_that_ends_may_have_is_told_without_a_traceback(run: Run, ending: str, command: str) -> None:
    done = run("sandbox", command, "i-0123")
    assert (done.exit_code, done.stderr.startswith(f"error: {ending}")) == (14, True)
    assert len(done.stderr.splitlines()) <= 4


def test_a_shell_that_can_not_be_started_is_an_error_and_an_interrupt_is_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status in ((FileNotFoundError(2, "none", "podman"), 1), (KeyboardInterrupt(), 130)):

        def fail(_: str, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(living, "of_instance", fail)
        done = run("sandbox", "ssh", "i-0123")
        assert (done.exit_code, "Traceback" in done.stderr, bool(done.stderr)) == (status, False, True)


@pytest.mark.parametrize(("typed", "shown"), [(True, True), (True, False), (False, True)])
def test_a_shell_has_a_terminal_where_it_is_one_at_both_ends(
    cloud: LocalCloud, instance: str, monkeypatch: pytest.MonkeyPatch, typed: bool, shown: bool
) -> None:
    class Stream(io.StringIO):
        def __init__(self, terminal: bool) -> None:
            super().__init__()
            self.isatty = lambda: terminal  # type: ignore[method-assign]

    called: list[str] = []
    facts = {**vars(living.find_living()[0]), "engine": "podman"}
    monkeypatch.setattr(living, "of_instance", lambda _: (Living(**facts), {"State": {"Name": "running"}}))

    def interacted(*words: str) -> int:
        called.extend(words)
        return 0

    monkeypatch.setattr("amibake.sandbox.commands.interact", interacted)
    monkeypatch.setattr(sys, "stdin", Stream(typed))
    monkeypatch.setattr(sys, "stdout", Stream(shown))
    with pytest.raises(typer.Exit):
        _ssh(instance, ["cat", "file"])
    assert ("--tty" in called) == (typed and shown)


def test_what_others_must_not_know_is_its_owners_alone(cloud: LocalCloud) -> None:
    directory = Path(os.environ["XDG_CACHE_HOME"]) / "amibake/clouds" / cloud.id
    assert (directory / "cloud.json").stat().st_mode & 0o777 == 0o600


def test_where_it_takes_root_to_look_root_looks(
    run: Run, cloud: LocalCloud, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    class Worker(owner.Worker):
        def __init__(self, task: dict[str, object], *, root: bool, progress: None) -> None:
            asked.append(root)
            super().__init__(task, root=False, progress=progress)

    monkeypatch.setattr(living, "Worker", Worker)
    monkeypatch.setattr(living, "_may_look", lambda _: False)
    done = run("sandbox", "list", "-q")
    assert done.exit_code == 0, done.stderr
    assert instance in done.stdout.split()
    assert asked == [True]


def test_a_console_is_printed(run: Run, cloud: LocalCloud, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Living, "console", lambda *_: "booting\nlogin:\n")
    assert run("sandbox", "console", instance).stdout == "booting\nlogin:\n"
    assert checked(run("sandbox", "console", instance, "--json").stdout)[-1]["console"] == ["booting", "login:"]
    monkeypatch.undo()


def test_an_instance_that_runs_nothing_has_no_shell_and_no_console(run: Run, cloud: LocalCloud, instance: str) -> None:
    done = run("sandbox", "ssh", instance)
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: instance: {instance} runs nothing, so there is no shell on it\n",
    )
    assert run("sandbox", "console", instance).stdout == ""


def test_a_shell_is_one_by_the_container(
    run: Run, cloud: LocalCloud, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, ...]] = []

    def interacted(*words: str) -> int:
        called.append(words)
        return 7

    facts = {**vars(living.find_living()[0]), "engine": "podman"}
    state = {"Name": "running"}
    monkeypatch.setattr("amibake.sandbox.commands.interact", interacted)
    monkeypatch.setattr(living, "of_instance", lambda _: (Living(**facts), {"State": state}))
    done = run("sandbox", "ssh", instance, "-l", "root", "--", "ls", "-l", "a b")
    assert done.exit_code == 7
    (words,) = called
    assert words[-6:] == (f"amibake-{cloud.id}-{instance}", "su", "--login", "root", "--command", "ls -l 'a b'")
    assert "--tty" not in words
    assert Living(**facts).shell(instance, "admin", None, terminal=True)[-4:] == [
        f"amibake-{cloud.id}-{instance}",
        "su",
        "--login",
        "admin",
    ]
    state["Name"] = "stopped"
    assert "is stopped, so there is no shell on it" in run("sandbox", "ssh", instance).stderr


def test_instances_are_completed(cloud: LocalCloud, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from amibake.cli.sandboxes import _complete
    from amibake.errors import SandboxUnavailable

    assert _complete(instance[:8]) == [instance]
    assert _complete("x") == []

    def refuse() -> None:
        raise SandboxUnavailable("no")

    monkeypatch.setattr(living, "find_living", refuse)
    assert _complete("i-") == []


def test_a_program_of_the_users_gets_the_terminal_and_its_status_is_told() -> None:
    assert interact("sh", "-c", "exit 3") == 3


def test_a_shell_finds_the_containers_also_where_a_link_leads_to_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "link"))
    living = Living("0123abcd", "key", "us-east-1", "podman", "http://127.0.0.1", "http://127.0.0.1", 1, 0.0)
    command = living.shell("i-1", "admin", "id", terminal=False)
    assert f"--root={tmp_path}/disk/amibake/clouds/0123abcd/engine/containers/podman" in command
    assert f"{tmp_path}/link" not in " ".join(command)
