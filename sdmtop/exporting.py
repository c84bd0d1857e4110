"""A simulated host on disk, whole: for `find`, `grep`, and programs that take another root."""

import errno
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from sdmtop import bundle
from sdmtop.backends.base import Host
from sdmtop.backends.capture import FAILED, NOTES, WRITE_ONLY, Notes
from sdmtop.backends.tree import Link
from sdmtop.model import Record
from sdmtop.text import fact, printable

_LIMIT = 16 * 1024 * 1024


class ExportReport(Record, frozen=True):
    """What was written; `unread` are files that give an error, as `CAPTURE.json` notes."""

    file: str
    files: int
    links: int
    unread: int

    def sentence(self) -> str:
        """For a person, on one line."""
        text = f"{self.file}: {self.files:,} files and {self.links:,} links"
        if self.unread:
            text += f"; {self.unread:,} cannot be read ({NOTES} in it says why)"
        return printable(text)


def export(host: Host, file: str, *, replace: bool = False) -> ExportReport:
    """Write /sys, /proc and /dev/kmsg of a host, every file of it, as `bundle.write` does.

    Only for a host in memory whose time stands still: nothing is left out for its side effects,
    and no read is expected to hang. Device nodes are not made. Raises as `bundle.write`.
    """
    bundle.check(file, replace=replace)
    walk = _Walk(host)
    for top in ("/proc", "/sys"):
        walk.directory(top)
    walk.found["/dev/kmsg"] = b"".join(host.kernel_log())
    bundle.write(file, walk.entries(), int(datetime.now(UTC).timestamp()), replace=replace)
    return ExportReport(
        file=fact(file),
        files=sum(isinstance(leaf, bytes) for leaf in walk.found.values()),
        links=sum(isinstance(leaf, Link) for leaf in walk.found.values()),
        unread=sum(why != WRITE_ONLY for why in walk.notes.values()),
    )


class _Walk:
    """Everything below a directory."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.found: dict[str, bundle.Leaf] = {}
        self.notes: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def directory(self, path: str) -> None:
        """Take it, with all that is in it; links are not followed."""
        self.found[path] = None
        for name in self._host.list(path):
            self._entry(f"{path}/{name}")

    def _entry(self, path: str) -> None:
        mode = self._host.mode(path)
        if stat.S_ISDIR(mode):
            self.directory(path)
        elif stat.S_ISLNK(mode):
            number = self._number(path)
            if number:
                self._numbers[path] = number
            self.found[path] = Link(self._host.readlink(path))
        elif not mode & 0o444:
            self.found[path] = b""
            self.notes[path] = WRITE_ONLY
        else:
            self._file(path)

    def _number(self, path: str) -> int:
        """`st_rdev` of what a descriptor in /proc refers to; 0 for any other link."""
        if "/fd/" not in path:
            return 0
        try:
            return self._host.device_number(path)
        except OSError:
            return 0  # It is no device.

    def _file(self, path: str) -> None:
        try:
            self.found[path] = self._host.read(path, _LIMIT)
        except OSError as error:
            self.notes[path] = f"{FAILED}{error.errno or errno.EIO}"

    def entries(self) -> Iterator[tuple[str, bundle.Leaf]]:
        """What to write, the notes first."""
        release = self.found.get("/proc/sys/kernel/osrelease")
        notes = Notes(
            kernel=release.decode("utf-8", "replace").strip()
            if isinstance(release, bytes)
            else None,
            notes={fact(path): why for path, why in sorted(self.notes.items())},
            numbers={fact(path): number for path, number in sorted(self._numbers.items())},
        )
        yield NOTES, msgspec.json.format(msgspec.json.encode(notes), indent=1)
        for path in sorted(self.found):
            yield path[1:], self.found[path]
