"""The journal: what was planned, what was done, how it ended, and what came of self-tests.

It is only ever added to. Each record is a line: its checksum, a blank, JSON. A record is on the
disk before the next step begins, so that after a kill or a power cut the plan is known, and all
steps but the last one too; of that one, reading its facts again tells.
"""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple
from weakref import finalize

import msgspec

from sdmtop.model import Record
from sdmtop.operations.plan import Plan  # noqa: TC001 - msgspec needs it to decode
from sdmtop.places import flush_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.base import Host

StepState = Literal["done", "failed", "stuck", "undone", "left"]
"""What became of a step: `undone` by a rollback, or never begun for it found something else than it
expected; `left` where the rollback has failed, or somebody else has changed what it had made."""

Ending = Literal["done", "rolled back", "left", "stuck", "reboot"]
"""`left`: failed, and not all of it could be undone; `reboot`: cut off, and undone by that."""

Verdict = Literal["pass", "fail", "skip"]
"""What came of a self-test."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Begun(Record, frozen=True, tag="plan", kw_only=True):
    """A plan that is about to be carried out. `at` is in seconds since the epoch.

    `boot` is the boot id of the host; `pid` and `started` (clock ticks since boot) are the
    process that carries it out, `user` its effective user id.
    """

    number: int
    at: float
    host: str
    boot: str | None
    pid: int
    started: int | None
    user: int
    plan: Plan


class Stepped(Record, frozen=True, tag="step", kw_only=True):
    """What became of a step of a plan, by its index."""

    number: int
    at: float
    index: int
    state: StepState
    detail: str = ""


class Ended(Record, frozen=True, tag="end", kw_only=True):
    """How a plan has ended, and what it has left that is not as it was."""

    number: int
    at: float
    ending: Ending
    left: tuple[str, ...] = ()


class Judged(Record, frozen=True, tag="test", kw_only=True):
    """What came of a self-test on a target, under which kernel. `at` is when it had ended."""

    at: float
    host: str
    kernel: str | None
    test: str
    target: str
    result: Verdict
    reason: str | None
    seconds: float


_Line = Begun | Stepped | Ended | Judged
_decoder = msgspec.json.Decoder(_Line)


class Entry(NamedTuple):
    """All that the journal says of one plan.

    `states` has the last state of each step that came to one, by index. `undone_by` is the number
    of the plan that has undone this one, `finished_by` of the one that has done the rest of it.
    `doubtful`: lines between its own and the next plan are damaged, and may be of another plan.
    """

    begun: Begun
    states: dict[int, StepState]
    ended: Ended | None = None
    undone_by: int | None = None
    finished_by: int | None = None
    doubtful: bool = False

    @property
    def is_running(self) -> bool:
        """Whether the process that carries it out, or holds what it has opened, is alive."""
        return _started(self.begun.pid) == self.begun.started is not None


class Journal:
    """A file of records. Without a path it is in memory, and ends with the process."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.damaged = 0
        """Lines that could not be read, the last time."""
        if path is None:
            self._memory = os.memfd_create("journal")
            finalize(self, os.close, self._memory)

    def begin(self, plan: Plan, host: Host) -> int:
        """Write down a plan before its first step; its number. Raises `OSError`."""
        with self._open() as fd:
            number = _last_number(fd) + 1
            pid = os.getpid()
            begun = Begun(
                number=number,
                at=time.time(),
                host=host.url,
                boot=boot_id(host),
                pid=pid,
                started=_started(pid),
                user=os.geteuid(),
                plan=plan,
            )
            _append(fd, begun)
        if number == 1 and self.path is not None:
            flush_directory(os.path.dirname(self.path))
        return number

    def step(self, number: int, index: int, state: StepState, detail: str = "") -> None:
        """Write down what became of a step, before the next one begins."""
        with self._open() as fd:
            line = Stepped(number=number, at=time.time(), index=index, state=state, detail=detail)
            _append(fd, line)

    def end(self, number: int, ending: Ending, left: tuple[str, ...] = ()) -> None:
        """Write down how a plan has ended."""
        with self._open() as fd:
            _append(fd, Ended(number=number, at=time.time(), ending=ending, left=left))

    def test(self, line: Judged) -> None:
        """Write down what came of a self-test."""
        with self._open() as fd:
            _append(fd, line)

    def tests(self) -> tuple[Judged, ...]:
        """What came of every self-test, oldest first. Damaged lines are as for `entries`."""
        return tuple(line for line in self._lines() if isinstance(line, Judged))

    def entries(self) -> tuple[Entry, ...]:
        """Every plan, oldest first; none where there is no journal yet.

        Damaged lines, as a power cut leaves them, are passed over and counted.
        """
        entries: dict[int, Entry] = {}
        last = 0
        for line in self._lines():
            if isinstance(line, Judged):
                continue
            if line is None:
                _doubt(entries, last)
            elif isinstance(line, Begun):
                last = line.number
                entries[last] = Entry(line, {})
            elif (entry := entries.get(line.number)) is None:
                self.damaged += 1  # Of a plan whose own line is damaged.
                _doubt(entries, last)
            elif isinstance(line, Stepped):
                entry.states[line.index] = line.state
            else:
                entries[line.number] = entry._replace(ended=line)
                if line.ending == "done":
                    _undo(entries, entry.begun.plan.undoes, line.number)
                    _finish(entries, line.number)
        return tuple(entries.values())

    @contextmanager
    def _open(self, flags: int = os.O_RDWR | os.O_CREAT | os.O_APPEND) -> Iterator[int]:
        """The file, to ourselves."""
        if self.path is None:
            yield self._memory
            return
        fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)

    def _lines(self) -> list[_Line | None]:
        """All records; None for each that is damaged."""
        if self.path is not None and not os.path.exists(self.path):
            return []
        with self._open(os.O_RDONLY) as fd:
            return self._read(fd)

    def _read(self, fd: int) -> list[_Line | None]:
        lines = [_line(text) for text in _texts(fd)]
        self.damaged = lines.count(None)
        return lines


def _texts(fd: int) -> list[bytes]:
    return os.pread(fd, os.fstat(fd).st_size, 0).splitlines()


def _line(text: bytes) -> _Line | None:
    """A record; None where it is damaged."""
    checksum, _, body = text.partition(b" ")
    return _decode(body) if checksum == _checksum(body) else None


def _last_number(fd: int) -> int:
    """The number of the plan that was begun last, 0 if none was.

    Numbers grow, so what stands before its record tells nothing; what stands after it may be of a
    plan whose own record is damaged.
    """
    last = 0
    for text in reversed(_texts(fd)):
        line = _line(text)
        if line is not None and not isinstance(line, Judged):
            last = max(last, line.number)
        if isinstance(line, Begun):
            break
    return last


def _undo(entries: dict[int, Entry], number: int | None, by: int) -> None:
    """Mark a plan as undone; what that had undone is in force again, and so on."""
    later = by
    undone_by: int | None = by
    # A plan undoes an earlier one: a record that says otherwise, and might lead round, is not ours.
    while number in entries and number < later:
        entries[number] = entries[number]._replace(undone_by=undone_by)
        _finish(entries, number)
        undone_by = number if undone_by is None else None
        later, number = number, entries[number].begun.plan.undoes


def _doubt(entries: dict[int, Entry], number: int) -> None:
    """Mark the plan behind whose lines there are some of which nothing is known."""
    if number in entries:
        entries[number] = entries[number]._replace(doubtful=True)


def _finish(entries: dict[int, Entry], number: int) -> None:
    """Mark the plan of which this one does the rest: undone, it leaves that half-done again."""
    entry = entries[number]
    finished = entry.begun.plan.finishes
    if finished in entries and finished < number:
        finished_by = number if entry.undone_by is None else None
        entries[finished] = entries[finished]._replace(finished_by=finished_by)


def boot_id(host: Host) -> str | None:
    """What tells one boot of a host from another."""
    try:
        return host.read(_BOOT_ID).decode("ascii", "replace").strip()
    except OSError:
        return None


def _decode(body: bytes) -> _Line | None:
    """A record; None for what a later version of sdmtop may have written."""
    try:
        line: _Line = _decoder.decode(body)
    except ValueError:
        return None
    return line


def _append(fd: int, line: _Line) -> None:
    body = msgspec.json.encode(line)
    size = os.lseek(fd, 0, os.SEEK_END)
    # What a power cut has torn off stays a line of its own.
    torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    data = (b"\n" if torn else b"") + _checksum(body) + b" " + body + b"\n"
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def _started(pid: int) -> int | None:
    """When a process of this machine began, in clock ticks since boot; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name may hold anything, parentheses and blanks too; 20 fields on it is.
            return int(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return None
