"""Where readers put what they could not read, so that no fact is lost in silence."""

import errno as errnos

from sdmtop.model import Unknown
from sdmtop.readers.sysfs import is_absent
from sdmtop.text import fact

PATHS_OF_A_KIND = 8
"""So many failures of one kind are named one by one; the rest is counted in one more entry."""


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
        self._kinds.setdefault((name, what), []).append(path)

    def note_failure(self, path: str, answer: bytes | OSError, what: str) -> None:
        """The same for an answer of `Host.look`, unless it is there, or plainly absent."""
        if isinstance(answer, OSError) and not is_absent(answer):
            self.note(path, answer, what)

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
                last = fact(shown[-1])
                found.append(Unknown(path=last, errno=name, what=f"{what} (and {rest - 1} more)"))
        return tuple(sorted(found, key=lambda entry: (entry.path, entry.what)))
