"""The page of the IAM policy is what the table of permissions says."""

from __future__ import annotations

import json
import re

import amibake
from amibake.builder import Builder
from amibake.permissions import FEATURES, GRANTS
from tools import policy


def test_the_file_is_what_the_tool_writes() -> None:
    for path, text in policy.contents():
        assert path.read_text() == text, "run: python -m tools.policy"


def test_every_feature_and_every_statement_is_explained_once() -> None:
    page = policy.page()
    assert list(policy.TEXTS) == list(FEATURES)
    for feature in FEATURES:
        assert page.count(f"\n### `{feature}`\n") == 1
    for grant in GRANTS:
        assert page.count(f"\n* `{grant.sid}`: {grant.why}\n") == 1


def test_what_the_page_shows_is_what_the_function_answers_with() -> None:
    found = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", policy.page(), re.DOTALL)]
    base, *rest = found
    assert base == amibake.policy()
    statements = [*base["Statement"], *(one for part in rest for one in part)]
    assert statements == amibake.policy(*FEATURES, roles=[policy.ROLE])["Statement"]


def test_the_options_on_the_page_are_options() -> None:
    for feature in policy.TEXTS.values():
        assert set(feature.options) <= set(Builder.model_fields)
