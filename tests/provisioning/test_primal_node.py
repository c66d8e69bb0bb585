"""How primal gets node: from a mirror's archive, or through nvm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.provisioning.conftest import Machine

INSTALLER = """\
{
  echo "install.sh NODE_VERSION=${NODE_VERSION-unset} PROFILE=$PROFILE NVM_DIR=$NVM_DIR"
  echo "bashrc $(cat $HOME/.bashrc)"
} >>"$MACHINE/calls"
cat >"$NVM_DIR/nvm.sh" <<'NVM'
false  # nvm is not written for errexit,
: $UNSET  # nor for nounset
nvm() {
  echo "nvm $* mirror=${NVM_NODEJS_ORG_MIRROR-unset} prefix=${PREFIX-unset}" >>"$MACHINE/calls"
  [ ! -e "$MACHINE/fail/nvm-$1" ] || return 3
  mkdir -p "$NVM_DIR/versions/$2/bin"
  cp "$MACHINE/bin/node" "$NVM_DIR/versions/$2/bin/node"
  PATH=$NVM_DIR/versions/$2/bin:$PATH
}
false
NVM
"""


@pytest.fixture
def nvm(primal: Machine) -> Machine:
    """A machine on which primal gets node from a stand-in for nvm that records its calls."""
    installer = primal.write("install.sh", INSTALLER)
    primal.environment |= {"NODE_SOURCE": "nvm", "NVM_INSTALL_URL": f"file://{installer}"}
    return primal


def test_refuses_an_unknown_source_of_node(primal: Machine) -> None:
    done = primal.run("primal", {"NODE_SOURCE": "apt"})
    assert done.returncode == 1
    assert "NODE_SOURCE is apt: it can be nvm or tarball" in done.stderr


@pytest.mark.parametrize(
    ("asked", "machine_is", "version"),
    [
        ("20", "x86_64", "v20.9.0"),
        ("v20", "x86_64", "v20.9.0"),
        ("20.9", "x86_64", "v20.9.0"),
        ("v20.8.1", "x86_64", "v20.8.1"),
        ("20", "aarch64", "v20.10.0"),
        ("0.10", "x86_64", "v0.10.48"),
        ("2", "x86_64", "v2.5.0"),
        ("lts/*", "x86_64", "v22.1.0"),
        ("lts/iron", "x86_64", "v20.9.0"),
    ],
)
def test_takes_the_newest_node_that_matches(primal: Machine, asked: str, machine_is: str, version: str) -> None:
    primal.write("uname", machine_is)
    platform = "linux-arm64" if machine_is == "aarch64" else "linux-x64"
    primal.publish_index(
        ("v23.0.0", "linux-x64", "-"),
        ("v20.8.1", "linux-x64", "Iron"),
        ("v22.1.0", "linux-x64", "Jod"),
        ("v20.10.0", "linux-arm64,linux-x86", "Iron"),
        ("v20.9.0", "linux-arm64,linux-x64", "Iron"),
        ("v2.5.0", "linux-x64", "-"),
        ("v0.10.9", "linux-x64", "-"),
        ("v0.10.48", "linux-x64", "-"),
    )
    primal.publish_node(version, platform)
    primal.run_well("primal", {"NODE_VERSION": asked})
    assert (primal.home / ".node/current").readlink() == Path(version)


def test_prefers_the_smaller_archive(primal: Machine) -> None:
    primal.publish_node("v20.11.1", extension="tar.xz")
    primal.run_well("primal")
    assert any(call.endswith("/v20.11.1/node-v20.11.1-linux-x64.tar.xz") for call in primal.calls)


def test_refuses_a_node_that_is_not_what_its_checksum_says(primal: Machine) -> None:
    archive = primal.publish_node("v20.11.1", extension="tar.xz")
    archive.write_bytes(archive.read_bytes() + b"!")
    done = primal.run("primal")
    assert done.returncode == 1
    assert "node-v20.11.1-linux-x64.tar.xz has SHA-256 " in done.stderr
    assert "the step 'nodejs' failed" in done.stderr
    assert not (primal.home / ".node").exists()


def test_refuses_a_node_without_a_checksum(primal: Machine) -> None:
    primal.write("mirror/v20.11.1/SHASUMS256.txt", "0000  node-v20.11.1-linux-arm64.tar.gz\n")
    done = primal.run("primal")
    assert done.returncode == 1
    assert "SHASUMS256.txt has no line for node-v20.11.1-linux-x64.tar" in done.stderr


def test_says_what_the_mirror_does_not_have(primal: Machine) -> None:
    done = primal.run("primal", {"NODE_VERSION": "18"})
    assert done.returncode == 1
    assert "index.tab has no node 18 for linux-x64" in done.stderr


def test_says_that_there_is_no_node_for_an_architecture(primal: Machine) -> None:
    primal.write("uname", "mips64")
    done = primal.run("primal")
    assert done.returncode == 1
    assert "there is no node for this architecture: mips64" in done.stderr


def test_recovers_from_an_unpacking_that_was_cut_short(primal: Machine) -> None:
    primal.write("home/.node/unpacking/bin/half", "")
    primal.run_well("primal")
    assert [path.name for path in (primal.home / ".node/current/bin").iterdir()] == ["node"]


def test_an_interactive_shell_finds_node(primal: Machine) -> None:
    primal.run_well("primal")
    shell = subprocess.run(
        ["bash", "--rcfile", primal.home / ".bashrc", "-ic", "command -v node"],
        env={"HOME": str(primal.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.stdout.strip() == f"{primal.home}/.node/current/bin/node"


def test_nvm_installs_node_and_makes_it_the_default(nvm: Machine) -> None:
    nvm.run_well("primal")
    line = "[[ -s $HOME/.nvm/nvm.sh ]] && . $HOME/.nvm/nvm.sh"
    assert [call for call in nvm.calls if call.startswith(("install.sh", "bashrc", "nvm"))] == [
        f"install.sh NODE_VERSION=unset PROFILE=/dev/null NVM_DIR={nvm.home}/.nvm",
        f"bashrc {line}",
        f"nvm install 20 mirror={nvm.environment['NODE_MIRROR']} prefix=unset",
        f"nvm alias default 20 mirror={nvm.environment['NODE_MIRROR']} prefix=unset",
    ]
    assert (nvm.home / ".bashrc").read_text() == f"{line}\n"
    assert (nvm.home / ".node/current/bin/node").exists()


def test_nvm_uses_its_own_mirror_unless_told_otherwise(nvm: Machine) -> None:
    nvm.run_well("primal", {"NODE_MIRROR": "", "PREFIX": "/opt"})
    assert "nvm install 20 mirror=unset prefix=unset" in nvm.calls


def test_nvm_comes_from_its_tag_on_github(primal: Machine) -> None:
    primal.command("curl", 'echo "curl ${!#}" >>"$MACHINE/calls"; exit 22\n')
    done = primal.run("primal", {"NODE_SOURCE": "", "NVM_VERSION": "v0.40.6"})
    assert done.returncode == 22
    assert primal.calls[-1] == "curl https://raw.githubusercontent.com/nvm-sh/nvm/v0.40.6/install.sh"
    assert "the step 'nodejs' failed" in done.stderr


@pytest.mark.parametrize(("broken", "status"), [("nvm-install", 3), ("nvm-alias", 3)])
def test_a_failing_nvm_fails_the_bake(nvm: Machine, broken: str, status: int) -> None:
    nvm.write(f"fail/{broken}", "")
    done = nvm.run("primal")
    assert done.returncode == status
    assert "the step 'nodejs' failed" in done.stderr


def test_a_failing_installer_of_nvm_fails_the_bake(nvm: Machine) -> None:
    nvm.write("install.sh", "exit 4\n")
    done = nvm.run("primal")
    assert done.returncode == 4
    assert "the step 'nodejs' failed" in done.stderr
