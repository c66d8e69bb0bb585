"""What the scripts install, and the example application, looked at by themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.provisioning.conftest import Machine

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "provisioning"
EXAMPLE = ROOT / "examples/express-app"


def shellcheck(file: Path, dialect: str = "bash") -> str:
    """What shellcheck has to say, "" when nothing."""
    tool = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert tool, "shellcheck comes with the dev extra"
    return subprocess.run([tool, "-s", dialect, file], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("script", ["primal", "carnivore"])
def test_the_scripts_are_run_by_bash(script: str) -> None:
    assert (PROVISIONING / script).read_text().startswith("#!/bin/bash\n")
    assert os.access(PROVISIONING / script, os.X_OK)


def test_what_primal_installs_passes_shellcheck(primal: Machine) -> None:
    primal.run_well("primal")
    assert shellcheck(primal.root / "etc/init.d/primal-network", "sh") == ""


def test_what_carnivore_installs_passes_shellcheck(carnivore: Machine) -> None:
    carnivore.run_well("carnivore")
    assert shellcheck(carnivore.root / "etc/init.d/ponyfoo-staging", "sh") == ""
    assert shellcheck(carnivore.home / "app/start") == ""


class Network:
    """The init script that primal installs, with an iptables that is a list of rules in a file."""

    IPTABLES = """\
rules=$MACHINE/rules.${0##*/}
[ ! -e "$MACHINE/fail/${0##*/}" ] || exit 3
action=$3
shift 3
case $action in
  -C) grep -qxF -- "$*" "$rules" ;;
  -A) echo "$*" >>"$rules" ;;
  -D) sed -i 1d "$rules" ;;
esac 2>/dev/null
"""
    RULE = "PREROUTING -p tcp --dport 80 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 8080"

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.run_well("primal")
        for name in ("iptables", "ip6tables"):
            machine.command(name, self.IPTABLES)
        machine.command("sysctl", 'echo "sysctl $*" >>"$MACHINE/calls"; [ ! -e "$MACHINE/fail/sysctl" ]\n')
        script = machine.root / "etc/init.d/primal-network"
        self.script = script.read_text().replace("PATH=/usr/sbin", f"PATH={machine.path}/bin:/usr/sbin")

    def __call__(self, action: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", self.script, "primal-network", action],
            env={"MACHINE": str(self.machine.path)},
            capture_output=True,
            text=True,
            check=False,
        )

    def rules(self, command: str = "iptables") -> list[str]:
        file = self.machine.path / f"rules.{command}"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def network(primal: Machine) -> Network:
    return Network(primal)


def test_the_network_service_adds_its_rule_once_and_takes_it_away(network: Network) -> None:
    assert network("status").returncode == 3
    for action in ("start", "start", "restart", "force-reload"):
        assert network(action).returncode == 0
        assert network.rules() == network.rules("ip6tables") == [network.RULE]
    assert network("status").returncode == 0
    assert network("stop").returncode == 0
    assert network.rules() == network.rules("ip6tables") == []
    assert "sysctl -q -p /etc/sysctl.d/60-primal.conf" in network.machine.calls


def test_the_network_service_takes_all_away_that_was_added_twice(network: Network) -> None:
    network.machine.write("rules.iptables", f"{network.RULE}\n" * 2)
    assert network("stop").returncode == 0
    assert network.rules() == []


def test_the_network_service_does_without_ipv6(network: Network) -> None:
    network.machine.write("fail/ip6tables", "")
    assert network("restart").returncode == 0
    assert network.rules() == [network.RULE]


def test_the_network_service_redirects_even_where_settings_are_refused(network: Network) -> None:
    network.machine.write("fail/sysctl", "")
    done = network("start")
    assert done.returncode == 0
    assert "not all of 60-primal.conf could be applied" in done.stderr
    assert network.rules() == [network.RULE]


def test_the_network_service_fails_without_iptables(network: Network) -> None:
    network.machine.write("fail/iptables", "")
    assert network("start").returncode != 0


def test_the_network_service_knows_its_verbs(network: Network) -> None:
    done = network("retart")
    assert done.returncode == 2
    assert "Usage:" in done.stderr


def test_init_scripts_say_when_they_start(primal: Machine) -> None:
    primal.run_well("primal")
    service = (PROVISIONING / "mailtube/init.d/appserver.conf").read_text()
    network = (primal.root / "etc/init.d/primal-network").read_text()
    for script in (service, network):
        assert re.search(r"### BEGIN INIT INFO\n(# .*\n)+### END INIT INFO\n", script)
        assert "# Default-Start:     2 3 4 5\n" in script
    assert re.search(r"# Should-Start: .*\bprimal-network nginx\n", service)


@pytest.mark.parametrize("manifest", [PROVISIONING / "mailtube/package.json", EXAMPLE / "package.json"])
def test_manifests_are_private_and_ask_for_express(manifest: Path) -> None:
    package = json.loads(manifest.read_text())
    assert package["private"] is True
    assert list(package["dependencies"]) == ["express"]


def test_the_example_has_the_secrets_of_both_environments() -> None:
    for environment in ("staging", "production"):
        secrets = json.loads((EXAMPLE / f"deploy/env/{environment}.json").read_text())
        assert secrets["SESSION_SECRET"] == f"not-a-secret-{environment}"


def test_the_example_runs_on_the_node_of_the_article() -> None:
    for script in EXAMPLE.glob("*.js"):
        assert not re.search(r"\b(const|let|class|async|await)\s|=>|`\$", script.read_text()), script
