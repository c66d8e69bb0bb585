"""Key pairs, made and read from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from amibake import waiting
from amibake.ssh.keys import KeyPair, load_key_pair, make_key_pair
from tests.ssh.certificates import certificate

ENCODING, FORMAT = serialization.Encoding, serialization.PrivateFormat
PLAIN = serialization.NoEncryption()


@pytest.mark.parametrize(("kind", "name"), [("ed25519", "ssh-ed25519"), ("rsa", "ssh-rsa")])
def test_made_and_shown(kind: Literal["ed25519", "rsa"], name: str) -> None:
    pair = make_key_pair(kind, "bake 1")
    public = pair.public.split(" ", 2)
    assert (public[0], public[2]) == (name, "bake 1")
    assert "PRIVATE" not in repr(pair)
    assert (pair.signer().get_name(), pair.signer().get_base64()) == tuple(public[:2])


def test_two_are_never_the_same() -> None:
    assert make_key_pair().public != make_key_pair().public


def test_an_rsa_key_has_the_bits_that_are_wanted_but_never_too_few() -> None:
    assert make_key_pair("rsa", bits=3072).signer().get_bits() == 3072
    with pytest.raises(ValueError, match="1024 bits is not safe"):
        make_key_pair("rsa", bits=1024)


KEYS: dict[str, Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey]] = {
    "ssh-rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ecdsa-sha2-nistp256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-sha2-nistp521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ssh-ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("form", [FORMAT.OpenSSH, FORMAT.TraditionalOpenSSL, FORMAT.PKCS8])
@pytest.mark.parametrize("name", KEYS)
def test_a_file_in_any_usual_form(name: str, form: serialization.PrivateFormat, tmp_path: Path) -> None:
    if name == "ssh-ed25519" and form == FORMAT.TraditionalOpenSSL:
        form = FORMAT.PKCS8  # there is no such form of it
    key = KEYS[name]()
    file = tmp_path / "id_mine"
    file.write_bytes(key.private_bytes(ENCODING.PEM, form, PLAIN))
    pair = load_key_pair(file)
    public = key.public_key().public_bytes(ENCODING.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert pair.public == f"{public} id_mine"
    assert f"{pair.signer().get_name()} {pair.signer().get_base64()}" == public
    assert pair.certificate is None


def test_a_file_in_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pair = make_key_pair()
    (tmp_path / "id").write_bytes(pair.private)
    assert load_key_pair("~/id").public.split()[:2] == pair.public.split()[:2]
    with pytest.raises(ValueError, match="~/none: there is no such file"):
        load_key_pair("~/none")
    with pytest.raises(ValueError, match="~nobody-here/id: can't be read"):
        load_key_pair("~nobody-here/id")
    with pytest.raises(ValueError, match="can't be read: Is a directory"):
        load_key_pair(tmp_path)


def _encrypted(form: serialization.PrivateFormat) -> bytes:
    secret = serialization.BestAvailableEncryption(b"secret")
    return ed25519.Ed25519PrivateKey.generate().private_bytes(ENCODING.PEM, form, secret)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "id: no key; it has to be a private key"),
        (make_key_pair().public.encode(), "id: a public key; it has to be a private key"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n", "id: not a key that can be used"),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n",
            "id: not a key that can be used",
        ),
        (_encrypted(FORMAT.PKCS8), r"id: the key has a passphrase; .*\(ssh_agent_auth\)"),
        (
            ec.generate_private_key(ec.SECP256K1()).private_bytes(ENCODING.PEM, FORMAT.PKCS8, PLAIN),
            "id: SSH has no keys on the curve secp256k1",
        ),
        (
            dsa.generate_private_key(1024).private_bytes(ENCODING.PEM, FORMAT.PKCS8, PLAIN),
            "id: a key of a kind that can't be used",
        ),
    ],
    ids=["text", "public", "broken PEM", "broken OpenSSH", "passphrase", "curve", "DSA"],
)
def test_a_file_that_is_no_use(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "id").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_key_pair(tmp_path / "id")


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    pair = make_key_pair()
    (tmp_path / "id").write_bytes(pair.private)
    return pair


def test_a_certificate_is_presented_in_place_of_the_key(pair: KeyPair, tmp_path: Path) -> None:
    line = certificate(pair, make_key_pair(), "admin")
    (tmp_path / "id-cert.pub").write_text(f"{line} a comment\n")
    loaded = load_key_pair(tmp_path / "id", tmp_path / "id-cert.pub")
    assert loaded.certificate == line
    blob = loaded.signer().public_blob
    assert blob is not None
    assert blob.key_type == "ssh-ed25519-cert-v01@openssh.com"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (lambda _: "hello", "not an OpenSSH certificate"),
        (lambda pair: pair.public, "a public key, not an OpenSSH certificate"),
        (lambda _: certificate(make_key_pair(), make_key_pair(), "admin"), "the certificate of another key"),
        (lambda pair: certificate(pair, make_key_pair(), "admin", host=True), "the certificate of a host"),
        (lambda pair: certificate(pair, make_key_pair(), "admin", until=1000), "the certificate has expired"),
    ],
    ids=["text", "public", "another", "host", "expired"],
)
def test_a_certificate_that_is_no_use(
    pair: KeyPair, tmp_path: Path, line: Callable[[KeyPair], str], message: str
) -> None:
    assert waiting.clock.epoch() > 1000
    (tmp_path / "id-cert.pub").write_text(line(pair))
    with pytest.raises(ValueError, match=f"id-cert.pub: {message}"):
        load_key_pair(tmp_path / "id", tmp_path / "id-cert.pub")
