"""A user's program, for type checkers alone: they look at it, nothing runs it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import assert_type

import boto3

import amibake
from amibake import events
from amibake.testing import Bakery, bakery


class Own:
    """Has what a provisioner needs."""

    def check(self) -> None:
        pass

    def provision(self, host: amibake.Host) -> None:
        done = host.run("id", capture=True, environment={"A": "b", "SECRET": amibake.Secret("s")}, timeout=5)
        assert_type(done.status, int)
        host.put(b"x", "/tmp/x", mode=0o600)
        host.get("/var/log", Path("logs"))


class Noted(amibake.Step):
    """With the options that all have."""

    def provision(self, host: amibake.Host) -> None:
        host.emit(events.Warned("noted"))


def tell(event: events.Event) -> None:
    if isinstance(event, events.Uploading):
        assert_type(event.total, int | None)
    if isinstance(event, events.StepFinished):
        assert_type(event.seconds, float)


def main(session: boto3.Session) -> str:
    builder = amibake.Builder(
        ami_name="shop {{timestamp}}",
        source_ami=amibake.ImageFilter(owners=["self"], filters={"name": "base-*"}),
        instance_type="t3.micro",
        metadata_options={"http_tokens": "required"},
    )
    steps = [amibake.File("app/", "/srv/app/"), amibake.Shell(inline=["true"], sudo=True)]
    amibake.bake(builder, [*steps, Own(), Noted(name="note")], session=session, on_event=tell, on_error="keep")
    primal = amibake.build_primal(app="shop", node_version="22", instance_type="t3.micro", cancel=threading.Event())
    assert_type(primal, amibake.Image)
    assert_type(primal.ids["us-east-1"], str)
    assert_type(primal.timings["stop the builder"], float)
    assert_type(amibake.find_image(app="shop"), amibake.Image | None)
    assert_type(amibake.find_images(app="shop"), list[amibake.Image])
    with amibake.launch(primal, instance_type="t3.micro") as instance:
        assert_type(instance.public_ip, str)
    try:
        amibake.build_carnivore(primal.id, Path("app"), node_env="production", server_name="shop.test")
    except amibake.ScriptFailed as error:
        assert_type(error.status, int)
        assert_type(error.tail, tuple[str, ...])
    except amibake.AmibakeError as error:
        assert_type(error.leftovers, tuple[str, ...])
    assert_type(amibake.sweep(regions=["us-east-1"], dry_run=True), amibake.Sweep)
    return primal.name


def test_primal(bakery: Bakery) -> None:
    bakery.script("primal").exits(3, stderr="npm ERR!")
    assert_type(bakery.last.script("primal").environment["A"], str)
    assert_type(bakery.last.upload("/srv/x").text(), str)
    assert_type(bakery.leftovers, list[str])


with bakery(region="eu-west-1") as there:
    assert_type(there, Bakery)
