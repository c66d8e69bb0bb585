"""Key pairs made here, so that only the public half ever leaves this machine."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Literal

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa


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
    encoding, plain = serialization.Encoding, serialization.NoEncryption()
    private = key.private_bytes(encoding.PEM, serialization.PrivateFormat.OpenSSH, plain)
    public = key.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(f"{public.decode('ascii')} {comment}", private)
