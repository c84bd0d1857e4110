"""A tree of files that is made while it is walked: only what is looked at exists.

A directory is a few parts, each of which can say what it has under a name, and which names it has.
The thousandth device costs nothing until somebody opens its directory.
"""

from __future__ import annotations

import errno
import os
from stat import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.processes import OpenFile, Process

_HOPS = 40  # Links that the kernel follows in one path before it says ELOOP.

T = TypeVar("T")


class Part(Protocol):
    """Some of the entries of a directory."""

    def get(self, name: str) -> Node | None:
        """What is there under this name."""

    def names(self) -> Iterable[str]:
        """All names."""


class Node:
    """What a path leads to."""

    __slots__ = ()
    mode = S_IFREG | 0o444


class File(Node):
    """A file: `show` gives its text; `store` takes what is written, and may have to wait.

    `locked`, where given, is what a reader of it would sleep for in state D.
    """

    __slots__ = ("locked", "mode", "show", "store")

    def __init__(
        self,
        show: Callable[[], bytes | str] | None,
        store: Callable[[bytes], Completion | None] | None = None,
        mode: int | None = None,
        locked: Callable[[], Completion | None] | None = None,
    ) -> None:
        self.show = show
        self.store = store
        self.locked = locked
        if mode is None:
            mode = (0o444 if show else 0) | (0o200 if store else 0)
        self.mode = S_IFREG | mode


class Link(Node):
    """A symbolic link. `number` is `st_rdev` of what it refers to (a descriptor in /proc)."""

    __slots__ = ("number", "text")
    mode = S_IFLNK | 0o777

    def __init__(self, text: str, number: int | None = None) -> None:
        self.text = text
        self.number = number


class Device(Node):
    """A node of /dev: its number, and who answers when it is opened."""

    __slots__ = ("mode", "number", "open")

    def __init__(
        self, number: int, open_: Callable[[Process], OpenFile], mode: int = 0o600
    ) -> None:
        self.number = number
        self.open = open_
        self.mode = S_IFCHR | mode


class Directory(Node):
    """A directory; the first of its parts that has a name decides."""

    __slots__ = ("mode", "parts")

    def __init__(self, *parts: Part, mode: int = 0o755) -> None:
        self.parts = parts
        self.mode = S_IFDIR | mode

    def get(self, name: str) -> Node | None:
        """What is there under this name."""
        for part in self.parts:
            node = part.get(name)
            if node is not None:
                return node
        return None

    def names(self) -> Iterator[str]:
        """All names."""
        for part in self.parts:
            yield from part.names()


class Fixed(dict[str, "Node"]):
    """Entries that are there already."""

    names = dict.keys


class Listing(Generic[T]):
    """An entry for each item of a table, made by `make`."""

    __slots__ = ("_make", "_table")

    def __init__(self, table: Mapping[str, T], make: Callable[[T], Node]) -> None:
        self._table = table
        self._make = make

    def get(self, name: str) -> Node | None:
        """See `Part`."""
        item = self._table.get(name)
        return None if item is None else self._make(item)

    def names(self) -> Iterable[str]:
        """See `Part`."""
        return self._table


class Attribute(NamedTuple, Generic[T]):
    """A file that all objects of a class have: see `File`. `exists` says which of them do."""

    show: Callable[[T], bytes | str] | None
    store: Callable[[T, bytes], Completion | None] | None = None
    mode: int | None = None
    exists: Callable[[T], bool] | None = None
    locked: Callable[[T], Completion | None] | None = None


class Attributes(Generic[T]):
    """The attributes of one object."""

    __slots__ = ("_object", "_table")

    def __init__(self, object_: T, table: Mapping[str, Attribute[T]]) -> None:
        self._object = object_
        self._table = table

    def get(self, name: str) -> Node | None:
        """See `Part`."""
        found = self._table.get(name)
        object_ = self._object
        if found is None or (found.exists is not None and not found.exists(object_)):
            return None
        show, store, mode, _, locked = found
        return File(
            None if show is None else lambda: show(object_),
            None if store is None else lambda data: store(object_, data),
            mode,
            None if locked is None else lambda: locked(object_),
        )

    def names(self) -> Iterable[str]:
        """See `Part`."""
        return (
            name
            for name, found in self._table.items()
            if found.exists is None or found.exists(self._object)
        )


class Entries(Generic[T]):
    """Links and directories that objects of a class may have: None where this one has not."""

    __slots__ = ("_object", "_table")

    def __init__(self, object_: T, table: Mapping[str, Callable[[T], Node | None]]) -> None:
        self._object = object_
        self._table = table

    def get(self, name: str) -> Node | None:
        """See `Part`."""
        make = self._table.get(name)
        return None if make is None else make(self._object)

    def names(self) -> Iterable[str]:
        """See `Part`."""
        return (name for name, make in self._table.items() if make(self._object) is not None)


class Computed:
    """Entries that depend on the state: a function that gives them all."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Callable[[], Mapping[str, Node]]) -> None:
        self._entries = entries

    def get(self, name: str) -> Node | None:
        """See `Part`."""
        return self._entries().get(name)

    def names(self) -> Iterable[str]:
        """See `Part`."""
        return self._entries()


def walk(root: Directory, path: str, *, follow: bool = True) -> Node:
    """What a path leads to, links followed inside the tree; raises as the kernel's own walk."""
    if not path:
        raise error(errno.ENOENT, path)
    trail: list[Directory] = [root]
    here: Node = root
    todo = path.split("/")
    todo.reverse()
    hops = 0
    while todo:
        name = todo.pop()
        if not isinstance(here, Directory):
            raise error(errno.ENOTDIR, path)
        if not name or name == ".":
            continue
        if name == "..":
            if len(trail) > 1:
                trail.pop()
            here = trail[-1]
            continue
        node = here.get(name)
        if node is None:
            raise error(errno.ENOENT, path)
        if isinstance(node, Link) and (todo or follow):
            hops += 1
            if hops > _HOPS:
                raise error(errno.ELOOP, path)
            if node.text.startswith("/"):
                del trail[1:]
                here = root
            todo += reversed(node.text.split("/"))
            continue
        here = node
        if isinstance(here, Directory):
            trail.append(here)
    return here


def error(number: int, path: str) -> OSError:
    """The error of the kernel for a path, in its own words."""
    return OSError(number, os.strerror(number), path)
