"""What tests need is taken by plans and given back: also after a kill, a refusal, a failure."""

from __future__ import annotations

import pytest

from sdmtop.operations.journal import Entry
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import Result
from sdmtop.selftests.registry import chosen, jobs
from sdmtop.selftests.runner import RESTORED, Need, Run
from tests.selftests.liar import LyingHost

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


@pytest.mark.parametrize("need", [DEVICE, QUEUES])
def test_what_a_killed_run_had_taken_is_given_back_at_the_next_start(
    need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = LyingHost("edu")
    before = read_snapshot(host)
    lender = Lender(host, confirmed=True)
    lender.lend(before, EDU, need)
    assert driver(host) == ("vfio-pci" if need.claims else "sdmdev_edu")
    monkeypatch.setattr(Entry, "is_running", property(lambda _entry: False))
    told = [*Lender(host, store=lender.store).give_back_leftovers()]
    after = read_snapshot(host)
    assert (after.devices, after.sdmdevs) == (before.devices, before.sdmdevs)
    assert all("given back" in line for line in told)
    assert told
    assert Lender(host, store=lender.store).leftovers() == []


def test_what_another_run_has_taken_is_left_alone() -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    lender.lend(read_snapshot(host), EDU, DEVICE)
    assert lender.leftovers() == []  # This process is alive.


def test_what_cannot_be_given_back_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    host = LyingHost("edu")
    lender = Lender(host, confirmed=True)
    monkeypatch.setattr(lender, "give_back", lambda _loan: "its driver is gone")
    *_, last = results(host, lender, "edu.identity")
    assert (last.test, last.result) == (RESTORED, "fail")
    assert last.reason == "not as it was: its driver is gone"
