"""Key pairs."""

from __future__ import annotations

from typing import Literal

import pytest

from amibake.ssh.keys import make_key_pair


@pytest.mark.parametrize(("kind", "name"), [("ed25519", "ssh-ed25519"), ("rsa", "ssh-rsa")])
def test_made_and_shown(kind: Literal["ed25519", "rsa"], name: str) -> None:
    pair = make_key_pair(kind, "bake 1")
    public = pair.public.split(" ", 2)
    assert (public[0], public[2]) == (name, "bake 1")
    assert "PRIVATE" not in repr(pair)
    assert (pair.signer().get_name(), pair.signer().get_base64()) == tuple(public[:2])


def test_two_are_never_the_same() -> None:
    assert make_key_pair().public != make_key_pair().public
