"""What is loaded, and when: what a program does not use it does not pay for."""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import amibake
from amibake import loading
from amibake.testing import Place


def loaded_by(program: str) -> set[str]:
    """The top-level modules that are there once a program of its own has ended."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    listing = f"import sys\n{program}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True, env=plain)
    return set(done.stdout.split())


def test_options_are_checked_without_what_speaks_to_ec2_or_ssh() -> None:
    there = loaded_by("import amibake; amibake.Builder(ami_name='shop'); amibake.Shell(inline=['true'])")
    assert not there & {"boto3", "botocore", "paramiko", "cryptography", "tenacity", "asyncio"}


def test_baking_loads_neither_the_command_line_nor_a_stand_in_nor_what_only_others_use_of_paramiko() -> None:
    there = loaded_by("import amibake, amibake.ssh.connect, boto3; amibake.bake, amibake.build_primal, amibake.sweep")
    assert {"paramiko", "boto3"} <= there
    assert not there & {"rich", "typer", "moto", "pytest", "invoke", "unittest"}


def test_paramiko_is_left_to_be_loaded_while_ec2_answers() -> None:
    there = loaded_by("import amibake; amibake.bake, amibake.build_primal, amibake.sweep, amibake.launch")
    assert not there & {"paramiko", "nacl"}


def test_a_module_is_loaded_meanwhile_and_the_thread_that_does_it_ends(no_thread_left: None) -> None:
    program = """
        import threading
        from amibake.loading import meanwhile
        for name in ("colorsys", "colorsys", "no_such_module"):
            with meanwhile(name):
                pass
        assert threading.active_count() == 1
    """
    assert "colorsys" in loaded_by(dedent(program))


def test_what_is_wrong_with_a_module_that_is_loaded_meanwhile_is_raised_where_it_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_when_loaded.py").write_text("raise OSError('no entropy')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with loading.meanwhile("broken_when_loaded"), pytest.raises(OSError, match="no entropy"):
        importlib.import_module("broken_when_loaded")


def test_what_was_left_out_of_paramiko_is_there_when_a_program_uses_it() -> None:
    config = "Host a\\nMatch exec true\\n  User admin"
    asked = f"import paramiko; paramiko.SSHConfig.from_text('{config}').lookup('b')['user']"
    assert "invoke" in loaded_by(f"import amibake.ssh.library; {asked}")
    assert "invoke" in loaded_by(f"import invoke, amibake.ssh.library; {asked}")
    assert "invoke" in loaded_by("import amibake.ssh.library, invoke")


def test_no_client_is_made_that_is_not_needed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made, client = list[str](), place.session.client

    def making(service: str, **options: Any) -> Any:
        made.append(service)
        return client(service, **options)

    monkeypatch.setattr(place.session, "client", making)
    builder = amibake.Builder(source_ami=place.source_ami, instance_type="t3.micro", ami_name="shop")
    amibake.bake(builder, [amibake.Shell(inline=["true"])], session=place.session)
    assert made == ["ec2"]


def test_a_module_is_missing_for_one_thread_only_and_only_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[str]()

    def find() -> None:
        import colorsys

        found.append(colorsys.__name__)

    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    finders = list(sys.meta_path)
    with loading.later("colorsys") as module:
        with pytest.raises(ImportError, match="colorsys"):
            find()
        thread = threading.Thread(target=find)
        thread.start()
        thread.join()
    assert found == ["colorsys"]
    assert sys.meta_path == finders
    assert module is not None
    assert module.ONE_THIRD
    with loading.later("colorsys") as module:
        find()
    assert module is None


def test_what_another_thread_is_looking_for_meanwhile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, over, found = threading.Event(), threading.Event(), list[str]()

    class Slow:
        """A finder before all others, which is still looking when the block ends."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "colorsys":
                asked.set()
                over.wait(30)

    def find() -> None:
        with suppress(ImportError):
            found.append(importlib.import_module("colorsys").__name__)

    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    # and only one after it, which has it
    monkeypatch.setattr(sys, "meta_path", [Slow(), importlib.machinery.PathFinder])
    thread = threading.Thread(target=find)
    with loading.later("no_such_module"):
        thread.start()
        assert asked.wait(30)
    over.set()
    thread.join()
    assert found == ["colorsys"]


def test_the_garbage_collector_rests_while_much_is_made_and_then_works_as_before() -> None:
    with suppress(ValueError), loading.undisturbed():
        assert not gc.isenabled()
        raise ValueError("wrong")
    assert gc.isenabled()
    gc.disable()
    try:
        with loading.undisturbed():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_garbage_collector_works_in_a_process_that_is_forked_while_it_rests_for_another_thread() -> None:
    program = """
        import gc, os, threading
        from amibake.loading import undisturbed
        rests, over = threading.Event(), threading.Event()
        def load():
            with undisturbed():
                rests.set()
                over.wait()
        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        rests.wait()
        assert not gc.isenabled()
        child = os.fork()
        if not child:
            os._exit(gc.isenabled())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        over.set()
        thread.join()
        assert gc.isenabled()
    """
    loaded_by(dedent(program))
