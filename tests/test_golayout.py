"""Times written by Go's layouts and by strftime; the expected texts are what Go itself writes."""

from __future__ import annotations

import locale
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amibake.golayout import go_layout, strftime

SUNDAY = datetime(2024, 4, 21, 14, 50, 45, 123400, UTC)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("2006-01-02T15:04:05Z", "2024-04-21T14:50:45Z"),
        ("20060102T150405Z", "20240421T145045Z"),
        ("01/02 03:04:05PM '06 -0700", "04/21 02:50:45PM '24 +0000"),
        ("Mon Jan _2 15:04:05 2006", "Sun Apr 21 14:50:45 2024"),
        ("Monday, 02-Jan-06 15:04:05 MST", "Sunday, 21-Apr-24 14:50:45 UTC"),
        ("Mon, 02 Jan 2006 15:04:05 -0700", "Sun, 21 Apr 2024 14:50:45 +0000"),
        ("January 2, 2006", "April 21, 2024"),
        ("1/2/06 3:4:5 pm", "4/21/24 2:50:45 pm"),
        ("3:04PM", "2:50PM"),
        ("2006.002", "2024.112"),
        ("-0700 -07:00 -07 -070000 -07:00:00", "+0000 +00:00 +00 +000000 +00:00:00"),
        ("Z0700 Z07:00 Z07 Z070000 Z07:00:00", "Z Z Z Z Z"),
        ("05.0 05.000 05,000000 05.000000000", "45.1 45.123 45,123400 45.123400000"),
        ("05.9 05.999 05.999999999 05,9", "45.1 45.123 45.1234 45,1"),
        ("05.00000000000", "45.123400000"),
        (".0005", ".0045"),
        ("Janitor Month Monk 15", "Janitor Month Monk 14"),
        ("_2006 v2 build_2", "_2024 v21 build21"),
        ("é 2006 \\d", "é 2024 \\d"),
    ],
)
def test_a_layout_is_the_reference_time_in_the_wanted_form(layout: str, expected: str) -> None:
    assert go_layout(layout, SUNDAY) == expected


@pytest.mark.parametrize(
    ("moment", "layout", "expected"),
    [
        ((2024, 2, 29), "Mon Jan 2 2006 002", "Thu Feb 29 2024 060"),
        ((2023, 3, 1), "Jan 2 __2", "Mar 1  60"),
        ((2024, 12, 31), "Monday 002 __2", "Tuesday 366 366"),
        ((2025, 1, 5), "[_2] [02] [2] [__2] [002] 01 1", "[ 5] [05] [5] [  5] [005] 01 1"),
        ((1999, 12, 31), "06/2006 January", "99/1999 December"),
        ((2024, 5, 1, 0, 7, 9), "3:04PM 03 15 4 5 pm", "12:07AM 12 00 7 9 am"),
        ((2024, 5, 1, 12, 0, 0), "3:04PM 03 15 pm", "12:00PM 12 12 pm"),
        ((2024, 5, 1, 23, 59, 59), "3:04PM 03 15", "11:59PM 11 23"),
        ((2024, 5, 1, 1), "3 03 15", "1 01 01"),
        ((2024, 5, 1), "05.000 05.999|05,999999", "00.000 00|00"),
    ],
)
def test_edges_of_days_months_and_years(moment: tuple[int, int, int], layout: str, expected: str) -> None:
    assert go_layout(layout, datetime(*moment, tzinfo=UTC)) == expected


@pytest.mark.parametrize("layout", ["", "YYYY-MM-DD", "%Y%m%d", "now"])
def test_a_layout_that_shows_no_time_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match=r"nothing in the layout .* stands for a time; .* 2006-01-02 15:04:05"):
        go_layout(layout, SUNDAY)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("%Y-%m-%dT%H:%M:%S%z", "2024-04-21T14:50:45+0000"),
        ("%y %B %b %A %a %Z %I%p", "24 April Apr Sunday Sun UTC 02PM"),
        ("%F %T %j %e", "2024-04-21 14:50:45 112 21"),
        ("100%% in %Y, 2006", "100% in 2024, 2006"),
    ],
)
def test_strftime_has_directives(form: str, expected: str) -> None:
    assert strftime(form, SUNDAY) == expected


@pytest.mark.parametrize("form", ["%Y %Q", "%Y%", "%Y %-d"])
def test_an_unknown_directive_is_refused_with_those_that_there_are(form: str) -> None:
    with pytest.raises(ValueError, match=r"unknown directive '%.?' in the format .*; there are .*%Y .*%%"):
        strftime(form, SUNDAY)


def test_a_format_without_a_directive_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing in the format '2006-01-02' stands for a time; %Y-%m-%d does"):
        strftime("2006-01-02", SUNDAY)


@pytest.fixture
def other_locale() -> Iterator[None]:
    before = locale.setlocale(locale.LC_TIME)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        try:
            locale.setlocale(locale.LC_TIME, name)
            break
        except locale.Error:
            continue
    yield
    locale.setlocale(locale.LC_TIME, before)


@pytest.mark.usefixtures("other_locale")
def test_names_are_english_whatever_the_locale() -> None:
    assert strftime("%A %B", SUNDAY) == go_layout("Monday January", SUNDAY) == "Sunday April"
