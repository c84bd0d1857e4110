"""What the conversation is about: the sample of the moment, the numbers of things, the filter."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sdmtop import report
from sdmtop.collector import Focus, Sample
from sdmtop.errors import NothingToDoError, UsageError, sentence
from sdmtop.facts import FIELDS
from sdmtop.operations.targets import meant
from sdmtop.outline import Line, Outline
from sdmtop.patience import patiently
from sdmtop.query import Query, QueryError, parse
from sdmtop.sampler import Sampler
from sdmtop.search import Search
from sdmtop.text import printable
from sdmtop.timeline import Happening

if TYPE_CHECKING:
    from sdmtop.model import Snapshot
    from sdmtop.operations.session import Session as Operations
    from sdmtop.replay import Replayer

_PATIENCE = 5.0
"""Seconds to wait for a first reading, for one of what was changed, or of what was asked for."""

_MOST_DIGITS = 9
"""Of a number: far more than there are events, or plans of a journal."""


def _unheard(_line: str) -> None:
    """Nobody listens."""


def _unheard_of(_question: str) -> str:
    """Nobody says anything."""
    return ""


class UnansweredError(Exception):
    """A sentence that stands in the place of an answer."""


def number_of(said: str) -> int | None:
    """The number that was said; None for what is none, and for one that nothing here can have."""
    return int(said) if said.isdecimal() and len(said) <= _MOST_DIGITS else None


class Session:
    """One conversation about a host, or about a recording.

    A thing keeps its number as long as the conversation lasts, and no other thing gets it.
    """

    def __init__(self, source: "Sampler | Replayer") -> None:
        self.source = source
        self.watching = False
        """Whether what happens is told as it happens."""
        self.ended = False
        self.say: Callable[[str], None] = _unheard
        """Tells a line before the answer is complete."""
        self.ask: Callable[[str], str] = _unheard_of
        """Asks, and waits for what is said."""
        self.doing: Operations | None = None
        """`operations`, once something was to be done."""
        self.late: deque[str] = deque()
        """What has come of steps that had hung, as threads of their own find it out."""
        self.filter = ""
        self._query: Query = ()
        self._shown: Sample | None = None
        self._numbers: dict[str, int] = {}
        self._told: Happening | None = None
        self._tree: tuple[Snapshot, Outline, dict[str, Line]] | None = None
        source.playhead.show = self._take
        source.subscribe(self._fresh)

    def _fresh(self, sample: Sample) -> None:
        """Called in the thread that reads."""
        if self._shown is None or not self.source.playhead.frozen:
            self._shown = sample

    def _take(self, sample: Sample) -> None:
        self._shown = sample

    @property
    def sample(self) -> Sample:
        """What the answers are about; the first one is waited for."""
        end = time.monotonic() + _PATIENCE
        while (self._shown is None or not self._shown.complete) and time.monotonic() < end:
            time.sleep(0.01)
        if self._shown is None:
            raise UnansweredError("nothing has been read yet")
        return self._shown

    @property
    def operations(self) -> "Operations":
        """What can be done to the host, and its journal; loaded when it is first needed."""
        if self.doing is None:
            from sdmtop.operations.session import Session as Operations

            self.doing = Operations(self.source.host)
        return self.doing

    def look(self, focus: Focus, seen: Callable[[Sample], bool]) -> Sample:
        """Have more read than always is, and wait for it; not of a moment that is past."""
        end = time.monotonic() + _PATIENCE
        if isinstance(self.source, Sampler) and not self.source.playhead.paused:
            self.source.look_at(focus)
            while not seen(self.sample) and time.monotonic() < end:
                time.sleep(0.01)
        return self.sample

    def refresh(self) -> None:
        """Have read what was just changed, and wait for it: the next answer must not be older."""
        if isinstance(self.source, Sampler):
            self.source.hurry().wait(_PATIENCE)

    def move(self, go: Callable[[], bool]) -> bool:
        """Go to another moment, and wait for it; False where there is none."""
        before, end = self._shown, time.monotonic() + _PATIENCE
        if not go():
            return False
        while self._shown is before and time.monotonic() < end:
            time.sleep(0.01)
        return True

    def returned(self) -> Iterator[str]:
        """What steps that had hung have come to since this was told last."""
        while self.late:
            yield printable(self.late.popleft())

    # -- things --------------------------------------------------------------------------------

    def tree(self) -> tuple[Outline, dict[str, Line]]:
        """The lines of the tree by their keys; made once a snapshot."""
        snapshot = self.sample.snapshot
        if self._tree is None or self._tree[0] is not snapshot:
            outline = report.outline(snapshot)
            self._tree = snapshot, outline, {line.key: line for line in outline.lines()}
        return self._tree[1:]

    def number(self, key: str) -> int:
        """The number of a thing; a new one, where it is mentioned for the first time."""
        return self._numbers.setdefault(key, len(self._numbers) + 1)

    def line(self, said: str) -> Line:
        """What was said: a number, any TARGET, `group 14`."""
        _, lines = self.tree()
        if not said:
            raise UnansweredError("of what? say a number, as list tells them")
        key = said.replace("group ", "group/")
        known = {str(number): key for key, number in self._numbers.items()}
        if said in known:
            key = known[said]
            if key not in lines:
                raise UnansweredError(f"{said} was {key}, which is gone")
        elif key not in lines:
            # Digits, too: a UUID may begin with nothing else.
            key = self._meant(key)
        if key not in lines:
            raise UnansweredError(f"there is no number {said} yet: say list" if said.isdecimal()
                          else f"there is no {said} here")  # fmt: skip
        return lines[key]

    def target(self, said: str) -> str:
        """What was said, as a TARGET: also a group without a line, that of a mediated device."""
        key = said.replace("group ", "group/")
        if any(key == f"group/{group.id}" for group in self.sample.snapshot.groups):
            return key
        return self.line(said).key

    def _meant(self, name: str) -> str:
        """What an interface, a part of an address or of a UUID stands for."""
        try:
            host = self.source.host
            return patiently(host, meant, host, self.sample.snapshot, name)
        except (NothingToDoError, UsageError) as error:
            raise UnansweredError(str(error)) from error
        except OSError as error:
            raise UnansweredError(sentence(name, error)) from error

    def rate(self, line: Line) -> float | None:
        """Interrupts a second of a line."""
        return self.sample.counters.rates(self.tree()[0].irqs(line))

    # -- the filter ----------------------------------------------------------------------------

    def choose(self, text: str) -> None:
        """Have a filter from now on, or none if it is empty."""
        try:
            self._query = parse(text, FIELDS)
        except QueryError as error:
            raise UnansweredError(f"at character {error.column + 1}: {error}") from error
        self.filter = text

    def chosen(self) -> list[Line]:
        """The lines that answer to the filter, with those that they hang below."""
        outline, lines = self.tree()
        if not self._query:
            return list(lines.values())
        search = Search(self.sample.snapshot, outline, lines.values())
        found = search.found(self._query, lambda key: self.rate(lines[key]))
        return [line for key, line in lines.items() if key in found]

    # -- events --------------------------------------------------------------------------------

    def lately(self, count: int) -> tuple[Happening, ...]:
        """The last events; those that come after them will be `news`."""
        happenings = self.sample.happenings
        self._told = happenings[-1] if happenings else None
        return happenings[-count:] if count else ()

    def news(self) -> tuple[Happening, ...]:
        """What has happened since events were told last."""
        happenings, told = self.sample.happenings, self._told
        self._told = happenings[-1] if happenings else None
        return happenings[happenings.index(told) + 1 :] if told in happenings else happenings
