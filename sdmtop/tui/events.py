"""What happened: a timeline that can be asked, and cut down to the last minutes."""

import time
from collections.abc import Mapping, Sequence

from sdmtop.collector import Sample
from sdmtop.query import Field, Query, parse
from sdmtop.text import cell, printable
from sdmtop.timeline import Happening, clock
from sdmtop.tui.lines import Content
from sdmtop.tui.panes import SamplePane

SPANS: tuple[tuple[float | None, str], ...] = (
    (None, ""),
    (60.0, "last minute"),
    (600.0, "last 10 minutes"),
)
"""Seconds back from now that are shown, and their name."""

_NUMBER = True

FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("kind", "added, removed, changed, fault, trouble"),
        Field("target", "group, device or queue that it happened to"),
        Field("age", "seconds since it happened", _NUMBER),
    )
}
"""What can be asked about an event."""

_KIND_STYLES = {
    "added": ("+", "good"),
    "removed": ("-", "warn"),
    "changed": ("~", "accent"),
    "fault": ("!", "bad"),
    "trouble": ("!", "warn"),
}


class Events(SamplePane):
    """What happened, newest last; follows the newest unless an older line is selected."""

    fields = FIELDS
    filter = ""
    live = True
    """Whether time goes on; else it stands still at the moment that is shown."""
    _query: Query = ()
    _span = 0
    _shown: dict[str, Happening] = {}

    def title(self) -> str:
        """How many, of how many, and which."""
        total = len(self.sample.happenings) if self.sample else 0
        notes = [str(total) if len(self.keys) == total else f"{len(self.keys)} of {total}"]
        notes += [SPANS[self._span][1]] if self._span else []
        notes += [f"/{printable(self.filter)}"] if self.filter else []
        return f"5 Events ({', '.join(notes)})"

    def nothing(self) -> str:
        """Say that nothing has happened, or nothing of what is asked for."""
        some = self.sample is not None and self.sample.happenings
        return f"  nothing {'like that ' if some else ''}has happened"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a happening that is asked for."""
        now = time.time() if self.live else sample.at
        seconds = SPANS[self._span][0]
        self._shown = {
            f"{happening.at} {happening.text}": happening
            for happening in sample.happenings
            if (seconds is None or now - happening.at <= seconds) and self._answers(happening, now)
        }
        return list(self._shown)

    def _answers(self, happening: Happening, now: float) -> bool:
        return all(
            ((term.values[0] in happening.text.casefold()) is not term.negated)
            if term.field is None
            else term.accepts(_value(happening, term.field, now))
            for term in self._query
        )

    def show(self, sample: Sample, target: str | None) -> None:
        """Show a newer sample, and its newest line if the newest was in view."""
        following = not self.keys or self.cursor == self.keys[-1]
        super().show(sample, target)
        if following and self.keys:
            self.select(self.keys[-1])

    def pass_time(self) -> None:
        """Let go of what has become too old to be shown."""
        if self.sample is not None and self.live and (self._span or "age" in self.filter):
            self.show(self.sample, self.target)

    def next_span(self) -> None:
        """Show the last minute, the last ten, or all."""
        self._span = (self._span + 1) % len(SPANS)
        if self.sample is not None:
            self.show(self.sample, self.target)

    def find(self, text: str) -> None:
        """Show only what answers to a query. Raises `QueryError`, and changes nothing."""
        self._query = parse(text, FIELDS)
        self.filter = text if self._query else ""
        if self.sample is not None:
            self.show(self.sample, self.target)

    def values(self, field: str) -> Sequence[str]:
        """What a field has in the events of this host."""
        if self.sample is None or field == "age":
            return ()
        found = {value for one in self.sample.happenings for value in _value(one, field, 0.0)}
        return sorted(map(str, found))

    def target_of(self, key: str) -> str | None:
        """What it happened to."""
        happening = self._shown.get(key)
        return happening.key if happening is not None else None

    def copied(self) -> str | None:
        """What it says."""
        happening = self._shown.get(self.cursor or "")
        return printable(happening.text) if happening is not None else None

    def content(self, key: str) -> Content:
        """Time, glyph, text."""
        happening = self._shown[key]
        glyph, style = _KIND_STYLES[happening.kind]
        return (
            (f"{clock(happening.at)} ", "dim"),
            (f"{glyph} ", style),
            (cell(happening.text, max(self.line_width - 11, 0)), "plain"),
        )


def _value(happening: Happening, field: str, now: float) -> tuple[str | float, ...]:
    if field == "kind":
        return (happening.kind,)
    if field == "age":
        return (max(now - happening.at, 0.0),)
    return (happening.key,) if happening.key is not None else ()
