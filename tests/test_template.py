"""Names, descriptions and tags with expressions in them; what Go and Packer render is rendered alike here."""

from __future__ import annotations

import random
import re
import string
import uuid
from collections.abc import Mapping

import pytest

from amibake import template

EPOCH = 1_700_000_000.9
"""Within the second of 2023-11-14 22:13:20 UTC, a Tuesday."""

FIELDS: dict[str, str | Mapping[str, str]] = {
    **{name: f"<{name}>" for name in template.FIELDS},
    "SourceAMIName": "debian-12-amd64",
    "SourceAMITags": {"team": "web", "cost-center": "42"},
}
VARIABLES = {
    "app": "ponyfoo",
    "layout": "2006",
    "owner": "{{ env `TEAM` }}",
    "name": "{{ user `app` }}-{{ user `owner` }}",
    "from": "{{ .SourceAMIName | upper }}",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM", "Pony Foo")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("UNSET", raising=False)


def rendered(text: str) -> str:
    return template.render(text, epoch=EPOCH, fields=FIELDS, variables=VARIABLES)


FILLED_IN = [
    # text without expressions
    ("", ""),
    ("no expression } { here", "no expression } { here"),
    ("}} { { {a} }}", "}} { { {a} }}"),
    # time
    ("ponyfoo-primal {{timestamp}}", "ponyfoo-primal 1700000000"),
    ("{{ isotime }}", "2023-11-14T22:13:20Z"),
    ('{{isotime "2006-01-02"}}', "2023-11-14"),
    ('{{ isotime "Mon, 02 Jan 06 3:04PM MST" }}', "Tue, 14 Nov 23 10:13PM UTC"),
    ("{{ legacy_isotime }} {{ legacy_isotime `05.000` }}", "2023-11-14T22:13:20Z 20.900"),
    ('{{ isotime (user "layout") }}', "2023"),
    ('{{ strftime "%Y%m%d" }}', "20231114"),
    ("{{isotime | clean_resource_name}}", "2023-11-14T22-13-20Z"),
    # fields
    ("from {{ .SourceAMI }} in {{.BuildRegion}}", "from <SourceAMI> in <BuildRegion>"),
    ("{{ .SourceAMIOwnerName }}", "<SourceAMIOwnerName>"),
    ("{{ .SourceAMITags.team }}", "web"),
    ('{{ index .SourceAMITags "cost-center" }}', "42"),
    ('{{ "team" | index .SourceAMITags | upper }}', "WEB"),
    # text
    ("{{ .SourceAMI | upper }}", "<SOURCEAMI>"),
    ("{{ .SourceAMI | clean_resource_name | lower }}", "-sourceami-"),
    ("{{ clean_resource_name `a:b [c] (d) ./'@_-é` }}", "a-b [c] (d) ./'@_---"),
    ('{{ replace "-" "." 1 .SourceAMIName }}', "debian.12-amd64"),
    ('{{ replace "-" "." -1 .SourceAMIName }}', "debian.12.amd64"),
    ('{{ replace "-" "." 0 .SourceAMIName }}', "debian-12-amd64"),
    ('{{ .SourceAMIName | replace "" "_" 2 }}', "_d_ebian-12-amd64"),
    ('{{ replace_all "-" "" .SourceAMIName }}', "debian12amd64"),
    ('{{ .SourceAMIName | replace_all "amd64" "arm64" }}', "debian-12-arm64"),
    ('{{ split .SourceAMIName "-" 1 }}', "12"),
    ('{{ split .SourceAMIName "" 0 }}', "d"),
    ('{{ split .SourceAMIName "-" 0x2 }}', "amd64"),
    ('{{ printf "%s_%v|%-4s|%4s|%.2s" "a" "b" "c" "d" "efg" }}', "a_b|c   |   d|ef"),
    ('{{ printf "%d %v %03d %-3d| %+d 100%%" 1 2 3 4 5 }}', "1 2 003 4  | +5 100%"),
    ('{{ .SourceAMIName | printf "%.6s-%5v" "ponyfoo" }}', "ponyfo-debian-12-amd64"),
    # variables and the environment
    ("{{user `app`}} {{ user `app` | upper }}", "ponyfoo PONYFOO"),
    ("{{ user `name` }}", "ponyfoo-Pony Foo"),
    ("{{ user `from` }}", "DEBIAN-12-AMD64"),
    ('{{ env "TEAM" | lower }}', "pony foo"),
    ('[{{ env "EMPTY" }}]', "[]"),
    # syntax
    ('{{ "text" }} {{ `text` }} {{ 5 }} {{ -5 }} {{-5}} {{ (6) }}', "text text 5 -5 -5 6"),
    ("{{ (upper (user `app`)) }}", "PONYFOO"),
    ("{{ upper (lower (user `app`) | replace_all `o` `0`) | printf `%s!` }}", "P0NYF00!"),
    ("{{ upper timestamp }}", "1700000000"),
    ('{{ upper "}}" }}{{ "a}}b{{" }}{{ `"` }}', '}}a}}b{{"'),
    ("{{`a\\n`}}", "a\\n"),
    (r'{{ "\a\b\f\n\r\t\v\\\"" }}', '\a\b\f\n\r\t\v\\"'),
    (r'{{ "\x41\101\u00e9\U0001F40E\xc3\xa9" }}', "AAé🐎é"),
    ("{{\n upper\n\t`a` }}", "A"),
    ("{{`a`|upper|lower}}", "a"),
    # space and comments
    ("a {{ `b` }} c", "a b c"),
    ("a \t{{- `b` -}}\r\n c", "abc"),
    ("a {{- -3 }} {{ 3 -}} ", "a-3 3"),
    ("a {{`b` -}}  {{- `c`}}", "a bc"),
    ("a {{/* no {{ expression */}} b", "a  b"),
    ("a {{- /* }} */ -}} b", "ab"),
    ("a {{- /* c */}} b", "a b"),
]


@pytest.mark.parametrize(("text", "expected"), FILLED_IN)
def test_expressions_are_filled_in(text: str, expected: str) -> None:
    template.check(text, VARIABLES)
    assert rendered(text) == expected


def test_text_without_braces_is_unchanged() -> None:
    chosen = random.Random(3)
    for _ in range(200):
        text = "".join(chosen.choices(string.printable + "é→🐎", k=chosen.randrange(60))).replace("{{", "{")
        assert rendered(text) == text


def test_one_moment_is_the_same_in_every_form() -> None:
    at = 1_699_999_999.999_999_9  # the next second, to the microsecond
    text = '{{timestamp}} {{isotime "05.000000"}} {{strftime "%S"}}'
    assert template.render(text, epoch=at, fields={}) == "1700000000 20.000000 20"


def test_every_uuid_is_another() -> None:
    one, other = rendered("{{uuid}} {{uuid}}").split()
    assert uuid.UUID(one) != uuid.UUID(other)


def test_fields_that_are_not_given_are_empty() -> None:
    assert template.render("[{{ .SourceAMIOwnerName }}]", epoch=0, fields={}) == "[]"


@pytest.mark.parametrize(
    "text", ["{{timestmp}}", "{{ .SourceAmi }}", "{{ timestamp | shout }}", "{{}}", "{{ upper x }}"]
)
def test_what_is_not_known_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"(unknown '.*'|missing); there are .*lower, .*timestamp, .*\.SourceAMIName"):
        template.check(text)


REFUSED = [
    # what does not end
    ("a {{ timestamp", "{{ timestamp: the expression does not end: }} is missing"),
    ("{{", "{{: the expression does not end: }} is missing"),
    ("{{ timestamp and {{ uuid }}", "{{ timestamp and {{ uuid }}: the expression does not end: }} is missing"),
    ('{{ user "app }}', '{{ user "app }}: a text does not end: " is missing'),
    ("{{ user `app }}", "{{ user `app }}: a text does not end: ` is missing"),
    ('{{ upper "a\nb" }}', 'a text does not end: " is missing'),
    ("{{/* comment }}", "{{/* comment }}: the comment does not end: */}} is missing"),
    ("{{/* a */ }}", "the comment does not end: */}} is missing"),
    ("{{ (upper `a` }}", '{{ (upper `a` }}: a "(" without a ")"'),
    ("{{ upper `a`) }}", '{{ upper `a`) }}: a ")" without a "("'),
    # what means nothing
    ("{{ }}", "{{ }}: a value is missing"),
    ("{{ | upper }}", "{{ | upper }}: a value is missing"),
    ("{{ `a` | }}", "a value is missing"),
    ("{{ () }}", "a value is missing"),
    ("{{ user 'app' }}", "{{ user 'app' }}: texts are in \"…\" or `…`, not in '…'"),
    ("{{ /* c */ }}", "'/' means nothing here"),
    ("{{ . }}", "'.' means nothing here"),
    ("{{ upper, }}", "',' means nothing here"),
    ("{{ user`app` }}", "{{ user`app` }}: a space is missing before `app`"),
    ("{{ upper(timestamp) }}", "{{ upper(timestamp) }}: a space is missing before ("),
    ("{{ `a` `b` }}", "{{ `a` `b` }}: `a` is not a function, and takes no arguments"),
    ("{{ `a` | `b` }}", "`b` is not a function, and takes no arguments"),
    ("{{ `a` | .SourceAMI }}", ".SourceAMI is not a function, and takes no arguments"),
    (r'{{ "\q" }}', r'"\q" has an escape that Go does not know'),
    (r'{{ "\400" }}', "has an escape that Go does not know"),
    (r'{{ "\xff" }}', "has an escape that Go does not know"),
    (r'{{ "\U00110000" }}', "has an escape that Go does not know"),
    ("{{ 1.5 }}", "{{ 1.5 }}: 1.5 is not a whole number"),
    ("{{ 5x }}", "5x is not a whole number"),
    # what is Go's and Packer's, and not of names
    ("{{ $x := 5 }}", "{{ $x := 5 }}: variables of templates, as in $x := …, are not supported"),
    ("{{ x := 5 }}", "variables of templates, as in $x := …, are not supported"),
    ("{{if .SourceAMI}}x{{end}}", "{{if .SourceAMI}}: if is not supported: decide in Python"),
    ("{{ build_name }}", "{{ build_name }}: build_name is not supported: a bake is a single build"),
    ("{{ template_dir }}", "template_dir is not supported: there is no template file"),
    ("{{ pwd }}", "pwd is not supported: there is no template file"),
    ("{{ packer_version }}", "packer_version is not supported: there is no Packer"),
    ("{{ build `ID` }}", "build is not supported here"),
    ("{{ consul_key `a` }}", "consul_key is not supported: look it up in Python"),
    ("{{ `a` | sed `s/a/b/` }}", "sed is not supported, nor by Packer any more: use replace or replace_all"),
    # arguments
    ("{{ timestamp 5 }}", "{{ timestamp 5 }}: wrong number of arguments (1); it is: timestamp"),
    ("{{ `x` | uuid }}", "wrong number of arguments (1); it is: uuid"),
    ("{{ upper }}", "wrong number of arguments (0); it is: upper str"),
    ("{{ `a` | upper `b` }}", "wrong number of arguments (2); it is: upper str"),
    ("{{ isotime `2006` `01` }}", "wrong number of arguments (2); it is: isotime [layout]"),
    ("{{ replace `a` `b` `c` }}", "wrong number of arguments (3); it is: replace old new n src"),
    ("{{ printf }}", "wrong number of arguments (0); it is: printf format values…"),
    ("{{ upper 5 }}", "{{ upper 5 }}: str must be a text; it is: upper str"),
    ("{{ 5 | upper }}", "str must be a text"),
    ("{{ replace `a` `b` `1` `c` }}", "n must be a whole number; it is: replace old new n src"),
    ("{{ .SourceAMI | split `a` `-` }}", "n must be a whole number; it is: split str sep n"),
    ("{{ index .SourceAMI `a` }}", "map must be a map such as .SourceAMITags; it is: index map key"),
    ("{{ upper .SourceAMITags }}", "str must be a text"),
    ("{{ printf `%s` .SourceAMITags }}", "values… must be a text or a whole number"),
    ("{{ .SourceAMITags }}", "{{ .SourceAMITags }}: a map is not a text"),
    ("{{ .SourceAMI.team }}", "{{ .SourceAMI.team }}: .team is of nothing: .SourceAMI is a text"),
    ("{{ .SourceAMITags.team.x }}", ".x is of nothing: .SourceAMITags is a text"),
    # values
    ("{{ isotime `YYYY` }}", "{{ isotime `YYYY` }}: nothing in the layout 'YYYY' stands for a time"),
    ("{{ strftime `%Q` }}", "unknown directive '%Q' in the format '%Q'; there are %A"),
    ("{{ split `a-b` `-` 2 }}", "split at '-' gives 2, counted from 0; there is no number 2"),
    ("{{ split `a-b` `-` -1 }}", "there is no number -1"),
    ("{{ env `UNSET` }}", "{{ env `UNSET` }}: 'UNSET' is not set in the environment"),
    ("{{ printf `%s` }}", "more verbs than values: printf '%s'"),
    ("{{ printf `a` `b` }}", "more values than verbs: printf 'a'"),
    ("{{ printf `%d` `a` }}", "printf has for a text: %s, %-5s, %.5s and %v, not %d"),
    ("{{ printf `%05s` `a` }}", "not %05s"),
    ("{{ printf `%s` 5 }}", "printf has for a number: %d, %05d and %v, not %s"),
    ("{{ printf `%.2d` 5 }}", "not %.2d"),
    ("{{ printf `%q` `a` }}", "and %v, not %q"),
    ("{{ printf `%#5.x` 5 }}", "and %v, not %#5.x"),
    ("{{ printf `%` `a` }}", "and %v, not %"),
    *[
        (f"{{{{ {name} .SourceAMI }}}}", f"{name} is not supported: ")
        for name in (
            *("and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "call", "html", "js", "len", "print", "println"),
            *("slice", "urlquery"),
        )
    ],
    *[(f"{{{{ {name} }}}}", f"{name} is not supported: ") for name in ("true", "false", "nil")],
    ("{{ upper true }}", "true is not supported: "),
    # variables
    ("{{ user `nope` }}", "{{ user `nope` }}: unknown variable 'nope'; there are app, from, layout, name, owner"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_mistakes_are_found_before_a_bake(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        template.check(text, VARIABLES)
    with pytest.raises(ValueError, match=re.escape(message)):
        rendered(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ .SourceAMITags.tean }}", "the source image has no tag 'tean'; there are cost-center, team"),
        ("{{ index .SourceAMITags `x` }}", "the source image has no tag 'x'; there are cost-center, team"),
        ("{{ split .SourceAMIName `-` 3 }}", "split at '-' gives 3, counted from 0; there is no number 3"),
        ("{{ isotime .SourceAMI }}", "nothing in the layout '<SourceAMI>' stands for a time"),
        ("{{ user .SourceAMI }}", "unknown variable '<SourceAMI>'; there are app"),
        ("{{ split (user `from`) `-` 3 }}", "there is no number 3"),
    ],
)
def test_what_depends_on_the_source_image_is_found_once_it_is_known(text: str, message: str) -> None:
    template.check(text, VARIABLES)
    with pytest.raises(ValueError, match=re.escape(message)):
        rendered(text)


def test_a_source_image_without_tags_has_no_tag() -> None:
    for fields in ({}, dict.fromkeys(template.FIELDS, "")):
        with pytest.raises(ValueError, match="the source image has no tag 'team'; it has none"):
            template.render("{{ .SourceAMITags.team }}", epoch=0, fields=fields)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "{{ user `a` }}: unknown variable 'a'; none is given"),
        ({"a": None}, "{{ user `a` }}: the variable 'a' is needed, and has no value"),
        ({"a": "{{ user `b` }}"}, "{{ user `a` }}: in the variable 'a': {{ user `b` }}: unknown variable 'b'"),
        ({"a": "{{ user `a` }}"}, "the variable 'a' is made of itself: a → a"),
        ({"a": "{{ user `b` }}", "b": "x{{ user `a` }}"}, "the variable 'a' is made of itself: a → b → a"),
        ({"a": "{{ env `UNSET` }}"}, "in the variable 'a': {{ env `UNSET` }}: 'UNSET' is not set"),
        ({"a": "{{ uuid }}"}, "in the variable 'a': {{ uuid }}: every use of the variable would be another"),
        ({"a": "{{ nonsense"}, "in the variable 'a': {{ nonsense: the expression does not end"),
    ],
)
def test_mistakes_in_variables_are_said_of_the_variable(variables: dict[str, str | None], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        template.check("x {{ user `a` }}", variables)


def test_a_variable_can_be_used_twice() -> None:
    assert rendered("{{ user `name` }} {{ user `app` }}/{{ user `app` }}") == "ponyfoo-Pony Foo ponyfoo/ponyfoo"


def test_messages_hold_no_values_of_variables() -> None:
    with pytest.raises(ValueError, match="printf has for a text") as caught:
        template.check("{{ printf `%d` (user `secret`) }}", {"secret": "hunter2"})
    assert "hunter2" not in str(caught.value)
