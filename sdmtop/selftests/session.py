"""A run that somebody watches: in a thread of its own, and told of as it goes."""

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sdmtop.errors import RefusedError, because
from sdmtop.model import Snapshot
from sdmtop.operations import session as operations
from sdmtop.operations.journal import Judged
from sdmtop.operations.plan import Plan
from sdmtop.operations.recovery import give_back_leftovers
from sdmtop.operations.words import plan_lines
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests import registry
from sdmtop.selftests.history import History, history, last
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import Result
from sdmtop.selftests.runner import NOTHING, Job, Run, Step, wants


class Ready(NamedTuple):
    """What would be run, and in words what has to be taken first.

    `said` is what was left over, and what is tested in the place of the target.
    `before` is what came of earlier runs, by test and target.
    """

    jobs: tuple[Job, ...]
    lines: tuple[str, ...]
    said: tuple[str, ...]
    before: dict[tuple[str, str], Judged]


class Ended(NamedTuple):
    """The run is over; `trouble` is why it could not be made, or not be kept."""

    trouble: str | None = None


Update = Ready | Step | Result | Ended


def plans_for(lender: Lender, jobs: Iterable[Job], snapshot: Snapshot) -> list[Plan]:
    """What would be taken for these jobs. What cannot be had is said by their results."""
    found: list[Plan] = []
    for target, need in dict.fromkeys(map(wants, jobs)):
        if need != NOTHING:
            try:
                found += lender.plans(snapshot, target, need)
            except (RefusedError, OSError):
                continue
    return found


class Session:
    """The tests of one target, with the console's journal. `tell` is called in a thread of ours."""

    def __init__(
        self, console: operations.Session, target: str, tell: Callable[[Update], None]
    ) -> None:
        self._console = console
        self._host = console.host
        self._target = target
        self._tell = tell
        self._jobs: list[Job] = []
        self._means: tuple[Snapshot, Lender] | None = None
        self._run: Run | None = None
        self._idle = threading.Event()
        self._idle.set()

    def prepare(self) -> None:
        """Find out what would be run and taken; ends with `Ready`, or `Ended` with a reason."""
        self._start(self._prepare)

    def run(self) -> None:
        """Run what was `Ready`: the operator has seen what is taken."""
        if self._means is not None:
            snapshot, lender = self._means
            lender.confirmed = True
            run = self._run = Run(self._host, snapshot, self._jobs, self._tell, lender)
            kept = History(self._host, snapshot.host.kernel, lambda: lender.store.journal)
            self._idle.clear()
            self._start(lambda: self._follow(run, kept))

    def cancel(self) -> None:
        """End the test under way at its next step; all is given back before `Ended`."""
        if self._run is not None:
            self._run.cancel()

    stop = cancel
    """As those of a plan are called, for who leaves."""

    @property
    def is_busy(self) -> bool:
        """Whether tests run, or what they had taken is being given back."""
        return not self._idle.is_set()

    def wait(self) -> None:
        """Wait for the run that is under way, if one is."""
        self._idle.wait()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(work,), name="sdmtop-tests")
        thread.daemon = True
        thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._tell(Ended(because(error)))
        except RefusedError as error:
            self._tell(Ended(str(error)))
        except Exception as error:  # noqa: BLE001 - who watches would wait for ever
            self._tell(Ended(f"{type(error).__name__}: {error}"))

    def _prepare(self) -> None:
        store = self._console.store
        lender = Lender(self._host, store=store)
        said = tuple(text for _, text in give_back_leftovers(self._host, store))
        snapshot = patiently(self._host, read_snapshot, self._host)
        self._jobs = registry.jobs(registry.TESTS, self._host, snapshot, self._target)
        if not self._jobs:
            why = registry.why_none(registry.TESTS, self._host, snapshot, self._target)
            self._tell(Ended(why or f"no test applies to {self._target}"))
            return
        self._means = snapshot, lender
        plans = plans_for(lender, self._jobs, snapshot)
        lines = tuple(line for plan in plans for line in plan_lines(plan))
        before = last(history(self._host, store.journal))
        said = (*said, *registry.told(snapshot, self._target))
        self._tell(Ready(tuple(self._jobs), lines, said, before))

    def _follow(self, run: Run, kept: History) -> None:
        try:
            for outcome in run:
                if isinstance(outcome, Result):
                    kept.keep(outcome)
                    self._tell(outcome)
        finally:
            self._idle.set()
        self._tell(Ended(kept.trouble))
