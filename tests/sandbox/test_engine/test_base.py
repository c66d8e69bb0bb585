"""How base images are made, with stand-ins for the programs that make them. That they boot, test_boot shows."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amibake.errors import SandboxUnavailable
from amibake.sandbox import base, trust
from amibake.sandbox.base import debian_sources, ensure_base

MMDEBSTRAP = """#!/bin/sh
echo "$@" >>"$LOG"
[ -z "$FAIL" ] || { echo "E: $FAIL" >&2; exit 1; }
for target; do case $target in */draft-*) break ;; esac; done
mkdir -p "$target/etc/ssh" "$target/etc/sudoers.d" "$target/run"
echo '1:2345:respawn:/sbin/getty 38400 tty1' >"$target/etc/inittab"
touch "$target/etc/ssh/ssh_host_rsa_key" "$target/run/initctl"
"""
SOURCES = """http://mirror.example/debian/ bookworm main
http://mirror.example/debian/ bookworm contrib
http://mirror.example/debian/ bookworm-updates main
http://mirror.example/security/ bookworm-security main
http://elsewhere.example/ nodistro main
file:/media/cdrom/ bookworm main
"""

USER = """
import platform, sys
from pathlib import Path
from amibake.sandbox.base import ensure_base
platform.freedesktop_os_release = lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"}
print(ensure_base("systemd", Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for apt-get, apt-config, mmdebstrap and chroot; answers with the log of mmdebstrap's arguments."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (tmp_path / "sources").write_text(SOURCES)
    (tmp_path / "log").touch()
    scripts = {
        "apt-get": f"#!/bin/sh\ncat {tmp_path}/sources\n",
        "apt-config": "#!/bin/sh\necho 'Acquire::http::Proxy \"http://proxy.example/\";'\necho 'APT::Color \"1\";'\n",
        "mmdebstrap": MMDEBSTRAP,
        "chroot": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAIL", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    return tmp_path / "log"


def test_the_sources_are_apts_own(tools: Path) -> None:
    assert debian_sources() == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/debian/ bookworm-updates main",
        "deb http://mirror.example/security/ bookworm-security main",
    ]


def test_on_another_debian_its_mirrors_are_asked_for_bookworm(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools.parent / "sources").write_text(SOURCES.replace("bookworm", "trixie"))
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_CODENAME": "trixie"})
    assert "deb http://mirror.example/security/ bookworm-security main" in debian_sources()


def test_on_another_system_a_bookworm_source_does(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "ubuntu", "VERSION_CODENAME": "noble"})
    assert len(debian_sources()) == 3
    (tools.parent / "sources").write_text("http://mirror.example/ubuntu/ noble main\n")
    with pytest.raises(SandboxUnavailable, match="no mirror of Debian bookworm") as caught:
        debian_sources()
    assert "sources.list.d" in caught.value.hint


def test_without_apt_the_error_says_so(tools: Path) -> None:
    (tools.parent / "bin/apt-get").write_text("#!/bin/sh\necho 'E: broken' >&2; exit 100\n")
    with pytest.raises(SandboxUnavailable, match="E: broken"):
        debian_sources()


def test_a_base_is_made_once_and_again_when_the_mirrors_change(tools: Path, tmp_path: Path) -> None:
    said: list[str] = []
    cache = tmp_path / "cache"
    base = ensure_base("sysvinit", cache, progress=said.append)
    assert ensure_base("sysvinit", cache) == base
    arguments = tools.read_text().splitlines()
    assert len(arguments) == 1
    assert "sysvinit-core" in arguments[0]
    assert '--aptopt=Acquire::http::Proxy "http://proxy.example/";' in arguments[0]
    assert "deb http://mirror.example/debian/ bookworm main" in arguments[0]
    assert said[0] == "making the base image: Debian 12 (bookworm), sysvinit"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (tools.parent / "sources").write_text(SOURCES.replace("mirror", "other"))
    assert ensure_base("sysvinit", cache) != base


def test_a_base_has_no_secrets_no_prompts_and_the_first_boot_service(tools: Path, tmp_path: Path) -> None:
    base = ensure_base("sysvinit", tmp_path / "cache")
    assert not (base / "run/initctl").exists()
    assert list((base / "etc/ssh").iterdir()) == []
    assert (base / "etc/inittab").read_text().startswith("#1:2345:respawn:/sbin/getty")
    assert (base / "etc/init.d/amibake-firstboot").stat().st_mode & 0o111
    assert stat.S_IMODE((base / "etc/sudoers.d/90-cloud-init-users").stat().st_mode) == 0o440
    systemd = ensure_base("systemd", tmp_path / "cache")
    assert (systemd / "usr/lib/systemd/system/amibake-firstboot.service").exists()


def test_an_interrupted_build_is_not_taken_for_a_base(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trust, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_base("systemd", cache)
    assert not list(cache.glob("systemd-*"))
    (draft,) = cache.glob("draft-systemd-*")
    assert not (ensure_base("systemd", cache) / "half").exists()
    assert not draft.exists()


def test_an_older_base_goes_when_a_new_one_is_complete(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    older, other = cache / "sysvinit-0123456789ab", cache / "systemd-0123456789ab"
    for directory in (older, other):
        (directory / "etc").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setenv("FAIL", "Unable to locate mirror.example")
        with pytest.raises(SandboxUnavailable):
            ensure_base("sysvinit", cache)
    assert older.exists()
    base = ensure_base("sysvinit", cache)
    assert {path for path in cache.iterdir() if path.is_dir()} == {base, other}


def test_an_older_base_stays_while_somebody_uses_it(tools: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    user = [sys.executable, "-c", USER, str(cache)]
    with subprocess.Popen(user, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        used = Path(process.stdout.readline().strip())
        (tools.parent / "sources").write_text(SOURCES.replace("mirror", "second"))
        second = ensure_base("systemd", cache)
        assert (used / "etc").exists()
        process.communicate("")
    (tools.parent / "sources").write_text(SOURCES.replace("mirror", "third"))
    third = ensure_base("systemd", cache)
    assert not used.exists()
    assert second.exists(), "it is ours"
    assert third.exists()


def test_a_draft_goes_though_the_base_is_there(tools: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    base = ensure_base("systemd", cache)
    (cache / "draft-systemd/half").mkdir(parents=True)
    assert ensure_base("systemd", cache) == base
    assert not (cache / "draft-systemd").exists()


def test_a_mirror_that_fails_is_named(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIL", "Unable to locate mirror.example")
    with pytest.raises(SandboxUnavailable, match=r"Unable to locate mirror\.example") as caught:
        ensure_base("systemd", tmp_path / "cache")
    assert "apt-get update" in caught.value.hint


def test_root_is_needed(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SandboxUnavailable, match="made by root, with mmdebstrap"):
        ensure_base("systemd", tmp_path / "cache")


PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"


def test_added_certificates_are_those_in_the_local_directory(tmp_path: Path) -> None:
    local = tmp_path / "usr/local/share/ca-certificates/office"
    local.mkdir(parents=True)
    (local / "b.crt").write_text(f"# office\n{PEM.format('b1')}\n{PEM.format('b2')}\n")
    (local / "a.crt").write_text(PEM.format("a"))
    assert trust.host_certificates(tmp_path) == [PEM.format("a"), PEM.format("b1"), PEM.format("b2")]


def test_or_those_in_the_bundle_that_debian_does_not_ship(tmp_path: Path) -> None:
    assert trust.host_certificates(tmp_path) == []
    shipped = tmp_path / "usr/share/ca-certificates/mozilla"
    shipped.mkdir(parents=True)
    (shipped / "x.crt").write_text(PEM.format("x\ny"))
    (shipped / "readme.crt").write_text("none")
    bundle = tmp_path / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_text(f"{PEM.format('xy')}\n{PEM.format('mine')}\n")
    assert trust.host_certificates(tmp_path) == [PEM.format("mine")]


def test_proxies_registry_and_bundle_reach_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example/")
    monkeypatch.setenv("npm_config_registry", "http://npm.example/")
    lines = trust.host_environment(has_certificates=False)
    assert lines == ["npm_config_registry=http://npm.example/", "http_proxy=http://proxy.example/"]
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    assert f"npm_config_cafile={bundle}" in trust.host_environment(has_certificates=True)


def test_what_is_in_the_environment_passes_sudo(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "root/etc/sudoers.d").mkdir(parents=True)
    trust.install(tmp_path / "root", [PEM.format("a")], ["http_proxy=http://proxy.example/", "X=y"])
    assert (tmp_path / "root/etc/environment").read_text() == "http_proxy=http://proxy.example/\nX=y\n"
    assert 'env_keep += "http_proxy X"' in (tmp_path / "root/etc/sudoers.d/amibake-environment").read_text()
    assert "BEGIN" in (tmp_path / "root/usr/local/share/ca-certificates/amibake-host-1.crt").read_text()


def test_where_there_is_nothing_to_pass_on_nothing_is(tools: Path, tmp_path: Path) -> None:
    (tmp_path / "root/etc/sudoers.d").mkdir(parents=True)
    trust.install(tmp_path / "root", [], [])
    assert (tmp_path / "root/etc/environment").read_text() == ""
    assert not list((tmp_path / "root/etc/sudoers.d").iterdir())


def test_mirrors_may_be_listed_in_a_file(tmp_path: Path) -> None:
    """As in Debian's own cloud images."""
    listed = tmp_path / "debian.list"
    listed.write_text("# best first\nhttp://one.test/debian priority:1\nhttp://two.test/debian\n")
    assert base._mirror(f"mirror+file:{listed}") == "http://one.test/debian"
    assert base._mirror("http://one.test/debian/") == "http://one.test/debian/"
