"""A local EC2 as a program sees it, with instances that run nothing: neither root nor containers are needed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import amibake.sandbox.owner
from amibake.builder import DEBIAN_12
from amibake.builder.source import WHEEZY
from amibake.errors import AmibakeError, InvalidOption, SandboxUnavailable
from amibake.sandbox import LocalCloud
from amibake.sandbox.cache import cache_directory
from amibake.sandbox.session import local_session
from amibake.strict import Delays

Eventually = Callable[[Callable[[], object]], object]

OWNER = """
import sys, signal
from amibake.sandbox import LocalCloud
with LocalCloud(engine="none") as cloud:
    print(cloud.id, cloud._worker._process.pid, flush=True)
    signal.pause()
"""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "amibake"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One for all tests that only look at it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with LocalCloud(engine="none") as cloud:
            yield cloud


def clouds(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("clouds/*/"))


def launch(cloud: LocalCloud, image_id: str) -> dict[str, Any]:
    ec2 = cloud.session.client("ec2")
    answer: dict[str, Any] = ec2.run_instances(ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    instance: dict[str, Any] = answer["Instances"][0]
    return instance


def images(session: Any) -> dict[str, str]:
    return {image["Name"]: image["ImageId"] for image in session.client("ec2").describe_images()["Images"]}


def test_its_catalogue_has_a_debian_for_today_and_one_for_the_articles_time(cloud: LocalCloud) -> None:
    filters = [{"Name": "name", "Values": [DEBIAN_12.on("x86_64").name]}]
    ec2 = cloud.session.client("ec2")
    (image,) = ec2.describe_images(Owners=list(DEBIAN_12.owners), Filters=filters)["Images"]
    assert image["State"] == "available"
    assert image["RootDeviceName"] == "/dev/xvda"
    (sysvinit,) = set(images(cloud.session)) - {image["Name"]}
    assert sysvinit.startswith("debian-12-sysvinit-")
    instance = launch(cloud, image["ImageId"])
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1})


def test_its_session_speaks_to_it_whatever_the_callers_configuration(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(os.environ)
    for name, value in {
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://192.0.2.1:1",
        "AWS_REGION": "eu-central-1",
        "HTTP_PROXY": "http://192.0.2.1:3128",
    }.items():
        monkeypatch.setenv(name, value)
    session = local_session(cloud.endpoint_url, cloud.region, cloud.environment["AWS_ACCESS_KEY_ID"])
    assert session.region_name == "us-east-1"
    for service, region in (("ec2", None), ("sts", "eu-west-1"), ("ssm", "us-west-2"), ("iam", None), ("kms", None)):
        client = session.client(service, region_name=region)
        assert client.meta.endpoint_url == cloud.endpoint_url
        assert service == "iam" or client.meta.region_name == (region or "us-east-1")
    assert session.resource("ec2").meta.client.meta.endpoint_url == cloud.endpoint_url
    assert session.client("sts").get_caller_identity()["Account"] == "123456789012"
    other = session.client("ec2", endpoint_url="http://127.0.0.1:9")
    assert other.meta.endpoint_url == "http://127.0.0.1:9"
    monkeypatch.undo()
    assert dict(os.environ) == before


def test_who_has_not_its_credentials_is_not_let_in(cloud: LocalCloud) -> None:
    stranger = local_session(cloud.endpoint_url, cloud.region, "AKIASTRANGER")
    with pytest.raises(ClientError, match=r"AuthFailure.*takes only its own credentials"):
        stranger.client("ec2").describe_images()
    for path in ("/moto-api/data.json", "/"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(cloud.endpoint_url + path)


def test_its_directory_is_nobody_elses(cloud: LocalCloud) -> None:
    assert (cache_directory() / "clouds" / cloud.id).stat().st_mode & 0o777 == 0o700


def test_other_programs_find_it_by_its_environment(cloud: LocalCloud) -> None:
    script = "import boto3; print(boto3.client('ec2').describe_images()['Images'][0]['ImageId'])"
    environment = os.environ | cloud.environment
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert found.stdout.strip() in images(cloud.session).values(), found.stderr


def test_two_at_once_have_nothing_in_common(own_cache: Path) -> None:
    with LocalCloud(engine="none") as one, LocalCloud("eu-west-1", engine="none") as two:
        assert clouds(own_cache) == sorted([one.id, two.id])
        image = next(iter(images(one.session).values()))
        instance = launch(one, image)
        with pytest.raises(ClientError, match="does not exist"):
            two.session.client("ec2").describe_instances(InstanceIds=[instance["InstanceId"]])
        assert two.session.region_name == two.environment["AWS_REGION"] == "eu-west-1"
        assert set(images(two.session).values()) & set(images(one.session).values()) == {WHEEZY}
        one.close()
        assert images(two.session)
    assert clouds(own_cache) == []


def test_its_delays_are_ec2s(own_cache: Path) -> None:
    with LocalCloud(engine="none", delays=Delays(running=3600)) as cloud:
        instance = launch(cloud, next(iter(images(cloud.session).values())))
        described = cloud.session.client("ec2").describe_instances(InstanceIds=[instance["InstanceId"]])
        assert described["Reservations"][0]["Instances"][0]["State"]["Name"] == "pending"


def test_it_serves_the_releases_of_node_that_are_kept(own_cache: Path) -> None:
    kept = own_cache / "node/v18.20.8"
    kept.mkdir(parents=True)
    (kept / "release.json").write_text(json.dumps({"version": "18.20.8", "npm": "10.8.2"}))
    (kept / "SHASUMS256.txt").write_text("sums\n")
    with LocalCloud(engine="none", node_versions=("v18",)) as cloud:
        with urllib.request.urlopen(f"{cloud.node_mirror}/index.tab") as answer:
            assert b"v18.20.8\t-\tlinux" in answer.read()
        with urllib.request.urlopen(f"{cloud.node_mirror}/v18.20.8/SHASUMS256.txt") as answer:
            assert answer.read() == b"sums\n"


def test_closing_it_leaves_nothing_and_may_be_repeated(own_cache: Path) -> None:
    cloud = LocalCloud(engine="none").open()
    endpoint = cloud.session.client("ec2")
    with pytest.raises(AmibakeError, match="is open already"):
        cloud.open()
    cloud.close()
    cloud.close()
    assert clouds(own_cache) == []
    with pytest.raises(Exception, match="Could not connect"):
        endpoint.describe_images()


def test_an_exception_inside_is_not_hidden_by_the_closing(own_cache: Path) -> None:
    with pytest.raises(ZeroDivisionError), LocalCloud(engine="none"):
        _ = 1 / 0
    assert clouds(own_cache) == []


def test_it_has_no_address_before_it_is_open() -> None:
    with pytest.raises(AmibakeError, match="no address yet"):
        _ = LocalCloud(engine="none").endpoint_url


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(InvalidOption, match="not between 0 and 65535"):
        LocalCloud(port=port)


def test_a_word_that_is_no_version_of_node_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'latest' is no version"):
        LocalCloud(node_versions=("latest",))


def test_a_port_can_be_chosen_and_one_in_use_is_an_error(own_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxUnavailable, match=f"port {port} of 127.0.0.1 is in use") as caught:
            LocalCloud(engine="none", port=port).open()
        assert "another port" in caught.value.hint
    assert clouds(own_cache) == []
    with LocalCloud(engine="none", port=port) as cloud:
        assert cloud.endpoint_url == f"http://127.0.0.1:{port}"


def test_a_region_that_does_not_exist_is_an_error(own_cache: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="there is no region 'atlantis-1'"):
        LocalCloud("atlantis-1", engine="none").open()
    assert clouds(own_cache) == []


def test_the_cache_is_the_users_and_made_by_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_directory() == tmp_path / ".cache/amibake"
    assert cache_directory().is_dir()


def test_moto_not_installed_is_told_with_what_to_install(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a name in sys.modules that is None is a module that cannot be found
    without_moto = own_cache.parent / "sitecustomize.py"
    without_moto.write_text("import sys\nsys.modules['moto'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(without_moto.parent))
    with pytest.raises(SandboxUnavailable, match="moto") as caught:
        LocalCloud(engine="none").open()
    assert caught.value.hint == "pip install 'amibake[sandbox]'"
    assert clouds(own_cache) == []


def test_a_cache_that_cannot_be_used_is_told(own_cache: Path) -> None:
    own_cache.touch()
    with pytest.raises(SandboxUnavailable, match=r"cannot run: .*Not a directory"):
        LocalCloud(engine="none").open()


def test_whoever_is_not_root_needs_sudo(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(own_cache.parent))
    with pytest.raises(SandboxUnavailable, match="need root, and there is no sudo"):
        LocalCloud().open()
    sudo = own_cache.parent / "sudo"
    sudo.write_text('#!/bin/sh\necho "sudo: a password is required" >&2\nexit 1\n')
    sudo.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="sudo: a password is required") as caught:
        LocalCloud().open()
    assert "without a password" in caught.value.hint


def test_what_sudo_withholds_from_the_process_reaches_it_by_another_way(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        amibake.sandbox.owner, "_as_root", lambda _: ["/usr/bin/env", "-i"]
    )  # as sudo does, less the root
    kept = own_cache / "node/v18.20.8"
    kept.mkdir(parents=True)
    (kept / "release.json").write_text(json.dumps({"version": "18.20.8", "npm": "10.8.2"}))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(own_cache), "PATH": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    told: list[str] = []
    with (
        LocalCloud(engine="none", progress=told.append, node_versions=("20",)) as cloud,
        urllib.request.urlopen(f"{cloud.node_mirror}/index.tab") as answer,
    ):
        assert b"v20" not in answer.read()
    assert "there is no npm here, and none to be had from PyPI" in told[-1]


def test_its_process_killed_is_told_when_it_is_closed(own_cache: Path) -> None:
    cloud = LocalCloud(engine="none").open()
    assert cloud._worker
    os.kill(cloud._worker._process.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="ended with status -9"):
            cloud.wait()
    with pytest.raises(SandboxUnavailable, match="ended with status -9") as caught:
        cloud.close()
    assert "python -m amibake.sandbox clean" in caught.value.hint
    assert clouds(own_cache) == [cloud.id]
    cloud.wait()


def test_the_blocks_own_error_comes_first_and_has_a_note_of_what_is_left(own_cache: Path) -> None:
    def fail() -> None:
        with LocalCloud(engine="none") as cloud:
            assert cloud._worker
            os.kill(cloud._worker._process.pid, signal.SIGKILL)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert "ended with status -9" in caught.value.__notes__[0]


def test_a_process_that_does_not_end_in_time_is_told(own_cache: Path) -> None:
    cloud = LocalCloud(engine="none").open()
    worker = cloud._worker
    assert worker
    os.kill(worker._process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(SandboxUnavailable, match=r"has not ended within 0\.01 s") as caught:
            worker.stop(timeout=0.01)
        assert "clean" in caught.value.hint
    finally:
        os.kill(worker._process.pid, signal.SIGCONT)
    cloud.close()
    assert clouds(own_cache) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_its_process_in_order(own_cache: Path, signum: int) -> None:
    cloud = LocalCloud(engine="none").open()
    assert cloud._worker
    os.kill(cloud._worker._process.pid, signum)
    assert cloud._worker._process.wait(30) == 0
    assert clouds(own_cache) == []
    cloud.close()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_its_owner_however_that_ends(own_cache: Path, signum: int, eventually: Eventually) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert owner.stdout
    cloud_id, pid = owner.stdout.readline().split()
    assert clouds(own_cache) == [cloud_id]
    owner.send_signal(signum)
    owner.communicate(timeout=60)
    eventually(lambda: not Path("/proc", pid).exists())
    assert clouds(own_cache) == []


def test_a_progress_callback_that_fails_does_no_harm(own_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        raise ZeroDivisionError

    def ask(cloud: LocalCloud) -> None:
        with pytest.raises(urllib.error.HTTPError, match="503") as caught:
            urllib.request.urlopen(f"{cloud.node_mirror}/v9.1.0/SHASUMS.txt")
        caught.value.close()

    with LocalCloud(engine="none", progress=tell, node_versions=("9.1.0",)) as cloud:
        ask(cloud)
        ask(cloud)
    assert [text for text in told if text.startswith("downloading")] == ["downloading node 9.1.0"] * 2
    assert "the progress callback failed" in caplog.text


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "amibake.sandbox", *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_command_prints_what_makes_other_programs_use_it(own_cache: Path, signum: int, status: int) -> None:
    up = command("--engine", "none", "--region", "eu-west-1")
    assert up.stdout
    lines = [up.stdout.readline() for _ in range(7)]
    shell = ["sh", "-c", f'{"".join(lines)}exec {shlex.quote(sys.executable)} -c "$1"', "sh"]
    script = "import boto3; s = boto3.Session(); print(s.region_name, len(s.client('ec2').describe_images()['Images']))"
    assert subprocess.run([*shell, script], capture_output=True, text=True).stdout == "eu-west-1 2\n"
    up.send_signal(signum)
    rest, said = up.communicate(timeout=60)
    assert (rest, up.returncode) == ("", status)
    assert f"local EC2 {clouds(own_cache) or ''}".strip("[]") in said
    assert clouds(own_cache) == []


def test_the_commands_errors_have_their_exit_codes(own_cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        failed = command("up", "--engine", "none", "--port", str(taken.getsockname()[1]))
        assert "is in use" in failed.communicate()[1]
    assert failed.returncode == SandboxUnavailable.exit_code
    helped = command("--help")
    assert "clean" in helped.communicate()[0]
    assert helped.returncode == 0
    wrong = command("prepare", "--node", "latest")
    assert "'latest' is no version" in wrong.communicate()[1]
    assert wrong.returncode == InvalidOption.exit_code
