"""What a self-test is, and what comes of it."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.backends.base import Host
from sdmtop.model import Record, Snapshot
from sdmtop.operations.journal import Verdict

if TYPE_CHECKING:
    from sdmtop.operations.plan import Plan
    from sdmtop.selftests.trial import Trial

HOST = "host"
"""The target of tests that are about the box as a whole."""


Planner = Callable[[Host, Snapshot, str], "Plan"]
"""Makes the plan that a test of a target needs done before it.

Raises `NothingToDoError` where it is done already, `RefusedError` where it cannot be.
"""

Targets = Callable[[Host, Snapshot], Iterable[str]]
"""The things of a host that a test applies to, as TARGETs."""


class Evidence(Record, frozen=True):
    """One observation: what should have been seen, what was, at which register or IOVA.

    `expected` is None for a fact that decides nothing by itself.
    """

    what: str
    expected: str | None
    got: str
    address: str | None = None
    errno: str | None = None


class Result(Record, frozen=True):
    """What came of one test on one target (contract 1). `reason` may be None for a pass."""

    test: str
    target: str
    result: Verdict
    reason: str | None
    evidence: tuple[Evidence, ...]
    seconds: float


class Measurement(Record, frozen=True):
    """What a benchmark measured: the median of `runs` samples, and its spread. Never a verdict."""

    benchmark: str
    target: str
    unit: str
    median: float | None
    low: float | None
    high: float | None
    runs: int
    reason: str | None
    seconds: float


class SelfTest(NamedTuple):
    """A test: `run` returns a summary or None, raises `Failed` or `Skipped`.

    `takes` is how many seconds it usually needs, `limit` after how many it counts as hung. A test
    that `claims` wants its target on vfio-pci with the whole group viable, and nobody else holding
    it; one that wants `queues` has so many sdmdevs of its target, a parent, made for it: of one
    type, or with `each_type` of each that has room; `plan` makes what else has to be set. `why` and
    `remedy` tell an operator what a failure means for him, and what to do.
    """

    name: str
    run: "Callable[[Trial], str | None]"
    targets: Targets
    proves: str
    needs: str
    touches: str
    why: str
    remedy: str
    takes: float = 0.1
    limit: float = 10.0
    claims: bool = False
    queues: int = 0
    each_type: bool = False
    plan: Planner | None = None


class Benchmark(NamedTuple):
    """A benchmark: `run` returns one sample a run, in `unit`. The rest is as in `SelfTest`."""

    name: str
    run: "Callable[[Trial], list[float]]"
    targets: Targets
    measures: str
    unit: str
    needs: str
    takes: float = 1.0
    limit: float = 30.0
    claims: bool = False
    queues: int = 0
    plan: Planner | None = None


class Failed(Exception):  # noqa: N818 - it is a verdict, not an error of the program
    """The test has seen something that must not be."""


class Skipped(Exception):  # noqa: N818 - as above
    """The test cannot be made here, and why."""


class Cancelled(Exception):  # noqa: N818 - as above
    """The operator has asked to stop."""


def the_host(_host: Host, _snapshot: Snapshot) -> tuple[str, ...]:
    """The targets of a test of the box itself."""
    return (HOST,)
