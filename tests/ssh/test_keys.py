"""Key pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from amibake.errors import InvalidOption
from amibake.ssh.keys import load_private_key, make_key_pair


@pytest.mark.parametrize(("kind", "name"), [("ed25519", "ssh-ed25519"), ("rsa", "ssh-rsa")])
def test_made_shown_saved_and_loaded(tmp_path: Path, kind: Literal["ed25519", "rsa"], name: str) -> None:
    pair = make_key_pair(kind, "bake 1")
    public = pair.public.split(" ", 2)
    assert (public[0], public[2]) == (name, "bake 1")
    assert "PRIVATE" not in repr(pair)
    assert (pair.signer().get_name(), pair.signer().get_base64()) == tuple(public[:2])
    (tmp_path / "id").write_bytes(pair.private)
    assert load_private_key(tmp_path / "id").public.split()[:2] == public[:2]


def test_two_are_never_the_same() -> None:
    assert make_key_pair().public != make_key_pair().public


def test_a_pem_file_as_ec2_gives_it(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "id.pem").write_bytes(pem(key, serialization.PrivateFormat.TraditionalOpenSSL))
    assert load_private_key(tmp_path / "id.pem").public.startswith("ssh-rsa ")


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat,
    protection: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, protection or serialization.NoEncryption())


def test_keys_that_can_not_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="can't be read: No such file"):
        load_private_key(tmp_path / "none")
    file = tmp_path / "id"
    file.write_text("nonsense")
    with pytest.raises(InvalidOption, match="is no private key"):
        load_private_key(file)
    key = ec.generate_private_key(ec.SECP256R1())
    file.write_bytes(pem(key, serialization.PrivateFormat.OpenSSH))
    with pytest.raises(InvalidOption, match="neither an ed25519 nor an RSA key"):
        load_private_key(file)
    file.write_bytes(pem(key, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")))
    with pytest.raises(InvalidOption, match="passphrase"):
        load_private_key(file)
