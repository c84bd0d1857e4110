"""Every operation on a simulated kernel: done, undone, gone wrong and killed at every step."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

import pytest

from sdmtop.backends.simulator.host import SimulatorHost, open_simulator
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import follow
from sdmtop.operations.facts import now
from sdmtop.operations.journal import Journal
from sdmtop.operations.mdevs import plan_create, plan_remove
from sdmtop.operations.plan import Plan, Write
from sdmtop.operations.recovery import half_done
from sdmtop.operations.settings import plan_affinity, plan_domain_type, plan_reset, plan_sriov
from sdmtop.operations.undo import plan_detach, plan_finish, plan_undo, steps_done
from sdmtop.operations.words import result_lines, state_of
from tests.operations.bench import (
    EDU,
    NIC,
    OPERATIONS,
    PF,
    SCENARIO,
    TWIN,
    TYPE,
    UACCE,
    UUID,
    VF,
    WRONGS,
    ZIP,
    Bench,
    Faulty,
    Killed,
    Wrong,
    faulty,
)  # fmt: skip

if TYPE_CHECKING:
    from pathlib import Path

    from sdmtop.backends.base import Host
    from sdmtop.backends.base import Write as Written
    from sdmtop.model import Snapshot


@cache
def lengths() -> dict[str, int]:
    """How many steps each operation has."""
    return {name: len(make(Bench()).steps) for name, make in OPERATIONS.items()}


def each_step() -> list[tuple[str, int]]:
    return [(name, step) for name, length in lengths().items() for step in range(length)]


def named(before: Snapshot, after: Snapshot, left: tuple[str, ...]) -> bool:
    """Whether each device and queue that differs is named among what is left."""
    told = " ".join(left)
    for old, new in (
        ({one.address: one for one in before.devices}, {one.address: one for one in after.devices}),
        ({one.id: one for one in before.sdmdevs}, {one.id: one for one in after.sdmdevs}),
    ):
        for name in old.keys() | new.keys():
            if old.get(name) != new.get(name):
                # VFs come and go with the number that their PF has of them.
                physfn = getattr(old.get(name) or new.get(name), "physfn", None)
                if name not in told and (physfn or name) not in told:
                    return False
    return True


# -- what succeeds --


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_plan_does_what_it_says_and_its_undo_restores_the_snapshot(name: str) -> None:
    bench = Bench()
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    assert bench.run(plan).ending == "done"
    if name != "reset":
        assert bench.snapshot() != before
        undo = plan_undo(*bench.now, bench.store.journal.entries(), kept=bench.kept)
        assert bench.run(undo).ending == "done"
    assert bench.snapshot() == before


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_step_ends_with_the_facts_that_it_begins_with(name: str) -> None:
    """Else undoing it would leave one unchecked."""
    for step in OPERATIONS[name](Bench()).steps:
        if isinstance(step.action, Write) and step.inverse is not None:
            before, after = ({(one.kind, one.path) for one in facts}
                             for facts in (step.before, step.after))  # fmt: skip
            assert before == after


@pytest.mark.parametrize("queue", [UUID, UACCE])
def test_a_queue_that_is_held_is_not_attached_again(queue: str) -> None:
    bench = Bench()
    assert bench.run(plan_attach(*bench.now, [queue])).ending == "done"
    with pytest.raises(NothingToDoError, match=f"^{queue}: attached already$"):
        plan_attach(*bench.now, [queue], kept=bench.kept)
    both = plan_attach(*bench.now, [queue, EDU], kept=bench.kept)
    assert {step.subject for step in both.steps} == {EDU}


@pytest.mark.parametrize("back", [False, True])
def test_a_uacce_queue_whose_device_went_away_can_be_undone(*, back: bool) -> None:
    bench = Bench()
    assert bench.run(plan_attach(*bench.now, [UACCE])).ending == "done"
    (parent,) = [one.parent for one in bench.now[1].sdmdevs if one.id == UACCE]
    driver = "/sys/bus/pci/drivers/hisi_sec2"
    for file in ("unbind", "bind") if back else ("unbind",):
        write = bench.host.write(f"{driver}/{file}", str(parent).encode())
        assert write.wait(60)
        write.result()
    undo = plan_undo(*bench.now, bench.store.journal.entries(), kept=bench.kept)
    assert bench.run(undo).ending == "done"
    assert not bench.kept.holds(UACCE)
    assert bench.store.journal.entries()[0].undone_by == 2


def test_a_plan_that_finds_its_queue_open_leaves_it_open() -> None:
    bench = Bench()
    again = plan_attach(*bench.now, [UACCE])
    assert bench.run(plan_attach(*bench.now, [UACCE])).ending == "done"
    held = bench.snapshot()
    assert "it has changed meanwhile" in (bench.run(again).trouble or "")
    assert bench.kept.holds(UACCE)
    assert bench.snapshot() == held
    undo = plan_undo(*bench.now, bench.store.journal.entries(), kept=bench.kept)
    assert undo.undoes == 1
    assert bench.run(undo).ending == "done"
    assert not bench.kept.holds(UACCE)


@pytest.mark.parametrize("name", OPERATIONS)
def test_planning_leaves_the_host_as_it_is(name: str) -> None:
    bench = Bench()
    before = bench.snapshot()
    OPERATIONS[name](bench)
    assert bench.snapshot() == before
    assert bench.store.journal.entries() == ()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("attach")])
def test_a_detach_gives_back_all_that_was_attached(name: str) -> None:
    bench = Bench()
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    bench.run(plan)
    entries = bench.store.journal.entries()
    detach = plan_detach(*bench.now, plan.targets, entries=entries, kept=bench.kept)
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before
    assert bench.kept.plans == {}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (EDU, "the kernel has found no driver for it, and it has none now"),
        (TWIN, "the kernel has bound it to e1000e"),
    ],
)
def test_a_detach_without_a_memory_says_which_driver_was_found(address: str, said: str) -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [address], only=True))
    plan = plan_detach(*bench.now, [address], only=True)
    result = bench.run(plan)
    assert result.ending == "done"
    assert f"  {address}: {said}" in "\n".join(result_lines(plan, result))


def test_a_detach_has_failed_where_vfio_takes_the_device_back() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [EDU]))
    assert bench.host.write("/sys/bus/pci/drivers/vfio-pci/new_id", b"1234 11e8").wait(5)
    before = bench.snapshot()
    result = bench.run(plan_detach(*bench.now, [EDU]))
    assert result.ending == "rolled back"
    assert "vfio-pci took it back" in (result.trouble or "")
    assert bench.snapshot() == before


def test_one_of_several_can_be_detached() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [VF, EDU]))
    entries = bench.store.journal.entries()
    assert bench.run(plan_detach(*bench.now, [EDU], entries=entries)).ending == "done"
    drivers = {one.address: one.driver for one in bench.snapshot().devices}
    assert (drivers[EDU], drivers[VF]) == (None, "vfio-pci")


def test_a_detach_goes_back_to_the_attach_and_not_to_an_undo_of_something_later() -> None:
    bench = Bench()
    before = bench.snapshot()
    bench.run(plan_attach(*bench.now, [VF]))
    bench.run(plan_attach(*bench.now, [VF], driver="e1000e"))
    bench.run(plan_undo(*bench.now, bench.store.journal.entries()))
    detach = plan_detach(*bench.now, [VF], entries=bench.store.journal.entries())
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before


def test_an_undone_plan_can_be_done_again_by_undoing_the_undo() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [EDU]))
    attached = bench.snapshot()
    for number in (1, 2):
        entries = bench.store.journal.entries()
        assert bench.run(plan_undo(*bench.now, entries, number=number)).ending == "done"
    assert bench.snapshot() == attached
    assert [entry.undone_by for entry in bench.store.journal.entries()] == [None, 3, None]


def test_what_is_held_shows_who_holds_it_and_whose_domain_it_shares() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [UUID]))
    (queue,) = bench.snapshot().sdmdevs[:1]
    assert queue.state == "started"
    assert queue.pasid
    assert queue.holders


SLICES = tuple(f"b3f51c52-f4c2-11e6-90f6-00000000000{number}" for number in (1, 2))
"""Mediated devices of one graphics card, in groups that follow one another."""


@pytest.mark.parametrize("names", [SLICES, SLICES[::-1]])
def test_mdevs_that_are_made_again_find_the_groups_that_they_had(names: tuple[str, ...]) -> None:
    bench = Bench(open_simulator("vgpu?at=0"))
    before = bench.snapshot()
    assert bench.run(plan_remove(*bench.now, names)).ending == "done"
    assert bench.run(plan_undo(*bench.now, bench.store.journal.entries())).ending == "done"
    assert bench.snapshot().sdmdevs == before.sdmdevs


def test_mdevs_that_go_with_their_parents_driver_find_their_groups_whatever_their_uuids() -> None:
    bench = Bench()
    first_in_name = "00000000-0000-4000-8000-000000000000"
    bench.run(plan_create(*bench.now, TYPE, first_in_name))
    before = bench.snapshot()
    assert bench.run(plan_attach(*bench.now, [ZIP])).ending == "done"
    entries = bench.store.journal.entries()
    assert bench.run(plan_undo(*bench.now, entries)).ending == "done"
    assert bench.snapshot().sdmdevs == before.sdmdevs


# -- what goes wrong, at every step --


@pytest.mark.long
@pytest.mark.parametrize("wrong", WRONGS)
@pytest.mark.parametrize(("name", "step"), each_step())
def test_after_a_rollback_all_is_as_before_or_each_difference_is_named(
    name: str, step: int, wrong: Wrong
) -> None:
    bench, _ = faulty(step, wrong)
    before = bench.snapshot()
    result = bench.run(OPERATIONS[name](bench))
    after = bench.snapshot()
    if result.ending == "done":  # An ioctl or a reset leaves no trace that could miss.
        assert name == "reset"
    elif result.ending == "rolled back":
        assert after == before
    else:
        assert named(before, after, result.left)
        assert result.trouble


def test_an_affinity_that_a_driver_has_forgotten_is_named_with_what_would_set_it() -> None:
    bench, _ = faulty(2, "errno")  # The affinity, the unbind, then the override.
    bench.run(plan_affinity(*bench.now, NIC, "1"))
    result = bench.run(plan_attach(*bench.now, [NIC]))
    (irq,) = [one.irq for one in bench.snapshot().interrupts if one.device == NIC]
    assert result.left == (f"/proc/irq/{irq}/smp_affinity_list: expected 1, found 0-3",)
    assert result.mend == (f"echo 1 > /proc/irq/{irq}/smp_affinity_list",)
    assert result.ending == "left"


@pytest.mark.parametrize("make", ["attach a PF with VFs", "more VFs"])
def test_what_a_vf_that_was_made_anew_has_forgotten_is_named_with_what_would_set_it(
    make: str,
) -> None:
    bench = Bench()
    (path,) = [one.path for one in bench.now[1].devices if one.address == VF]
    for file, data in (
        ("/sys/bus/pci/drivers/nvme/unbind", VF),
        (f"{path}/driver_override", "guest-only"),
    ):
        assert bench.host.write(file, data.encode()).wait(1)
    bench.host = cast("Host", Faulty(bench.host, 1, "errno"))
    plan = OPERATIONS[make](bench)
    result = bench.run(plan)
    assert result.ending == "left"
    assert result.left == (
        f"{path}/driver_override: expected guest-only, found (null)",
        f"{path}/driver: expected nothing, found nvme",
    )
    assert result.mend == (
        f"echo guest-only > {path}/driver_override",
        f"echo {VF} > /sys/bus/pci/drivers/nvme/unbind",
    )
    assert "its VFs were made anew" in "\n".join(result_lines(plan, result))


@pytest.mark.long
@pytest.mark.parametrize("wrong", ["errno", "without effect"])
@pytest.mark.parametrize(("name", "step"), each_step())
def test_where_nothing_works_any_more_each_difference_is_named_with_what_would_mend_it(
    name: str, step: int, wrong: Wrong
) -> None:
    bench, _ = faulty(step, wrong, on=True)
    before = bench.snapshot()
    result = bench.run(OPERATIONS[name](bench))
    if result.ending != "done":
        assert named(before, bench.snapshot(), result.left)
        assert bool(result.left) == bool(result.mend)


@pytest.mark.long
@pytest.mark.parametrize(("name", "step"), each_step())
def test_what_hung_and_returns_late_can_be_undone(name: str, step: int) -> None:
    bench, host = faulty(step, "hangs after the effect")
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    result = bench.run(plan)
    if result.ending != "stuck":
        return  # An open or an ioctl, which does not hang.
    host.hanging[0].returned = True
    assert "returned late" in (follow(bench.host, result, bench.store, plan) or "")
    if name != "reset":
        undo = plan_undo(*bench.now, bench.store.journal.entries(), number=1, kept=bench.kept)
        assert bench.run(undo).ending == "done"
        assert bench.snapshot() == before


# -- killed at every step --


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that the journal names is one that has ended."""
    monkeypatch.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)


@pytest.mark.long
@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("wrong", ["killed before", "killed after"])
@pytest.mark.parametrize(("name", "step"), each_step())
def test_killed_at_any_step_the_journal_tells_the_truth(name: str, step: int, wrong: Wrong) -> None:
    bench, before, plan = killed(name, step, wrong)
    (entry,) = bench.store.journal.entries()
    assert entry.ended is None
    assert entry.begun.plan == plan
    done = [one for one in steps_done(bench.host, entry) if isinstance(one.action, Write)]
    effective = plan.steps[: step + (wrong == "killed after")]
    assert done == [one for one in effective if isinstance(one.action, Write)] or name == "reset"
    assert bool(half_done(bench.host, [entry])) == bool(steps_done(bench.host, entry))
    try:
        undo = plan_undo(*bench.now, bench.store.journal.entries())
    except NothingToDoError:
        pass
    else:
        assert bench.run(undo).ending == "done"
    assert bench.snapshot() == before


@pytest.mark.long
@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("wrong", ["killed before", "killed after"])
@pytest.mark.parametrize(("name", "step"), each_step())
def test_killed_at_any_step_the_rest_can_be_done(name: str, step: int, wrong: Wrong) -> None:
    bench, _, _ = killed(name, step, wrong)
    try:
        rest = plan_finish(*bench.now, bench.store.journal.entries(), number=1)
    except NothingToDoError:
        return  # All was done.
    assert bench.run(rest).ending == "done"
    assert half_done(bench.host, bench.store.journal.entries()) == []
    whole = Bench()
    whole.run(OPERATIONS[name](whole))
    assert bench.snapshot() == whole.snapshot()


def test_what_a_step_that_hangs_may_change_is_nobody_elses_until_it_returns() -> None:
    bench, host = faulty(0, "hangs after the effect")
    plan = OPERATIONS["more VFs"](bench)
    result = bench.run(plan)
    assert result.ending == "stuck"
    with pytest.raises(RefusedError, match="a step of it has not returned yet"):
        plan_finish(*bench.now, bench.store.journal.entries(), number=1)
    with pytest.raises(RefusedError, match="is at work on it"):
        bench.run(plan_attach(*bench.now, [PF]))
    host.hanging[0].returned = True
    follow(bench.host, result, bench.store, plan)
    bench.run(plan_attach(*bench.now, [PF]))


def test_a_reset_that_hangs_is_not_said_to_be_undone_when_it_returns() -> None:
    bench, _ = faulty(0, "hangs")
    result = bench.run(OPERATIONS["reset"](bench))
    assert result.ending == "stuck"
    assert result.mend == ()


def test_what_was_rolled_back_has_no_rest_to_be_done() -> None:
    bench = Bench()
    plan = OPERATIONS["attach a group"](bench)
    bench.host = cast("Host", Faulty(bench.host, 1, "errno", on=False))
    assert bench.run(plan).ending == "rolled back"
    with pytest.raises(NothingToDoError, match="it was rolled back, so there is no rest"):
        plan_finish(*bench.now, bench.store.journal.entries(), number=1)


@pytest.mark.usefixtures("mortal")
def test_what_was_killed_half_way_and_finished_is_undone_in_two_parts() -> None:
    bench, before, _ = killed("attach several", 9, "killed before")
    bench.run(plan_finish(*bench.now, bench.store.journal.entries(), number=1))
    (first, _) = bench.store.journal.entries()
    assert state_of(bench.host, first) == "finished by plan 2"
    with pytest.raises(NothingToDoError, match="plan 2 has done the rest"):
        plan_finish(*bench.now, bench.store.journal.entries(), number=1)
    assert [queue.state for queue in bench.snapshot().sdmdevs if queue.id == UUID] == ["started"]
    for number in (2, 1):
        # The journal takes this process for one that has ended: the queue is let go apart.
        undo = plan_undo(*bench.now, bench.store.journal.entries(), number=number)
        assert bench.run(undo).ending == "done"
    detach = plan_detach(*bench.now, [UUID], kept=bench.kept)
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_what_was_killed_half_way_and_finished_is_detached_in_one(step: int) -> None:
    bench, before, _ = killed("attach a group", step, "killed before")
    bench.run(plan_finish(*bench.now, bench.store.journal.entries()))
    detach = plan_detach(*bench.now, [NIC], entries=bench.store.journal.entries())
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before
    assert half_done(bench.host, bench.store.journal.entries()) == []


@pytest.mark.usefixtures("mortal")
def test_the_first_part_of_what_was_finished_is_not_undone_below_the_second() -> None:
    bench, _, _ = killed("attach a group", 3, "killed before")
    bench.run(plan_finish(*bench.now, bench.store.journal.entries()))
    with pytest.raises(RefusedError, match="'sdmtop undo 2'"):
        plan_undo(*bench.now, bench.store.journal.entries(), number=1)
    bench.run(plan_undo(*bench.now, bench.store.journal.entries()))
    (told,) = half_done(bench.host, bench.store.journal.entries())
    assert told.startswith("plan 1 ")


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("detaches", [False, True])
def test_after_a_finished_undo_the_plan_before_it_is_next(step: int, *, detaches: bool) -> None:
    bench, before = Bench(), Bench().snapshot()
    bench.run(plan_attach(*bench.now, [EDU]))
    bench.run(plan_attach(*bench.now, [NIC], only=True))
    bench.host = cast("Host", Faulty(bench.host, step, "killed before"))
    entries = bench.store.journal.entries()
    with pytest.raises(Killed):
        bench.run(
            plan_detach(*bench.now, [NIC], entries=entries)
            if detaches
            else plan_undo(*bench.now, entries)
        )
    bench.run(plan_finish(*bench.now, bench.store.journal.entries()))
    states = [state_of(bench.host, entry) for entry in bench.store.journal.entries()]
    assert states == ["done", "undone by plan 4", "finished by plan 4", "done"]
    assert half_done(bench.host, bench.store.journal.entries()) == []
    if not detaches:  # What a detach did can be undone.
        bench.run(plan_undo(*bench.now, bench.store.journal.entries()))
        assert bench.snapshot() == before


@pytest.mark.parametrize("kind", [b'"type":"plan"', b'"type":"end"'])
def test_behind_damage_the_plan_to_undo_has_to_be_named(kind: bytes, tmp_path: Path) -> None:
    bench = Bench()
    path = tmp_path / "journal"
    bench.store.journal = Journal(str(path))
    bench.run(plan_attach(*bench.now, [EDU]))
    bench.run(plan_attach(*bench.now, [NIC]))
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines) if kind in line)
    lines[last] = lines[last].replace(b"sdmtop", b"------").replace(b'"at"', b'"--"')
    path.write_bytes(b"".join(lines))
    entries = bench.store.journal.entries()
    with pytest.raises(RefusedError, match="name the plan to undo"):
        plan_undo(*bench.now, entries)
    undo = plan_undo(*bench.now, entries, number=1)
    assert bench.run(undo).ending == "done"


def test_what_was_attached_once_more_by_itself_is_detached_once() -> None:
    bench = Bench()
    before = bench.snapshot()
    bench.run(plan_attach(*bench.now, [NIC]))
    bench.run(plan_detach(*bench.now, [TWIN], entries=bench.store.journal.entries(), only=True))
    bench.run(plan_attach(*bench.now, [TWIN]))
    detach = plan_detach(*bench.now, [NIC], entries=bench.store.journal.entries())
    assert not detach.refusals
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before


def test_what_was_unbound_for_another_and_then_attached_gets_its_driver_back() -> None:
    bench = Bench()
    before = bench.snapshot()
    bench.run(plan_attach(*bench.now, [NIC], only=True))
    bench.run(plan_attach(*bench.now, [TWIN]))
    detach = plan_detach(*bench.now, [NIC], entries=bench.store.journal.entries())
    assert bench.run(detach).ending == "done"
    assert bench.snapshot() == before


def test_what_a_process_still_holds_is_not_finished_by_another() -> None:
    bench, _ = faulty(9, "errno", on=True)
    bench.run(OPERATIONS["attach several"](bench))
    with pytest.raises(RefusedError, match="holds what it has opened"):
        plan_finish(*bench.now, bench.store.journal.entries(), number=1)


def test_where_the_last_plan_has_nothing_to_undo_the_way_to_the_others_is_told() -> None:
    bench = Bench()
    bench.run(OPERATIONS["reset"](bench))
    for number, said in ((None, "an earlier plan is undone by its number$"), (1, "left to undo$")):
        with pytest.raises(NothingToDoError, match=said):
            plan_undo(*bench.now, bench.store.journal.entries(), number=number)


@pytest.mark.usefixtures("mortal")
def test_a_plan_that_was_killed_before_it_did_anything_shields_the_one_before_it() -> None:
    bench, _ = faulty(2, "killed before")  # The override, the bind; then the unbind.
    bench.run(plan_attach(*bench.now, [EDU]))
    with pytest.raises(Killed):
        bench.run(plan_attach(*bench.now, [VF]))
    entries = bench.store.journal.entries()
    with pytest.raises(NothingToDoError, match=r"plan 2 \(sdmtop attach .*\): it was cut short"):
        plan_undo(*bench.now, entries)
    assert bench.run(plan_undo(*bench.now, entries, number=1)).ending == "done"


def killed(name: str, step: int, wrong: Wrong) -> tuple[Bench, Snapshot, Plan]:
    """A bench whose process was killed at this step and begun anew; how it was; the plan."""
    bench, _ = faulty(step, wrong)
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    with pytest.raises(Killed):
        bench.run(plan)
    bench.begin_anew()
    return bench, before, plan


# -- rules --


def test_the_rules_of_the_domain_type_hold_for_its_undo_too() -> None:
    bench = Bench()
    group = bench.group_of(EDU)
    bench.run(plan_domain_type(*bench.now, group, "identity"))
    bench.run(plan_attach(*bench.now, [EDU], driver="e1000e"))
    if any(one.driver == "e1000e" for one in bench.snapshot().devices if one.address == EDU):
        undo = plan_undo(*bench.now, bench.store.journal.entries(), number=1)
        assert undo.refusals


def test_another_process_does_not_take_what_this_one_holds() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [UUID]))
    plan = plan_attach(*bench.now, [UUID])
    assert any("holds it" in verdict.sentence for verdict in plan.refusals)
    with pytest.raises(RefusedError, match="holds it until"):
        plan_detach(*bench.now, [UUID])


def test_a_parent_whose_sdmdev_is_held_is_not_unbound() -> None:
    bench = Bench()
    bench.run(plan_attach(*bench.now, [UUID]))
    assert plan_attach(*bench.now, [ZIP]).refusals


@pytest.mark.parametrize(("revives", "ending"), [(True, "done"), (False, "rolled back")])
def test_a_device_that_does_not_answer_must_do_so_after_its_reset(
    *, revives: bool, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    read_at, write = bench.host.read_at, bench.host.write
    silent = True

    def reads(path: str, offset: int, size: int) -> bytes:
        return b"\xff" * size if silent else read_at(path, offset, size)

    def writes(path: str, data: bytes) -> Written:
        nonlocal silent
        silent = not revives
        return write(path, data)

    monkeypatch.setattr(bench.host, "read_at", reads)
    monkeypatch.setattr(bench.host, "write", writes)
    plan = plan_reset(*bench.now, NIC)
    assert plan.steps[0].after[0].value == "8086:10d3 class 020000"
    assert any("does not answer now" in note for note in plan.notes)
    assert bench.run(plan).ending == ending


def test_the_class_tells_whether_a_vf_answers() -> None:
    bench = Bench()
    (path,) = [one.path for one in bench.now[1].devices if one.address == VF]
    assert now(bench.host, "config", f"{path}/config").value == "ffff:ffff class 010802"


@pytest.mark.parametrize(
    "targets", [(ZIP, UUID), (PF, VF), ("0000:76:00.0", "hisi_sec2-0")], ids=str
)
def test_what_goes_with_one_target_is_not_another_target(targets: tuple[str, str]) -> None:
    bench = Bench()
    before = bench.snapshot()
    for names in (targets, targets[::-1]):
        plan = plan_attach(*bench.now, names)
        (refusal,) = plan.refusals
        assert refusal.subject == targets[1]
        with pytest.raises(RefusedError, match="name either it or the device"):
            bench.run(plan)
    assert bench.snapshot() == before


def test_a_sibling_that_gets_another_driver_between_the_plan_and_its_start_stops_it() -> None:
    bench = Bench()
    plan = plan_attach(*bench.now, [NIC])
    write = bench.host.write("/sys/bus/pci/drivers/e1000e/unbind", TWIN.encode())
    assert write.wait(1)
    with pytest.raises(RefusedError, match="has changed since the plan was made"):
        bench.run(plan)


@pytest.mark.long
def test_two_hundred_cycles_leave_nothing_behind() -> None:
    bench = Bench()
    before = bench.snapshot()
    for _ in range(200):
        bench.run(plan_attach(*bench.now, [EDU, UUID]))
        entries = bench.store.journal.entries()[-1:]
        bench.run(plan_detach(*bench.now, [EDU, UUID], entries=entries, kept=bench.kept))
    assert bench.snapshot() == before


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "its VFs are 0000:03:00.1"),
        (3, "its VFs are 0000:03:00.1, 0000:03:00.2, 0000:03:00.3"),
        (9, "its VFs are 0000:03:00.1 to 0000:03:01.1"),
    ],
)
def test_the_vfs_that_the_kernel_has_made_are_named(count: int, told: str) -> None:
    scenario = SCENARIO.replace("sriov_total = 4", "sriov_total = 16").replace("vfs = 2\n", "")
    bench = Bench(SimulatorHost(read_scenario(scenario, "bench.toml")))
    assert bench.run(plan_sriov(*bench.now, PF, count)).remarks == (f"{PF}: {told}",)
    assert bench.run(plan_sriov(*bench.now, PF, 0)).remarks == ()


def test_of_vfs_that_are_made_and_taken_back_nothing_is_said() -> None:
    bench = Bench()
    plan = plan_sriov(*bench.now, PF, 4)
    made = next(index for index, step in enumerate(plan.steps) if step.title.startswith("make"))
    bench.host = cast("Host", Faulty(bench.host, made, "error after the effect"))
    result = bench.run(plan)
    assert result.ending == "rolled back"
    assert not any("its VFs are" in remark for remark in result.remarks)
