"""A file tree in memory as a host: captures, the simulator and tests stand on it.

Symbolic links are resolved inside the tree and nowhere else; every access fails with the errno
that the kernel would give.
"""

from __future__ import annotations

import errno
import os
from stat import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from sdmtop.backends.frozen import Frozen
from sdmtop.backends.limits import PAGE, READ_LIMIT, SIDE_EFFECTS, refuse_side_effects
from sdmtop.backends.logs import ListedLog

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping, Sequence

    from sdmtop.backends.base import Events, Log
    from sdmtop.model import Backend

MOST_NODES = 1_000_000
"""Files, links and directories of one tree; a host with 8,192 devices has about 600,000."""

DEEPEST = 128
"""Directories inside each other; sysfs has been seen at 25."""

_HOPS = 40  # Links that the kernel follows in one path before it says ELOOP.


class Link(NamedTuple):
    """A symbolic link with this text.

    `number` is `st_rdev` of what it refers to, for a link that leads to nothing in the tree: a
    descriptor in /proc.
    """

    text: str
    number: int | None = None


class Failure(NamedTuple):
    """A path of which every access fails with this errno. `mode` is what `lstat` says of it."""

    errno: int
    mode: int = S_IFREG | 0o444


class Directory(NamedTuple):
    """A directory that may be empty; those that hold something need not be named.

    With an `errno`, listing it fails unless it `is_listed`, and so does every name in it that the
    tree does not hold.
    """

    errno: int | None = None
    is_listed: bool = False


class Node(NamedTuple):
    """A device node: its number, and what it reads as, if it can be read."""

    number: int
    mode: int = S_IFCHR | 0o600
    data: bytes | None = None


Leaf: TypeAlias = "bytes | Link | Failure | Node | Callable[[], bytes]"
Entry: TypeAlias = "Leaf | str | Directory"


class _Names(dict[str, "Leaf | _Names"]):
    """A directory: what is in it, by name."""

    __slots__ = ("errno", "is_listed")

    def __init__(self) -> None:
        super().__init__()
        self.errno: int | None = None
        self.is_listed = False


class TreeHost(Frozen):
    """Files, links and failures by absolute path. A file can be a function, called at each read.

    Raises `ValueError` (a sentence) for entries that contradict each other, lead out of the
    tree, or are too many or too deep.
    """

    def __init__(
        self, entries: Mapping[str, Entry], *, backend: Backend = "capture", url: str = "capture:"
    ) -> None:
        self.backend: Backend = backend
        self.url = url
        self.reading = ""
        self.avoid: frozenset[str] = frozenset()
        self._root = _Names()
        self._nodes = 0
        self._latest = ("", self._root)
        for path, entry in entries.items():
            self.put(path, entry)

    def put(self, path: str, entry: Entry) -> None:
        """Add or replace what is at a path; what is above it becomes a directory."""
        if isinstance(entry, Directory):
            directory = self._directory(path.rstrip("/"))
            directory.errno, directory.is_listed = entry.errno, entry.is_listed
            return
        above, slash, name = path.rpartition("/")
        directory = self._directory(above)
        there = directory.get(name)
        if not slash or name in ("", ".", "..") or isinstance(there, _Names):
            raise ValueError(f"{path!r:.80} is a directory, and something else too")
        if there is None:
            self._grow()
        directory[name] = os.fsencode(entry) if isinstance(entry, str) else entry

    def remove(self, path: str) -> None:
        """Take away what is at a path, with all below it. Raises `OSError` if there is nothing."""
        above, _, name = path.rpartition("/")
        directory = self._find(above or "/")
        if not isinstance(directory, _Names) or name not in directory:
            raise _error(errno.ENOENT, path)
        del directory[name]
        self._latest = ("", self._root)

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """See `base.Host.read`."""
        refuse_side_effects(path)
        return _content(self._enter(path), path)[:limit]

    def read_into(self, path: str, buffer: bytearray, limit: int) -> int:
        """See `base.Host.read_into`."""
        data = self.read(path, limit)
        buffer[: len(data)] = data
        return len(data)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `base.Host.read_at`."""
        refuse_side_effects(path)
        if offset < 0 or size < 0:
            raise _error(errno.EINVAL, path)
        return _content(self._enter(path), path)[offset : offset + size]

    def look(
        self, directory: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> list[bytes | OSError]:
        """See `base.Host.look`."""
        if not SIDE_EFFECTS.isdisjoint(files):
            for name in files:
                refuse_side_effects(f"{directory}/{name}")
        place = self._enter(directory)
        if not isinstance(place, _Names):
            raise _error(errno.ENOTDIR, directory)
        found: list[bytes | OSError] = []
        for name in files:
            node = place.get(name)
            if type(node) is bytes and not self.avoid:
                found.append(node[:PAGE])
                continue
            path = f"{directory}/{name}"
            try:
                found.append(_content(self._enter(path), path)[:PAGE])
            except OSError as error:
                found.append(error)
        for name in links:
            try:
                found.append(os.fsencode(self.readlink(f"{directory}/{name}")))
            except OSError as error:
                found.append(error)
        return found

    def list(self, path: str) -> list[str]:
        """See `base.Host.list`."""
        place = self._enter(path)
        if not isinstance(place, _Names):
            raise _error(errno.ENOTDIR, path)
        if place.errno is not None and not place.is_listed:
            raise _error(place.errno, path)
        return [*place]

    def readlink(self, path: str) -> str:
        """See `base.Host.readlink`."""
        node = self._enter(path, follow=False)
        if not isinstance(node, Link):
            raise _error(errno.EINVAL, path)
        return node.text

    def mode(self, path: str) -> int:
        """See `base.Host.mode`."""
        self._say(path)
        node = self._find(path, follow=False)
        if isinstance(node, _Names):
            return S_IFDIR | (0o755 if node.errno is None else 0o700)
        if isinstance(node, Failure | Node):
            return node.mode
        return S_IFLNK | 0o777 if isinstance(node, Link) else S_IFREG | 0o444

    def keep(self, paths: Sequence[str], limit: int = PAGE) -> KeptPaths:
        """See `base.Host.keep`."""
        return KeptPaths(self, paths, limit)

    def device_number(self, path: str) -> int:
        """See `base.Host.device_number`."""
        link = self._enter(path, follow=False)
        if isinstance(link, Link) and link.number is not None:
            return link.number
        node = self._enter(path)
        return node.number if isinstance(node, Node) else 0

    def kernel_log(self) -> builtins.list[bytes]:
        """See `base.Host.kernel_log`: the file /dev/kmsg, a record a line.

        A line that begins with a space continues the record before it, as the kernel has it.
        """
        records: builtins.list[bytes] = []
        for line in _content(self._enter("/dev/kmsg"), "/dev/kmsg").splitlines(keepends=True):
            if line.startswith(b" ") and records:
                records[-1] += line
            else:
                records.append(line)
        return records

    def follow_log(self) -> Log:
        """See `base.Host.follow_log`."""
        return ListedLog(self.kernel_log)

    def events(self) -> Events | None:
        """See `base.Host.events`: nothing happens in a tree by itself."""
        return None

    def close(self) -> None:
        """Nothing is held open."""

    # -- the tree ----------------------------------------------------------------------------

    def _directory(self, path: str) -> _Names:
        """The directory at an absolute path without a trailing slash, made if need be."""
        if self._latest[0] == path:
            return self._latest[1]
        first, *names = path.split("/")
        if len(names) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} directories inside each other")
        if first:
            raise ValueError(f"{path!r:.80} is not a path of a tree")
        place = self._root
        for name in names:
            if name in ("", ".", ".."):
                raise ValueError(f"{path!r:.80} is not a path of a tree")
            there = place.get(name)
            if there is None:
                self._grow()
                there = place[name] = _Names()
            elif not isinstance(there, _Names):
                raise ValueError(f"{path!r:.80} is a directory, and something else too")
            place = there
        self._latest = (path, place)
        return place

    def _grow(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} files, links and directories")

    def _say(self, path: str) -> None:
        """Say what is being read, for the watchdog; keep off what it says to avoid."""
        self.reading = path
        if path in self.avoid:
            raise _error(errno.ETIMEDOUT, path)

    def _enter(self, path: str, *, follow: bool = True) -> Leaf | _Names:
        """What is at the path; raises for a `Failure`."""
        self._say(path)
        node = self._find(path, follow=follow)
        if isinstance(node, Failure):
            raise _error(node.errno, path)
        return node

    def _find(self, path: str, *, follow: bool = True) -> Leaf | _Names:
        """Walk the path as the kernel does, with the tree's root as the only root."""
        if not path:
            raise _error(errno.ENOENT, path)
        # Directories from the root to here: what `..` goes back along.
        trail = [self._root]
        here: Leaf | _Names = self._root
        todo = path.split("/")
        todo.reverse()
        hops = 0
        while todo:
            name = todo.pop()
            if not isinstance(here, _Names):
                raise _error(here.errno if isinstance(here, Failure) else errno.ENOTDIR, path)
            if not name or name == ".":
                continue
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                here = trail[-1]
                continue
            node = here.get(name)
            if node is None:
                raise _error(here.errno or errno.ENOENT, path)
            if isinstance(node, Link) and (todo or follow):
                hops += 1
                if hops > _HOPS:
                    raise _error(errno.ELOOP, path)
                if not node.text:
                    raise _error(errno.ENOENT, path)
                if node.text.startswith("/"):
                    del trail[1:]
                    here = self._root
                todo += reversed(node.text.split("/"))
                continue
            here = node
            if isinstance(here, _Names):
                trail.append(here)
        return here


class _Readable(Protocol):
    def read(self, path: str, limit: int) -> bytes: ...


class KeptPaths:
    """Paths of a tree, read again and again (see `base.Kept`)."""

    def __init__(self, host: _Readable, paths: Sequence[str], limit: int) -> None:
        for path in paths:
            refuse_side_effects(path)
        self._host = host
        self._paths = tuple(paths)
        self._limit = limit
        self._last: list[bytes | int | None] = [None] * len(paths)

    def changed(self, indices: Sequence[int] | None = None) -> list[tuple[int, bytes | OSError]]:
        """See `base.Kept.changed`."""
        changes: list[tuple[int, bytes | OSError]] = []
        for index in range(len(self._paths)) if indices is None else indices:
            answer: bytes | OSError
            state: bytes | int | None
            try:
                answer = state = self._host.read(self._paths[index], self._limit)
            except OSError as error:
                answer, state = error, error.errno
            if state != self._last[index]:
                self._last[index] = state
                changes.append((index, answer))
        return changes

    def close(self) -> None:
        """See `base.Kept.close`: in memory there is nothing to keep open."""


def _content(node: Leaf | _Names, path: str) -> bytes:
    if isinstance(node, bytes):
        return node
    if isinstance(node, _Names):
        raise _error(errno.EISDIR, path)
    if isinstance(node, Node) and node.data is not None:
        return node.data
    if isinstance(node, Link | Failure | Node):
        raise _error(errno.ENXIO, path)
    return node()


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
