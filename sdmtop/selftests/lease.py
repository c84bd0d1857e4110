"""What tests need and others have: taken by plans, given back, and in the journal all the while.

So a self-test that is killed leaves in the journal what it had taken, and the next start gives
that back (`operations.recovery`).
"""

import uuid
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
from sdmtop.operations.recovery import SELFTEST, give_back
from sdmtop.operations.store import Store, open_store
from sdmtop.patience import patiently
from sdmtop.selftests.runner import Need, StuckError
from sdmtop.selftests.sdmdev import spare_type, spare_types
from sdmtop.selftests.trial import plural


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
        try:
            made = patiently(self._host, self._make, snapshot, target, need)
        except NothingToDoError:
            return ()
        plans = tuple(replace(plan, command=f"{SELFTEST} {target}") for plan in made)
        self._shown[target, need] = plans
        return plans

    def _make(self, snapshot: Snapshot, target: str, need: Need) -> list[Plan]:
        if need.plan is not None:
            return [need.plan(self._host, snapshot, target)]
        if need.claims:
            return [plan_attach(self._host, snapshot, [target])]
        types = (
            spare_types(snapshot, target)
            if need.each_type
            else [*filter(None, [spare_type(snapshot, target, need.queues)])]
        )
        if not types:
            raise RefusedError(f"{target}: no type has {plural(need.queues, 'free queue')}")
        return [
            plan_create(self._host, snapshot, f"{target}/{type_.id}", str(uuid.uuid4()))
            for type_ in types
            for _ in range(need.queues)
        ]

    def lend(self, snapshot: Snapshot, target: str, need: Need) -> Loan:
        """Take what the tests need, all of it or nothing.

        Raises `RefusedError` where it is not to be had, a `StuckError` where taking it hangs,
        `OSError` where the journal cannot be written.
        """
        # What was shown is what is done, to the last UUID.
        plans = self._shown.pop((target, need), None) or self.plans(snapshot, target, need)
        numbers: list[int] = []
        for plan in plans:
            try:
                numbers.append(self._execute(plan))
            except (RefusedError, OSError):
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
            raise RefusedError(
                "something has to be changed for it first, and that was not confirmed (--yes)"
            )
        consent = Consent(confirmed=True)
        result = execute(self._host, plan, store=self.store, kept=self._kept, consent=consent)
        if result.ending == "stuck":
            raise StuckError(
                f"it could not be taken: {result.trouble} ('sdmtop undo {result.number}' gives "
                "back what was, once that has returned)"
            )
        if result.ending != "done":
            raise RefusedError(f"it could not be taken: {result.trouble}")
        return result.number

    def give_back(self, loan: Loan) -> str | None:
        """Undo what was done for a loan; what went wrong, if anything did."""
        troubles = [
            f"{trouble} ('sdmtop undo {number}' gives it back)"
            for number in reversed(loan.numbers)
            if (trouble := give_back(self._host, self.store, number)) is not None
        ]
        return "; ".join(troubles) or None
