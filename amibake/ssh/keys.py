"""Key pairs: made here, so that only the public half ever leaves this machine, or read from the user's files."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from amibake import waiting

if TYPE_CHECKING:
    import paramiko

_PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_ENCODING, _PUBLIC = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH


@dataclass(frozen=True)
class KeyPair:
    """An SSH key pair.

    Attributes:
        public: One line as in authorized_keys: type, base64, comment.
        private: OpenSSH PEM, without a passphrase; never shown.
        certificate: An OpenSSH certificate of it, as one line, which is presented in place of the key; or None.
    """

    public: str
    private: bytes = field(repr=False)
    certificate: str | None = None

    def signer(self) -> paramiko.PKey:
        """The private half as paramiko wants it."""
        from amibake.ssh.library import paramiko

        kinds: dict[str, type[paramiko.PKey]] = {"ssh-ed25519": paramiko.Ed25519Key, "ssh-rsa": paramiko.RSAKey}
        kind = kinds.get(self.public.split(" ", 1)[0], paramiko.ECDSAKey)
        key = kind.from_private_key(io.StringIO(self.private.decode("ascii")))
        if self.certificate is not None:
            key.load_certificate(paramiko.Message(base64.b64decode(self.certificate.split(" ")[1])))
        return key


def make_key_pair(kind: Literal["ed25519", "rsa"] = "ed25519", comment: str = "amibake", bits: int = 2048) -> KeyPair:
    """A new key pair, in under a millisecond for ed25519; RSA is for servers older than OpenSSH 6.5.

    `bits` is the size of an RSA key, 2048 at least; ed25519 has but one.
    """
    if kind == "ed25519":
        return _pair(ed25519.Ed25519PrivateKey.generate(), comment)
    if bits < 2048:
        raise ValueError(f"an RSA key of {bits} bits is not safe; 2048 is the least")
    return _pair(rsa.generate_private_key(public_exponent=65537, key_size=bits), comment)


def load_key_pair(path: str | Path, certificate: str | Path | None = None) -> KeyPair:
    """The key pair of a private key file in OpenSSH's or PEM's form: RSA, ECDSA or Ed25519; its name is its comment.

    Args:
        path: The private key, without a passphrase; a leading `~` is the user's home.
        certificate: An OpenSSH certificate of it, usually "<key>-cert.pub".

    Raises ValueError, with a message that names the file but no option.
    """
    pair = _pair(_private_key(path), Path(path).name)
    return pair if certificate is None else replace(pair, certificate=_certificate(certificate, pair))


def _private_key(path: str | Path) -> _PrivateKey:
    data = _read(path)
    if b"PRIVATE KEY-----" not in data:
        public = data.startswith((b"ssh-", b"ecdsa-", b"sk-"))
        raise ValueError(f"{path}: {'a public key' if public else 'no key'}; it has to be a private key in PEM form")
    load = serialization.load_pem_private_key
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        load = serialization.load_ssh_private_key
    try:
        key = load(data, password=None)
    except TypeError as error:
        raise ValueError(
            f"{path}: the key has a passphrase; `ssh-add` it and use the SSH agent (ssh_agent_auth)"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path}: not a key that can be used: {str(error).splitlines()[0]}") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(
        key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
    ):
        raise ValueError(f"{path}: SSH has no keys on the curve {key.curve.name}")
    if not isinstance(key, _PrivateKey):
        raise ValueError(f"{path}: a key of a kind that can't be used; it has to be RSA, ECDSA or Ed25519")
    return key


def _certificate(path: str | Path, pair: KeyPair) -> str:
    data = _read(path)
    try:
        found = serialization.load_ssh_public_identity(data.strip())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path}: not an OpenSSH certificate") from error
    if not isinstance(found, serialization.SSHCertificate):
        raise ValueError(f"{path}: a public key, not an OpenSSH certificate")
    if found.type != serialization.SSHCertificateType.USER:
        raise ValueError(f"{path}: the certificate of a host, not of a user")
    if found.public_key().public_bytes(_ENCODING, _PUBLIC).split()[1] != pair.public.split()[1].encode("ascii"):
        raise ValueError(f"{path}: the certificate of another key")
    if found.valid_before <= waiting.clock.epoch():
        raise ValueError(f"{path}: the certificate has expired")
    return " ".join(data.decode("utf-8", "replace").split()[:2])


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows whose home that is
        text = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ValueError(f"{path}: can't be read: {text}") from error


def _pair(key: _PrivateKey, comment: str) -> KeyPair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(_ENCODING, _PUBLIC)
    return KeyPair(f"{public.decode('ascii')} {comment}", private)
