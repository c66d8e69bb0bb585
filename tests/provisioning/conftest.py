"""A machine for the scripts to run on: a home, a root directory, and commands that record their calls."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROVISIONING = Path(__file__).parents[2] / "provisioning"

RECORDED = ("apt-get", "chown", "dpkg-query", "nginx", "npm", "service", "sleep", "update-rc.d")

RECORD = """\
printf '%s\\n' "${0##*/} $*" >>"$MACHINE/calls"
if [ -e "$MACHINE/fail/${0##*/}" ]; then
  echo "${0##*/} is out of order" >&2
  exit 9
fi
"""

BODIES = {
    # What root writes to the system's directories goes to the machine's.
    "sudo": """\
args=()
for arg in "$@"; do
  case $arg in /etc/* | /var/* | /run/*) arg=$MACHINE/root$arg ;; esac
  args+=("$arg")
done
exec "${args[@]}"
""",
    "uname": "cat $MACHINE/uname\n",
    # Where apt is busy, it is so as many times as this file has lines.
    "apt-get": """\
if [ -s "$MACHINE/apt-busy" ]; then
  sed -i 1d "$MACHINE/apt-busy"
  echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)" >&2
  exit 100
fi
""",
    "dpkg-query": '[ ! -e "$MACHINE/listchanges" ] || echo "install ok installed"\n',
    # file:// is copied; anything else is the site, which answers with the status in this file.
    "curl": """\
printf '%s\\n' "curl $*" >>"$MACHINE/calls"
while [ $# -gt 1 ]; do
  if [ "$1" = -o ]; then output=$2; fi
  shift
done
case $1 in
  file://*) cp "${1#file://}" "$output" ;;
  *) cat "$MACHINE/status" ;;
esac
""",
    "npm": """\
if [ "$1" = -v ]; then cat "$MACHINE/npm-version"; exit; fi
printf 'in %s\\n' "$PWD" >>"$MACHINE/calls"
if [ "$2" = -g ]; then exit; fi
mkdir -p node_modules/express && echo installed >>node_modules/express/index.js
""",
    # Its programs compare two manifests (here: byte by byte) or copy one without its scripts.
    "node": """\
case $1 in
  -v) echo v20.11.1 ;;
  -e) case $2 in *writeFileSync*) cp "$3" "$4" ;; *) cmp -s "$3" "$4" ;; esac ;;
esac
""",
}


@dataclass
class Machine:
    """Somewhere to run `primal` and `carnivore` on, without root and without touching this one."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def root(self) -> Path:
        """What is / to the commands that are run with sudo."""
        return self.path / "root"

    @property
    def calls(self) -> list[str]:
        """Every recorded call so far: the command and its arguments, one line each."""
        log = self.path / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def forget(self) -> None:
        (self.path / "calls").unlink(missing_ok=True)

    def command(self, name: str, body: str) -> None:
        script = self.path / "bin" / name
        script.write_text(f"#!/bin/bash\n{body}")
        script.chmod(0o755)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the machine, its directories included."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, script: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", PROVISIONING / script],
            env={
                "HOME": str(self.home),
                "MACHINE": str(self.path),
                "PATH": f"{self.path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
                "TMPDIR": str(self.path / "tmp"),
                **self.environment,
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run_well(self, script: str, environment: Mapping[str, str] | None = None) -> str:
        done = self.run(script, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def upload(self) -> None:
        """Upload the application, as it is before every run of carnivore."""
        self.write("appserver/package.json", (PROVISIONING / "mailtube/package.json").read_text())
        self.write("appserver/cluster.js", "")
        self.write("appserver/deploy/env/staging.json", "the staging secrets")
        self.write("appserver/deploy/env/production.json", "the production secrets")

    def publish_node(self, version: str, platform: str = "linux-x64", extension: str = "tar.gz") -> Path:
        """Put a node of this version on the mirror; its archive's path is returned."""
        name = f"node-{version}-{platform}"
        body = (self.path / "bin/node").read_bytes()
        archive = self.path / "mirror" / version / f"{name}.{extension}"
        archive.parent.mkdir(parents=True, exist_ok=True)
        # gzip whatever it is called: the test's machine may have no xz, and tar looks at the content.
        with tarfile.open(archive, "w:gz") as tar:
            entry = tarfile.TarInfo(f"{name}/bin/node")
            entry.size, entry.mode = len(body), 0o755
            tar.addfile(entry, io.BytesIO(body))
        with (archive.parent / "SHASUMS256.txt").open("a") as sums:
            sums.write(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
        return archive

    def publish_index(self, *rows: tuple[str, str, str]) -> None:
        """Write the mirror's index.tab; a row is version, platforms, name of the long-term support or "-"."""
        lines = ["version\tdate\tfiles\tnpm\tv8\tuv\tzlib\topenssl\tmodules\tlts\tsecurity"]
        lines += [f"{version}\t-\t{files}\t-\t-\t-\t-\t-\t-\t{lts}\t-" for version, files, lts in rows]
        self.write("mirror/index.tab", "\n".join(lines) + "\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    for directory in ("home", "bin", "tmp", "fail", "root/etc/init.d", "root/var/lib/apt/lists", "root/var/log/nginx"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "root/etc/nginx/sites-enabled").mkdir(parents=True)
    for name in {*RECORDED, *BODIES}:
        machine.command(name, (RECORD if name in RECORDED else "") + BODIES.get(name, ""))
    machine.write("uname", "x86_64\n")
    machine.write("npm-version", "10.8.2\n")
    machine.write("status", "200")
    return machine


@pytest.fixture
def primal(machine: Machine) -> Machine:
    """A machine on which primal can run, with node from a mirror that has two versions."""
    shutil.copytree(PROVISIONING / "mailtube", machine.path / "mailtube")
    machine.publish_index(("v20.11.1", "linux-arm64,linux-x64", "Iron"), ("v0.10.48", "linux-x64", "-"))
    machine.publish_node("v20.11.1")
    machine.environment |= {
        "INSTANCE_USER": "admin",
        "MAILTUBE_UPLOAD": str(machine.path / "mailtube"),
        "NODE_VERSION": "20",
        "NODE_SOURCE": "tarball",
        "NODE_MIRROR": f"file://{machine.path}/mirror",
    }
    return machine


@pytest.fixture
def carnivore(machine: Machine) -> Machine:
    """A machine on which carnivore can run: what primal leaves, and an uploaded application."""
    shutil.copytree(PROVISIONING / "mailtube", machine.home / "app/mailtube")
    machine.write("home/app/precache/node_modules/express/index.js", "precached\n")
    machine.write("home/.node/v20.11.1/bin/node", (machine.path / "bin/node").read_text()).chmod(0o755)
    (machine.home / ".node/current").symlink_to("v20.11.1")
    machine.upload()
    machine.environment |= {
        "INSTANCE_USER": "admin",
        "APPSERVER_UPLOAD": str(machine.path / "appserver"),
        "NGINX_WORKERS": "3",
        "SERVER_NAME": "ponyfoo.com",
        "NODE_ENV": "staging",
        "NAME": "ponyfoo-staging",
    }
    return machine
