"""Channels of the DMA engine, through the kernel's own module `dmatest`.

Its verdict stands in the kernel log only; its file `wait` blocks and is never read. Without a
number of iterations it would run for ever (Documentation/driver-api/dmaengine/dmatest.rst).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from sdmtop.backends.base import Host
from sdmtop.errors import NothingToDoError, RefusedError, because
from sdmtop.model import Snapshot
from sdmtop.operations.draft import Draft
from sdmtop.operations.facts import now
from sdmtop.operations.plan import ANY, Fact, Load, Plan, Write
from sdmtop.readers.sysfs import in_order, names
from sdmtop.selftests.records import Benchmark, SelfTest
from sdmtop.selftests.trial import Trial

CLASS = "/sys/class/dma"
PARAMETERS = "/sys/module/dmatest/parameters"

ITERATIONS = 100
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
        return in_order(names(host, CLASS))
    except OSError:
        return []


def settings(host: Host, snapshot: Snapshot, channel: str) -> Plan:
    """What the module is told before it tests a channel, and its old settings as the way back.

    Raises `NothingToDoError` where it is told so already, `RefusedError` while it is at work.
    """
    draft = Draft(host, snapshot, "selftest")
    draft.target(channel)
    draft.lock("dmatest")
    there = now(host, "exists", PARAMETERS)
    if there.value is None:
        after = Fact(there.kind, there.path, "yes")
        draft.step(
            channel,
            "load dmatest (CONFIG_DMATEST)",
            Load("dmatest"),
            before=(there,),
            after=(after,),
        )
        draft.note("the module stays loaded, and keeps these settings")
    # To read it frees the channel of a test that has ended, such as one of a run that was killed.
    elif now(host, "text", f"{PARAMETERS}/run").value == "Y":
        raise RefusedError("somebody has a test of dmatest's running")
    in_use = now(host, "text", f"{CLASS}/{channel}/in_use").value
    if in_use not in (None, "0"):
        raise RefusedError(f"{channel}: in use by {in_use} of the kernel's drivers")
    for name, value in _SETTINGS.items():
        path = f"{PARAMETERS}/{name}"
        old = Fact("text", path, ANY) if there.value is None else now(host, "text", path)
        if old.value != value:
            draft.step(
                channel,
                f"set {name} of dmatest to {value}",
                Write(path, value),
                before=(old,),
                after=(Fact(old.kind, path, value),),
                inverse=None if old.value in (None, ANY) else Write(path, old.value),
                inverse_title=f"set {name} of dmatest back",
            )
    if not draft.steps:
        raise NothingToDoError(f"{channel}: dmatest is set for it")
    return draft.finish(f"sdmtop selftest {channel}")


def copy(trial: Trial) -> str:
    """Random copies, each compared."""
    (*_, last) = found = _run(trial)
    for one in found:
        trial.note(f"{one.operation}", f"{one.tests} tests, {one.per_second:g}/s")
        trial.expect(f"{one.operation}: failures", 0, one.failures)
        trial.expect(f"{one.operation}: tests", ITERATIONS, one.tests)
        trial.expect(f"{one.operation}: error", 0, one.error)
    return f"{last.tests} copies of up to {_BUFFER} bytes"


def bench_copy(trial: Trial) -> list[float]:
    """Megabytes a second, as the module reckons them."""
    return [one.kilobytes_per_second / 1000 for one in _run(trial)]


def _run(trial: Trial) -> list[Summary]:
    """Have the module, as it is set by `settings`, test the channel; its summaries."""
    before = len(_told(trial))
    trial.say("asking for the channel")
    _write(trial, "channel", trial.target)
    trial.finally_(_write, trial, "run", "0")  # Stops what still runs, and frees the channel.
    trial.say(f"{ITERATIONS} tests")
    _write(trial, "run", "1")
    if not trial.until(lambda: len(_told(trial)) > before, _PATIENCE, every=0.02):
        trial.fail(f"no summary in the kernel log within {_PATIENCE:g} s")
    return _told(trial)[before:]


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
        takes=0.5, limit=20.0, plan=settings,
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("dmatest.rate", bench_copy, targets, measures="random copies, each compared",
              unit="MB/s", needs=_NEEDS, plan=settings),
)  # fmt: skip
