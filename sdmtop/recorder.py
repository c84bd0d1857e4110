"""Writes a recording (`sdmtop.recording`).

Every sample is a transaction of its own, in the write-ahead log and on the disk before the next
one is read: whatever ends the recorder takes no more than the interval under way with it, and a
kernel that dies does not either.
"""

import errno
import fcntl
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from sdmtop.backends.base import Host
from sdmtop.collector import Sample
from sdmtop.moments import packed
from sdmtop.recording import (
    APPLICATION,
    PATIENCE,
    VERSION,
    check_magic,
    check_version,
    errors_told,
    file_uri,
    log_of,
    regular_file,
)
from sdmtop.sampler import Sampler

MOST_MOMENTS = 300
"""From one whole moment to the next, at most: what has to be read to show the last of them."""

_WATCHDOG = 2.0
"""Seconds between two looks of the watchdog."""

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_TABLES = f"""
BEGIN;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE moments (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, whole INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX wholes ON moments (number) WHERE whole;
CREATE TABLE happenings (
    moment INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, key TEXT, text TEXT NOT NULL
);
CREATE INDEX happened ON happenings (moment);
CREATE TABLE ends (at REAL NOT NULL);
COMMIT;
"""


class Recorder:
    """Writes a recording, or goes on with one that is there.

    It deletes its oldest moments when the file uses more than `most_bytes` or they are older than
    `most_seconds`. Raises `OSError` for a file that cannot be written, `ValueError` (a sentence)
    for one that is something else, or that another recorder has. Where the name no longer leads to
    the file, it raises `OSError` (ENOENT) everywhere: what was written until then is in the file.
    """

    def __init__(self, path: str, *, most_bytes: int, most_seconds: float) -> None:
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._last: Sample | None = None
        self._since_whole = 0
        self._bytes_since_whole = 0
        self.moments = 0
        """How many were written."""
        self._path = path
        log = log_of(path)
        with ExitStack() as opened:
            if os.path.exists(log):
                # Of a recorder whose file was moved: its log is not for another file.
                os.close(_locked(log))
            # For its owner only: it names processes and users. Open until the end, for its lock.
            self._fd = _locked(path, os.O_CREAT)
            opened.callback(os.close, self._fd)
            with errors_told():
                self._database = self._opened(path)
                opened.callback(self._database.close)
                (last,) = self._database.execute("SELECT max(number) FROM moments").fetchone()
            opened.callback(os.close, _locked(log))
            self._open = opened.pop_all()
        self._number = -1 if last is None else int(last)

    def _opened(self, path: str) -> sqlite3.Connection:
        head = os.pread(self._fd, 16, 0)
        if head:
            check_magic(head)
        database = sqlite3.connect(
            f"{file_uri(path)}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None
        )
        if head:
            check_version(database)
        else:
            database.executescript(_TABLES)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        return database

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        with self._open:
            with errors_told():
                self._leave_one_file()
            if kind is None:
                self._check_name()

    def _leave_one_file(self) -> None:
        """Take up the log into the file, which can then be read where nothing can be written."""
        # SQLite itself leaves it out where the file has another name now.
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._database.execute("PRAGMA busy_timeout = 0")
        try:
            self._database.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            # While somebody reads it, the log stays, and is empty. Of a file that has another name
            # now, all that can be done is done: the log is gone.
            if error.sqlite_errorname not in ("SQLITE_BUSY", "SQLITE_READONLY_DBMOVED"):
                raise

    def add(self, sample: Sample) -> None:
        """Write a sample. Raises `OSError` or `ValueError` where that cannot be done."""
        whole = (
            self._last is None
            or self._since_whole >= MOST_MOMENTS
            or self._bytes_since_whole >= self._most_bytes // 8
        )
        body = packed(sample, None if whole else self._last)
        number = self._number + 1
        told = set(map(id, self._last.happenings)) if self._last is not None else set()
        with self._transaction():
            self._database.execute(
                "INSERT INTO moments VALUES (?, ?, ?, ?)", (number, sample.at, whole, body)
            )
            self._database.executemany(
                "INSERT INTO happenings VALUES (?, ?, ?, ?, ?)",
                [
                    (number, one.at, one.kind, one.key, one.text)
                    for one in sample.happenings
                    if id(one) not in told
                ],
            )
            self._write_end(sample.at)
        self._number, self._last = number, sample
        self.moments += 1
        self._since_whole = 0 if whole else self._since_whole + 1
        self._bytes_since_whole = 0 if whole else self._bytes_since_whole + len(body)
        if whole:
            self._forget(sample.at)
            with errors_told():
                # So that the file is a recording by itself, should its log be lost; it takes less
                # than a millisecond.
                self._database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def nothing_new(self, at: float) -> None:
        """Write that until this time, in seconds since the epoch, nothing has changed."""
        with self._transaction():
            self._write_end(at)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._check_name()
        with errors_told(), self._database:
            self._database.execute("BEGIN")
            yield

    def _check_name(self) -> None:
        """Refuse to go on where nobody would find what is written, by the name that was given."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            found = None
        if found is None or not os.path.samestat(found, os.fstat(self._fd)):
            raise OSError(errno.ENOENT, "it was moved or deleted while it was recorded")

    def _write_end(self, at: float) -> None:
        self._database.execute("DELETE FROM ends")
        self._database.execute("INSERT INTO ends VALUES (?)", (at,))

    def _forget(self, now: float) -> None:
        """Delete the oldest moments, from one whole moment to the next, while they are too many.

        The least that is left are the moments since the last whole one, and those before it.
        """
        with errors_told():
            while True:
                oldest = self._database.execute(
                    "SELECT number, at FROM moments WHERE whole ORDER BY number LIMIT 3"
                ).fetchall()
                if len(oldest) < 3:
                    return
                number, at = oldest[1]
                if self._bytes_used() <= self._most_bytes and now - at <= self._most_seconds:
                    return
                with self._transaction():
                    self._database.execute("DELETE FROM moments WHERE number < ?", (number,))
                    self._database.execute("DELETE FROM happenings WHERE moment < ?", (number,))

    def _bytes_used(self) -> int:
        """Of the file; what was deleted is used again."""
        size, pages, free = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return int(size * (pages - free))


def _locked(path: str, flags: int = 0) -> int:
    """A descriptor of the file, which we have for ourselves until it is closed."""
    fd = regular_file(path, os.O_RDWR | flags)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EWOULDBLOCK:
            raise ValueError("another recorder is writing it") from error
        raise
    return fd


def record(host: Host, recorder: Recorder, *, interval: float, seconds: float | None) -> None:
    """Read the host and write it down, for so many seconds, or until a signal ends it.

    Raises `OSError` or `ValueError` (a sentence) when it can no longer be written.
    """
    samples: SimpleQueue[Sample | None] = SimpleQueue()
    sampler = Sampler(host, interval=interval)
    sampler.subscribe(samples.put)
    end = float("inf") if seconds is None else time.monotonic() + seconds
    with _ended_by_signals(samples):
        sampler.start()
        while (left := end - time.monotonic()) > 0:
            try:
                sample = samples.get(timeout=min(interval, _WATCHDOG, left))
            except Empty:
                if recorder.moments:
                    recorder.nothing_new(time.time())
            else:
                if sample is None:
                    break
                recorder.add(sample)
            sampler.watch()
    sampler.stop()


@contextmanager
def _ended_by_signals(samples: "SimpleQueue[Sample | None]") -> Iterator[None]:
    """Put None behind the samples when a signal comes; one that is ignored stays so (`nohup`)."""
    before = {number: signal.getsignal(number) for number in _ENDS}
    taken = [number for number in _ENDS if before[number] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, lambda *_: samples.put(None))
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
