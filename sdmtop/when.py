"""Times of a recording, as a person types and reads them."""

import time
from datetime import datetime, timedelta

from sdmtop.errors import UsageError
from sdmtop.text import printable

FORMS = "+SECONDS from the start, -SECONDS from the end, HH:MM[:SS][Z], or YYYY-MM-DDTHH:MM:SS[Z]"


def parse_when(text: str, begin: float, end: float) -> float:
    """The seconds since the epoch that a text means in a recording from `begin` to `end`.

    A time of day is the first one of that kind in the recording. Without a zone it is in this
    machine's, as is a date. Raises `UsageError` for a text of another form, `ValueError` (a
    sentence) for a time that is not in the recording.
    """
    at = _relative(text, begin, end) if text[:1] in ("+", "-") else _absolute(text, begin)
    # What is shown is cut to the second: so typed, it is still within.
    if not begin - 1 < at <= end + 1:
        raise ValueError(
            f"{printable(text)} is not in the recording: it goes from {stamp(begin)} "
            f"to {stamp(end)}"
        )
    return min(max(at, begin), end)


def stamp(at: float) -> str:
    """Date and time of day in this machine's time zone, from seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at))


def _relative(text: str, begin: float, end: float) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise _no_time(text) from error
    return begin + seconds if text[0] == "+" else end + seconds


def _absolute(text: str, begin: float) -> float:
    try:
        if text[4:5] == "-":
            return datetime.fromisoformat(text).timestamp()
        zone = datetime.fromisoformat(f"2000-01-01T{text}").tzinfo
        day = datetime.fromtimestamp(int(begin), zone)
        at = datetime.fromisoformat(f"{day.date()}T{text}")
    except (ValueError, OverflowError) as error:
        raise _no_time(text) from error
    return (at if at >= day else at + timedelta(days=1)).timestamp()


def _no_time(text: str) -> UsageError:
    return UsageError(f"{printable(text)} is no time: {FORMS}")
