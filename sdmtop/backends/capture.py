"""A saved host: a directory or an archive that `sdmtop capture` made, as a read-only host.

Nothing is unpacked to disk. An archive is a stranger's: names that lead out, devices, and more
than a host can be are refused with a sentence, before memory or time is spent on them.
"""

import errno
import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost

MOST_ENTRIES = 2_000_000
"""Files, links and directories; a host with 65,536 devices has about half of that."""

MOST_BYTES = 512 * 1024 * 1024
"""Bytes of all files together."""

MOST_IN_A_FILE = 4 * 1024 * 1024
"""Bytes of one file."""

NOTES = "CAPTURE.json"

# A hole that `sdmtop capture` leaves on purpose is not "absent": readers must call it unknown.
_SKIPPED = errno.ENODATA


class CaptureHost(TreeHost):
    """The tree of a capture, with the errno of what could not be read when it was made."""

    def __init__(self, path: str) -> None:
        """Load a capture.

        Raises `OSError` for what cannot be opened, `ValueError` (a sentence) for what is no
        capture or is refused.
        """
        super().__init__({}, url=f"capture:{path}")
        entries = _from_directory(path) if os.path.isdir(path) else _from_archive(path)
        notes = b"{}"
        size = 0
        for count, (name, entry) in enumerate(entries):
            size += len(entry) if isinstance(entry, bytes) else 0
            if count >= MOST_ENTRIES or size > MOST_BYTES:
                raise ValueError(f"refused: more than {MOST_ENTRIES} entries or {MOST_BYTES} bytes")
            if name == NOTES and isinstance(entry, bytes):
                notes = entry
            elif name:
                self.put(name, entry)
        if "sys" not in self.list("/"):
            raise ValueError("no capture: there is no directory sys in it")
        for note_path, note in _notes(notes).items():
            self._apply(note_path, note)

    def _apply(self, path: str, note: str) -> None:
        """Let a path fail as it did when the capture was made."""
        if note == "skipped":
            self.put(path, Failure(_SKIPPED))
        elif note == "write-only":
            self.put(path, Failure(errno.EACCES))
        elif note == "read timed out":
            self.put(path, Failure(errno.ETIMEDOUT))
        elif note == "directory not entered":
            self.put(path, Failure(errno.EACCES))
        elif note.startswith("read errno ") and note[11:].isdecimal():
            self.put(path, Failure(int(note[11:15]) or errno.EIO))


def _notes(text: bytes) -> dict[str, str]:
    import json

    try:
        loaded: Any = json.loads(text)
        notes = loaded.get("notes", {})
        return {
            path: note
            for path, note in notes.items()
            if isinstance(note, str) and path.startswith("/") and ".." not in path.split("/")
        }
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"refused: {NOTES} is broken") from error


def _from_directory(path: str) -> Iterator[tuple[str, Entry]]:
    """Every entry below a directory; links are taken as they are and never followed."""
    todo = [""]
    while todo:
        place = todo.pop()
        with os.scandir(os.path.join(path, place)) as entries:
            for entry in entries:
                name = f"{place}/{entry.name}" if place else entry.name
                if entry.is_symlink():
                    yield name, Link(os.readlink(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    yield name, Directory()
                    todo.append(name)
                elif entry.is_file(follow_symlinks=False):
                    yield name, _read_file(entry.path)
                else:
                    raise ValueError(f"refused: {name} is neither file, link nor directory")


def _read_file(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError(f"refused: {path} has become something else")
        data = stream.read(MOST_IN_A_FILE + 1)
    if len(data) > MOST_IN_A_FILE:
        raise ValueError(f"refused: {path} has more than {MOST_IN_A_FILE} bytes")
    return data


def _from_archive(path: str) -> Iterator[tuple[str, Entry]]:
    """Every member of a tar archive, plain or compressed, as it streams by."""
    try:
        with tarfile.open(path, "r|*", errorlevel=2) as archive:
            for member in archive:
                yield _member_name(member), _member_entry(archive, member)
                # The stream has passed it: what tarfile remembers would grow without bound.
                archive.members = []  # type: ignore[attr-defined]
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OverflowError) as error:
        raise ValueError(f"refused: not a readable archive ({_first_line(error)})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # bz2 and gzip report damage as an OSError without an errno.
        raise ValueError(f"refused: not a readable archive ({_first_line(error)})") from error


def _member_name(member: tarfile.TarInfo) -> str:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise ValueError(f"refused: a member leads out of the archive: {member.name!r:.80}")
    return "/".join(parts)


def _member_entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.isdir():
        return Directory()
    if member.issym():
        return Link(member.linkname)
    if not member.isreg():
        raise ValueError(f"refused: {member.name!r:.80} is neither file, link nor directory")
    if member.size > MOST_IN_A_FILE:
        raise ValueError(f"refused: {member.name!r:.80} has more than {MOST_IN_A_FILE} bytes")
    stream = archive.extractfile(member)
    return stream.read() if stream is not None else b""


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:80]
