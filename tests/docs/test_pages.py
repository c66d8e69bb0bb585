"""Every example of the documentation and of the README is run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import amibake
from tests.docs.blocks import PAGES, ROOT, Block, blocks, in_sandbox
from tests.docs.programs import CHECKED, RUN, pytest_of_users, really_python
from tests.docs.shell import Bash, bash
from tests.docs.worlds import lay_out, world

WITH_EXAMPLES = [page for page in PAGES if blocks(page)]
IN_SANDBOX = [page for page in PAGES if any(in_sandbox(block, blocks(page)) for block in blocks(page))]
NOT_RUN = {
    "hcl": "Packer's language",
    "text": "no code: what is printed, or a list of files",
    "": "no code: a list of files",
}
"""By language, with the reason. What is in them is listed below."""
ACTIONS = {
    "actions/checkout",
    "actions/setup-node",
    "actions/setup-python",
    "actions/upload-artifact",
    "aws-actions/configure-aws-credentials",
}


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_the_examples_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = blocks(page)
    with bash({**RUN, **CHECKED}) as shell, world(page, tmp_path) as names:
        for block in found:
            if block.file or not in_sandbox(block, found):
                run(block, names, shell)


@pytest.mark.sandbox
@pytest.mark.parametrize("page", IN_SANDBOX)
def test_the_examples_of_a_page_run_in_the_sandbox(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    lay_out(page, tmp_path)
    found, printed = blocks(page), ""
    names: dict[str, Any] = {"amibake": amibake}
    with bash({"python": really_python, "pytest": pytest_of_users}) as shell:
        for block in found:
            if block.language == "text" and printed:
                assert block.text.strip() in printed, block.place
            printed = run(block, names, shell) if block.file or in_sandbox(block, found) else ""


def test_what_is_not_run_is_known() -> None:
    left = [block for page in PAGES for block in blocks(page) if block.language in NOT_RUN]
    assert [(block.page, block.language, block.text.splitlines()[0]) for block in left] == [
        ("docs/architecture.md", "", "amibake/"),
        ("docs/coming-from-packer.md", "hcl", 'source "amazon-ebs" "web" {'),
        ("docs/how-to/node-mirror.md", "text", "index.tab"),
        ("docs/tutorial.md", "text", "Hello from an immutable image."),
    ]


def test_what_runs_in_the_sandbox_only_is_known() -> None:
    left = [block for page in PAGES for block in blocks(page) if in_sandbox(block, blocks(page)) and not block.file]
    assert [(block.page, block.text.splitlines()[0]) for block in left] == [
        ("README.md", "from amibake.sandbox import LocalCloud"),
        ("docs/how-to/testing.md", "pytest -q -m sandbox"),
        ("docs/tutorial.md", "python try.py"),
    ]


def test_every_program_of_a_page_is_run_by_a_later_example() -> None:
    for page in PAGES:
        found = blocks(page)
        for number, block in enumerate(found):
            if block.file and block.language == "python":
                stem, later = Path(block.file).stem, "".join(one.text for one in found[number + 1 :])
                assert stem in later or (stem.startswith("test_") and "pytest" in later), block.place


def test_every_test_of_a_page_is_in_a_file_that_is_run_and_not_only_defined() -> None:
    left = [block for page in PAGES for block in blocks(page) if block.language == "python" and not block.file]
    assert [block.place for block in left if "def test_" in block.text] == []


def run(block: Block, names: dict[str, Any], shell: Bash) -> str:
    """Run it, by its language. Answers with what it has printed, where it is for the shell."""
    if block.file:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text)
    elif block.language == "python":
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)
    elif block.language == "sh":
        return run_shell(block.text, block.place, shell)
    elif block.language == "yaml":
        run_workflow(block, shell)
    elif block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.language == "json":
        assert json.loads(block.text)
    else:
        assert block.language in NOT_RUN, block.place
    return ""


def run_shell(text: str, place: str, shell: Bash, environment: dict[str, str] | None = None) -> str:
    """Run it to its end, which is to be a good one."""
    done = shell.run(text, environment)
    assert done.returncode == 0, f"{place}\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_workflow(block: Block, shell: Bash) -> None:
    """Run what a workflow of GitHub's runs, in its order."""
    for job in yaml.safe_load(block.text)["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                run_shell(step["run"], block.place, shell, {**job.get("env", {}), **step.get("env", {})})
            else:
                assert step["uses"].partition("@")[0] in ACTIONS
