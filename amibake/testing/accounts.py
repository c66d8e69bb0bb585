"""Who may log in to a loopback machine, and by what."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import paramiko
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

_ENCODING, _PUBLIC = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH


ANYBODY = "*"
"""In place of a name: whoever has the key is a user of the machine."""


@dataclass
class Account:
    """A user of a machine.

    Attributes:
        username: The name, or ANYBODY.
        authorized_keys: Public keys that let them in, as lines.
        password: What lets them in where the machine takes passwords; None: nothing does.
        authorities: Public keys of those whose certificates let them in that are made out to this user.
    """

    username: str
    authorized_keys: Sequence[str] = ()
    password: str | None = field(default=None, repr=False)
    authorities: Sequence[str] = ()

    def admits(self, key: paramiko.PKey) -> bool:
        """Whether this key, or the certificate that it comes with, opens the door."""
        if key.public_blob is not None:
            return self._admits_certificate(key.public_blob)
        return [key.get_name(), key.get_base64()] in [line.split()[:2] for line in self.authorized_keys]

    def _admits_certificate(self, blob: paramiko.pkey.PublicBlob) -> bool:
        line = blob.key_type.encode() + b" " + base64.b64encode(blob.key_blob)
        found = serialization.load_ssh_public_identity(line)
        assert isinstance(found, serialization.SSHCertificate)  # noqa: S101 - nothing else has a blob of its own
        try:
            found.verify_cert_signature()
        except InvalidSignature:
            return False
        by = found.signature_key().public_bytes(_ENCODING, _PUBLIC).decode("ascii").split()[:2]
        trusted = [line.split()[:2] for line in self.authorities]
        return by in trusted and self.username.encode() in found.valid_principals
