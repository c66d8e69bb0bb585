"""Kinds of values that several groups of options have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from amibake import waiting

_REGION = r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}"


def _seconds(value: Any) -> Any:
    """ "1h30m", "1.5h" or "-5s", as Packer writes them, or a timedelta, in seconds."""
    return waiting.seconds(value) if isinstance(value, str | timedelta) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(allow_inf_nan=False)]
"""A number of seconds."""


def _is_region(value: str) -> str:
    if re.fullmatch(_REGION + "[a-z]", value):
        raise ValueError(f'{value} is an availability zone; its region is "{value[:-1]}"')
    if not re.fullmatch(_REGION, value):
        raise ValueError(f'{value!r} is not the name of a region, such as "eu-west-1"')
    return value


Region = Annotated[str, AfterValidator(_is_region)]


def _is_account(value: Any) -> Any:
    if isinstance(value, int) or (isinstance(value, str) and not re.fullmatch("[0-9]{12}", value)):
        raise ValueError('an account\'s id is text of 12 digits, such as "012345678901"')
    return value


Account = Annotated[str, BeforeValidator(_is_account)]

KmsKey = Annotated[
    str,
    Field(
        pattern=r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9:/_-]+|alias/[A-Za-z0-9:/_-]+"
        r"|(mrk-)?[0-9a-f-]{32,36})$"
    ),
]
"""A key's id or ARN, or an alias or its ARN."""


def _policy(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
    if value is None:
        return None
    if not isinstance(value, Mapping) or not {"Version", "Statement"} <= value.keys():
        raise ValueError('a policy document: {"Version": "2012-10-17", "Statement": […]}, as a dict or as JSON text')
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"does not fit into JSON: {error}") from None


Policy = Annotated[str | None, BeforeValidator(_policy)]
"""A policy document, which is kept as JSON text."""
