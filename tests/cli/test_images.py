"""`amibake images`, `launch`, `policy` and `--manifest`: what was baked, and what becomes of it."""

from __future__ import annotations

import json
import stat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import amibake
from amibake.cli.manifest import add_to_manifest
from amibake.errors import AmibakeError
from amibake.image import Image
from amibake.testing import Place
from tests.cli.conftest import Run


def test_images_are_listed_the_newest_first(primal: Run, run: Run, place: Place) -> None:
    first = primal("-q").stdout.strip()
    place.clock.sleep(3600)
    second = primal("-q").stdout.strip()
    done = run("images", "--app", "shop")
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == ["id", "created", "app", "stage", "env", "from", "name"]
    assert [line.split()[0] for line in lines] == [second, first]
    assert lines[0].split()[3:6] == ["shop", "primal", place.source_ami]
    assert run("images", "-q").stdout.split() == [second, first]
    assert [image.id for image in amibake.find_images(app="shop", stage="primal")] == [second, first]
    (last,) = [json.loads(line) for line in run("images", "--json").stdout.splitlines()]
    assert [image["id"] for image in last["images"]] == [second, first]
    assert last["images"][0]["created"] > last["images"][1]["created"]


def test_images_of_something_else_are_not_listed(primal: Run, run: Run, place: Place) -> None:
    primal("-q")
    assert run("images", "--app", "other").stdout == "there is no such image\n"
    assert run("images", "--app", "shop", "--stage", "carnivore", "-q").stdout == ""
    assert run("images", "--region", "eu-west-1").stdout == "there is no such image\n"


def test_an_image_is_launched(primal: Run, run: Run, place: Place) -> None:
    image = primal("-q").stdout.strip()
    done = run("launch", image, "--instance-type", "t3.micro", "--tags", "team=web", "--json")
    assert done.exit_code == 0, done.stderr
    instance = json.loads(done.stdout.splitlines()[-1])["instance"]
    ec2 = place.session.client("ec2")
    (reservation,) = ec2.describe_instances(InstanceIds=[instance["id"]])["Reservations"]
    (found,) = reservation["Instances"]
    assert (found["ImageId"], found["InstanceType"]) == (image, "t3.micro")
    assert {"Key": "team", "Value": "web"} in found["Tags"]
    assert instance["private_ip"] == found["PrivateIpAddress"]
    quiet = run("launch", image, "--instance-type", "t3.micro", "-q").stdout.strip()
    ec2.terminate_instances(InstanceIds=[instance["id"], quiet])
    place.clock.sleep(60)


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("ami-x",), "error: image: 'ami-x' is neither an Image nor the id of one"),
        (("ami-01234567", "--tags", "x"), "error: --tags: number 1 has no =; it has to be KEY=VALUE"),
    ],
)
def test_what_cannot_be_launched_is_said(run: Run, place: Place, words: tuple[str, ...], mistake: str) -> None:
    done = run("launch", *words)
    assert (done.exit_code, done.stderr.splitlines()[0]) == (2, mistake)


def test_a_policy_is_printed_as_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def policy(*features: str, **options: Any) -> dict[str, Any]:
        asked.append((features, options))
        return {"Version": "2012-10-17", "Statement": []}

    monkeypatch.setattr(amibake, "policy", policy, raising=False)
    done = run("policy", "copies", "sweep", "--no-bake", "--account-id", "123456789012", "--roles", "a", "--roles", "b")
    assert json.loads(done.stdout) == {"Version": "2012-10-17", "Statement": []}
    assert asked == [
        (("copies", "sweep"), {"bake": False, "account_id": "123456789012", "roles": ["a", "b"]}),
    ]
    assert run("policy", "-q").exit_code == 0
    assert asked[1] == ((), {})


def test_the_policy_is_the_librarys(run: Run) -> None:
    assert json.loads(run("policy", "sharing").stdout) == amibake.policy("sharing")
    done = run("policy", "sharin")
    assert done.exit_code == 2
    assert "did you mean sharing?" in done.stderr


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (("--roles", "web"), "--roles: 'web' is not an ARN, such as arn:aws:iam::123456789012:role/web"),
        (
            ("--roles", "arn:aws:iam::123456789012:user/me"),
            "--roles: 'arn:aws:iam::123456789012:user/me' is not an ARN",
        ),
        (("--kms-keys", "alias/x"), "--kms-keys: 'alias/x' is not an ARN"),
    ],
)
def test_a_policy_names_roles_and_keys_by_their_arns(run: Run, words: tuple[str, ...], mistake: str) -> None:
    done = run("policy", "instance_profile", "--roles", "arn:aws:iam::123456789012:role/web", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {mistake}")


def test_a_manifest_gets_each_image_at_its_end(primal: Run, place: Place, tmp_path: Path) -> None:
    ids = [primal("-q", "--no-log", "--manifest", "manifest.json").stdout.strip() for _ in range(2)]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [build["artifact_id"] for build in manifest["builds"]] == [f"us-east-1:{one}" for one in ids]
    last = manifest["builds"][-1]
    assert manifest["last_run_uuid"] == last["packer_run_uuid"]
    assert (last["builder_type"], last["name"]) == ("amazon-ebs", "shop-primal")
    assert last["custom_data"]["source_ami"] == place.source_ami
    assert last["build_time"] <= int(place.clock.epoch())
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    assert stat.S_IMODE((tmp_path / "manifest.json").stat().st_mode) & 0o400


@pytest.mark.parametrize("text", ["[]", "{", '{"builds": 1}'])
def test_what_is_no_manifest_is_left_alone_and_nothing_is_launched(
    primal: Run, place: Place, tmp_path: Path, text: str
) -> None:
    (tmp_path / "manifest.json").write_text(text)
    done = primal("-q", "--manifest", "manifest.json")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: --manifest: manifest.json: ")
    assert (tmp_path / "manifest.json").read_text() == text
    assert place.machines.launches == {}


def test_a_manifest_that_cannot_be_written_leaves_the_old_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    image = Image("ami-1", "shop", "us-east-1", {"us-east-1": "ami-1"}, {}, "ami-0", {})
    file = tmp_path / "manifest.json"
    add_to_manifest(file, image)
    before = file.read_text()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AmibakeError, match=r"ami-1 is published, but not in .*: .*No space left"):
        add_to_manifest(file, image)
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]


def test_whoever_reads_a_manifest_sees_it_whole(tmp_path: Path) -> None:
    image = Image("ami-1", "shop", "us-east-1", {"us-east-1": "ami-1"}, {}, "ami-0", {})
    file = tmp_path / "manifest.json"
    add_to_manifest(file, image)
    before = file.read_text()
    with file.open() as reader:
        add_to_manifest(file, image)
        assert reader.read() == before
    assert len(json.loads(file.read_text())["builds"]) == 2


def _adds(file: Path, name: str) -> None:
    for number in range(20):
        one = f"ami-{name}{number}"
        add_to_manifest(file, Image(one, "shop", "us-east-1", {"us-east-1": one}, {}, "ami-0", {}))


def test_bakes_that_add_to_one_manifest_at_once_are_all_in_it(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    start = get_context("spawn")
    bakes = [start.Process(target=_adds, args=(file, name)) for name in "abc"]
    for one in bakes:
        one.start()
    for one in bakes:
        one.join()
    assert len({build["artifact_id"] for build in json.loads(file.read_text())["builds"]}) == 60
    assert list(tmp_path.iterdir()) == [file]


def test_a_manifest_that_is_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "real.json", tmp_path / "manifest.json"
    link.symlink_to(file)
    _adds(link, "a")
    assert link.is_symlink()
    assert len(json.loads(file.read_text())["builds"]) == 20
