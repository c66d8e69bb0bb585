"""`amibake policy`: what those who bake have to be allowed."""

from __future__ import annotations

import inspect
import json
from typing import Annotated, Any

import typer

from amibake.cli.report import Outcome, Reporter
from amibake.cli.running import command, parameter


def _policy(_: Reporter, *, features: list[str] | None, **given: Any) -> Outcome:
    import amibake

    library: Any = amibake
    options = {name: value for name, value in given.items() if value is not None and value != []}
    policy = library.policy(*(features or []), **options)
    text = json.dumps(policy, indent=2)
    return Outcome({"policy": policy}, text.splitlines(), brief=text.splitlines())


_FEATURES = inspect.Parameter(
    "features",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        list[str] | None,
        typer.Argument(help='What is needed besides a plain bake: "copies", "sweep" …', metavar="FEATURE"),
    ],
    default=None,
)
_OPTIONS = [
    parameter("bake", bool | None, "--bake/--no-bake", help="Whether those who have it bake [yes]."),
    parameter("partition", str | None, "--partition", help='"aws", "aws-cn", "aws-us-gov" … ["aws"].'),
    parameter("account_id", str | None, "--account-id", help="The account, 12 digits [any]."),
    parameter("roles", list[str] | None, "--roles", help="ARNs of the roles that builders may get; may be repeated."),
    parameter("kms_keys", list[str] | None, "--kms-keys", help="ARNs of the KMS keys [all]; may be repeated."),
]
policy = command(
    _policy,
    [_FEATURES, *_OPTIONS],
    name="policy",
    help="Print the IAM policy of those who bake: the least that is needed.",
    known={one.name for one in _OPTIONS},
)
