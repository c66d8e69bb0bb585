"""The evaluator answers as IAM is documented to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.policy.evaluator import Question, allows

IMAGE = "arn:aws:ec2:us-east-1::image/ami-1"


def statement(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "ec2:DeregisterImage", "Resource": "*", **more}


def is_allowed(*statements: dict[str, Any], **known: tuple[str, ...]) -> bool:
    context = tuple((key.replace("_", ":"), values) for key, values in known.items())
    return allows({"Statement": list(statements)}, Question("ec2:DeregisterImage", IMAGE, context))


def test_what_nothing_allows_is_refused_and_a_denial_has_the_last_word() -> None:
    assert not is_allowed()
    assert is_allowed(statement())
    assert not is_allowed(statement(), statement(Effect="Deny"))
    assert not is_allowed(statement(Effect="Deny"), statement())


@pytest.mark.parametrize(
    ("part", "value", "matches"),
    [
        ("Action", "EC2:deregisterimage", True),
        ("Action", ["ec2:CopyImage", "ec2:Dereg*"], True),
        ("Action", "ec2:DeregisterImag", False),
        ("Resource", "arn:aws:ec2:*::image/*", True),
        ("Resource", "arn:aws:ec2:*:*:image/ami-?", True),
        ("Resource", "arn:aws:ec2:*:123456789012:image/*", False),
        ("Resource", "arn:aws:ec2:*::IMAGE/*", False),
    ],
)
def test_patterns(part: str, value: Any, *, matches: bool) -> None:
    assert is_allowed(statement(**{part: value})) == matches


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "holds"),
    [
        ("StringEquals", "a", ("a",), True),
        ("StringEquals", ["b", "a"], ("a",), True),
        ("StringEquals", "a*", ("ab",), False),
        ("StringEquals", "a", None, False),
        ("StringLike", "a*", ("ab",), True),
        ("Bool", "true", ("True",), True),
        ("Bool", "true", ("false",), False),
        ("Null", "false", ("a",), True),
        ("Null", "false", None, False),
        ("Null", "true", None, True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a",), True),
        ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), False),
        ("ForAllValues:StringEquals", ["a", "b"], None, True),
    ],
)
def test_conditions(operator: str, wanted: Any, found: tuple[str, ...] | None, *, holds: bool) -> None:
    known = {} if found is None else {"AWS_Key": found}
    assert is_allowed(statement(Condition={operator: {"aws:key": wanted}}), **known) == holds


def test_all_conditions_have_to_hold() -> None:
    both = {"StringEquals": {"aws:a": "1", "aws:b": "2"}}
    assert is_allowed(statement(Condition=both), aws_a=("1",), aws_b=("2",))
    assert not is_allowed(statement(Condition=both), aws_a=("1",), aws_b=("3",))


def test_what_it_does_not_know_it_does_not_guess() -> None:
    with pytest.raises(AssertionError, match="NotAction"):
        is_allowed(statement(NotAction="*"))
    with pytest.raises(KeyError):
        is_allowed(statement(Condition={"DateLessThan": {"aws:CurrentTime": "x"}}))
