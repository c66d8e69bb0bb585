"""A Secret shows itself nowhere, and a Veil hides it in whatever else there is."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import shlex
from dataclasses import asdict, dataclass
from urllib.parse import quote

import pytest

from amibake import Secret
from amibake.errors import ScriptFailed
from amibake.events import Event, Output, Uploading
from amibake.veil import Veil, VeiledStream

TEXT = "hunter2 'and' more"


@dataclass(frozen=True)
class Holder:
    secret: Secret


def test_it_shows_itself_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(TEXT)
    logging.getLogger("x").warning("it is %s or %r", secret, secret)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>20}", f"{secret:>5}", caplog.text]
    shown += [repr(Holder(secret)), repr(asdict(Holder(secret))), repr([secret]), repr(vars(Holder(secret)))]
    assert not any("hunter2" in text for text in shown)
    assert f"{secret:>5}" == "  ***"


def test_it_can_not_be_pickled_and_the_error_does_not_show_it() -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(Holder(Secret(TEXT)))
    assert "hunter2" not in str(caught.value)


def test_it_is_made_of_text_only_and_the_error_does_not_show_it() -> None:
    with pytest.raises(TypeError, match=r"^a Secret is made of a str, not bytes$"):
        Secret(b"hunter2")  # type: ignore[arg-type]


def test_two_of_the_same_text_are_equal() -> None:
    secret = Secret(TEXT)
    assert secret == Secret(TEXT)
    assert len({secret, Secret(TEXT)}) == 1
    assert secret != Secret("other")
    assert secret != TEXT
    assert copy.copy(secret) is copy.deepcopy(secret) is secret
    assert secret.reveal() == TEXT


def veil(*values: str) -> Veil:
    veil = Veil()
    veil.add(map(Secret, values))
    return veil


@pytest.mark.parametrize(
    "form",
    [
        TEXT,
        shlex.quote(TEXT),
        r"'hunter2 '\''and'\'' more'",
        r"hunter2\ \'and\'\ more",
        r"$'hunter2 \'and\' more'",
        json.dumps(TEXT),
        quote(TEXT),
        quote(TEXT).lower(),
        base64.b64encode(TEXT.encode()).decode(),
        base64.b64encode(f"{TEXT}\n".encode()).decode(),
        base64.b64encode(f"user:{TEXT}:x".encode()).decode(),
        base64.b64encode(f"us:{TEXT}".encode()).decode(),
        base64.b64encode(f"u:{TEXT}".encode()).decode(),
    ],
)
def test_it_is_hidden_in_every_form(form: str) -> None:
    shown = veil(TEXT).over(f"<{form}>")
    assert "***" in shown
    assert len(shown) <= 20


def test_of_several_lines_each_is_hidden_and_short_ones_with_the_whole() -> None:
    hidden = veil("first line\r\nabc\n  second\n")
    assert hidden.over("second, abc, first line!") == "***, abc, ***!"
    assert hidden.over("-first line\r\nabc\n  second\n-") == "-***-"


def test_base64_in_lines_is_hidden() -> None:
    text = "".join(chr(65 + number % 50) for number in range(500))
    assert set(veil(text).over(base64.encodebytes(text.encode()).decode())) <= set("*\n")


def test_a_text_without_any_stays() -> None:
    assert veil("", " \n").over("any text at all") == "any text at all"
    assert veil("other").over("any text at all") == "any text at all"


@pytest.mark.parametrize(
    ("values", "text", "shown"),
    [
        (["abcd", "abcdefgh"], "-abcdefgh-abcdef-", "-***-***ef-"),
        (["abcdef", "defghi"], "-abcdefghi-", "-***-"),
        (["aaaa"], "b" + "a" * 50 + "b", "b***b"),
        (["abab"], "abababab ab", "*** ab"),
        (["s3cr3t"], "s3cr3ts3cr3t", "******"),
        (["two\nlines"], "x two\nlines y two\nline", "x *** y two\nline"),
        (["s3cr3t"], "s3cr3", "s3cr3"),
    ],
)
def test_wherever_the_text_is_split_the_same_is_shown(values: list[str], text: str, shown: str) -> None:
    hidden = veil(*values)
    assert hidden.over(text) == shown
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            stream = VeiledStream(hidden)
            pieces = [text[:first], text[first:second], text[second:]]
            assert "".join(stream.feed(piece) for piece in pieces) + stream.feed("", final=True) == shown


def test_only_what_may_become_a_secret_is_held_back() -> None:
    stream = VeiledStream(veil("s3cr3t"))
    assert stream.feed("a line\nand s3c") == "a line\nand "
    assert stream.feed("ond\n") == "s3cond\n"


def test_events_are_veiled_and_others_stay_as_they_are() -> None:
    hidden = veil("s3cr3t")
    assert hidden.over_event(Output("stdout", "x s3cr3t")) == Output("stdout", "x ***")
    other: Event = Uploading("/tmp/x", 1, 2)
    assert hidden.over_event(other) is other
    assert Veil().over_event(other) is other


def test_errors_are_veiled_with_all_that_they_came_from() -> None:
    cause = ValueError("no s3cr3t here", 5, ["s3cr3t"])
    error = ScriptFailed("s3cr3t failed", status=1, tail=("a", "s3cr3t"), hint="s3cr3t")
    error.__cause__, cause.__context__ = cause, error
    veil("s3cr3t").over_error(error)
    assert str(error) == "*** failed\n***\n  a\n  ***"
    assert cause.args == ("no *** here", 5, ["***"])
    assert error.status == 1
