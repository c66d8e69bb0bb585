"""The complete log of a bake."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from amibake import ingredients
from amibake.testing import Place, exits
from tests.cli.conftest import Run


def logs(directory: Path) -> list[Path]:
    return sorted(directory.glob("amibake-*.log"))


def test_every_bake_has_a_log_of_its_own(primal: Run, place: Place, tmp_path: Path) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(0, "installing\n", "a warning\n"))
    build = json.loads(primal("--json").stdout.splitlines()[-1])["image"]["tags"]["amibake:build"]
    (log,) = logs(tmp_path)
    assert log.name == f"amibake-{build}.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    said = [line.partition(" ")[2] for line in lines]
    assert said[0] == f"build {build}"
    assert {"stdout: installing", "stderr: a warning", "launch the builder"} <= set(said)
    assert re.fullmatch(r"shop-primal \d+: ami-[0-9a-f]+ in us-east-1", said[-1])
    assert any(text.startswith("waiting for ") for text in said)


def test_an_error_names_the_log_which_has_all_that_the_script_printed(
    primal: Run, place: Place, tmp_path: Path
) -> None:
    place.machines.behaviour.on("NODE_VERSION", exits(3, "".join(f"line {number}\n" for number in range(30))))
    done = primal("-q")
    (log,) = logs(tmp_path)
    assert done.stderr.splitlines()[-1] == f"log: {log.name}"
    assert [f"stdout: line {number}" in log.read_text() for number in range(30)] == [True] * 30
    assert "error: " in log.read_text()


def test_what_an_error_leaves_out_is_in_the_log(
    primal: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "".join(f"console {number}\n" for number in range(20))
    monkeypatch.setattr(type(place.machines), "console_output", lambda *_: said)
    place.machines.behaviour.refuse_connections = 10_000
    done = primal("-q", "--ssh-timeout", "20s")
    assert len(done.stderr.splitlines()) < 12
    assert done.stderr.count("console ") < 10
    (log,) = logs(tmp_path)
    assert all(f"  console {number}\n" in log.read_text() for number in range(20))


def test_the_result_for_programs_names_the_log(primal: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    done = primal("--json", "--log-dir", tmp_path / "logs")
    assert [json.loads(done.stdout.splitlines()[-1])["log"]] == list(map(str, logs(tmp_path / "logs")))
    assert logs(tmp_path) == []


def test_there_is_no_log_where_none_is_wanted_or_nothing_has_begun(primal: Run, tmp_path: Path) -> None:
    assert primal("--no-log").exit_code == 0
    assert primal("--ssh-port", "0").exit_code == 2
    assert logs(tmp_path) == []


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(primal: Run, tmp_path: Path) -> None:
    done = primal("--log-dir", tmp_path / "nowhere")
    assert done.exit_code == 0
    assert re.search(r"warning: no log is written: .*: No such file or directory", done.stderr)


def test_where_an_unknown_error_came_from_is_in_the_log_without_its_text(
    primal: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def check(self) -> None: ...

        def provision(self, _host: object) -> None:
            raise RuntimeError("s3cr3t")

    monkeypatch.setattr(ingredients, "Shell", lambda **_: Broken())
    done = primal()
    assert done.exit_code == 1
    (log,) = logs(tmp_path)
    assert "raise RuntimeError" in log.read_text()
    assert "RuntimeError: s3cr3t" not in log.read_text()
    assert done.stderr.splitlines()[-1] == f"log: {log.name}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="it stands for a full disk")
def test_a_full_disk_ends_no_bake(primal: Run, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amibake.flow.secrets.token_hex", lambda _: "0123456789abcdef")
    (tmp_path / "amibake-0123456789abcdef.log").symlink_to("/dev/full")
    done = primal("-q")
    assert (done.exit_code, done.stderr) == (0, "")
