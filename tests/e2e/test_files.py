"""Files up to a real machine and down from it, as the user who logs in and as root."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_ec2 import EC2Client

import amibake
from tests.e2e.support import Box
from tests.odd import odd_tree, sparse_file, told

Launch = Callable[[amibake.Image | str], Box]


def done(box: Box, file: amibake.File) -> None:
    file.check()
    file.provision(box.host)


def rights(box: Box, *paths: str) -> list[str]:
    return box.sh(f"sudo stat -c '%U:%G %a' {' '.join(paths)}").splitlines()


def memory() -> int:
    """What this process has used at most, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def odd_trees(box: Box, tmp_path: Path) -> None:
    tree = odd_tree(tmp_path / "tree")
    for sudo in (False, True):
        place = f"/home/admin/odd-{sudo}"
        done(box, amibake.File(f"{tree}/", place, sudo=sudo))
        got = tmp_path / f"got-{sudo}"
        done(box, amibake.File(f"{place}/", got, direction="download", sudo=True))
        assert told(got) == told(tree)
    assert set(box.sh("sudo find odd-False -printf '%U\n' | sort -u").split()) == {"1000"}
    assert set(box.sh("sudo find odd-True -printf '%U\n' | sort -u").split()) == {"0"}
    done(box, amibake.File(f"{tree}/", "/home/admin/odd-True", sudo=True))
    done(box, amibake.File("odd-True/", f"{got}/", direction="download", sudo=True))
    assert told(got) == told(tree)
    with pytest.raises(amibake.UploadFailed, match="Permission denied") as caught:
        done(box, amibake.File("odd-True", f"{tmp_path}/no/", direction="download"))
    assert "sudo=True" in caught.value.hint
    assert not (tmp_path / "no").exists() or not list((tmp_path / "no").iterdir())


def owners_and_modes(box: Box, tmp_path: Path) -> None:
    (tmp_path / "dist" / "sub").mkdir(parents=True)
    (tmp_path / "dist" / "sub" / "run").write_text("x")
    (tmp_path / "dist" / "sub" / "run").chmod(0o4755)
    done(box, amibake.File(f"{tmp_path}/dist/", "/srv/new/app", owner="www-data"))
    paths = ("/srv", "/srv/new", "/srv/new/app/sub", "/srv/new/app/sub/run")
    assert rights(box, *paths) == ["root:root 755", *["www-data:www-data 755"] * 2, "www-data:www-data 4755"]
    done(box, amibake.File(content="secret", destination="/etc/app.conf", mode=0o640, group="www-data"))
    assert rights(box, "/etc/app.conf") == ["root:www-data 640"]
    done(box, amibake.File(f"{tmp_path}/dist/", "/srv/new/app", sudo=True))
    assert rights(box, *paths[2:]) == ["www-data:www-data 755", "root:root 4755"]
    done(box, amibake.File(content="x", destination="~/number", owner=4321, group="4322"))
    assert box.sh("stat -c %u:%g number") == "4321:4322"
    done(box, amibake.File("/etc/app.conf", tmp_path / "conf", direction="download", sudo=True))
    assert (tmp_path / "conf").read_text() == "secret"


def failures(box: Box, tmp_path: Path) -> None:
    with pytest.raises(amibake.UploadFailed, match="there is no user nobody-here"):
        done(box, amibake.File(content="x", destination="/srv/none/x", owner="nobody-here"))
    with pytest.raises(amibake.UploadFailed, match="Permission denied") as caught:
        done(box, amibake.File(content="x", destination="/etc/none"))
    assert "sudo=True" in caught.value.hint
    with pytest.raises(amibake.UploadFailed, match="Permission denied"):
        done(box, amibake.File("/etc/shadow", tmp_path / "shadow", direction="download"))
    assert box.sh("ls -A /srv | grep none || true; sudo find / -xdev -name '.amibake-????????????????'") == ""


def patterns(box: Box, tmp_path: Path) -> None:
    box.sh("sudo mkdir -m 700 /var/log/mine; echo a | sudo tee /var/log/mine/a.log /var/log/mine/b.log")
    done(box, amibake.File("/var/log/mine/*.log", tmp_path / "logs", direction="download", sudo=True))
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["a.log", "b.log"]
    with pytest.raises(amibake.UploadFailed, match="nothing matches"):
        done(box, amibake.File("/var/log/mine/*.log", tmp_path / "none", direction="download"))


def a_large_file(box: Box, tmp_path: Path) -> None:
    """5 GB, nearly all of it a hole."""
    started, before = time.monotonic(), memory()
    size = 5 << 30
    sparse_file(tmp_path / "large", size, [0, 3 << 30, size - 3])
    done(box, amibake.File(tmp_path / "large", "large"))
    assert int(box.sh("stat -c %b large")) < 100
    done(box, amibake.File("large", tmp_path / "back", direction="download"))
    assert (tmp_path / "back").stat().st_size == size
    assert (tmp_path / "back").stat().st_blocks < 100
    with (tmp_path / "back").open("rb") as file:
        for place in (0, 3 << 30, size - 3):
            file.seek(place)
            assert file.read(3) == b"abc"
    assert memory() - before < 100 << 20
    assert time.monotonic() - started < 240


def many_files(box: Box, tmp_path: Path) -> None:
    started = time.monotonic()
    for number in range(50_000):
        directory = tmp_path / "many" / str(number // 1000)
        if number % 1000 == 0:
            directory.mkdir(parents=True)
        (directory / f"{number}.txt").write_text(str(number))
    before = memory()
    done(box, amibake.File(f"{tmp_path}/many/", "/srv/many", owner="www-data"))
    assert box.sh("find /srv/many -type f -user www-data | wc -l") == "50000"
    done(box, amibake.File("/srv/many/", tmp_path / "same", direction="download"))
    for number in (0, 999, 1000, 49_999):
        assert (tmp_path / "same" / str(number // 1000) / f"{number}.txt").read_text() == str(number)
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "same")) == 50_000
    assert memory() - before < 200 << 20
    assert time.monotonic() - started < 240


def without_sudo(box: Box, tmp_path: Path) -> None:
    """The last: there is no way back."""
    box.sh("sudo sh -c 'rm -f /etc/sudoers.d/*; sed -i /NOPASSWD/d /etc/sudoers; passwd -d root' >/dev/null")
    with pytest.raises(amibake.UploadFailed, match="admin is not root and has no sudo without a password: sudo: "):
        done(box, amibake.File(content="x", destination="/etc/none", sudo=True))
    with pytest.raises(amibake.UploadFailed, match="admin is not root and has no sudo without a password: sudo: "):
        done(box, amibake.File("/etc/shadow", tmp_path / "shadow", direction="download", sudo=True))


@pytest.mark.parametrize(
    "parts",
    [(odd_trees, owners_and_modes, failures, patterns, without_sudo), (a_large_file, many_files)],
    ids=["odd", "large"],
)
def test_files_up_and_down(
    ec2: EC2Client, box: Launch, tmp_path: Path, parts: tuple[Callable[[Box, Path], None], ...]
) -> None:
    """One machine for many of these: launching one takes longer than most of what is done."""
    os.umask(0o022)
    images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-12-amd64-*"]}])["Images"]
    machine = box(images[0]["ImageId"])
    for part in parts:
        place = tmp_path / part.__name__
        place.mkdir()
        part(machine, place)
        shutil.rmtree(place)
