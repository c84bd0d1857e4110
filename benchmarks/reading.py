"""What reading costs, beside a C program that makes the same calls (`floor.c`).

`python -m benchmarks.reading WHAT ROOT` measures one thing in an interpreter of its own and prints
milliseconds; `measure` runs it and the C program in turns.
"""

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.calls import Recorder
from benchmarks.trees import device_path
from sdmtop.backends.linux import LinuxHost
from sdmtop.readers.interrupts import InterruptTable
from sdmtop.readers.irq_counters import IrqTotals, VisibleCounts
from sdmtop.readers.snapshot import Reading, read_snapshot

VISIBLE = 40
"""Rows of a screen."""

COUNTERS = 16_384


class Pair(NamedTuple):
    """Milliseconds of ours and of the C program, one each a round."""

    ours: list[float]
    c: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.c)


def measure(what: str, root: str, c: Sequence[str], rounds: int) -> Pair:
    """Ours and C in turns, in the opposite order each round."""
    ours = [sys.executable, "-m", "benchmarks.reading", what, root]
    pair = Pair([], [])
    for round_ in range(rounds):
        order = ((pair.ours, ours), (pair.c, c))
        for times, command in order if round_ % 2 == 0 else order[::-1]:
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            times.append(statistics.median(map(float, printed.split())))
    return pair


def record(what: str, root: str, file: str) -> None:
    """Write the calls of a reading down for `floor replay`."""
    host = Recorder(root)
    reading = Reading(host, helpers=0)  # What a fork calls is not recorded.
    if what == "snapshot":
        reading.read_all()
    else:
        _topology(reading)
    with open(file, "w", encoding="utf-8", errors="surrogateescape") as out:
        out.write("\n".join(host.calls) + "\n")


def counter_files(root: str, devices: int) -> list[str]:
    """Files to be kept open: two attributes of every device."""
    return [f"{root}{device_path(number)}/{name}" for number in range(devices)
            for name in ("irq", "numa_node")]  # fmt: skip


def _topology(reading: Reading) -> None:
    reading.read_host()
    reading.read_topology()


def _snapshot(host: LinuxHost) -> list[float]:
    return [_timed(lambda: read_snapshot(host))]


def _read_topology(host: LinuxHost) -> list[float]:
    reading = Reading(host)
    return [_timed(lambda: _topology(reading))]


def _counters(host: LinuxHost) -> list[float]:
    paths = [path[len(host.url.removeprefix("linux:")) :] for path in
             counter_files(host.url.removeprefix("linux:"), COUNTERS // 2)]  # fmt: skip
    kept = host.keep(paths)
    kept.changed()
    return [_timed(kept.changed) for _ in range(9)]


def _visible(host: LinuxHost) -> list[float]:
    """The rows of a screen: totals of all interrupts, CPUs of those that are seen."""
    totals, visible = IrqTotals(host), VisibleCounts(host)
    visible.watch(range(24, 24 + VISIBLE))
    return _ticking(host, lambda: (totals.update(), visible.update(totals.values())))


def _table(host: LinuxHost) -> list[float]:
    """The whole of /proc/interrupts, of which a quarter of the lines has changed."""
    table = InterruptTable()
    table.read(host)
    return _ticking(host, lambda: table.read(host), settle=1, share=4)


def let_come(root: str, share: int) -> list[str]:
    """The command that lets interrupts come, on every `share`-th line (`trees.py`)."""
    return [sys.executable, "-m", "benchmarks.trees", root, str(share)]


def _ticking(
    host: LinuxHost, read: Callable[[], object], *, settle: int = 2, share: int = 1
) -> list[float]:
    """Times of a reading, the host moved on before each by its own process (`trees.py`)."""
    found = []
    for number in range(settle + 7):
        subprocess.run(let_come(host.url.removeprefix("linux:"), share), check=True)
        spent = _timed(read)
        if number >= settle:
            found.append(spent)
    return found


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


_WHAT: dict[str, Callable[[LinuxHost], list[float]]] = {
    "snapshot": _snapshot,
    "topology": _read_topology,
    "counters": _counters,
    "visible": _visible,
    "interrupts": _table,
}


if __name__ == "__main__":
    gc.disable()
    print(*_WHAT[sys.argv[1]](LinuxHost(sys.argv[2])))
