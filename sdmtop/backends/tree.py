"""A host whose files are in memory: what a capture is loaded into, and what tests plant.

Symbolic links resolve inside the tree and nowhere else; every access fails with the errno that
the kernel would give.
"""

import builtins
import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sdmtop.backends.base import Events
from sdmtop.backends.limits import PAGE, READ_LIMIT, refuse_side_effects
from sdmtop.model import Backend

_MOST_LINKS = 40
"""Links that the kernel follows in one path before it says ELOOP."""


class Link(NamedTuple):
    """A symbolic link with this text."""

    text: str


class Failure(NamedTuple):
    """A file or directory whose every access fails with this errno."""

    errno: int


class Directory(NamedTuple):
    """A directory that may be empty; those that hold something need not be named."""


Content = bytes | str | Callable[[], bytes]
Entry = Content | Link | Failure | Directory

_Names = dict[str, "Node"]
Node = _Names | bytes | Callable[[], bytes] | Link | Failure


class TreeHost:
    """A host made of entries: absolute path -> what is there."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        *,
        backend: Backend = "capture",
        url: str = "capture:",
    ) -> None:
        self.backend: Backend = backend
        self.url = url
        self.reading = ""
        self.avoid: frozenset[str] = frozenset()
        self._root: _Names = {}
        for path, entry in entries.items():
            self.put(path, entry)

    def put(self, path: str, entry: Entry) -> None:
        """Add or replace what is at a path; what is above it becomes a directory."""
        *above, name = [part for part in path.split("/") if part]
        directory = self._root
        for part in above:
            node = directory.get(part)
            if not isinstance(node, dict):
                node = directory[part] = {}
            directory = node
        if isinstance(entry, Directory):
            if not isinstance(directory.get(name), dict):
                directory[name] = {}
        else:
            directory[name] = entry.encode() if isinstance(entry, str) else entry

    def remove(self, path: str) -> None:
        """Take away what is at a path, with all below it."""
        above, _, name = path.rpartition("/")
        directory = self._find(above)
        if isinstance(directory, dict):
            directory.pop(name, None)

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """See `Host.read`."""
        return self._content(path)[:limit]

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Host.read_at`."""
        return self._content(path)[offset : offset + size]

    def look(
        self, directory: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> "list[bytes | OSError]":
        """See `Host.look`."""
        self._names(directory)
        found: list[bytes | OSError] = []
        for name in files:
            try:
                found.append(self.read(f"{directory}/{name}", PAGE))
            except OSError as error:
                found.append(error)
        for name in links:
            try:
                found.append(os.fsencode(self.readlink(f"{directory}/{name}")))
            except OSError as error:
                found.append(error)
        return found

    def list(self, path: str) -> "list[str]":
        """See `Host.list`."""
        self._enter(path)
        return list(self._names(path))

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        self._enter(path)
        node = self._find(path, follow=False)
        if isinstance(node, Link):
            return node.text
        raise _error(errno.EINVAL, path)

    def mode(self, path: str) -> int:
        """See `Host.mode`."""
        self._enter(path)
        node = self._find(path, follow=False)
        if isinstance(node, Link):
            return stat.S_IFLNK | 0o777
        return stat.S_IFDIR | 0o555 if isinstance(node, dict) else stat.S_IFREG | 0o444

    def keep(self, paths: Sequence[str], limit: int = PAGE) -> "KeptPaths":
        """See `Host.keep`."""
        return KeptPaths(self, paths, limit)

    def device_number(self, path: str) -> int:
        """See `Host.device_number`: a tree has no device nodes."""
        raise _error(errno.EOPNOTSUPP, path)

    def kernel_log(self) -> "builtins.list[bytes]":
        """See `Host.kernel_log`: the lines of the file `/dev/kmsg`, if there is one."""
        node = self._find("/dev/kmsg")
        if isinstance(node, dict):
            raise _error(errno.EISDIR, "/dev/kmsg")
        return self._bytes(node, "/dev/kmsg").splitlines()

    def events(self) -> Events | None:
        """See `Host.events`: nothing happens in a tree by itself."""
        return None

    def close(self) -> None:
        """See `Host.close`."""

    def _enter(self, path: str) -> None:
        self.reading = path
        if path in self.avoid:
            raise OSError(errno.ETIMEDOUT, "an earlier read of it has not returned", path)

    def _content(self, path: str) -> bytes:
        refuse_side_effects(path)
        self._enter(path)
        node = self._find(path)
        if isinstance(node, dict):
            raise _error(errno.EISDIR, path)
        return self._bytes(node, path)

    @staticmethod
    def _bytes(node: Node, path: str) -> bytes:
        if isinstance(node, bytes):
            return node
        if callable(node):
            return node()
        raise _error(errno.EIO, path)

    def _names(self, path: str) -> _Names:
        node = self._find(path)
        if isinstance(node, dict):
            return node
        raise _error(errno.ENOTDIR, path)

    def _find(self, path: str, *, follow: bool = True) -> Node:
        """The node at a path; with `follow`, whatever a link in the last place leads to."""
        todo = [part for part in reversed(path.split("/")) if part]
        above: list[_Names] = []
        here: Node = self._root
        links = 0
        while todo:
            part = todo.pop()
            if not isinstance(here, dict):
                raise _error(errno.ENOTDIR, path)
            if part == ".":
                continue
            if part == "..":
                here = above.pop() if above else self._root
                continue
            node = here.get(part)
            if node is None:
                raise _error(errno.ENOENT, path)
            if isinstance(node, Failure):
                raise _error(node.errno, path)
            if isinstance(node, Link) and (todo or follow):
                links += 1
                if links > _MOST_LINKS:
                    raise _error(errno.ELOOP, path)
                if node.text.startswith("/"):
                    here, above = self._root, []
                todo += [part for part in reversed(node.text.split("/")) if part]
                continue
            above.append(here)
            here = node
        return here


class KeptPaths:
    """See `base.Kept`: in memory there is nothing to keep open."""

    def __init__(self, host: TreeHost, paths: Sequence[str], limit: int) -> None:
        for path in paths:
            refuse_side_effects(path)
        self._host = host
        self._paths = list(paths)
        self._limit = limit
        self._last: list[bytes | int | None] = [None] * len(paths)

    def changed(self, indices: Sequence[int] | None = None) -> list[tuple[int, bytes | OSError]]:
        """See `base.Kept.changed`."""
        changes: list[tuple[int, bytes | OSError]] = []
        for index in range(len(self._paths)) if indices is None else indices:
            answer: bytes | OSError
            try:
                answer = self._host.read(self._paths[index], self._limit)
            except OSError as error:
                answer = error
            state = answer if isinstance(answer, bytes) else answer.errno
            if state != self._last[index]:
                self._last[index] = state
                changes.append((index, answer))
        return changes

    def close(self) -> None:
        """See `base.Kept.close`."""


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
