"""What the tests in the sandbox share besides their fixtures."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import amibake
from amibake import waiting
from amibake.sandbox import LocalCloud
from amibake.ssh.connect import connect
from amibake.ssh.host import SSHHost
from amibake.ssh.keys import KeyPair

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
SYSVINIT = amibake.ImageFilter(owners=("136693071363",), name="debian-12-sysvinit-*")


def primal(cloud: LocalCloud, source_ami: amibake.ImageFilter, node_version: str, *, app: str) -> amibake.Image:
    return amibake.build_primal(
        app=app,
        package_json=EXAMPLES / "express-app/package.json",
        source_ami=source_ami,
        instance_type="t3.micro",
        node_version=node_version,
        node_source="tarball",
        node_mirror=cloud.node_mirror,
        session=cloud.session,
    )


def carnivore(cloud: LocalCloud, source: amibake.Image, appserver: Path, **options: object) -> amibake.Image:
    # Where npm would be asked, it could not be reached.
    unreachable = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_fetch_retries": "0"}
    return amibake.build_carnivore(
        **{  # type: ignore[arg-type]
            "source_ami": source.id,
            "app": source.tags["amibake:app"],
            "appserver": appserver,
            "node_env": "staging",
            "server_name": "shop.test",
            "nginx_workers": 2,
            "instance_type": "t3.micro",
            "environment_vars": unreachable,
            "session": cloud.session,
            **options,
        }
    )


@dataclass(frozen=True)
class Box:
    """A launched instance, with a shell on it for looking, never for starting anything."""

    instance: amibake.Instance
    host: SSHHost
    key: KeyPair

    def sh(self, command: str, given: str = "") -> str:
        """What this prints, with `given` as its input; it has to succeed."""
        done = self.host.run(command, input=given.encode(), capture=True, timeout=60)
        assert done.status == 0, f"{command}: {done}"
        return done.stdout.strip()


@contextmanager
def login(address: str, key: KeyPair) -> Iterator[SSHHost]:
    with connect(
        address, username="admin", key=key, deadline=waiting.Deadline(300), emit=lambda _: None, timeout=60
    ) as host:
        yield host


def get(url: str, *, patience: float = 60) -> str:
    """GET from a machine that may just be booting; answers with the body of a 200."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                body: str = answer.read().decode()
                return body
        except OSError:
            if time.monotonic() > until:
                raise
            waiting.clock.sleep(0.1)
