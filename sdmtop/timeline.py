"""What happened: the difference of two snapshots, in the words of an operator."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from sdmtop.model import Record, Snapshot

REMEMBERED = 500
"""Happenings that are kept."""

Kind = Literal["added", "removed", "changed", "fault", "trouble"]


class Happening(Record, frozen=True):
    """One line of the events pane. `at` is seconds since the epoch, `key` the TARGET concerned."""

    at: float
    kind: Kind
    key: str | None
    text: str


def differences(old: Snapshot, new: Snapshot, at: float) -> tuple[Happening, ...]:
    """All changes of topology, drivers, domains and holders between two readings.

    Counters are not events: they change all the time.
    """
    if old is new:
        return ()
    return tuple(
        Happening(at=at, kind=kind, key=key, text=text)
        for kind, key, text in (*_groups(old, new), *_devices(old, new), *_queues(old, new))
    )


class Timeline:
    """The last happenings, oldest first. Added to by one thread at a time, read by any."""

    def __init__(self) -> None:
        self._happenings: deque[Happening] = deque(maxlen=REMEMBERED)
        self.log_seconds = -1.0
        """Seconds since boot up to which the kernel log has been told."""

    def add(self, kind: Kind, key: str | None, text: str, at: float | None = None) -> None:
        """Something that happens now, or happened at a time in seconds since the epoch."""
        at = time.time() if at is None else at
        self.append(Happening(at=at, kind=kind, key=key, text=text))

    def append(self, happening: Happening) -> None:
        """Something that happened."""
        self._happenings.append(happening)

    def all(self) -> tuple[Happening, ...]:
        """Everything that is remembered."""
        return tuple(self._happenings)


_Change = tuple[Kind, str, str]

_DEVICE_FIELDS = (
    ("driver", "driver"),
    ("driver_override", "driver_override"),
    ("group", "group"),
    ("numa_node", "NUMA node"),
    ("sriov", "SR-IOV"),
    ("pasid", "PASID"),
)
_GROUP_FIELDS = (("domain_type", "domain type"), ("owner", "owner"), ("viable", "viable"))
_QUEUE_FIELDS = (("state", "state"), ("domain_of", "domain of group"), ("pasid", "PASID"))


def _groups(old: Snapshot, new: Snapshot) -> Iterator[_Change]:
    before = {group.id: group for group in old.groups}
    after = {group.id: group for group in new.groups}
    yield from _compare(before, after, _GROUP_FIELDS, lambda id_: f"group/{id_}", "group {}")
    for id_, group in after.items():
        was = before.get(id_)
        if was is not None and was.attached != group.attached:
            yield (
                "changed",
                f"group/{id_}",
                f"group {id_}: attached domain {was.attached.type or 'unknown'} -> "
                f"{group.attached.type or 'unknown'} ({group.attached.evidence})",
            )


def _devices(old: Snapshot, new: Snapshot) -> Iterator[_Change]:
    before = {device.address: device for device in old.devices}
    after = {device.address: device for device in new.devices}
    yield from _compare(before, after, _DEVICE_FIELDS, str, "{}")


def _queues(old: Snapshot, new: Snapshot) -> Iterator[_Change]:
    before = {queue.id: queue for queue in old.sdmdevs}
    after = {queue.id: queue for queue in new.sdmdevs}
    yield from _compare(before, after, _QUEUE_FIELDS, str, "{}")
    names = {process.pid: process.name for process in (*old.processes, *new.processes)}
    for id_, queue in after.items():
        held, was = (
            set(queue.holders or ()),
            set((before[id_].holders or ()) if id_ in before else ()),
        )
        for pid in sorted(held - was):
            yield "changed", id_, f"{id_}: now held by {names.get(pid) or '?'} {pid}"
        for pid in sorted(was - held):
            yield "changed", id_, f"{id_}: let go by {names.get(pid) or '?'} {pid}"


def _compare(
    before: Mapping[Any, Any],
    after: Mapping[Any, Any],
    fields: Sequence[tuple[str, str]],
    key: Callable[[Any], str],
    title: str,
) -> Iterator[_Change]:
    for name in before.keys() - after.keys():
        yield "removed", key(name), f"{title.format(name)} is gone"
    for name, record in after.items():
        was = before.get(name)
        if was is None:
            yield "added", key(name), f"{title.format(name)} appeared"
        elif was is not record and was != record:
            for field, word in fields:
                old, new = getattr(was, field), getattr(record, field)
                if old != new:
                    text = f"{title.format(name)}: {word} {_say(old)} -> {_say(new)}"
                    yield "changed", key(name), text


def _say(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Record):
        return " ".join(f"{name} {getattr(value, name)}" for name in value.__struct_fields__)
    return str(value)
