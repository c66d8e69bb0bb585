"""`python -m amibake.sandbox`: keep a local EC2 up, make ready what it needs, remove what killed ones left."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from amibake.errors import AmibakeError
from amibake.interrupts import Interrupted, interruptible, opened
from amibake.sandbox.base import BASES
from amibake.sandbox.cache import cache_directory
from amibake.sandbox.cloud import LocalCloud
from amibake.sandbox.mirror.releases import DEFAULT_VERSIONS, parse_version
from amibake.sandbox.owner import Worker


def main(arguments: Sequence[str], program: str = "python -m amibake.sandbox") -> int:
    """Run a command; answers with its exit status. `program` is what it is called in the help."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["up", *arguments]
    options = _parser(program).parse_args(arguments)
    try:
        with interruptible(ends_process=False), opened():
            options.run(options)
    except AmibakeError as error:
        _say(f"amibake.sandbox: {error}")
        return error.exit_code
    except KeyboardInterrupt as interruption:
        return interruption.exit_code if isinstance(interruption, Interrupted) else 130
    return 0


def _up(options: argparse.Namespace) -> None:
    versions = options.node or DEFAULT_VERSIONS
    with LocalCloud(
        options.region, port=options.port, progress=_say, node_versions=versions, engine=options.engine
    ) as cloud:
        for name, value in cloud.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
        _say(f"local EC2 {cloud.id} is up in {options.region}; its instances find node at {cloud.node_mirror}")
        _say("The lines above, in another shell, make any EC2 client use it. Ctrl-C ends it.")
        cloud.wait()


def _prepare(options: argparse.Namespace) -> None:
    versions = [parse_version(version) for version in options.node or DEFAULT_VERSIONS]
    done = _work("prepare", bases=options.base or list(BASES), node_versions=versions)
    _say(f"ready: {' and '.join(done['bases'])}, node {' and '.join(done['releases'])}")


def _clean(_: argparse.Namespace) -> None:
    removed = _work("clean")["removed"]
    _say(f"removed {', '.join(removed)}" if removed else "nothing to remove: no cloud was killed")


def _work(task: str, **options: object) -> dict[str, Any]:
    worker = Worker({"task": task, "cache": str(cache_directory()), **options}, root=True, progress=_say)
    try:
        return worker.result()
    finally:
        with contextlib.suppress(AmibakeError):  # what went wrong was in the result
            worker.stop()


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="EC2 on this machine.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    up = commands.add_parser("up", help="keep one up until Ctrl-C; standard output: what points other programs at it")
    up.set_defaults(run=_up)
    up.add_argument("--port", type=int, default=0, help="of the endpoint on 127.0.0.1 (default: a free one)")
    up.add_argument("--region", default="us-east-1", help="where the base images are (default: %(default)s)")
    up.add_argument("--engine", choices=("podman", "none"), default="podman", help="none: the API alone, without root")
    prepare = commands.add_parser("prepare", help="make the base images and download node, so that later all is quick")
    prepare.set_defaults(run=_prepare)
    prepare.add_argument("--base", action="append", choices=BASES, help="only this base image; may be repeated")
    for command in (up, prepare):
        command.add_argument("--node", action="append", metavar="VERSION", help="of node; may be repeated")
    commands.add_parser("clean", help="remove what killed ones have left").set_defaults(run=_clean)
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:  # what LocalCloud and the commands here start; for whom, is for readers of `ps`
        from amibake.sandbox.worker import work

        work()
    sys.exit(main(sys.argv[1:]))
