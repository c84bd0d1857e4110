import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.errors import UsageError
from sdmtop.when import parse_when, stamp

NOON = datetime(2026, 3, 1, 12, 0, 0).timestamp()
"""Begin of a recording of 14 hours, in this machine's time zone."""
END = NOON + 14 * 3600


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("+0", NOON),
        ("+90.5", NOON + 90.5),
        ("-60", END - 60),
        ("12:30", NOON + 1800),
        ("12:30:05", NOON + 1805),
        ("01:00", NOON + 13 * 3600),
        ("2026-03-01T13:00:00", NOON + 3600),
        ("2026-03-01 13:00:00", NOON + 3600),
    ],
)
def test_a_time_can_be_said_in_several_ways(text: str, at: float) -> None:
    assert parse_when(text, NOON, END) == at


def test_a_time_in_utc_is_taken_as_such() -> None:
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOON + 60))
    assert parse_when(text, NOON, END) == NOON + 60


@pytest.mark.parametrize("hours", [-9, -5, 0, 9])
def test_a_time_of_day_may_have_a_zone(hours: int) -> None:
    there = datetime.fromtimestamp(NOON + 60, timezone(timedelta(hours=hours)))
    for text in (there.strftime("%H:%M:%S%z"), there.isoformat()[11:]):
        assert parse_when(text, NOON, END) == NOON + 60
    assert parse_when(time.strftime("%H:%MZ", time.gmtime(NOON + 60)), NOON, END) == NOON + 60


@given(st.floats(0, 1), st.floats(0, 0.999))
def test_what_is_shown_can_be_typed(part: float, fraction: float) -> None:
    begin = NOON + fraction
    at = begin + part * (END - begin)
    found = parse_when(stamp(at), begin, END)
    assert begin <= found <= at
    assert at - found < 1


@pytest.mark.parametrize("text", ["+99999999", "-99999999", "2026-02-28T12:00:00", "11:00", "-inf"])
def test_a_time_outside_of_the_recording_is_refused_with_what_is_in_it(text: str) -> None:
    with pytest.raises(ValueError, match="goes from 2026-03-01T12:00:00 to 2026-03-02T02:00:00"):
        parse_when(text, NOON, END)


@pytest.mark.parametrize(
    "text", ["", "noon", "+", "+x", "25:00", "2026-13-01", "9999-99", "1e5", "12:00Zx"]
)
def test_what_is_no_time_is_an_error_of_usage(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        parse_when(text, NOON, END)


@given(st.text())
def test_no_text_makes_a_traceback(text: str) -> None:
    with suppress(ValueError):
        assert NOON <= parse_when(text, NOON, END) <= END
