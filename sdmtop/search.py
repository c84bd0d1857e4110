"""Which lines of the tree answer to a query."""

from collections.abc import Callable, Iterable, Sequence

from sdmtop.facts import RATE, READERS, Facts, Values
from sdmtop.model import Snapshot
from sdmtop.outline import Line, Outline
from sdmtop.query import Query, Term


class Search:
    """The lines of one snapshot. What is asked for once is remembered, field by field."""

    def __init__(self, snapshot: Snapshot, outline: Outline, lines: Iterable[Line]) -> None:
        self._lines = {line.key: line for line in lines}
        facts = Facts(snapshot, outline)
        self._facts = facts
        self._about = {key: facts.about(line) for key, line in self._lines.items()}
        self._read: dict[str, dict[str, Values]] = {}
        self._texts: dict[str, str] = {}
        self._asked: tuple[Query, list[str]] = ((), list(self._lines))

    def found(self, query: Query, rate: Callable[[str], float | None]) -> set[str]:
        """The keys of the lines that answer to a query, and of those that they hang below.

        `rate` is interrupts a second, by key; None on lines that have none.
        """
        keys = self._without_rates(tuple(term for term in query if term.field != RATE))
        for term in query:
            if term.field == RATE:
                rates = ((key, rate(key)) for key in keys)
                keys = [key for key, now in rates if now is not None and term.accepts((now,))]
        shown: set[str] = set()
        for key in keys:
            above: str | None = key
            while above is not None and above not in shown:
                shown.add(above)
                above = self._lines[above].parent
        return shown

    def values(self, field: str) -> list[str]:
        """What a field has on this host, each once, for the completion of a query."""
        found = {value for values in self._values(field).values() for value in values or ()}
        return [str(value) for value in sorted(found, key=_order)]

    def _without_rates(self, query: Query) -> list[str]:
        if self._asked[0] != query:
            keys = list(self._lines)
            for term in query:
                keys = self._accepted(term, keys)
            self._asked = query, keys
        return self._asked[1]

    def _accepted(self, term: Term, keys: Sequence[str]) -> list[str]:
        if term.field is None:
            (wanted,) = term.values
            return [key for key in keys if (wanted in self._text(key)) is not term.negated]
        values = self._values(term.field)
        # Many lines have the same values, and few are different.
        answers = {found: term.accepts(found) for found in set(values.values())}
        return [key for key in keys if answers[values[key]]]

    def _text(self, key: str) -> str:
        """All that stands on a line, its key, and the handlers of a device's interrupts."""
        text = self._texts.get(key)
        if text is None:
            parts = (*self._about[key].cells, key, *self._facts.handlers.get(key, ()))
            text = self._texts[key] = " ".join(parts).casefold()
        return text

    def _values(self, field: str) -> dict[str, Values]:
        values = self._read.get(field)
        if values is None:
            read = READERS[field]
            values = {key: read(self._facts, about) for key, about in self._about.items()}
            self._read[field] = values
        return values


def _order(value: str | float) -> tuple[bool, float, str]:
    """Numbers before texts, each in their own order."""
    return (False, value, "") if isinstance(value, int | float) else (True, 0.0, value)
