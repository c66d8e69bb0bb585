"""What IAM makes of a policy, as far as ours needs it: an action on a resource is allowed when a statement that allows
it matches, and none that denies it does.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html and, for the operators of
conditions, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

Context = Mapping[str, tuple[str, ...]]
"""{key: its values}: what is known of a request. A key that is not known is not there."""


@dataclass(frozen=True)
class Question:
    """May this be done to that? One call asks several."""

    action: str
    arn: str
    known: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def context(self) -> Context:
        """{key: its values}."""
        return dict(self.known)


def allows(policy: Mapping[str, Any], question: Question) -> bool:
    """Whether the policy does, with no other one about."""
    effects = {one["Effect"] for one in policy["Statement"] if _matches(one, question)}
    return "Allow" in effects and "Deny" not in effects


def _matches(statement: Mapping[str, Any], question: Question) -> bool:
    unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
    assert not unknown, f"the evaluator does not know {unknown}"
    return (
        any(_like(one.lower(), question.action.lower()) for one in several(statement["Action"]))
        and any(_like(one, question.arn) for one in several(statement["Resource"]))
        and all(
            _holds(operator, key, several(values), question.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def several(values: str | Sequence[str]) -> list[str]:
    """One value stands for a list of it."""
    return [values] if isinstance(values, str) else list(values)


def _like(pattern: str, text: str) -> bool:
    """* is anything, also nothing; ? is one character."""
    return _expression(pattern).fullmatch(text) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": _like,
    "Bool": lambda wanted, found: wanted.lower() == found.lower(),
}


def _holds(operator: str, key: str, wanted: Sequence[str], context: Context) -> bool:
    found = {name.lower(): values for name, values in context.items()}.get(key.lower())
    if operator == "Null":
        return any(one == ("false" if found is not None else "true") for one in wanted)
    quantifier, _, plain = operator.rpartition(":")
    compare = _OPERATORS[plain]
    hits = [any(compare(one, value) for one in wanted) for value in found or ()]
    if quantifier == "ForAllValues":
        return all(hits)  # of none too
    assert quantifier == "", f"the evaluator does not know {operator}"
    return len(hits) == 1 and hits[0]
