"""Where readers put what they could not read, so that no fact is lost in silence."""

import errno as errnos

from sdmtop.backends.base import Host
from sdmtop.model import Unknown
from sdmtop.readers.sysfs import count, is_absent, names
from sdmtop.text import fact

PATHS_OF_A_KIND = 8
"""So many failures of one kind are named one by one, then one more that counts the rest."""


Notes = tuple[tuple[str, str, str], ...]
"""Errno, what it would have told, and path, of each failure."""


class Unknowns:
    """Collects `Unknown` entries during one reading.

    A host with 8,192 devices whose config space is for root has one reason, not 8,192: beyond
    `PATHS_OF_A_KIND` entries with the same errno and `what`, only a count is kept.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], list[str]] = {}

    def note(self, path: str, error: OSError, what: str) -> None:
        """Remember that `path` failed with `error`, and what it would have told."""
        name = errnos.errorcode.get(error.errno or errnos.EIO, str(error.errno))
        self.add(name, what, path)

    def add(self, name: str, what: str, path: str) -> None:
        """The same, of an errno that has its name already."""
        self._kinds.setdefault((name, what), []).append(path)

    def add_all(self, notes: Notes) -> None:
        """All that `take` has given elsewhere."""
        for note in notes:
            self.add(*note)

    def note_failure(self, path: str, answer: bytes | OSError, what: str) -> None:
        """The same for an answer of `Host.look`, unless it is there, or plainly absent."""
        if isinstance(answer, OSError) and not is_absent(answer):
            self.note(path, answer, what)

    def take(self) -> Notes:
        """What was noted, for `UnknownsOfMany`; nothing is left here."""
        if not self._kinds:
            return ()
        notes = tuple((*kind, path) for kind, paths in self._kinds.items() for path in paths)
        self._kinds.clear()
        return notes

    def entries(self) -> tuple[Unknown, ...]:
        """All that was noted, by path."""
        found = []
        for (name, what), paths in self._kinds.items():
            shown = sorted(set(paths))
            rest = len(shown) - PATHS_OF_A_KIND
            found += [
                Unknown(path=fact(path), errno=name, what=what) for path in shown[:PATHS_OF_A_KIND]
            ]
            if rest > 0:
                more = f"{what} (and {rest - 1} more)" if rest > 1 else what
                found.append(Unknown(path=fact(shown[-1]), errno=name, what=more))
        return tuple(sorted(found, key=lambda entry: (entry.path, entry.what)))


def names_or_note(host: Host, unknowns: Unknowns, directory: str, what: str) -> list[str]:
    """The names in a directory; none where there is none, and a note where it cannot be listed."""
    try:
        return names(host, directory)
    except OSError as error:
        unknowns.note(directory, error, what)
        return []


def count_or_note(unknowns: Unknowns, path: str, answer: bytes | OSError, what: str) -> int | None:
    """A number that counts; a note where text was read that is none. Failures are the caller's."""
    value = count(answer)
    if value is None and not isinstance(answer, OSError):
        unknowns.note(path, OSError(errnos.EINVAL, "not a number"), what)
    return value


class UnknownsOfMany:
    """The unknowns of things that are read again one by one: of each, those of its last reading.

    8,192 devices that fail alike share one note, which leaves out what tells them apart: their
    directory. The entries are made anew only after a change.
    """

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, Notes]] = {}
        self._alike: dict[Notes, Notes] = {}
        self._entries: tuple[Unknown, ...] | None = ()

    def __contains__(self, owner: str) -> bool:
        return owner in self._of

    def replace(self, owner: str, directory: str, notes: Notes) -> None:
        """Take these for the failures of the owner, whose own directory most of them are in."""
        if not notes:
            self.drop(owner)
            return
        # A path inside begins with a dot, any other with the slash of the root.
        short = tuple(
            (name, what, f".{path[len(directory) :]}" if path.startswith(directory) else path)
            for name, what, path in notes
        )
        entry = directory, self._alike.setdefault(short, short)
        if self._of.get(owner) != entry:
            self._of[owner] = entry
            self._entries = None

    def drop(self, owner: str) -> None:
        """Forget the owner, if anything was known of it."""
        if self._of.pop(owner, None) is not None:
            self._entries = None

    def entries(self) -> tuple[Unknown, ...]:
        """All of all owners, collapsed and sorted as those of one reading are."""
        if self._entries is None:
            together = Unknowns()
            for directory, notes in self._of.values():
                for name, what, path in notes:
                    whole = directory + path[1:] if path[0] == "." else path
                    together.add(name, what, whole)
            self._entries = together.entries()
            self._alike = {notes: notes for _, notes in self._of.values()}
        return self._entries
