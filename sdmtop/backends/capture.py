"""A saved host as a read-only host: a directory or an archive, with notes of what is not in it.

The notes, `CAPTURE.json`, are an object: `kernel` (its release), `taken_at` (RFC 3339), `notes`
(path -> why it could not be read: `write-only`, `read errno N`, `read timed out`, `directory not
entered`, `taken in part`, `skipped`, `absent`) and `numbers` (path of a descriptor -> `st_rdev` of
what it is).
Paths are in the escaped form of `sdmtop.text.fact`.
"""

import errno
import os
import stat
from collections.abc import Iterator

import msgspec

from sdmtop.backends.archive import MOST_BYTES, MOST_IN_A_FILE, members, shown
from sdmtop.backends.tree import DEEPEST, Directory, Entry, Failure, Link, TreeHost
from sdmtop.text import original

NOTES = "CAPTURE.json"

NOT_CAPTURED = errno.ENODATA
"""What a path answers that the capture left out: it was there, and what it said is unknown."""

WRITE_ONLY = "write-only"
TIMED_OUT = "read timed out"
NOT_ENTERED = "directory not entered"
SKIPPED = "skipped"
ABSENT = "absent"
FAILED = "read errno "
NOT_THERE = f"{FAILED}{errno.ENOENT}"
"""Of a file that is absent in a directory that was taken in part: there, others are not told."""
PARTLY = "taken in part"

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_ERRNOS = range(1, 4096)
_RELEASE = "/proc/sys/kernel/osrelease"


class Notes(msgspec.Struct):
    """What `CAPTURE.json` says."""

    kernel: str | None = None
    taken_at: str | None = None
    notes: dict[str, str] = {}
    numbers: dict[str, int] = {}


class CaptureHost(TreeHost):
    """The tree of a capture, in memory. `kernel` is its release, where the notes tell it."""

    def __init__(self, path: str) -> None:
        """Load a capture.

        Raises `OSError` for what cannot be opened, `ValueError` (a sentence) for what is no
        capture, leads out of itself, or is larger than a host can be.
        """
        super().__init__({}, url=f"capture:{path}")
        fd = os.open(path, _OPEN)
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise ValueError("no capture: it is neither a directory nor an archive")
            notes = self._load(_below(fd, "") if stat.S_ISDIR(mode) else members(fd))
        finally:
            os.close(fd)
        if "sys" not in self.list("/"):
            raise ValueError("no capture: there is no directory 'sys' at its top")
        self.kernel = notes.kernel
        self.taken_at = notes.taken_at or ""
        for noted, why in notes.notes.items():
            self._note(_path(noted), why)
        for noted, number in notes.numbers.items():
            self._number(_path(noted), number)
        if self.kernel is not None and not self._has(_RELEASE) and not self._has("/proc/version"):
            self.put(_RELEASE, f"{self.kernel}\n")

    def put(self, path: str, entry: Entry) -> None:
        """See `TreeHost.put`; what it refuses makes this no capture."""
        try:
            super().put(path, entry)
        except ValueError as error:
            raise ValueError(f"no capture: {error}") from error

    def _load(self, entries: Iterator[tuple[str, Entry]]) -> Notes:
        text = b"{}"
        total = 0
        for path, entry in entries:
            if isinstance(entry, bytes):
                total += len(entry)
                if total > MOST_BYTES:
                    raise ValueError(f"no capture: it holds more than {MOST_BYTES >> 20} MiB")
                if path == NOTES:
                    text = entry
                    continue
            self.put(f"/{path}" if path else "", entry)
        try:
            return msgspec.json.decode(text, type=Notes)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ValueError(f"no capture: its {NOTES} is broken ({error})") from error

    def _note(self, path: str, why: str) -> None:
        """Let a path fail as it did when the capture was made."""
        if why == ABSENT:
            return
        number = NOT_CAPTURED  # Also for reasons of a later version.
        if why in (WRITE_ONLY, NOT_ENTERED):
            number = errno.EACCES
        elif why == TIMED_OUT:
            number = errno.ETIMEDOUT
        elif why.startswith(FAILED):
            digits = why.removeprefix(FAILED)
            number = int(digits) if digits.isdecimal() and len(digits) < 5 else 0
            if number not in _ERRNOS:
                raise ValueError(f"no capture: its {NOTES} is broken (errno {shown(digits)})")
        if why == PARTLY:
            self.put(path, Directory(number, is_listed=True))
        elif why == NOT_ENTERED or (self._has(path) and stat.S_ISDIR(self.mode(path))):
            self.put(path, Directory(number))
        elif why == WRITE_ONLY:
            self.put(path, Failure(number, stat.S_IFREG | 0o200))
        else:
            self.put(path, Failure(number))

    def _number(self, path: str, number: int) -> None:
        try:
            self.put(path, Link(self.readlink(path), number))
        except OSError as error:
            raise ValueError(f"no capture: its {NOTES} is broken ({shown(path)})") from error

    def _has(self, path: str) -> bool:
        try:
            self.mode(path)
        except OSError:
            return False
        return True


def _path(noted: str) -> str:
    try:
        return os.fsdecode(original(noted))
    except ValueError as error:
        raise ValueError(f"no capture: its {NOTES} is broken (path {shown(noted)})") from error


def _below(directory: int, path: str) -> Iterator[tuple[str, Entry]]:
    """Every entry below an open directory; links are taken as they are and never followed."""
    if path.count("/") > DEEPEST:
        raise ValueError(f"no capture: more than {DEEPEST} directories inside each other")
    with os.scandir(directory) as found:
        entries = sorted((entry.name, entry) for entry in found)
    for name, entry in entries:
        inner = f"{path}/{name}" if path else name
        if entry.is_symlink():
            yield inner, Link(os.readlink(name, dir_fd=directory))
            continue
        is_directory = entry.is_dir(follow_symlinks=False)
        if not is_directory and not entry.is_file(follow_symlinks=False):
            raise ValueError(f"no capture: {shown(inner)} is neither file, link nor directory")
        try:
            fd = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=directory)
        except OSError as error:
            number = error.errno or errno.EIO
            yield inner, Directory(number) if is_directory else Failure(number)
            continue
        try:
            if is_directory:
                yield inner, Directory()
                yield from _below(fd, inner)
            else:
                yield inner, _content(fd, inner)
        finally:
            os.close(fd)


def _content(fd: int, path: str) -> bytes:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"no capture: {shown(path)} has become something else")
    if status.st_size > MOST_IN_A_FILE:
        raise ValueError(f"no capture: {shown(path)} has more than {MOST_IN_A_FILE >> 10} KiB")
    return os.read(fd, status.st_size)
