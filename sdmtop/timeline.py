"""What happened: the difference of two snapshots, in the words of an operator."""

import time
from collections.abc import Iterator, Sequence
from typing import Literal

from sdmtop.differences import Change, changes
from sdmtop.model import AttachedDomain, Record, Sdmdev, Snapshot, Unknown

REMEMBERED = 500
"""Happenings that are kept."""

Kind = Literal["added", "removed", "changed", "fault", "trouble"]


class Happening(Record, frozen=True):
    """One line of the events pane. `at` is seconds since the epoch, `key` the TARGET concerned."""

    at: float
    kind: Kind
    key: str | None
    text: str


_FIELDS = {
    "groups": {"domain_type": "domain type", "attached": "attached domain", "owner": "owner",
               "viable": "viable"},
    "devices": {"driver": "driver", "driver_override": "driver_override", "group": "group",
                "numa_node": "NUMA node", "sriov": "SR-IOV", "pasid": "PASID"},
    "sdmdevs": {"state": "state", "domain_of": "domain of group", "pasid": "PASID"},
}  # fmt: skip
"""What an operator wants to be told of, and the word for it."""


_FILES = {"driver": "driver", "driver_override": "driver_override", "group": "iommu_group",
          "numa_node": "numa_node"}  # fmt: skip
"""Where a field of a device comes from, if that is one file."""

_KNOWABLE = frozenset({"viable", "state", "holders"})
"""Fields that are None only where they could not be told."""


def differences(old: Snapshot, new: Snapshot, at: float) -> tuple[Happening, ...]:
    """All changes of topology, drivers, domains and holders between two readings.

    Counters are not events: they change all the time.
    """
    if old is new:
        return ()
    names = {process.pid: process.name for process in (*old.processes, *new.processes)}
    told = tuple(
        Happening(at=at, kind=change.kind, key=change.key, text=text)
        for change in changes(old, new, tuple(_FIELDS))
        for text in _texts(change, names, (old.unknown, new.unknown))
    )
    return (*told, *_let_go(old, new, at))


def _let_go(old: Snapshot, new: Snapshot, at: float) -> Iterator[Happening]:
    """Devices whose driver could not be told, as an unbind waited, and that have none now."""
    before, after = (
        {entry.path for entry in one.unknown if entry.path.endswith("/driver")}
        for one in (old, new)
    )
    if before <= after:
        return
    for device in new.devices:
        if device.driver is None and f"{device.path}/driver" in before - after:
            text = f"{device.address}: driver unknown -> none"
            yield Happening(at=at, kind="changed", key=device.address, text=text)


def values(change: Change, unknown: Sequence[Sequence[Unknown]]) -> tuple[str, str]:
    """The old and the new value of a field in words.

    `unknown` is what could not be read before and after: a value that is not there is not known if
    its file is among them, or if it is one that everything has.
    """
    before, after = (
        "unknown" if value is None and _is_unknown(change, entries) else say(value)
        for value, entries in zip((change.old, change.new), unknown, strict=True)
    )
    return before, after


def _is_unknown(change: Change, unknown: Sequence[Unknown]) -> bool:
    if change.field in _KNOWABLE:
        return True
    if change.part != "devices" or change.field not in _FILES:
        return False
    file = f"/{change.key}/{_FILES[change.field]}"
    return any(entry.path.endswith(file) for entry in unknown)


class Timeline:
    """The last happenings, oldest first. Added to by one thread at a time, read by any."""

    def __init__(self) -> None:
        self._happenings: tuple[Happening, ...] = ()
        self.log_seconds = -1.0
        """Seconds since boot up to which the kernel log has been told."""

    def add(self, kind: Kind, key: str | None, text: str, at: float | None = None) -> None:
        """Something that happens now, or happened at a time in seconds since the epoch."""
        at = time.time() if at is None else at
        self.append(Happening(at=at, kind=kind, key=key, text=text))

    def append(self, happening: Happening) -> None:
        """Something that happened."""
        self._happenings = (*self._happenings, happening)[-REMEMBERED:]

    def all(self) -> tuple[Happening, ...]:
        """Everything that is remembered."""
        return self._happenings


def _texts(
    change: Change, names: dict[int, str | None], unknown: Sequence[Sequence[Unknown]]
) -> Iterator[str]:
    """The sentences for one change; none for a field that is not told."""
    title = change.key.replace("/", " ", 1) if change.part == "groups" else change.key
    if change.field is None:
        yield f"{title} {'appeared' if change.kind == 'added' else 'is gone'}"
    if change.part == "sdmdevs" and change.field in ("holders", None):
        was, held = _holders(change.old), _holders(change.new)
        for pid in sorted(held - was):
            yield f"{title}: now held by {names.get(pid) or '?'} {pid}"
        for pid in sorted(was - held):
            yield f"{title}: let go by {names.get(pid) or '?'} {pid}"
    elif change.field in _FIELDS[change.part]:
        word = _FIELDS[change.part][change.field]
        old, new = values(change, unknown)
        yield f"{title}: {word} {old} -> {new}"


def _holders(said: tuple[int, ...] | Sdmdev | None) -> set[int]:
    """The pids in the field, or in the record, of a change."""
    return set((said.holders if isinstance(said, Sdmdev) else said) or ())


def say(value: object) -> str:
    """A value of a record in words."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return " ".join(map(say, value)) or "none"
        case AttachedDomain():
            return f"{value.type} ({value.evidence})" if value.type else "unknown"
        case Record():
            return " ".join(f"{name} {getattr(value, name)}" for name in value.__struct_fields__)
    return str(value)


def clock(at: float) -> str:
    """A time of day, from seconds since the epoch."""
    return time.strftime("%H:%M:%S", time.localtime(at))
