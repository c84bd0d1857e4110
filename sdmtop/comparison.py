"""`sdmtop diff`: what changed between two Snapshots, as text and as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from sdmtop.differences import Change, changes
from sdmtop.model import Record, Snapshot, Unknown
from sdmtop.text import fact, printable
from sdmtop.timeline import say, values

SCHEMA: Literal["sdmtop.diff/1"] = "sdmtop.diff/1"

_GLYPHS = {"added": "+", "removed": "-", "changed": "~"}
_NOUNS = {
    "host": "host",
    "iommu_units": "unit",
    "groups": "",
    "devices": "device",
    "mdev_types": "mdev type",
    "sdmdevs": "queue",
    "pasids": "PASID",
    "interrupts": "interrupt",
    "processes": "process",
    "unknown": "unknown",
}


class Side(Record, frozen=True):
    """Which Snapshot was compared: the name that was given, host, kernel, and when it was taken."""

    name: str
    host: str | None
    kernel: str | None
    taken_at: str


class Comparison(Record, frozen=True, kw_only=True, rename={"before": "from", "after": "to"}):
    """Two Snapshots and what is different in the later one."""

    schema: Literal["sdmtop.diff/1"] = SCHEMA
    before: Side
    after: Side
    changes: tuple[Change, ...]


def compare(old: tuple[str, Snapshot], new: tuple[str, Snapshot]) -> Comparison:
    """Compare two Snapshots, each with its name."""
    return Comparison(before=_side(*old), after=_side(*new), changes=tuple(changes(old[1], new[1])))


def lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as printable lines."""
    for mark, side in (("---", comparison.before), ("+++", comparison.after)):
        yield printable(
            f"{mark} {side.name}: {side.host or '?'}, Linux {side.kernel or '?'}, {side.taken_at}"
        )
    # What could not be read on both sides has not changed.
    entries = [one for one in comparison.changes if one.part == "unknown" and one.field is None]
    unknown = [one.old for one in entries if one.old], [one.new for one in entries if one.new]
    for change in comparison.changes:
        yield printable(f"{_GLYPHS[change.kind]} {_text(change, unknown)}")


def _side(name: str, snapshot: Snapshot) -> Side:
    host = snapshot.host
    return Side(name=fact(name), host=host.name, kernel=host.kernel, taken_at=snapshot.taken_at)


def _text(change: Change, unknown: Sequence[Sequence[Unknown]]) -> str:
    title = f"{_NOUNS[change.part]} {change.key.replace('group/', 'group ')}".strip()
    if change.field is None:
        record: Record = change.new if change.kind == "added" else change.old
        return f"{title}{_about(record)}"
    return f"{title}: {change.field.removesuffix('_')} {_said(change, unknown)}"


def _about(record: Record) -> str:
    """What a record that came or went was, in a few words."""
    fields = ("domain_type", "driver", "type", "name", "holds", "process", "errno", "actions")
    told = (getattr(record, field, None) for field in fields)
    words = [say(value) for value in told if value]
    return f" ({', '.join(words)})" if words else ""


def _said(change: Change, unknown: Sequence[Sequence[Unknown]]) -> str:
    """Both values; of a list, what it has more and less."""
    old, new = change.old, change.new
    if isinstance(old, tuple) and isinstance(new, tuple):
        more = [f"+{say(value)}" for value in _beyond(new, old)]
        less = [f"-{say(value)}" for value in _beyond(old, new)]
        return " ".join((*less, *more)) or "in another order"
    if isinstance(old, dict) and isinstance(new, dict):
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        return ", ".join(f"{name} {say(old.get(name))} -> {say(new.get(name))}" for name in names)
    return " -> ".join(values(change, unknown))


def _beyond(these: Iterable[object], those: Iterable[object]) -> list[object]:
    known = list(those)
    return [value for value in these if value not in known]
