"""What `make bench` writes: the table between its markers, and nothing else."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import benchmarks.__main__
from benchmarks import report
from benchmarks.__main__ import ROWS
from benchmarks.keeping import FILE, this_machine
from benchmarks.rows import Result, Sample

PAGE = "# Speed\n\n{}\nold\n{}\n\n### upload-small\n\n{}\n"
BEGIN, END = "<!-- table: written by `make bench` -->", "<!-- end of the table -->"


def _took(*walls: float, **counts: float) -> list[Sample]:
    return [Sample(wall, wall / 2, counts) for wall in walls]


def _page(directory: Path, reason: str = "") -> Path:
    page = directory / "performance.md"
    page.write_text(PAGE.format(BEGIN, END, reason))
    return page


SMALL = {"upload-small": Result(0.15, {"amibake": _took(0.9, 0.8, 1.4), "tar | ssh": _took(0.45, 0.45, 0.45)})}


def test_the_table_has_medians_and_ratios_and_what_is_around_it_stays(tmp_path: Path) -> None:
    page = _page(tmp_path, "Python is slow.")

    assert report.write(ROWS, SMALL, "a machine", page) == []

    text = page.read_text()
    assert "**0.90 s** ([why](#upload-small)) | 0.87 s | tar \\| ssh 0.45 s (0.50 ×) | 0.15 s |" in text
    assert "Measured on a machine." in text
    assert "old" not in text
    assert text.startswith("# Speed\n\n")
    assert text.endswith("### upload-small\n\nPython is slow.\n")


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    page = _page(tmp_path, "Python is slow.")
    report.write(ROWS, SMALL, "a machine", page)
    before = page.read_text()

    report.write(ROWS, SMALL, "a machine", page)

    assert page.read_text() == before


def test_a_row_that_loses_without_a_reason_is_told(tmp_path: Path) -> None:
    assert report.write(ROWS, SMALL, "a machine", _page(tmp_path)) == ["upload-small"]


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Speed\n")

    with pytest.raises(ValueError, match="no place for the table"):
        report.write(ROWS, SMALL, "a machine", page)

    assert page.read_text() == "# Speed\n"


def test_a_result_under_the_floor_is_told_as_a_fault_of_the_bench() -> None:
    results = {"upload-small": Result(0.15, {"amibake": _took(0.2), "tar | ssh": _took(0.3, 0.1)})}

    assert "the bench is wrong: tar \\| ssh" in report.table([row for row in ROWS if row.name in results], results)


def test_goals_that_hang_on_other_results_are_worked_out_from_them() -> None:
    results = {
        "bake": Result(65, {"amibake": _took(70.0, describes=50, **{"describes per second": 0.7})}),
        "bake-many": Result(65, {"amibake": _took(80.0, **{"describes per second": 1.4})}),
        "import": Result(0, {"amibake": _took(0.03), "bare Python": _took(0.01)}),
    }
    rows = {row.name: row for row in ROWS}

    assert rows["bake-many"].goal(results) == pytest.approx(84)
    assert rows["import"].goal(results) == pytest.approx(0.07)
    assert [(one.value, one.goal) for one in rows["bake"].counts(results)] == [(50, 60)]
    assert [one.goal for one in rows["bake-many"].counts(results)] == [pytest.approx(1.05)]
    assert report.loses(rows["bake-many"], results)
    assert not report.loses(rows["import"], results)


def test_the_plot_has_a_bar_for_each_contender(tmp_path: Path) -> None:
    page = _page(tmp_path)
    report.write(ROWS, SMALL, "a machine", page)

    plot = ET.parse(page.with_suffix(".svg"))

    names = {text.text for text in plot.iter("{http://www.w3.org/2000/svg}text")}
    assert {"amibake", "tar | ssh", "0.9 s", "0.45 s"} <= names


def test_the_page_that_is_there_tells_why_of_every_row_that_loses() -> None:
    text = report.PAGE.read_text()

    assert BEGIN in text
    assert END in text
    for row in ROWS:
        assert f"\n### {row.name}\n" in text


def test_what_this_machine_is_can_be_told() -> None:
    assert "Python" in this_machine()
    assert FILE.parent.is_dir()


def test_what_this_machine_is_can_be_told_where_nothing_was_installed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert "no packer, no ssh, no rsync" in this_machine()


def test_what_hangs_on_a_failed_result_has_no_goal_and_what_was_measured_is_told(tmp_path: Path) -> None:
    failed = {
        "bake": Result(65, {"amibake": [], "Packer": _took(70.0)}),
        "bake-many": Result(65, {"amibake": _took(80.0)}),
        "import": Result(0, {"amibake": _took(0.03), "bare Python": []}),
    }
    report.write(ROWS, failed, "a machine", page := _page(tmp_path))

    assert "| failed ([why](#bake)) | 67.5 s | Packer 70.0 s | 65.0 s |" in page.read_text()
    assert "**80.0 s** |  |" in page.read_text()
    assert "**30 ms** |  |" in page.read_text()


def test_a_contender_that_fails_is_a_failure_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> Result:
        return Result(0, {"amibake": _took(0.03), "bare Python": []})

    monkeypatch.setattr("sys.argv", ["benchmarks", "--rows", "import"])
    for name, instead in {"require_root": lambda: None, "place": nullcontext, "measure": measure}.items():
        monkeypatch.setattr(benchmarks.__main__, name, instead)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    assert benchmarks.__main__.main() == 1
