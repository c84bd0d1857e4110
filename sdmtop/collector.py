"""What to read when: a policy without threads, so that a test can drive it by hand.

Topology is read on events; what sends no event is polled; counters are read every tick. A
Collector belongs to one thread and dies with it when a read hangs.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from sdmtop.backends.base import Event, Host, Kept, Log
from sdmtop.counters import RING, CounterRing, Counters
from sdmtop.differences import share
from sdmtop.model import Detail, NumaNode, Record, Snapshot
from sdmtop.readers.details import read_details
from sdmtop.readers.devices import PCI
from sdmtop.readers.groups import GROUPS
from sdmtop.readers.irq_counters import IrqTotals, VisibleCounts
from sdmtop.readers.kernel_log import boot_time, parse
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading, taken_at
from sdmtop.timeline import Happening, Timeline, differences

SMALL = 512
"""Devices up to which everything is read before anything is shown."""

POLL = 5.0
"""Seconds between polls of what sends no event: queues, holders, the kernel log."""

SLOW = 30.0
"""Seconds between readings that are long, or cost the kernel something: debugfs, all interrupts;
overrides and domain types, most changes of which come with an event of a driver; groups and
devices, which come with events of their own."""

SWEEP = 900
"""Ticks in which every device is read again, a slice a tick, in case an event was lost."""

_SLICE = 64
"""Devices in a slice at most: a large host takes longer to sweep, and is not slower for it."""

_LEAST_SLICE = 16
"""Devices in a slice at least: one by one, each would be read with cold caches."""

_DRIVERS = "/sys/bus/pci/drivers"

_KEPT = 8192
"""Files that are kept open for the poll; overrides beyond that are left to the sweep."""


class Focus(NamedTuple):
    """What the operator looks at: the details of which TARGET, the CPUs of which interrupts."""

    target: str | None = None
    irqs: tuple[int, ...] = ()


class Sample(Record, frozen=True, gc=True):
    """What the screen shows: a snapshot, the counters, and what happened so far.

    `per_cpu` has the counts of the interrupts that are looked at, for each possible CPU, and
    `cpu_rates` how many a second; `nodes` are the NUMA nodes;
    `details` are those of the object that was asked for (its TARGET first); `complete` is False
    while the facts of devices are still being read; `at` is its time and `read_at` that of each
    part, in seconds since the epoch.
    """

    at: float
    snapshot: Snapshot
    counters: Counters
    per_cpu: Mapping[int, tuple[int, ...]]
    happenings: tuple[Happening, ...]
    details: tuple[str, tuple[Detail, ...]] | None
    complete: bool
    read_at: Mapping[str, float]
    cpu_rates: Mapping[int, tuple[float, ...]] = {}
    nodes: tuple[NumaNode, ...] = ()


class Collector:
    """The parts of a host, each as fresh as it needs to be."""

    def __init__(
        self,
        host: Host,
        timeline: Timeline,
        *,
        names: Names | None = None,
    ) -> None:
        self._host = host
        self._timeline = timeline
        self._stands_at = taken_at(host)
        self._reading = Reading(host, names)
        self._totals = IrqTotals(host)
        self._visible = VisibleCounts(host)
        self._ring = CounterRing()
        self._log: Log | None = None
        self._kept: Kept | None = None
        self._kept_owners: list[str | None] = []
        self._kept_of: tuple[list[int], list[str]] = ([], [])
        """The groups and the paths of the devices whose files are kept."""
        self._snapshot: Snapshot | None = None
        self._details: tuple[str, tuple[Detail, ...]] | None = None
        self._complete = False
        self._due: dict[str, float] = {}
        self._read_at: dict[str, float] = {}
        self._swept = 0
        self._sweep_due = 0.0
        self._quiet = RING

    @property
    def small(self) -> bool:
        """Whether all can be read at once without anybody having to wait."""
        return len(self._reading.paths) <= SMALL

    def read_outline(self) -> None:
        """The least that a tree can be drawn from: units, groups, and who is in which."""
        self._reading.read_host()
        self._reading.read_topology()
        self._reading.read_queues()
        self._note("host", "topology", "queues")

    def read_rest(self, now: float) -> None:
        """Everything else, once."""
        reading = self._reading
        reading.read_devices()
        reading.read_queues()
        reading.read_holders()
        reading.read_domains()
        reading.read_interrupts()
        self._note("devices", "queues", "holders", "domains", "interrupts")
        self._complete = True
        self._read_log()
        self._keep()
        for task in ("poll", "slow"):
            self._due[task] = now + (POLL if task == "poll" else SLOW)
        self._join()

    def tick(self, now: float, events: Sequence[Event] = (), focus: Focus | None = None) -> bool:
        """One beat: read what is due; returns whether anything is different."""
        changed = self._count(now)
        changed |= self.answer(events, focus)
        changed |= self._visible.measure(now)
        if self._due["poll"] <= now:
            self._due["poll"] = now + POLL
            changed |= self._poll()
        if self._due["slow"] <= now:
            self._due["slow"] = now + SLOW
            changed |= self._slow()
        changed |= self._sweep()
        return changed

    def hurry(self) -> None:
        """Have the next tick read all that is polled."""
        self._due = dict.fromkeys(self._due, 0.0)

    def answer(self, events: Sequence[Event], focus: Focus | None = None) -> bool:
        """What cannot wait for the next beat; returns whether anything is different."""
        focus = focus or Focus()
        changed = self._follow(events) if events else False
        self._visible.watch(focus.irqs)
        # Totals that cannot be read say nothing of what has changed.
        changed |= self._visible.update(() if self._totals.error else self._totals.values())
        return self._look_at(focus.target) or changed

    def close(self) -> None:
        """Give back all files that are kept open."""
        for kept in (self._kept, self._totals, self._visible, self._reading, self._log):
            if kept is not None:
                kept.close()

    def sample(self) -> Sample:
        """The host as it is known now."""
        return Sample(
            at=self._stands_at or time.time(),
            snapshot=self._snapshot or self._reading.snapshot(),
            counters=self._ring.view(),
            per_cpu=self._visible.counts,
            cpu_rates=self._visible.rates if self._host.taken_at is None else {},
            nodes=self._reading.numa_nodes,
            happenings=self._timeline.all(),
            details=self._details,
            complete=self._complete,
            read_at=self._read_at,
        )

    # -- parts ---------------------------------------------------------------------------------

    def _count(self, now: float) -> bool:
        """A reading of all interrupt counts, for the rates and their history."""
        failed = self._totals.error
        came = self._totals.update()
        # The first reading tells no rate yet.
        self._quiet = 0 if came and self._ring.readings else self._quiet + 1
        if self._totals.error is not failed:
            self._reading.note_counters(self._totals.error)
            self._join()
        if came or self._host.taken_at is None:  # Of what stands still there is no rate.
            self._ring.add(now, self._totals.values())
        # When nothing comes any more, the history still moves on until it is all zeros.
        return self._quiet < RING

    def _follow(self, events: Sequence[Event]) -> bool:
        """Read again what the events are about: the topology, and the devices they name."""
        self._reading.read_topology()
        known = self._reading.paths
        if any(event.action == "lost" for event in events):
            self._reading.read_devices()
        else:
            named = {name for event in events for name in event.path.split("/") if name in known}
            self._reading.read_devices(named | (known.keys() - self._reading.devices.keys()))
        self._read_users()
        self._reading.read_interrupts()
        self._note("topology", "devices", "interrupts")
        self._keep()
        return self._join()

    def _poll(self) -> bool:
        """What processes do, and what the kernel says."""
        changed = self._read_users()
        logged = self._read_log()
        return self._join() if changed else logged

    def _read_users(self) -> bool:
        """Queues, and who holds them; whether anything is different."""
        reading = self._reading
        before = reading.sdmdevs, reading.mdev_types, reading.holdings
        reading.read_queues()
        reading.read_holders()
        self._note("queues", "holders")
        if before == (reading.sdmdevs, reading.mdev_types, reading.holdings):
            return False
        # Whoever took or gave back a queue may have bound a PASID, or attached a domain.
        reading.read_domains()
        self._note("domains")
        return True

    def _poll_kept(self) -> bool:
        """Domain types and driver overrides."""
        if self._kept is None:
            return False
        safe, leaving = self._safe_to_read()
        owners = {self._kept_owners[index] for index, _ in self._kept.changed(safe)}
        if None in owners:
            self._reading.read_topology()
            self._note("topology")
        self._reading.read_devices(one for one in owners | leaving if one is not None)
        return bool(owners or leaving)

    def _safe_to_read(self) -> tuple[list[int], set[str | None]]:
        """Which kept files can be read now, and the devices that have just lost their driver.

        Such an unbind may wait for a holder, with the lock of the device, for which on most
        kernels whoever reads `driver_override` waits as well, unkillably.
        """
        safe: list[int] = []
        leaving: set[str | None] = set()
        bound = self._bound()
        for index, address in enumerate(self._kept_owners):
            if (
                address is None
                or address in bound
                or self._reading.is_unbound(address)
                or self._is_bound(address)
            ):
                safe.append(index)
            elif address in self._reading.devices and not self._reading.is_leaving(address):
                leaving.add(address)
        return safe, leaving

    def _bound(self) -> set[str]:
        """The devices that their drivers name: a listing of each tells of many at once."""
        drivers = {device.driver for device in self._reading.devices.values() if device.driver}
        bound: set[str] = set()
        for driver in drivers:
            with suppress(OSError):  # Then each device is asked.
                bound.update(self._host.list(f"{_DRIVERS}/{driver}"))
        return bound

    def _is_bound(self, address: str) -> bool:
        try:
            self._host.readlink(f"{self._reading.paths[address]}/driver")
        except (OSError, KeyError):
            return False
        return True

    def _appeared(self) -> bool:
        """Whether there are other groups or devices than we know (where no event tells)."""
        try:
            addresses, groups = self._host.list(PCI), self._host.list(GROUPS)
        except OSError:
            return False  # Noted as unknown by the reading of the topology itself.
        return self._reading.differs(addresses, groups)

    def _slow(self) -> bool:
        """What sends no event, or sends one that may not reach us, as in a container."""
        changed = self._poll_kept()
        if self._appeared():
            changed = self._follow(())
        reading = self._reading
        before = reading.translation, reading.pasids, reading.units, reading.info
        rows = reading.interrupts
        reading.read_host()
        reading.read_domains()
        reading.read_interrupts()
        self._note("host", "domains", "interrupts")
        after = reading.translation, reading.pasids, reading.units, reading.info
        changed |= before != after or rows != reading.interrupts
        return self._join() if changed else False

    def _sweep(self) -> bool:
        """Read the next slice of devices again."""
        count = len(self._reading.devices)
        self._sweep_due = min(self._sweep_due + count / SWEEP, _SLICE)
        size = int(self._sweep_due)
        if size < min(_LEAST_SLICE, count) or not size:
            return False
        self._sweep_due -= size
        addresses = list(self._reading.devices)
        start = self._swept % len(addresses)
        self._swept = start + size
        part = addresses[start : start + size]
        before = [self._reading.devices[address] for address in part]
        self._reading.read_devices(part)
        if before == [self._reading.devices.get(address) for address in part]:
            return False
        return self._join()

    def _look_at(self, wanted: str | None) -> bool:
        """The details of the object that the inspector shows."""
        if wanted is None or self._snapshot is None:
            return False
        if self._details is not None and self._details[0] == wanted:
            return False
        self._details = (wanted, read_details(self._host, self._snapshot, wanted))
        return True

    def _read_log(self) -> bool:
        """IOMMU faults that the kernel has logged since we looked last."""
        try:
            self._log = self._log or self._host.follow_log()
            faults = parse(self._log.fresh())
        except OSError as error:
            self._reading.note_log(error)
            return False
        fresh = [fault for fault in faults if fault.seconds > self._timeline.log_seconds]
        booted = boot_time(self._host) if fresh else None
        for fault in fresh:
            at = None if booted is None else booted + fault.seconds
            self._timeline.add("fault", fault.device, fault.text, at)
            self._timeline.log_seconds = max(self._timeline.log_seconds, fault.seconds)
        return bool(fresh)

    def _keep(self) -> None:
        """Keep open what can change without an event, unless it is the same as before."""
        groups, devices = list(self._reading.groups), self._reading.paths
        if len(groups) + len(devices) > _KEPT:
            devices = {}
        wanted = groups, list(devices.values())
        if wanted == self._kept_of:
            return
        if self._kept is not None:
            self._kept.close()
        self._kept_of = wanted
        self._kept_owners = [*[None] * len(groups), *devices]
        self._kept = self._host.keep(
            [
                *(f"{GROUPS}/{id_}/type" for id_ in groups),
                *(f"{path}/driver_override" for path in devices.values()),
            ]
        )
        self._kept.changed(self._safe_to_read()[0])

    def _join(self) -> bool:
        """Make the snapshot anew; returns True, for it is only called after a change."""
        new = self._reading.snapshot()
        if self._snapshot is not None:
            new = share(self._snapshot, new)
        if self._snapshot is not None and self._complete:
            for happening in differences(self._snapshot, new, time.time()):
                self._timeline.append(happening)
        self._snapshot = new
        self._details = None
        return True

    def _note(self, *parts: str) -> None:
        now = time.time()
        self._read_at = {**self._read_at, **dict.fromkeys(parts, now)}
