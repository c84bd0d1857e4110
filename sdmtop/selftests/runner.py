"""Runs tests one after the other, each in a thread that may be left behind.

A timeout is a result. So is a cancel: what was not begun is skipped with that reason.
"""

import errno
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

from sdmtop.backends.base import Host
from sdmtop.errors import RefusedError, because
from sdmtop.model import Snapshot
from sdmtop.operations.journal import Verdict
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.aftermath import in_reach, left_behind
from sdmtop.selftests.records import (
    HOST,
    Benchmark,
    Cancelled,
    Failed,
    Measurement,
    Planner,
    Result,
    SelfTest,
    Skipped,
)
from sdmtop.selftests.trial import Trial


class Job(NamedTuple):
    """A test or a benchmark, and what it is to be made on."""

    test: SelfTest | Benchmark
    target: str


class Need(NamedTuple):
    """What has to be done before a job: its target taken for VFIO, queues of it made, or a plan."""

    claims: bool = False
    queues: int = 0
    each_type: bool = False
    plan: Planner | None = None


class Loan(Protocol):
    """What was taken. `queues` are the names of those that were made."""

    @property
    def queues(self) -> tuple[str, ...]:
        """UUIDs."""


class Lender(Protocol):
    """Takes what jobs need, and gives it back."""

    def lend(self, snapshot: Snapshot, target: str, need: Need) -> Loan:
        """Take it. Raises `RefusedError` where it is not to be had."""

    def give_back(self, loan: Any) -> str | None:
        """Give it back; what went wrong, if anything did."""


class Step(NamedTuple):
    """Where a run is: job `number` of `total`, and what it does."""

    number: int
    total: int
    job: Job
    words: str


_CANCELLED = "cancelled"
NOTHING = Need()
"""Of a job that takes what is free."""
_Numbered = Iterable[tuple[int, Job]]

RESTORED = "selftest.restored"
"""The name of a result that only comes when something is not as it was before the run."""

_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What a call answers who has no right to it; it tells nothing of the device."""


class StuckError(RefusedError):
    """Taking something does not return: what was taken by then is not given back."""


class Run:
    """One run over some jobs; iterating it makes it, in the caller's thread."""

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        jobs: Sequence[Job],
        on_step: Callable[[Step], None] = lambda _step: None,
        lender: Lender | None = None,
    ) -> None:
        self._host = host
        self._snapshot = self._before = snapshot
        self._jobs = jobs
        self._on_step = on_step
        self._lender = lender
        self._stop = threading.Event()
        self._hanging: set[str] = set()
        self._lent: set[str] = set()

    def cancel(self) -> None:
        """End the test under way at its next step, and begin no other. From any thread."""
        self._stop.set()

    def __iter__(self) -> Iterator[Result | Measurement]:
        """The outcome of each job, as soon as it is there."""
        if self._lender is not None and self._targets:
            # While the operator looked at the plans, others may have changed something.
            self._before = patiently(self._host, read_snapshot, self._host)
        numbered = enumerate(self._jobs, 1)
        for (target, need), group in groupby(numbered, lambda one: wants(one[1])):
            if self._lender is None or need == NOTHING:
                yield from self._run(group, self._snapshot, ())
            else:
                yield from self._borrowed(self._lender, target, need, [*group])
        if self._lender is not None and self._targets:
            yield from self._compared()

    @property
    def _targets(self) -> set[str]:
        """What is tested; the checks of the box only look."""
        return {job.target for job in self._jobs} - {HOST}

    def _compared(self) -> Iterator[Result]:
        """The host as it is now beside how it was before; nothing where it is the same."""
        began = time.monotonic()
        ours = in_reach(self._before, self._targets) | self._lent
        after = patiently(self._host, read_snapshot, self._host)
        near, far = left_behind(self._host, self._before, after, ours)
        if near or far:
            words = "; ".join(f"{one.what}: {one.expected} -> {one.got}" for one in near or far)
            seconds = round(time.monotonic() - began, 3)
            verdict: Verdict = "fail" if near else "skip"
            who = "left behind" if near else "changed meanwhile, outside of what the tests had"
            yield Result(RESTORED, HOST, verdict, f"{who}: {words}", (*near, *far), seconds)

    def _borrowed(
        self, lender: Lender, target: str, need: Need, group: _Numbered
    ) -> Iterator[Result | Measurement]:
        """Jobs for which something has to be taken first, and given back after them."""
        began = time.monotonic()
        if self._stop.is_set():
            yield from self._run(group, self._snapshot, ())
            return
        try:
            loan = lender.lend(self._snapshot, target, need)
        except (RefusedError, OSError) as error:
            why = because(error)
            for _, job in group:
                outcome = _Outcome(self._trial(job, self._snapshot, ()), "skip", why)
                yield _worded(job, outcome, 0.0)
            if isinstance(error, StuckError):
                seconds = round(time.monotonic() - began, 3)
                yield Result(RESTORED, target, "fail", f"not as it was: {why}", (), seconds)
            return
        self._lent.update(loan.queues)
        try:
            snapshot = patiently(self._host, read_snapshot, self._host)
            yield from self._run(group, snapshot, loan.queues)
        finally:
            trouble = (
                "a test on it has not ended: 'sdmtop undo' gives it back once that has"
                if target in self._hanging
                else lender.give_back(loan)
            )
        if trouble is not None:
            seconds = round(time.monotonic() - began, 3)
            yield Result(RESTORED, target, "fail", f"not as it was: {trouble}", (), seconds)

    def _run(
        self, group: _Numbered, snapshot: Snapshot, lent: tuple[str, ...]
    ) -> Iterator[Result | Measurement]:
        for number, job in group:
            began = time.monotonic()
            outcome = self._outcome(number, job, snapshot, lent)
            yield _worded(job, outcome, time.monotonic() - began)

    def _trial(self, job: Job, snapshot: Snapshot, lent: tuple[str, ...], **more: Any) -> Trial:
        return Trial(self._host, snapshot, job.target, lent=lent, **more)

    def _outcome(
        self, number: int, job: Job, snapshot: Snapshot, lent: tuple[str, ...]
    ) -> "_Outcome":
        def say(words: str) -> None:
            self._on_step(Step(number, len(self._jobs), job, words))

        trial = self._trial(job, snapshot, lent, say=say, stop=self._stop)
        if self._stop.is_set():
            return _Outcome(trial, "skip", _CANCELLED)
        if job.target in self._hanging:
            return _Outcome(trial, "skip", "an earlier test on it has not ended")
        say("starting")
        attempt = _Attempt(job, trial)
        attempt.start()
        attempt.join(job.test.limit)
        if attempt.is_alive():
            # The thread goes on: nothing may be taken from under a call of the kernel.
            self._hanging.add(job.target)
            reason = f"no end after {job.test.limit:g} s, at: {trial.step}"
            return _Outcome(trial, "fail", f"{reason}; what it holds is held until that ends")
        return attempt.outcome


def wants(job: Job) -> tuple[str, Need]:
    """Its target, and what has to be taken for it."""
    test = job.test
    each_type = isinstance(test, SelfTest) and test.each_type
    return job.target, Need(test.claims, test.queues, each_type, test.plan)


class _Outcome(NamedTuple):
    trial: Trial
    verdict: Verdict
    reason: str | None
    samples: tuple[float, ...] = ()


class _Attempt(threading.Thread):
    """One job, with all that it leaves to be undone."""

    def __init__(self, job: Job, trial: Trial) -> None:
        super().__init__(name=f"sdmtop-{job.test.name}", daemon=True)
        self._job = job
        self._trial = trial
        self.outcome = _Outcome(trial, "fail", "it has told nothing")

    def run(self) -> None:
        """See `threading.Thread.run`."""
        verdict, reason, samples = self._verdict()
        try:
            self._trial.clean_up()
        except OSError as error:
            left = f"what it took could not be given back: {because(error)}"
            verdict, reason = "fail", f"{reason}; {left}" if reason else left
        self.outcome = _Outcome(self._trial, verdict, reason, samples)

    def _verdict(self) -> tuple[Verdict, str | None, tuple[float, ...]]:
        try:
            told: Any = self._job.test.run(self._trial)
        except Skipped as skip:
            return "skip", str(skip), ()
        except Cancelled:
            return "skip", _CANCELLED, ()
        except Failed as failure:
            return "fail", str(failure), ()
        except OSError as error:
            refusal = self._trial.host.refusal()
            if error.errno in _REFUSED and refusal is not None:
                return "skip", f"{self._trial.step}: {because(error)}: {refusal}", ()
            return "fail", f"{self._trial.step}: {because(error)}", ()
        except Exception as error:  # noqa: BLE001 - a thread that dies would be a hang to its waiter
            return "fail", f"{self._trial.step}: {type(error).__name__}: {error}", ()
        if isinstance(self._job.test, Benchmark):
            return "pass", None, tuple(told)
        return "pass", told, ()


def _worded(job: Job, outcome: _Outcome, seconds: float) -> Result | Measurement:
    seconds = round(seconds, 3)
    test = job.test
    if isinstance(test, Benchmark):
        samples = sorted(outcome.samples)
        tenth = len(samples) // 10
        return Measurement(
            benchmark=test.name,
            target=job.target,
            unit=test.unit,
            median=statistics.median(samples) if samples else None,
            low=samples[tenth] if samples else None,
            high=samples[-1 - tenth] if samples else None,
            runs=len(samples),
            reason=outcome.reason,
            seconds=seconds,
        )
    return Result(
        test=test.name,
        target=job.target,
        result=outcome.verdict,
        reason=outcome.reason,
        evidence=tuple(outcome.trial.evidence),
        seconds=seconds,
    )
