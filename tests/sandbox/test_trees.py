"""Removing directories, many files at a time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from amibake.sandbox.trees import remove_tree


def test_removes_a_directory_with_all_that_is_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for number in range(40):
        deep = tree / str(number) / "of" / "three"
        deep.mkdir(parents=True)
        for name in range(40):
            (deep / f"file-{name}").touch()
    (tree / "fifo").parent.mkdir(exist_ok=True)
    os.mkfifo(tree / "fifo")
    (tree / "dangling").symlink_to("nowhere")
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_leaves_alone_what_links_lead_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "directory").mkdir(parents=True)
    (outside / "directory" / "kept").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "to-directory").symlink_to(outside / "directory")
    (tree / "to-file").symlink_to(outside / "directory" / "kept")
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "directory" / "kept").exists()


def test_a_link_in_place_of_a_directory_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody swaps a directory for a link between a look at it and its removal."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    for directory in (outside, tree / "swapped"):
        directory.mkdir(parents=True)
        (directory / "file").touch()
    unlink = os.unlink

    def swap(name: str, **options: int) -> None:
        if name == "file" and not (tree / "swapped").is_symlink():
            (tree / "swapped").rename(tree / "elsewhere")
            (tree / "swapped").symlink_to(outside)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", swap)
    remove_tree(tree)
    assert not tree.exists()
    assert (outside / "file").exists()


def test_a_file_does_not_wait_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    for number in range(4):
        (tree / str(number)).mkdir(parents=True)
        (tree / str(number) / "file").touch()
    met, unlink = threading.Barrier(4), os.unlink

    def wait_for_the_others(name: str, **options: int) -> None:
        if name == "file":
            met.wait(timeout=60)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", wait_for_the_others)
    remove_tree(tree)
    assert not met.broken
    assert not tree.exists()


def test_what_cannot_be_removed_is_an_error_unless_it_is_to_be_ignored(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "missing")
    remove_tree(tmp_path / "missing", ignore_errors=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError):
        remove_tree(file)
    assert file.exists()


@pytest.mark.parametrize("already", [0, 1])
def test_where_no_thread_can_be_started_it_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, already: int
) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def refuse(thread: threading.Thread) -> None:
        if len(started) == already:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    for number in range(40):
        (tmp_path / "tree" / str(number)).mkdir(parents=True)
        (tmp_path / "tree" / str(number) / "file").touch()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
