"""OpenSSH certificates for tests."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from amibake.ssh.keys import KeyPair

FOR_EVER = 2**64 - 1


def certificate(of: KeyPair, by: KeyPair, user: str, *, host: bool = False, until: int = FOR_EVER) -> str:
    """One line: that `by` says that the key `of` is this user's."""
    kind = serialization.SSHCertificateType
    public = serialization.load_ssh_public_key(of.public.encode())
    private = serialization.load_ssh_private_key(by.private, password=None)
    assert isinstance(public, ed25519.Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    assert isinstance(private, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    builder = (
        serialization.SSHCertificateBuilder()
        .public_key(public)
        .serial(1)
        .type(kind.HOST if host else kind.USER)
        .key_id(b"test")
        .valid_principals([user.encode()])
        .valid_after(0)
        .valid_before(until)
    )
    return builder.sign(private).public_bytes().decode()
