"""What an instance takes over from this machine so that it reaches what the machine reaches: certificates, proxies."""

from __future__ import annotations

import os
import re
from pathlib import Path

from amibake.sandbox.commands import run

_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_LOCAL = Path("usr/local/share/ca-certificates")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PASSED_ON = ("npm_config_registry", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_BUNDLE_VARIABLES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "npm_config_cafile")


def host_certificates(root: Path = Path("/")) -> list[str]:
    """The certificates (PEM) that this machine trusts beyond those that Debian ships, in a fixed order."""
    files = sorted((root / _LOCAL).rglob("*.crt"))
    if files:
        return [pem for path in files for pem in _PEM.findall(path.read_text(errors="replace"))]
    shipped = {_body(p.read_text()) for p in (root / "usr/share/ca-certificates").rglob("*.crt")}
    bundle = root / _BUNDLE
    trusted = _PEM.findall(bundle.read_text(errors="replace")) if shipped and bundle.exists() else []
    return [pem for pem in trusted if _body(pem) not in shipped]


def host_environment(*, has_certificates: bool) -> list[str]:
    """Lines for /etc/environment: this machine's proxies and npm registry and, where certificates are added, the
    variables by which programs with a certificate store of their own (node, npm) find the system's."""
    lines = [f"{name}={os.environ[name]}" for name in _PASSED_ON if os.environ.get(name)]
    return lines + [f"{name}=/{_BUNDLE}" for name in _BUNDLE_VARIABLES if has_certificates]


def install(root: Path, certificates: list[str], environment: list[str]) -> None:
    """Give both to the image whose root file system is `root`."""
    directory = root / _LOCAL
    directory.mkdir(parents=True, exist_ok=True)
    for number, pem in enumerate(certificates, 1):
        (directory / f"amibake-host-{number}.crt").write_text(pem + "\n")
    run("chroot", root, "update-ca-certificates")
    with (root / "etc/environment").open("a") as file:
        file.writelines(f"{line}\n" for line in environment)
    if environment:
        names = " ".join(line.partition("=")[0] for line in environment)
        sudoers = root / "etc/sudoers.d/amibake-environment"
        sudoers.write_text(f'Defaults env_keep += "{names}"\n')
        sudoers.chmod(0o440)


def _body(pem: str) -> str:
    found = _PEM.search(pem)
    return "".join(found[0].split()) if found else ""
