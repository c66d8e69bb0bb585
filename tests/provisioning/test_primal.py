from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.provisioning.conftest import Machine


def test_does_it_all_in_the_articles_order(primal: Machine) -> None:
    out = primal.run_well("primal")
    assert [line for line in out.splitlines() if line.startswith("primal: ")] == [
        "primal: checking the mailtube",
        "primal: installing packages",
        "primal: nginx",
        "primal: tweaking tcp, forwarding port 80 to 8080",
        "primal: nodejs",
        "primal: node v20.11.1, npm 10.8.2",
        "primal: precaching server dependencies",
        "primal: cleaning up",
    ]
    commands = [call.split()[0] for call in primal.calls if not call.startswith(("dpkg-query", "npm -v"))]
    assert commands == [
        *("apt-get", "apt-get", "chown", "update-rc.d", "update-rc.d", "service"),
        *("curl", "curl", "curl", "npm", "in", "apt-get"),
    ]


def test_installs_all_packages_in_one_transaction_that_asks_nothing(primal: Machine) -> None:
    primal.run_well("primal")
    update, install = (call for call in primal.calls if call.startswith("apt-get -q"))
    assert update.endswith(" update")
    assert " -y " in install
    assert "DPkg::Lock::Timeout=300" in install
    assert "--no-install-recommends" in install
    packages = set(install.rpartition("--no-install-recommends ")[2].split())
    assert {"git", "make", "g++", "graphicsmagick", "curl", "nginx", "iptables", "procps", "xz-utils"} <= packages
    assert "apt-listchanges-" not in packages


def test_fetches_no_list_that_nothing_reads(primal: Machine) -> None:
    primal.run_well("primal")
    update = next(call for call in primal.calls if call.endswith(" update"))
    assert " Acquire::Languages=none " in update
    assert " Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false " in update


def test_unpacks_no_documentation_but_licences_and_does_not_wait_for_the_disk(primal: Machine) -> None:
    primal.run_well("primal")
    install = next(call for call in primal.calls if " install " in call)
    told = [word.removeprefix("Dpkg::Options::=") for word in install.split() if word.startswith("Dpkg::Options::=")]
    assert "--force-unsafe-io" in told
    paths = [option for option in told if option.startswith("--path-")]
    assert "--path-exclude=/usr/share/man/*" in paths
    # the last one that matches decides
    assert paths.index("--path-exclude=/usr/share/doc/*") < paths.index("--path-include=/usr/share/doc/*/copyright")


def test_asks_npm_for_its_version_once(primal: Machine) -> None:
    primal.command("npm", 'echo "npm $*" >>"$MACHINE/calls"; [ "$1" != -v ] || echo 10.8.2\n')
    primal.run_well("primal")
    assert primal.calls.count("npm -v") == 1


def test_removes_apt_listchanges_where_it_is_installed(primal: Machine) -> None:
    primal.write("listchanges", "")
    primal.run_well("primal")
    assert any(call.endswith(" apt-listchanges-") for call in primal.calls)


def test_waits_for_another_apt(primal: Machine) -> None:
    primal.write("apt-busy", "\n\n\n")
    primal.run_well("primal")
    assert primal.calls.count("sleep 5") == 3


def test_gives_up_when_the_other_apt_never_ends(primal: Machine) -> None:
    primal.write("apt-busy", "\n" * 100)
    done = primal.run("primal")
    assert done.returncode == 100
    assert "the step 'installing packages' failed" in done.stderr
    assert primal.calls.count("sleep 5") == 60


def test_waits_until_cloud_init_is_done_whatever_it_says(primal: Machine) -> None:
    primal.command("cloud-init", 'echo "cloud-init $*" >>"$MACHINE/calls"; exit 2\n')
    primal.run_well("primal")
    assert primal.calls.index("cloud-init status --wait") < next(
        index for index, call in enumerate(primal.calls) if call.startswith("apt-get")
    )


def test_leaves_the_system_configured(primal: Machine) -> None:
    primal.run_well("primal")
    assert (primal.root / "etc/sysctl.d/60-primal.conf").read_text().splitlines() == [
        "net.ipv4.ip_forward = 1",
        "net.ipv4.tcp_slow_start_after_idle = 0",
    ]
    assert (primal.root / "etc/init.d/primal-network").stat().st_mode & 0o777 == 0o755
    assert f"chown -R admin {primal.root}/var/log/nginx" in primal.calls
    assert "update-rc.d nginx defaults" in primal.calls
    assert "update-rc.d primal-network defaults" in primal.calls
    assert "service primal-network restart" in primal.calls


def test_leaves_nothing_that_has_no_place_in_an_image(primal: Machine) -> None:
    primal.write("root/var/lib/apt/lists/deb.example_Packages", "")
    primal.write("home/.npm/_cacache/index", "")
    primal.write("home/.bash_history", "ls\n")
    primal.run_well("primal")
    assert list((primal.root / "var/lib/apt/lists").iterdir()) == []
    assert {path.name for path in primal.home.iterdir()} == {".node", ".bashrc", "app"}
    assert not (primal.path / "mailtube").exists()
    assert list((primal.path / "tmp").iterdir()) == []
    assert primal.calls[-1] == "apt-get clean"


@pytest.mark.parametrize(
    ("broken", "step"),
    [
        ("apt-get", "installing packages"),
        ("chown", "nginx"),
        ("update-rc.d", "nginx"),
        ("service", "tweaking tcp, forwarding port 80 to 8080"),
        ("npm", "nodejs"),
    ],
)
def test_says_which_step_failed_and_stops_there(primal: Machine, broken: str, step: str) -> None:
    primal.write(f"fail/{broken}", "")
    done = primal.run("primal")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"primal: the step '{step}' failed (line ")
    assert done.stderr.count("failed (line") == 1
    assert primal.calls[-1].startswith(broken)
    assert list((primal.path / "tmp").iterdir()) == []


def test_a_failing_npm_install_fails_the_precaching(primal: Machine) -> None:
    primal.command("npm", 'if [ "$1" = -v ]; then echo 10.8.2; else exit 1; fi\n')
    done = primal.run("primal")
    assert done.returncode == 1
    assert "the step 'precaching server dependencies' failed" in done.stderr


def test_runs_again_without_an_upload(primal: Machine) -> None:
    primal.run_well("primal")
    primal.forget()
    primal.run_well("primal")
    assert (primal.home / ".bashrc").read_text().count(".node/current") == 1
    assert [call for call in primal.calls if call.startswith("curl")] == [
        f"curl -fsSL --retry 3 -o {_curl_output(primal)} file://{primal.path}/mirror/index.tab"
    ], "the node of the first run is kept"


def test_runs_again_on_another_tube_without_mixing_the_two(primal: Machine) -> None:
    primal.write("mailtube/package-lock.json", "{}")
    primal.write("mailtube/old", "")
    primal.run_well("primal")
    assert (primal.home / "app/precache/package-lock.json").exists()
    primal.write("mailtube/package.json", '{"dependencies": {"koa": "2"}}')
    primal.run_well("primal")
    assert not (primal.home / "app/mailtube/old").exists()
    assert not (primal.home / "app/precache/package-lock.json").exists()
    assert "koa" in json.loads((primal.home / "app/precache/package.json").read_text())["dependencies"]


def test_refuses_a_tube_without_a_package_json(primal: Machine) -> None:
    (primal.path / "mailtube/package.json").unlink()
    done = primal.run("primal")
    assert done.returncode == 1
    assert f"no package.json in the mailtube ({primal.path}/mailtube)" in done.stderr
    assert primal.calls == []


@pytest.mark.parametrize(
    ("npm", "option"), [("1.4.29", "--production"), ("6.14.18", "--production"), ("7.0.0", "--omit=dev")]
)
def test_installs_without_what_is_for_development(primal: Machine, npm: str, option: str) -> None:
    primal.write("npm-version", f"{npm}\n")
    primal.run_well("primal")
    assert f"npm install {option} --no-audit --no-fund --no-update-notifier" in primal.calls
    assert f"in {primal.home}/app/precache" in primal.calls


def test_replaces_npm_only_when_asked(primal: Machine) -> None:
    primal.run_well("primal")
    assert not any("-g" in call.split() for call in primal.calls)
    primal.run_well("primal", {"NPM_VERSION": "10.9.0"})
    assert "npm install -g npm@10.9.0" in primal.calls


def _curl_output(machine: Machine) -> str:
    """Where the last index was downloaded to: in a directory of the run's own, which is gone."""
    call = next(call for call in machine.calls if call.startswith("curl"))
    return call.split()[5]
