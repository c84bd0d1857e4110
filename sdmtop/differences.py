"""What is different in a later Snapshot: each record that came, went or changed, field by field."""

from collections.abc import Callable, Iterator, Sequence
from operator import is_
from typing import Any, Literal

from msgspec.structs import asdict, replace

from sdmtop.model import Record, Snapshot

KEYS: dict[str, Callable[[Any], str]] = {
    "iommu_units": lambda unit: str(unit.name),
    "groups": lambda group: f"group/{group.id}",
    "devices": lambda device: str(device.address),
    "mdev_types": lambda type_: f"{type_.parent}/{type_.id}",
    "sdmdevs": lambda queue: str(queue.id),
    "pasids": lambda pasid: f"{pasid.device} {pasid.pasid} {pasid.source}",
    "interrupts": lambda row: str(row.irq),
    "processes": lambda process: str(process.pid),
    "unknown": lambda entry: f"{entry.path} {entry.what}",
}
"""The lists of a Snapshot, and what tells the records of each apart: a TARGET, if it has one."""

_NO_CHANGE = {"interrupts": ("per_cpu", "total"), "host": ("backend", "read_only")}
"""Fields that are not compared: counts come all the time, and how a host is looked at is not it."""


class Change(Record, frozen=True):
    """One difference: a record of the list `part` was added or removed, or a `field` of it changed.

    The host itself is the part `host` with an empty key. `old` and `new` are values of the field;
    of a record that came or went they are the record itself, or None.
    """

    kind: Literal["added", "removed", "changed"]
    part: str
    key: str
    field: str | None = None
    old: Any = None
    new: Any = None


def changes(old: Snapshot, new: Snapshot, parts: Sequence[str] | None = None) -> Iterator[Change]:
    """All differences but counts of interrupts, or those of some parts, in their order."""
    if parts is None:
        yield from _fields("host", "", old.host, new.host)
    for part in KEYS if parts is None else parts:
        before, after = _by_key(part, old), _by_key(part, new)
        for key, record in before.items():
            if key not in after:
                yield Change(kind="removed", part=part, key=key, old=record)
        for key, record in after.items():
            if key in before:
                yield from _fields(part, key, before[key], record)
            else:
                yield Change(kind="added", part=part, key=key, new=record)


def share(old: Snapshot, new: Snapshot) -> Snapshot:
    """The new Snapshot, made of the old one's records wherever they are equal.

    So many snapshots in a row take little more memory than one, and comparing them is quick.
    """
    return replace(new, **{part: _shared(part, old, new) for part in KEYS})


def _shared(part: str, old: Snapshot, new: Snapshot) -> tuple[Record, ...]:
    before, after = getattr(old, part), getattr(new, part)
    if before is after:
        return before  # type: ignore[no-any-return]
    known = _by_key(part, old)
    key_of = KEYS[part]
    found = []
    for record in after:
        was = known.get(key_of(record))
        found.append(was if was == record else record)
    same = len(before) == len(found) and all(map(is_, before, found))
    return before if same else tuple(found)


def _by_key(part: str, snapshot: Snapshot) -> dict[str, Any]:
    key_of = KEYS[part]
    return {key_of(record): record for record in getattr(snapshot, part)}


def _fields(part: str, key: str, old: Record, new: Record) -> Iterator[Change]:
    if old is new or old == new:
        return
    before, after = asdict(old), asdict(new)
    for field, value in after.items():
        if before[field] != value and field not in _NO_CHANGE.get(part, ()):
            name = field.removesuffix("_")  # As in the JSON: `class` is no name in Python.
            yield Change(
                kind="changed", part=part, key=key, field=name, old=before[field], new=value
            )
