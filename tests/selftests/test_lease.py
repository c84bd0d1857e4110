"""What tests need is taken by plans and given back: also after a kill, a refusal, a failure."""

from __future__ import annotations

import errno
import threading
from functools import cache
from typing import TYPE_CHECKING, cast

import pytest

from sdmtop.operations.recovery import look_back
from sdmtop.operations.session import Session
from sdmtop.operations.words import state_of
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import Result
from sdmtop.selftests.registry import chosen, jobs
from sdmtop.selftests.runner import RESTORED, Need, Run
from tests.operations.bench import Faulty, Killed, Wrong
from tests.selftests.liar import LyingHost

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot
    from sdmtop.operations.plan import Plan
    from sdmtop.operations.store import Store

EDU = "0000:01:00.0"
DEVICE = Need(claims=True, queues=0)
QUEUES = Need(claims=False, queues=2)


def driver(host: LyingHost) -> str | None:
    (one,) = (one for one in read_snapshot(host).devices if one.address == EDU)
    return one.driver


def queues(host: LyingHost) -> list[str]:
    return [one.id for one in read_snapshot(host).sdmdevs]


def results(host: LyingHost, lender: Lender, *tests: str) -> list[Result]:
    snapshot = read_snapshot(host)
    found = Run(host, snapshot, jobs(chosen(tests), host, snapshot, EDU), lender=lender)
    return [one for one in found if isinstance(one, Result)]


def test_a_device_is_taken_from_its_driver_for_the_tests_and_given_back() -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).devices
    lender = Lender(host, confirmed=True)
    assert {one.result for one in results(host, lender, "edu")} == {"pass"}
    assert read_snapshot(host).devices == before
    taken, given = lender.store.journal.entries()
    assert taken.begun.plan.command == f"sdmtop selftest {EDU}"
    assert taken.undone_by == given.begun.number


def test_queues_are_made_and_removed() -> None:
    host = LyingHost("edu")
    before = queues(host)
    assert {one.result for one in results(host, Lender(host, confirmed=True), "sdmdev")} == {"pass"}
    assert queues(host) == before


def test_tests_that_need_the_driver_come_before_those_that_take_it_away() -> None:
    host = LyingHost("edu")
    found = results(host, Lender(host, confirmed=True), "edu.identity", "sdmdev.job")
    assert [(one.test, one.result) for one in found] == [
        ("sdmdev.job", "pass"), ("edu.identity", "pass"),
    ]  # fmt: skip


def test_nothing_is_taken_that_was_not_confirmed() -> None:
    host = LyingHost("edu")
    lender = Lender(host)
    (result,) = results(host, lender, "edu.identity")
    assert result.result == "skip"
    assert result.reason is not None
    assert "--yes" in result.reason
    assert lender.store.journal.entries() == ()


def test_what_is_in_use_is_not_taken_whatever_was_confirmed() -> None:
    host = LyingHost("default")
    snapshot = read_snapshot(host)
    held = next(one for one in snapshot.devices if one.driver == "nvme")
    made = jobs(chosen(["vfio.group"]), host, snapshot, held.address)
    (result,) = Run(host, snapshot, made, lender=Lender(host, confirmed=True))
    assert isinstance(result, Result)
    assert result.result == "skip"
    assert read_snapshot(host).devices == snapshot.devices


def test_a_cancelled_run_gives_back_what_it_had_taken() -> None:
    host = LyingHost("edu")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["edu"]), host, snapshot, EDU)
    run = Run(host, snapshot, made, lambda _step: run.cancel(), Lender(host, confirmed=True))
    assert {one.result for one in run if isinstance(one, Result)} == {"skip"}
    assert read_snapshot(host).devices == snapshot.devices


def test_who_has_taken_hold_of_it_meanwhile_keeps_it_and_is_named() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    loan = lender.lend(read_snapshot(host), EDU, DEVICE)
    (one,) = (one for one in read_snapshot(host).devices if one.address == EDU)
    holder = host.open(f"/dev/vfio/{one.group}")
    trouble = lender.give_back(loan)
    assert trouble is not None
    assert f"{EDU}: its group is held by" in trouble
    assert trouble.endswith("('sdmtop undo 1' gives it back)")
    assert driver(host) == "vfio-pci"
    holder.close()
    assert lender.give_back(loan) is None
    assert driver(host) == "sdmdev_edu"


def test_where_one_of_two_queues_cannot_be_made_the_other_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = LyingHost("edu")
    before = facts(host)
    lender = Lender(host, confirmed=True)
    begin = lender.store.journal.begin

    def full(plan: Plan, host: Host) -> int:
        if plan.operation == "create" and lender.store.journal.entries():
            raise OSError(errno.ENOSPC, "no space left on device")
        return begin(plan, host)

    monkeypatch.setattr(lender.store.journal, "begin", full)
    (result,) = results(host, lender, "sdmdev.detach")
    assert (result.result, result.reason) == ("skip", "no space left on device (ENOSPC)")
    assert facts(host) == before


# -- killed: what the next start makes of it --


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that the journal names is one that has ended."""
    monkeypatch.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)


@cache
def moments(need: Need) -> int:
    """How many actions it takes to lend, and to give back."""
    broken, lender, _ = faulty(1 << 30, "killed before")
    lender.give_back(lender.lend(read_snapshot(cast("Host", broken)), EDU, need))
    return broken.count


def faulty(at: int, wrong: Wrong) -> tuple[Faulty, Lender, LyingHost]:
    host = LyingHost("edu")
    broken = Faulty(host, at, wrong)
    return broken, Lender(cast("Host", broken), confirmed=True), host


def each_moment() -> list[tuple[Need, int]]:
    return [(need, at) for need in (DEVICE, QUEUES) for at in range(moments(need))]


def start(host: Host, store: Store) -> list[tuple[str, str]]:
    """A console is started on this host; what it tells of earlier runs."""
    session = Session(host)
    vars(session)["store"] = store
    return [*session.look_back()]


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("wrong", ["killed before", "killed after"])
@pytest.mark.parametrize(("need", "at"), each_moment())
def test_killed_at_any_moment_the_next_start_gives_back_and_says_so_once(
    need: Need, at: int, wrong: Wrong
) -> None:
    _, lender, host = faulty(at, wrong)
    before = read_snapshot(host)
    with pytest.raises(Killed):
        lender.give_back(lender.lend(before, EDU, need))
    changed = facts(host) != facts_of(before)
    told = start(host, lender.store)
    assert facts(host) == facts_of(before)
    assert bool(told) == changed
    assert all(kind == "changed" and text.endswith(": given back") for kind, text in told)
    assert start(host, lender.store) == []


@pytest.mark.usefixtures("mortal")
def test_a_taking_that_hangs_is_a_failure_and_the_next_start_gives_back() -> None:
    broken, lender, host = faulty(0, "hangs after the effect")
    skipped, *failed = results(cast("LyingHost", broken), lender, "edu.identity")
    assert (skipped.test, skipped.result) == ("edu.identity", "skip")
    assert {(one.test, one.result) for one in failed} == {(RESTORED, "fail")}
    assert "'sdmtop undo 1' gives back what was" in (failed[0].reason or "")
    assert driver(host) is None
    broken.hanging[0].returned = True
    for thread in threading.enumerate():
        if thread.name == "sdmtop-late":
            thread.join()
    ((kind, text),) = start(host, lender.store)
    assert (kind, driver(host)) == ("changed", "sdmdev_edu")
    assert text.endswith("left by a self-test that hung: given back")
    assert start(host, lender.store) == []


@pytest.mark.usefixtures("mortal")
@pytest.mark.parametrize("need", [DEVICE, QUEUES])
def test_a_start_that_is_killed_while_it_gives_back_leaves_the_rest_to_the_next(
    need: Need,
) -> None:
    at, killed = 0, True
    while killed:
        host = LyingHost("edu")
        before = read_snapshot(host)
        lender = Lender(host, confirmed=True)
        lender.lend(before, EDU, need)
        try:
            start(cast("Host", Faulty(host, at, "killed after")), lender.store)
            killed = False
        except Killed:
            start(host, lender.store)
        assert facts(host) == facts_of(before)
        assert start(host, lender.store) == []
        at += 1
    assert at > 2


@pytest.mark.usefixtures("mortal")
def test_where_nothing_may_be_changed_it_is_told_and_left() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    lender.lend(read_snapshot(host), EDU, DEVICE)
    (entry,) = lender.store.journal.entries()
    assert state_of(host, entry) == "left by a selftest"
    host.disarmed = "this is only looked at"
    found = [*look_back(host, lender.store.journal, lambda: pytest.fail("nothing is to be done"))]
    assert found == [
        (
            "trouble",
            f"plan 1 (sdmtop selftest {EDU}), left by a self-test that was killed: not given "
            "back: this is only looked at; 'sdmtop undo 1' does it",
        )
    ]
    assert driver(host) == "vfio-pci"


@pytest.mark.usefixtures("mortal")
def test_what_somebody_uses_by_now_is_not_taken_from_him() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    lender.lend(read_snapshot(host), EDU, DEVICE)
    (one,) = (one for one in read_snapshot(host).devices if one.address == EDU)
    holder = host.open(f"/dev/vfio/{one.group}")
    ((kind, text),) = start(host, lender.store)
    assert kind == "trouble"
    assert "not given back" in text
    assert driver(host) == "vfio-pci"
    holder.close()
    ((kind, _),) = start(host, lender.store)
    assert (kind, driver(host)) == ("changed", "sdmdev_edu")


@pytest.mark.usefixtures("mortal")
def test_what_was_given_back_by_hand_is_not_told() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    lender.lend(read_snapshot(host), EDU, QUEUES)
    for name in queues(host):
        host.do(f"/sys/bus/mdev/devices/{name}/remove", "1")
    assert start(host, lender.store) == []


def test_what_another_run_has_taken_is_left_alone() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    lender.lend(read_snapshot(host), EDU, DEVICE)
    assert start(host, lender.store) == []  # This process is alive.
    assert driver(host) == "vfio-pci"


def facts(host: LyingHost) -> tuple[object, ...]:
    return facts_of(read_snapshot(host))


def facts_of(snapshot: Snapshot) -> tuple[object, ...]:
    """What a self-test may not change."""
    return snapshot.devices, snapshot.groups, snapshot.mdev_types, snapshot.sdmdevs


def test_what_cannot_be_given_back_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    monkeypatch.setattr(lender, "give_back", lambda _loan: "its driver is gone")
    _, told, found = results(host, lender, "edu.identity")
    assert (told.test, told.target, told.result) == (RESTORED, EDU, "fail")
    assert told.reason == "not as it was: its driver is gone"
    assert (found.test, found.result) == (RESTORED, "fail")
