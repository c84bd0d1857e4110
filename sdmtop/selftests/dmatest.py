"""Channels of the DMA engine, through the kernel's own module `dmatest`.

Its verdict stands in the kernel log only; its file `wait` blocks and is never read. Without a
number of iterations it would run for ever (Documentation/driver-api/dmaengine/dmatest.rst).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sdmtop.backends.base import Host
from sdmtop.model import Snapshot
from sdmtop.readers.sysfs import names, natural, word
from sdmtop.selftests.records import Benchmark, SelfTest
from sdmtop.selftests.trial import Trial, because

CLASS = "/sys/class/dma"
PARAMETERS = "/sys/module/dmatest/parameters"

ITERATIONS = 100
_BENCH_ITERATIONS = 1000
_BUFFER = 16384
_PATIENCE = 8.0
_SETTINGS = {
    "iterations": str(ITERATIONS),
    "timeout": "2000",
    "test_buf_size": str(_BUFFER),
    "threads_per_chan": "1",
    "max_channels": "1",
    "noverify": "N",
    "verbose": "N",
}

_SUMMARY = re.compile(
    rb"dmatest: (\S+?)-(\w+?): summary (\d+) tests, (\d+) failures "
    rb"([0-9.]+) iops ([0-9.]+) KB/s \((-?\d+)\)"
)


class Summary(NamedTuple):
    """The line that a thread of the module ends with; `operation` is `copy0`, `xor0`, ..."""

    channel: str
    operation: str
    tests: int
    failures: int
    per_second: float
    kilobytes_per_second: float
    error: int


def summaries(records: Sequence[bytes], channel: str) -> list[Summary]:
    """The summaries of a channel among records of the kernel log, oldest first."""
    found = []
    for record in records:
        match = _SUMMARY.search(record)
        if match and match[1].decode("ascii", "replace") == channel:
            found.append(
                Summary(
                    channel,
                    match[2].decode("ascii", "replace"),
                    int(match[3]),
                    int(match[4]),
                    float(match[5]),
                    float(match[6]),
                    int(match[7]),
                )
            )
    return found


def targets(host: Host, _snapshot: Snapshot) -> Sequence[str]:
    """Every channel; none where the kernel has no DMA engine."""
    try:
        return sorted(names(host, CLASS), key=natural)
    except OSError:
        return []


def copy(trial: Trial) -> str:
    """Random copies, each compared."""
    (*_, last) = found = _run(trial, ITERATIONS)
    for one in found:
        trial.note(f"{one.operation}", f"{one.tests} tests, {one.per_second:g}/s")
        trial.expect(f"{one.operation}: failures", 0, one.failures)
        trial.expect(f"{one.operation}: tests", ITERATIONS, one.tests)
        trial.expect(f"{one.operation}: error", 0, one.error)
    return f"{last.tests} copies of up to {_BUFFER} bytes"


def bench_copy(trial: Trial) -> list[float]:
    """Megabytes a second, as the module reckons them."""
    return [one.kilobytes_per_second / 1000 for one in _run(trial, _BENCH_ITERATIONS)]


def _run(trial: Trial, iterations: int) -> list[Summary]:
    """Have the module test the channel; its summaries."""
    is_loaded = trial.is_there(PARAMETERS)
    # To read it frees the channel of a test that has ended, such as one of a run that was killed.
    if is_loaded and word(trial.host.read(f"{PARAMETERS}/run")) == "Y":
        trial.skip("somebody has a test of the module's running")
    in_use = word(trial.host.look(f"{CLASS}/{trial.target}", ("in_use",))[0])
    if in_use not in (None, "0"):
        trial.skip(f"the channel is in use by {in_use} of the kernel's drivers")
    if not is_loaded:
        trial.load("dmatest", "CONFIG_DMATEST")
    before = len(_told(trial))
    for name, value in {**_SETTINGS, "iterations": str(iterations)}.items():
        _set(trial, name, value)
    trial.say("asking for the channel")
    _write(trial, "channel", trial.target)
    trial.finally_(_write, trial, "run", "0")  # Stops what still runs, and frees the channel.
    trial.say(f"{iterations} tests")
    _write(trial, "run", "1")
    if not trial.until(lambda: len(_told(trial)) > before, _PATIENCE, every=0.02):
        trial.fail(f"no summary in the kernel log within {_PATIENCE:g} s")
    return _told(trial)[before:]


def _set(trial: Trial, name: str, value: str) -> None:
    """Set a parameter, and give it its old value at the end."""
    old = word(trial.host.read(f"{PARAMETERS}/{name}"))
    if old != value:
        _write(trial, name, value)
        trial.finally_(_write, trial, name, old or "")


def _write(trial: Trial, name: str, value: str) -> None:
    trial.write(f"{PARAMETERS}/{name}", value)


def _told(trial: Trial) -> list[Summary]:
    try:
        return summaries(trial.host.kernel_log(), trial.target)
    except OSError as error:
        trial.skip(f"the kernel log cannot be read: {because(error)}")


_NEEDS = "a DMA channel that no driver uses, a kernel with dmatest, the kernel log"
_TOUCHES = "the channel; loads dmatest and sets its parameters, which get their old values back"

TESTS = (
    SelfTest(
        "dmatest.copy", copy, targets,
        proves="the channel copies memory without a difference", needs=_NEEDS, touches=_TOUCHES,
        why="a copy differs, was not finished in time, or the channel could not be had",
        remedy="the kernel log has a line for each failure; reset the device, update its driver",
        takes=0.5, limit=20.0,
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("dmatest.rate", bench_copy, targets, measures="random copies, each compared",
              unit="MB/s", needs=_NEEDS),
)  # fmt: skip
