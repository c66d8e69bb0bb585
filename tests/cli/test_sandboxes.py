"""`amibake sandbox list`, `ssh` and `console`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        ["error: --instance: no sandbox here has i-0123", "hint: no sandbox is up: amibake sandbox up"],
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
        f"error: --instance: {instance} runs nothing, so there is no shell on it\n",
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
