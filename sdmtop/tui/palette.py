"""What the palette of commands finds: by their titles, and by the words that tell what they do."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.markup import escape

_BY_WORDS = 0.01
"""How well an entry answers in whose title nothing was found: less than any title."""


class Entry(NamedTuple):
    """A line of the palette: below its title `help` is shown, and sought in `words` as well."""

    title: str
    help: str
    words: str
    run: Callable[[], object]


class Commands(Provider):
    """The entries of the console. Textual's own provider seeks in titles only."""

    def _entries(self) -> Iterable[Entry]:
        app: Any = self.app  # The console, which imports this.
        entries: Iterable[Entry] = app.palette_entries()
        return entries

    async def discover(self) -> Hits:
        """All entries, by their titles."""
        for entry in sorted(self._entries(), key=lambda entry: entry.title):
            yield DiscoveryHit(entry.title, entry.run, help=escape(entry.help))

    async def search(self, query: str) -> Hits:
        """Those whose title is like the query, and those that have each of its words."""
        matcher = self.matcher(query)
        wanted = query.casefold().split()
        for entry in self._entries():
            score = matcher.match(entry.title)
            told = f"{entry.title} {entry.words}".casefold()
            if score <= 0 and all(word in told for word in wanted):
                score = _BY_WORDS
            if score > 0:
                title = matcher.highlight(entry.title)
                yield Hit(score, title, entry.run, text=entry.title, help=escape(entry.help))
