"""The cheap sources of interrupt counts, for every tick.

`/proc/stat` has the total of every interrupt number in one line; `per_cpu_count` has the CPUs of
one. Together they cost a fraction of `/proc/interrupts`, for the kernel as well.
"""

from array import array
from collections.abc import Iterable, Sequence

import msgspec

from sdmtop.backends.base import Host, Kept

_STAT_LIMIT = 1024 * 1024
_USUAL = 32 * 1024
"""Bytes of /proc/stat that are asked for at first: room for a megabyte costs more than reading."""

NUMBERS = msgspec.json.Decoder(tuple[int, ...])
"""Numbers between commas are JSON but for the brackets: nothing reads them as fast."""


class IrqTotals:
    """The `intr` line of `/proc/stat`: how often each interrupt number came, over all CPUs."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._limit = _USUAL
        self._stat: Kept = host.keep(["/proc/stat"], _USUAL)
        self._line = b""
        self.error: OSError | None = None
        """Why the file cannot be read now."""
        self._values: Sequence[int] = array("L")

    def update(self) -> bool:
        """Read again; whether any interrupt has come. A file that fails leaves the last values."""
        for _, data in self._stat.changed():
            self.error = data if isinstance(data, OSError) else None
            if isinstance(data, OSError):
                return False
            if len(data) == self._limit < _STAT_LIMIT:
                self._stat.close()
                self._limit = _STAT_LIMIT
                self._stat = self._host.keep(["/proc/stat"], _STAT_LIMIT)
                return self.update()
            start = data.find(b"\nintr ") + 1
            line = data[start : data.find(b"\n", start)] if start else b""
            if line == self._line:
                return False
            self._line = line
            self._values = _totals(line)
            return True
        return False

    def values(self) -> Sequence[int]:
        """Totals by interrupt number, modulo 2**32; a new sequence after each change."""
        return self._values

    def close(self) -> None:
        """Give the descriptor back."""
        self._stat.close()


class VisibleCounts:
    """`/sys/kernel/irq/N/per_cpu_count` of the interrupts that are looked at."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._irqs: tuple[int, ...] = ()
        self._files: Kept | None = None
        self._seen: Sequence[int] | None = None
        """The totals that have told all there is to be read."""
        self._read_at: dict[int, int] = {}
        """By interrupt number, the total at which its counts were read last."""
        self.counts: dict[int, tuple[int, ...]] = {}
        """Counts by interrupt number, one for each *possible* CPU, the offline ones included."""
        self.rates: dict[int, tuple[float, ...]] = {}
        """Interrupts a second in the same form, between the last two measures."""
        self._measured: tuple[float, dict[int, tuple[int, ...]]] = (0.0, {})
        self._still = False
        """Whether all rates are known and none is above zero."""

    def watch(self, irqs: Iterable[int]) -> None:
        """Look at these interrupts from now on."""
        wanted = tuple(irqs)
        if wanted == self._irqs:
            return
        if self._files is not None:
            self._files.close()
        self._irqs = wanted
        self._files = self._host.keep([f"/sys/kernel/irq/{irq}/per_cpu_count" for irq in wanted])
        self.counts = {irq: self.counts[irq] for irq in wanted if irq in self.counts}
        self._read_at = {}
        self._seen = None

    def update(self, totals: Sequence[int]) -> bool:
        """Read those again whose total is another than before; whether anything has changed.

        `totals` are those of all interrupts by number. One that is not among them is always read.
        """
        if self._files is None or totals is self._seen:
            return False
        due = []
        complete = True
        for index, irq in enumerate(self._irqs):
            if irq < len(totals):
                if self._read_at.get(irq) == totals[irq]:
                    continue
                self._read_at[irq] = totals[irq]
            else:
                complete = False
            due.append(index)
        self._seen = totals if complete else None
        fresh = self._files.changed(due)
        if fresh:
            counts = dict(self.counts)
            for index, data in fresh:
                counts[self._irqs[index]] = _per_cpu(data)
            self.counts = counts
        return bool(fresh)

    def measure(self, now: float) -> bool:
        """Make the rates since the last measure (monotonic seconds); whether they are others.

        An interrupt that has not come is no news, once that is known.
        """
        at, before = self._measured
        self._measured = now, self.counts
        if self.counts is before and self._still:
            return False  # As most of the time on an idle host.
        rates = {
            irq: _rates(before[irq], counts, now - at)
            for irq, counts in self.counts.items()
            if irq in before and len(before[irq]) == len(counts) and now > at
        }
        earlier, self.rates = self.rates, rates
        came = _came(rates)
        self._still = rates.keys() == self.counts.keys() and not came
        return rates.keys() != earlier.keys() or came != _came(earlier)

    def close(self) -> None:
        """Give the descriptors back."""
        if self._files is not None:
            self._files.close()


def _came(rates: dict[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    return {irq: each for irq, each in rates.items() if any(each)}


def _rates(before: tuple[int, ...], now: tuple[int, ...], seconds: float) -> tuple[float, ...]:
    """A count that is less than before began anew: it has no rate yet."""
    if before is now:
        return (0.0,) * len(now)
    return tuple(
        (new - old) / seconds if new >= old else 0.0 for old, new in zip(before, now, strict=True)
    )


def _per_cpu(data: bytes | OSError) -> tuple[int, ...]:
    """`0,17,0` as numbers; none where a part is no number, or the file fails."""
    if isinstance(data, OSError):
        return ()
    try:
        return NUMBERS.decode(b"[%b]" % data)
    except ValueError:
        return ()


def _totals(line: bytes) -> Sequence[int]:
    """`intr TOTAL IRQ0 IRQ1 ...` without the total; empty where a number is none."""
    try:
        return array("L", NUMBERS.decode(b"[%b]" % line[5:].replace(b" ", b","))[1:])
    except (ValueError, OverflowError):
        return array("L")
