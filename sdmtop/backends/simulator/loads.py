"""Load curves: how many events come, and the interrupts that the kernel's own drivers take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.pci import PciDevice

if TYPE_CHECKING:
    from random import Random

    from sdmtop.backends.simulator.devices import Bus
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.scenario import Load

_BURST = 0.1
"""The part of a period in which a burst is."""


def rate_at(load: Load, seconds: float) -> float:
    """Events a second at a moment, without noise."""
    phase = seconds / load.period % 1.0
    part = {
        "flat": 1.0,
        "sine": 0.5 - 0.5 * math.cos(2 * math.pi * phase),
        "square": 1.0 if phase < 0.5 else 0.0,
        "saw": phase,
        "burst": 1.0 if phase < _BURST else 0.0,
    }[load.shape]
    return load.low + (load.high - load.low) * part


class Counter:
    """Counts out the events of a curve; `weight` times as many."""

    __slots__ = ("_carry", "_last", "_load", "_random", "weight")

    def __init__(self, load: Load, random: Random, now: float, weight: float = 1.0) -> None:
        self._load = load
        self._random = random
        self._last = now
        # So that not all of a kind have their first event at the same time.
        self._carry = random.random()
        self.weight = weight

    def take(self, now: float) -> int:
        """How many have come since this was asked last."""
        span = now - self._last
        return self.take_of(rate_at(self._load, now - span / 2) * span, now)

    def take_of(self, expected: float, now: float) -> int:
        """The same where the curve has been looked up for many counters at once."""
        self._last = now
        noise = 1.0 + self._load.noise * (2 * self._random.random() - 1)
        self._carry += expected * self.weight * noise
        count = int(self._carry)
        self._carry -= count
        return count


class DriverLoads:
    """The interrupts of devices in whoever's hands they are, spread over their vectors."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._last = 0.0
        self._turn = 0
        self._counters: list[tuple[Load, list[tuple[Bus, str, Counter]]]] = []
        for load in kernel.scenario.loads:
            found = [
                (
                    kernel.buses[spec.bus],
                    spec.address,
                    Counter(load, kernel.random, 0.0, 0.5 + kernel.random.random()),
                )
                for spec in kernel.scenario.devices
                if spec.interrupts.load == load.name
            ]
            if found:
                self._counters.append((load, found))

    def start(self) -> None:
        """Go on from now, a step each tick."""
        if self._counters:
            self._kernel.clock.after(self._kernel.scenario.tick, self._step)

    def _step(self) -> None:
        now = self._kernel.clock.now
        span = now - self._last
        self._last = now
        for load, counters in self._counters:
            expected = rate_at(load, now - span / 2) * span
            for bus, address, counter in counters:
                count = counter.take_of(expected, now)
                # By name: a device that was removed and found again is another one.
                device = bus.devices.get(address)
                if count and isinstance(device, PciDevice) and device.lines:
                    self._spread(device, count)
        self.start()

    def _spread(self, device: PciDevice, count: int) -> None:
        """Every vector takes a like share; what does not come out even, those whose turn it is."""
        fire = self._kernel.interrupts.fire
        lines = device.lines
        each, rest = divmod(count, len(lines))
        for index, line in enumerate(lines):
            share = each + ((index - self._turn) % len(lines) < rest)
            if share:
                fire(line, share)
        self._turn += rest
