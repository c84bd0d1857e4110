"""Random operations, some of which go wrong or are killed: the journal explains what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.facts import value_of
from sdmtop.operations.plan import ANY, Fact, FactKind, Write
from sdmtop.operations.undo import plan_detach, plan_finish, plan_undo, steps_done
from tests.backends.simulator.machines import Other, group_of_mdev
from tests.operations.bench import (
    EDU,
    NIC,
    OPERATIONS,
    PF,
    SCENARIO,
    UUID,
    VF,
    ZIP,
    Bench,
    Faulty,
    Killed,
    Maker,
    Wrong,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.base import Host

MAKERS: dict[str, Maker] = {
    **OPERATIONS,
    **{
        f"detach {target}": lambda bench, target=target: plan_detach(  # type: ignore[misc]
            *bench.now, [target], entries=bench.store.journal.entries(), kept=bench.kept
        )
        for target in (NIC, VF, EDU, ZIP, UUID)
    },
    "undo": lambda bench: plan_undo(*bench.now, bench.store.journal.entries(), kept=bench.kept),
    "finish": lambda bench: plan_finish(*bench.now, bench.store.journal.entries()),
}
TAKEN, LET_GO = "another process takes the queue", "another process lets it go"
_WRONG: tuple[Wrong | None, ...] = (
    None, None, None, "errno", "without effect", "error after the effect", "hangs",
    "hangs after the effect", "killed before", "killed after",
)  # fmt: skip

_doings = st.lists(
    st.tuples(
        st.sampled_from((*sorted(MAKERS), TAKEN, LET_GO)),
        st.sampled_from(_WRONG),
        st.integers(0, 7),
    ),
    max_size=6,
)


def operate(bench: Bench, name: str) -> None:
    """Do one operation, if it can be planned and is not refused."""
    try:
        bench.run(MAKERS[name](bench))
    except (NothingToDoError, RefusedError):
        return
    except Killed:
        bench.begin_anew()


def taken(host: SimulatorHost) -> list[Other]:
    """The process that now holds the queue, unless that is gone, or somebody has it already."""
    other = Other(host)
    try:
        other.claim(group_of_mdev(host, UUID))
    except OSError:
        other.end()
        return []
    return [other]


def explained(bench: Bench) -> dict[tuple[FactKind, str], str | None]:
    """What the journal says of every fact that a write of a plan was about."""
    known: dict[tuple[FactKind, str], str | None] = {}
    for entry in bench.store.journal.entries():
        done = steps_done(bench.host, entry)
        for step in entry.begun.plan.steps:
            if not isinstance(step.action, Write):
                continue
            if entry.states or step in done:
                # With the number of VFs go the VFs, and with a driver its interrupts; undone, they
                # are back, and the journal's last word on the plan names what they have forgotten.
                gone = is_taken_by(step.action)
                known = {place: value for place, value in known.items() if not gone(place[1])}
            for fact in step.after if step in done else step.before:
                place = (fact.kind, fact.path)
                if step in done or place not in known:
                    known[place] = fact.value
    return known


def is_taken_by(write: Write) -> Callable[[str], bool]:
    """Which paths go with what is written, besides those that its facts name."""
    if write.path.endswith("/sriov_numvfs"):
        return lambda path: "/0000:03:00." in path and f"/{PF}" not in path
    if write.path.endswith("/unbind"):
        return lambda path: path.startswith("/proc/irq/")
    return lambda _: False


@pytest.mark.long
@given(_doings)
def test_random_operations_never_end_in_a_state_that_the_journal_cannot_explain(
    doings: list[tuple[str, Wrong | None, int]],
) -> None:
    with patch("sdmtop.operations.journal.os.getpid", lambda: 1 << 23):
        host = SimulatorHost(read_scenario(SCENARIO, "bench.toml"))
        bench = Bench(host)
        others: list[Other] = []
        for name, wrong, at in doings:
            if name == TAKEN:
                others = others or taken(host)
                continue
            if name == LET_GO:
                while others:
                    others.pop().end()
                continue
            # A fault is of one operation only; the host, the journal and what is held go on.
            broken = Faulty(host, at if wrong is not None else -1, wrong or "errno")
            bench.host = cast("Host", broken)
            bench.kept._host = bench.host
            operate(bench, name)
        bench.host = host
        for (kind, path), value in explained(bench).items():
            if value != ANY:
                assert value_of(host, Fact(kind, path, value)) == value, path


@pytest.mark.long
@given(st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=5))
def test_undoing_the_last_plan_always_restores_the_snapshot_before_it(names: list[str]) -> None:
    bench = Bench()
    for name in names:
        before = bench.snapshot()
        try:
            plan = OPERATIONS[name](bench)
            result = bench.run(plan)
        except (NothingToDoError, RefusedError):
            assert bench.snapshot() == before
            continue
        after = bench.snapshot()
        if result.ending != "done":  # The kernel said no: vfio-pci makes no VFs.
            assert (result.ending, after) == ("rolled back", before)
            continue
        if name == "reset":
            continue
        undo = plan_undo(
            *bench.now, bench.store.journal.entries(), number=result.number, kept=bench.kept
        )
        assert bench.run(undo).ending == "done"
        assert bench.snapshot() == before
