"""A recording: the samples of a host in an SQLite file, for reading.

A *whole* moment stands by itself, the others need those before them, back to a whole one
(`sdmtop.moments`). Moments are numbered without a gap; the oldest go when there are too many.
"""

import errno
import math
import os
import sqlite3
import stat
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from sdmtop.collector import Sample
from sdmtop.counters import RING
from sdmtop.moments import LATEST, Moment, unpacked
from sdmtop.timeline import REMEMBERED, Happening
from sdmtop.when import parse_when

VERSION = 1
"""Of the tables and of what is in them: another meaning gets another number."""

APPLICATION = 0x73646D74
"""`application_id` of the file: "sdmt"."""

PATIENCE = 5.0
"""Seconds to wait for another program that has the file locked."""

_MAGIC = b"SQLite format 3\0"


class Extent(NamedTuple):
    """Moments of a recording.

    `first` is the number of the oldest that there is. Of those that were asked for, `times` are in
    seconds since the epoch, and `eventful` are the numbers of those at which something happened,
    beside the first. `end` is until when it was recorded.
    """

    first: int
    times: "array[float]"
    eventful: list[int]
    end: float


class Recording:
    """Reads a recording, also while it is being written.

    Raises `OSError` for a file that cannot be opened, and everywhere `ValueError` (a sentence) for
    one that is no recording, is damaged, or is of another version.
    """

    def __init__(self, path: str) -> None:
        with os.fdopen(regular_file(path, os.O_RDONLY), "rb") as file:
            check_magic(file.read(len(_MAGIC)))
            self._path, self._identity = path, os.fstat(file.fileno())
        with errors_told():
            self._database = _opened(path)
        self._number = -1
        self._moment: Moment | None = None
        if self._one("SELECT count(*) FROM (SELECT 1 FROM moments LIMIT 1)") == 0:
            raise ValueError("an empty recording: it ended before the first reading")

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    @property
    def is_there(self) -> bool:
        """Whether its name still leads to the file that was opened."""
        try:
            return os.path.samestat(os.stat(self._path), self._identity)
        except OSError:
            return False

    @property
    def first(self) -> int:
        """The number of the oldest moment."""
        return int(self._one("SELECT min(number) FROM moments"))

    @property
    def last(self) -> int:
        """The number of the newest moment."""
        return int(self._one("SELECT max(number) FROM moments"))

    @property
    def end(self) -> float:
        """Until when it was recorded, in seconds since the epoch."""
        last = self._one("SELECT at FROM moments ORDER BY number DESC LIMIT 1")
        # The clock may have been set back since.
        return max(_seconds(last), _seconds(self._one("SELECT coalesce(max(at), 0) FROM ends")))

    def number(self, when: str) -> int:
        """The moment that was the newest at a time, which is as `sdmtop.when` has it.

        Raises `UsageError` for what is no time.
        """
        begin = _seconds(self._one("SELECT at FROM moments ORDER BY number LIMIT 1"))
        at = parse_when(when, begin, self.end)
        return int(self._one("SELECT coalesce(max(number), ?) FROM moments WHERE at <= ?",
                             self.first, at))  # fmt: skip

    @property
    def version(self) -> int:
        """Another number when another program has written to the file."""
        return int(self._one("PRAGMA data_version"))

    def extent(self, after: int = -1) -> Extent:
        """What there is now, behind a moment of this number; all of it the same instant."""
        with self._at_once():
            first = self.first
            times = array("d", (_seconds(at) for (at,) in self._rows(
                "SELECT at FROM moments WHERE number > ? ORDER BY number", after)))  # fmt: skip
            rows = self._rows(
                "SELECT DISTINCT moment FROM happenings WHERE moment > ? ORDER BY moment",
                max(first, after),
            )
            return Extent(first, times, [int(number) for (number,) in rows], self.end)

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Read the file as it is at one instant, whatever is written meanwhile."""
        self._rows("BEGIN")
        try:
            yield
        finally:
            self._rows("COMMIT")

    def sample(self, number: int) -> Sample:
        """One moment; quick if it is soon after the one that was asked for last."""
        if not self._number <= number <= self._number + RING:
            self._moment = None
        if self._moment is None:
            # From so far back that rates and their history are there.
            start = self._one(
                "SELECT coalesce((SELECT max(number) FROM moments WHERE whole AND number <= ?), "
                "(SELECT min(number) FROM moments))",
                number - RING,
            )
        else:
            start = self._number + 1
        rows = self._rows(
            "SELECT number, at, whole, body FROM moments WHERE number BETWEEN ? AND ? "
            "ORDER BY number",
            start,
            number,
        )
        for found, at, whole, body in rows:
            self._read(int(found), _seconds(at), body, whole=bool(whole))
        if self._moment is None or self._number != number:
            raise ValueError("a damaged recording: a moment is missing")
        return replace(self._moment.sample, happenings=self._happenings(number))

    def _read(self, number: int, at: float, body: bytes, *, whole: bool) -> None:
        """Go on to the next moment."""
        if not whole and (self._moment is None or number != self._number + 1):
            raise ValueError("a damaged recording: a moment is missing")
        try:
            self._moment = unpacked(body, at, self._moment)
        except (ValueError, TypeError) as error:
            raise ValueError(f"a damaged recording: moment {number}: {error}") from error
        self._number = number

    def _happenings(self, number: int) -> tuple[Happening, ...]:
        rows = self._rows(
            "SELECT at, kind, key, text FROM happenings WHERE moment <= ? "
            "ORDER BY rowid DESC LIMIT ?",
            number,
            REMEMBERED,
        )
        try:
            found = [
                msgspec.convert(
                    {"at": _seconds(at), "kind": kind, "key": key, "text": text}, Happening
                )
                for at, kind, key, text in rows
            ]
        except msgspec.ValidationError as error:
            raise ValueError(f"a damaged recording: an event: {error}") from error
        return tuple(reversed(found))

    def _one(self, query: str, *values: object) -> Any:
        return next(self._rows(query, *values))[0]

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        with errors_told():
            return iter(self._database.execute(query, values).fetchall())


def _opened(path: str) -> sqlite3.Connection:
    database = _connected(path, "mode=ro")
    try:
        check_version(database)
    except sqlite3.OperationalError as error:
        database.close()
        database = _connected(path, _how_else(path, error))
        check_version(database)
    return database


def _how_else(path: str, error: sqlite3.OperationalError) -> str:
    """How to open what cannot be opened for reading. Raises the error where there is no way."""
    if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
        # Killed while it changed the kind of its log: one page has to be taken back.
        return "mode=rw"
    if error.sqlite_errorname not in ("SQLITE_CANTOPEN", "SQLITE_READONLY_DIRECTORY"):
        raise error
    log = log_of(path)
    if os.path.exists(log) and os.stat(log).st_size:
        raise ValueError(
            "it was not closed at its end, and its log (its name with -wal behind it) cannot be "
            "used in a directory that cannot be written: copy both to one that can"
        ) from error
    # SQLite asks for a log, although there is nothing to be found in one.
    return "mode=ro&immutable=1"


def _connected(path: str, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file_uri(path)}?{how}",
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,  # It is handed over to the thread that plays it.
    )


def log_of(path: str) -> str:
    """The name of its log, which SQLite finds by the name of the file, links in it followed."""
    return f"{os.path.realpath(path)}-wal"


def split_url(url: str) -> tuple[str, str]:
    """The file and the time of `replay:FILE?at=TIME`; no text where there is no time."""
    path = url.removeprefix("replay:")
    file, mark, at = path.rpartition("?at=")
    return (file, at) if mark else (path, "")


def regular_file(path: str, flags: int) -> int:
    """A descriptor of the file, for its owner only if it is made; nothing else is waited for.

    Raises `OSError` where it cannot be opened, `ValueError` (a sentence) for a FIFO, a device or a
    directory.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("no recording: it is no regular file")
    return fd


def file_uri(path: str) -> str:
    """The file, whatever its name is, for SQLite: to which `:memory:` and `//` mean more."""
    return f"file://{quote(os.fsencode(os.path.realpath(path)))}"


def check_magic(head: bytes) -> None:
    """Refuse a file that does not begin as one of SQLite's."""
    if head != _MAGIC:
        raise ValueError("no recording: it was not made by 'sdmtop record'")


def check_version(database: sqlite3.Connection) -> None:
    """Refuse what another program, or another version of this one, has made."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise ValueError("no recording: it is the database of another program")
    if version != VERSION:
        age = "a newer" if version > VERSION else "an older"
        raise ValueError(
            f"a recording of {age} version of sdmtop: the file has {version}, this one knows "
            f"{VERSION}"
        )


@contextmanager
def errors_told() -> Iterator[None]:
    """Errors of the database as `OSError` or `ValueError`, which the command line words."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_BUSY")):
            raise ValueError(f"the database cannot be used: {error}") from error
        raise ValueError(f"a damaged recording: {error}") from error


def _seconds(at: Any) -> float:
    if not isinstance(at, float | int) or not math.isfinite(at) or not 0 <= at <= LATEST:
        raise ValueError("a damaged recording: a time is none")
    return float(at)
