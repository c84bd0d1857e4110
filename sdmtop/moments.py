"""A Sample as bytes: what is new since the one before, or all of it.

MessagePack, compressed. A list of records is written as runs of records that the sample before has
too, and the records between them; of the counters, those that differ. Not written are what the
inspector read for a selection, and the counts of single CPUs between two readings of the whole
table of interrupts.
"""

import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from sdmtop.collector import Sample
from sdmtop.counters import CounterRing, Counters
from sdmtop.differences import KEYS
from sdmtop.model import (
    Device,
    HostInfo,
    Interrupt,
    IommuGroup,
    IommuUnit,
    MdevType,
    Pasid,
    Process,
    Record,
    Sdmdev,
    Snapshot,
    Unknown,
)

LATEST = 1e11
"""A time beyond this is none: in seconds since the epoch, the year is 5138."""

_LARGEST = 256 << 20
"""Bytes of a moment: more is no host."""

_MOST_IRQS = 1 << 20

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
_Run = tuple[int, int]
"""The records `[start, end)` of the same list in the sample before."""


class _Snapshot(msgspec.Struct, omit_defaults=True):
    """A Snapshot; lists that are None are those of the one before."""

    taken_at: str
    host: HostInfo
    iommu_units: list[_Run | IommuUnit] | None = None
    groups: list[_Run | IommuGroup] | None = None
    devices: list[_Run | Device] | None = None
    mdev_types: list[_Run | MdevType] | None = None
    sdmdevs: list[_Run | Sdmdev] | None = None
    pasids: list[_Run | Pasid] | None = None
    interrupts: list[_Run | Interrupt] | None = None
    processes: list[_Run | Process] | None = None
    unknown: list[_Run | Unknown] | None = None


class _Counts(msgspec.Struct):
    """A reading of the counters: the totals that are not as before.

    `at` is in monotonic seconds, and so is `before`, when the reading before it was made; that one
    need not have been written: where nothing comes, nothing is.
    """

    at: _Seconds
    before: _Seconds
    irqs: Annotated[int, msgspec.Meta(ge=0, le=_MOST_IRQS)]
    totals: list[tuple[int, int]]


class _Body(msgspec.Struct, omit_defaults=True):
    """A Sample; what is None is as before."""

    complete: bool
    read_at: dict[str, _Seconds] | None = None
    snapshot: _Snapshot | None = None
    counts: _Counts | None = None


class Moment(msgspec.Struct, frozen=True):
    """A sample that was read back, and the ring that its counters are of."""

    sample: Sample
    ring: CounterRing


def packed(sample: Sample, before: Sample | None) -> bytes:
    """What is new in a sample, or all of it where there is none before."""
    body = _Body(complete=sample.complete)
    if before is None or sample.read_at != before.read_at:
        body.read_at = dict(sample.read_at)
    if before is None or sample.snapshot is not before.snapshot:
        body.snapshot = _snapshot(sample.snapshot, before.snapshot if before is not None else None)
    body.counts = _counts(sample.counters, before.counters if before is not None else None)
    return zlib.compress(msgspec.msgpack.encode(body), 1)


def unpacked(data: bytes, at: float, before: Moment | None) -> Moment:
    """The sample of a time, from its bytes and the moment before; its happenings are not in them.

    Raises `ValueError` (a sentence) for bytes that are damaged or do not belong behind `before`.
    """
    try:
        body = msgspec.msgpack.decode(_inflated(data), type=_Body)
        return _moment(body, at, before)
    except (msgspec.MsgspecError, zlib.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _inflated(data: bytes) -> bytes:
    inflate = zlib.decompressobj()
    text = inflate.decompress(data, _LARGEST)
    if not inflate.eof:
        raise ValueError("a moment that is cut off, or larger than a host can be")
    return text


def _moment(body: _Body, at: float, before: Moment | None) -> Moment:
    ring = CounterRing() if before is None else before.ring
    if body.counts is not None:
        _count(ring, body.counts)
    read_at: Mapping[str, float] | None = body.read_at
    snapshot = before.sample.snapshot if before is not None else None
    if body.snapshot is not None:
        snapshot = _joined(body.snapshot, snapshot)
    if read_at is None and before is not None:
        read_at = before.sample.read_at
    if snapshot is None or read_at is None:
        raise ValueError("a moment that should be whole, and is not")
    sample = Sample(
        at=at,
        snapshot=snapshot,
        counters=ring.view(),
        per_cpu={},
        happenings=(),
        details=None,
        complete=body.complete,
        read_at=read_at,
    )
    return Moment(sample=sample, ring=ring)


def _snapshot(new: Snapshot, old: Snapshot | None) -> _Snapshot:
    made = _Snapshot(taken_at=new.taken_at, host=new.host)
    for part in KEYS:
        records = getattr(new, part)
        if old is None:
            setattr(made, part, list(records))
        elif records is not getattr(old, part):
            setattr(made, part, list(_pieces(records, getattr(old, part))))
    return made


def _joined(new: _Snapshot, old: Snapshot | None) -> Snapshot:
    lists: dict[str, Any] = {part: _records(getattr(new, part), old, part) for part in KEYS}
    return Snapshot(taken_at=new.taken_at, host=new.host, **lists)


def _pieces(new: Sequence[Record], old: Sequence[Record]) -> Iterator[_Run | Record]:
    """The new list as runs of the old one and new records."""
    places = {id(record): index for index, record in enumerate(old)}
    start = end = 0
    for record in new:
        place = places.get(id(record))
        if place is not None and place == end and end > start:
            end += 1
            continue
        if end > start:
            yield start, end
        if place is None:
            yield record
            start = end = 0
        else:
            start, end = place, place + 1
    if end > start:
        yield start, end


def _records(
    pieces: Sequence[_Run | Record] | None, old: Snapshot | None, part: str
) -> tuple[Any, ...]:
    """The list of which these are the pieces; the old one itself where there is none."""
    before: tuple[Any, ...] = getattr(old, part) if old is not None else ()
    if pieces is None:
        if old is None:
            raise ValueError(f"no {part} in a moment that should be whole")
        return before
    found: list[Any] = []
    for piece in pieces:
        if not isinstance(piece, tuple):
            found.append(piece)
        elif 0 <= piece[0] < piece[1] <= len(before):
            found.extend(before[piece[0] : piece[1]])
        else:
            raise ValueError(f"{part} that the moment before does not have")
    return tuple(found)


def _counts(new: Counters, old: Counters | None) -> _Counts | None:
    """The latest reading of the counters, unless the moment before has it already."""
    if new.latest is None or (old is not None and new.latest is old.latest):
        return None
    at, totals = new.latest
    before = old.latest[1] if old is not None and old.latest is not None else ()
    known = len(before)
    changed = [
        (irq, total) for irq, total in enumerate(totals) if irq >= known or total != before[irq]
    ]
    return _Counts(at=at, before=new.previous_at, irqs=len(totals), totals=changed)


def _count(ring: CounterRing, counts: _Counts) -> None:
    """Add a reading to the ring, and before it the one that was not written."""
    latest = ring.view().latest
    totals = array("L")
    if latest is not None:
        at, old = latest
        if at < counts.before < counts.at:
            ring.add(counts.before, old)
        totals.extend(old[: counts.irqs])
    totals.extend([0] * (counts.irqs - len(totals)))
    for irq, total in counts.totals:
        if not 0 <= irq < counts.irqs:
            raise ValueError("an interrupt beyond the last")
        totals[irq] = total
    ring.add(counts.at, totals)
