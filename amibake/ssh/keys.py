"""Key pairs made here, so that only the public half ever leaves this machine."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from amibake.errors import InvalidOption


@dataclass(frozen=True)
class KeyPair:
    """An SSH key pair.

    Attributes:
        public: One line as in authorized_keys: type, base64, comment.
        private: OpenSSH PEM, without a passphrase; never shown.
    """

    public: str
    private: bytes = field(repr=False)

    def signer(self) -> paramiko.PKey:
        """The private half as paramiko wants it."""
        kind = paramiko.Ed25519Key if self.public.startswith("ssh-ed25519") else paramiko.RSAKey
        return kind.from_private_key(io.StringIO(self.private.decode("ascii")))


def make_key_pair(kind: Literal["ed25519", "rsa"] = "ed25519", comment: str = "amibake") -> KeyPair:
    """A new key pair, in under a millisecond for ed25519; RSA (2048 bits) is for servers older than OpenSSH 6.5."""
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return _pair(key, comment)


def load_private_key(path: Path) -> KeyPair:
    """The key pair whose private half is in this file, OpenSSH or PEM, without a passphrase, ed25519 or RSA.

    Raises:
        InvalidOption: it can't be read, is no such key, or has a passphrase.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidOption(f"the private key {path} can't be read: {error.strerror}") from error
    load = (
        serialization.load_ssh_private_key
        if data.startswith(b"-----BEGIN OPENSSH")
        else serialization.load_pem_private_key
    )
    try:
        key = load(data, password=None)
    except (ValueError, TypeError) as error:
        hint = "a key with a passphrase can't be used: ssh-keygen -p removes it"
        raise InvalidOption(f"{path} is no private key that can be used as it is: {error}", hint=hint) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        raise InvalidOption(f"{path} is neither an ed25519 nor an RSA key; EC2 takes no other")
    return _pair(key, path.name)


def _pair(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, comment: str) -> KeyPair:
    encoding, plain = serialization.Encoding, serialization.NoEncryption()
    private = key.private_bytes(encoding.PEM, serialization.PrivateFormat.OpenSSH, plain)
    public = key.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(f"{public.decode('ascii')} {comment}", private)
