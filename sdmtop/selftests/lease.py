"""What tests need and others have: taken by plans, given back, and in the journal all the while.

So a self-test that is killed leaves in the journal what it had taken, and the next one gives that
back before it begins.
"""

import uuid
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.model import Snapshot
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, execute, gate
from sdmtop.operations.kept import Kept
from sdmtop.operations.mdevs import plan_create
from sdmtop.operations.plan import Plan, Write
from sdmtop.operations.store import Store, open_store
from sdmtop.operations.undo import is_of_this_boot, plan_undo
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.runner import Need
from sdmtop.selftests.sdmdev import spare_type

COMMAND = "sdmtop selftest"
"""Begins the command of every plan that is made here."""


class Loan(NamedTuple):
    """What was taken: the numbers of its plans in the journal, and the queues that were made."""

    numbers: tuple[int, ...]
    queues: tuple[str, ...]


class Lender:
    """Takes and gives back. `confirmed`: the operator has seen the plans, and said yes."""

    def __init__(self, host: Host, *, store: Store | None = None, confirmed: bool = False) -> None:
        self._host = host
        self._store = store
        self._kept = Kept(host)
        self.confirmed = confirmed
        self._shown: dict[tuple[str, Need], tuple[Plan, ...]] = {}

    @property
    def store(self) -> Store:
        """Journal and locks, made when something is first to be done."""
        if self._store is None:
            self._store = open_store(self._host)
        return self._store

    def plans(self, snapshot: Snapshot, target: str, need: Need) -> tuple[Plan, ...]:
        """What would be done for the tests of a target; nothing if all is so already.

        Raises `RefusedError` for what cannot be had, `OSError` for a fact that cannot be read.
        """
        if need.claims:
            try:
                made = [plan_attach(self._host, snapshot, [target])]
            except NothingToDoError:
                return ()
        else:
            type_ = spare_type(snapshot, target, need.queues)
            if type_ is None:
                raise RefusedError(f"{target}: no type has {need.queues} free queues")
            made = [
                plan_create(self._host, snapshot, f"{target}/{type_.id}", str(uuid.uuid4()))
                for _ in range(need.queues)
            ]
        plans = tuple(replace(plan, command=f"{COMMAND} {target}") for plan in made)
        self._shown[target, need] = plans
        return plans

    def lend(self, snapshot: Snapshot, target: str, need: Need) -> Loan:
        """Take what the tests need. Raises `RefusedError` where it is not to be had."""
        # What was shown is what is done, to the last UUID.
        plans = self._shown.pop((target, need), None) or self.plans(snapshot, target, need)
        numbers: list[int] = []
        for plan in plans:
            try:
                numbers.append(self._execute(plan))
            except RefusedError:
                self.give_back(Loan(tuple(numbers), ()))
                raise
        made = (plan.steps[0].action for plan in plans) if need.queues else ()
        return Loan(tuple(numbers), tuple(one.data for one in made if isinstance(one, Write)))

    def _execute(self, plan: Plan) -> int:
        why = gate(self._host, plan)
        if why is not None:
            raise RefusedError(why)
        if plan.doubts:
            doubt = plan.doubts[0]
            raise RefusedError(
                f"{doubt.subject}: {doubt.sentence}; take it with 'sdmtop attach' if that may be"
            )
        if not self.confirmed:
            raise RefusedError("it has to be taken first, and that was not confirmed (--yes)")
        consent = Consent(confirmed=True)
        result = execute(self._host, plan, store=self.store, kept=self._kept, consent=consent)
        if result.ending != "done":
            raise RefusedError(f"it could not be taken: {result.trouble}")
        return result.number

    def give_back(self, loan: Loan) -> str | None:
        """Undo what was done for a loan; what went wrong, if anything did."""
        troubles = [self._undo(number) for number in reversed(loan.numbers)]
        return "; ".join(trouble for trouble in troubles if trouble is not None) or None

    def _undo(self, number: int) -> str | None:
        snapshot, entries = read_snapshot(self._host), self.store.journal.entries()
        try:
            plan = plan_undo(self._host, snapshot, entries, kept=self._kept, number=number)
            # What is in use now, the tests use: they have let it go, and the rest is as it was.
            consent = Consent(confirmed=True, typed=plan.phrase)
            result = execute(self._host, plan, store=self.store, kept=self._kept, consent=consent)
        except NothingToDoError:
            return None
        except (OSError, RefusedError) as error:
            return f"plan {number} of the journal could not be undone: {error}"
        return None if result.ending == "done" else f"{plan.command}: {result.trouble}"

    def leftovers(self) -> list[tuple[int, str]]:
        """Plans of self-tests that were killed: number in the journal, and command."""
        return [
            (entry.begun.number, entry.begun.plan.command)
            for entry in self.store.journal.entries()
            if entry.begun.plan.command.startswith(COMMAND)
            and entry.undone_by is None
            and entry.begun.host == self._host.url
            and (entry.ended is None or entry.ended.ending == "done")
            and not entry.is_running
            and is_of_this_boot(self._host, entry)
        ]

    def give_back_leftovers(self) -> Iterable[str]:
        """Undo them, the last first; a sentence for each."""
        for number, command in reversed(self.leftovers()):
            trouble = self._undo(number)
            yield f"plan {number} ({command}), left by a self-test that was killed: " + (
                trouble or "given back"
            )
