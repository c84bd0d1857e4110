"""What is read of a host to tell what its devices carry: when first asked for, once for all kinds.

Nothing here raises: what cannot be read leaves a doubt about its source, and whoever relies on
that source says `unknown` for it.
"""

import errno
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sdmtop.backends.base import Host
from sdmtop.errors import sentence
from sdmtop.model import Record, Snapshot
from sdmtop.operations.blast.lazy import lazy
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.plan import Verdict
from sdmtop.readers.mounts import LARGEST
from sdmtop.readers.sysfs import follow, is_absent, number
from sdmtop.text import fact

T = TypeVar("T")

CLASS = "/sys/class"
_NAMED = 3
"""Doubts of one source that are named; of more, the number is told."""


class Part(Record, frozen=True):
    """A class device: `name` in `/sys/class/<class_>`, which is the directory `path`."""

    class_: str
    name: str
    path: str


class Survey:
    """A host, what is touched, and what was read of it so far.

    `resets` are devices that keep their drivers. `own` are paths that the program itself needs.
    `enough` is asked between two steps of what can take long: once it answers True nothing more is
    looked at, and that is a doubt.
    """

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        touched: tuple[Touched, ...],
        own: tuple[str, ...],
        enough: Callable[[], bool],
        resets: frozenset[str],
    ) -> None:
        self.host = host
        self.snapshot = snapshot
        self.touched = touched
        self.own = own
        self.enough = enough
        self.resets = resets
        self._doubts: dict[str, list[str]] = {}
        self._made: dict[Callable[[Survey], Any], Any] = {}

    def once(self, make: "Callable[[Survey], T]") -> T:
        """What `make` makes of this survey: the same each time."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    # -- reading -----------------------------------------------------------------------------

    def read(self, source: str, path: str, *, optional: bool = False) -> bytes:
        """A file; empty, and a doubt about `source`, where it cannot be read.

        A file that some kernels do not have is `optional`: absent, it is empty and no doubt.
        """
        try:
            return self.host.read(path, LARGEST)
        except OSError as error:
            if not (optional and is_absent(error)):
                self.doubt(source, path, error)
            return b""

    def names(self, source: str, path: str, *, optional: bool = False) -> list[str]:
        """The names in a directory, likewise."""
        try:
            return self.host.list(path)
        except OSError as error:
            if not (optional and is_absent(error)):
                self.doubt(source, path, error)
            return []

    def look(self, source: str, directory: str, *files: str) -> list[bytes | None]:
        """Files of a directory; None for those that are absent; others that fail are a doubt."""
        try:
            answers = self.host.look(directory, files)
        except OSError as error:
            answers = [error] * len(files)
        found: list[bytes | None] = []
        for file, answer in zip(files, answers, strict=True):
            if isinstance(answer, OSError) and not is_absent(answer):
                self.doubt(source, f"{directory}/{file}", answer)
            found.append(None if isinstance(answer, OSError) else answer.strip())
        return found

    def links(self, source: str, directory: str, *, optional: bool = False) -> dict[str, str]:
        """Name -> path of what it leads to, for each symbolic link of a directory."""
        names = self.names(source, directory, optional=optional)
        try:
            answers = self.host.look(directory, (), names) if names else []
        except OSError as error:
            self.doubt(source, directory, error)
            return {}
        found = {}
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, bytes):
                found[name] = follow(directory, os.fsdecode(answer))
            elif answer.errno != errno.EINVAL and not is_absent(answer):  # A file; gone meanwhile.
                self.doubt(source, f"{directory}/{name}", answer)
        return found

    # -- doubts ------------------------------------------------------------------------------

    def doubt(self, source: str, path: str, error: OSError) -> None:
        """Remember that a source does not tell all."""
        self.say_doubt(source, sentence(fact(path), error))

    def say_doubt(self, source: str, why: str) -> None:
        """The same, in words."""
        known = self._doubts.setdefault(source, [])
        if why not in known:
            known.append(why)

    def doubts(self, device: Touched, what: str, *sources: str) -> Iterable[Verdict]:
        """One `unknown`, that `what` cannot be told, if there is a doubt about a source."""
        found = [doubt for source in sources for doubt in self._doubts.get(source, ())]
        if found:
            more = f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else ""
            reasons = "; ".join(found[:_NAMED])
            yield device.verdict("unknown", f"cannot tell {what}: {reasons}{more}")

    # -- what there is -----------------------------------------------------------------------

    @lazy
    def parts(self) -> dict[str, dict[str, Part]]:
        """All class devices, by class and name. Source: the links of `/sys/class`."""
        return {
            class_: {
                name: Part(class_, name, path)
                for name, path in self.links("classes", f"{CLASS}/{class_}").items()
            }
            for class_ in self.names("classes", CLASS)
        }

    @lazy
    def characters(self) -> dict[str, int]:
        """Path of each device that has a character node -> its `st_rdev`."""
        links = self.links("nodes", "/sys/dev/char")
        return {path: rdev for text, path in links.items() if (rdev := _rdev(text)) is not None}

    @lazy
    def _own_parts(self) -> dict[str, list[Part]]:
        found: dict[str, list[Part]] = defaultdict(list)
        for parts in self.parts.values():
            for part in parts.values():
                if owner := self.owner(part.path):
                    found[owner.address].append(part)
        return found

    def parts_of(self, device: Touched, *classes: str) -> list[Part]:
        """The class devices below a device, of some classes or all; not below one between."""
        parts = self._own_parts.get(device.address, [])
        return [part for part in parts if part.class_ in classes] if classes else parts

    def owner(self, path: str) -> Touched | None:
        """The touched device that a path is in, the innermost."""
        inside = [one for one in self.touched if path.startswith(f"{one.path}/")]
        return max(inside, key=lambda one: len(one.path), default=None)

    def rdev(self, source: str, path: str) -> int | None:
        """`st_rdev` of the device in a sysfs directory; None where it has no node."""
        return _rdev((self.look(source, path, "dev")[0] or b"").decode("ascii", "replace"))


def _rdev(text: str) -> int | None:
    major, colon, minor = text.partition(":")
    numbers = number(major), number(minor)
    if not colon or numbers[0] is None or numbers[1] is None:
        return None
    try:
        return os.makedev(numbers[0], numbers[1])
    except OverflowError:
        return None
