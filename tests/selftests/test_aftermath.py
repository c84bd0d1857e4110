"""What a run has left behind is found, however it came about; what others do is not put on it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import HOST, Result, SelfTest
from sdmtop.selftests.registry import chosen, jobs
from sdmtop.selftests.runner import RESTORED, Job, Run
from sdmtop.selftests.vfio import targets
from tests.selftests.liar import LyingHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.selftests.trial import Trial

EDU, ZIP, OTHER = "0000:01:00.0", "0000:75:00.0", "0000:03:00.0"
QUEUE = "5d3de000-0000-4000-8000-0000000000aa"


def after(host: LyingHost, does: Callable[[], None], target: str = EDU) -> list[Result]:
    """The results of a run in which a test does something that it does not take back."""

    def run(_trial: Trial) -> None:
        does()

    careless = SelfTest("x.careless", run, targets, "", "", "", "", "")
    found = Run(host, read_snapshot(host), [Job(careless, target)], lender=Lender(host))
    return [one for one in found if isinstance(one, Result)]


def test_a_run_that_leaves_all_as_it_was_says_nothing_of_it() -> None:
    host = LyingHost("edu")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["edu", "sdmdev"]), host, snapshot, EDU)
    found = Run(host, snapshot, made, lender=Lender(host, confirmed=True))
    assert RESTORED not in {one.test for one in found if isinstance(one, Result)}


def test_what_others_changed_before_the_run_began_is_not_put_on_it() -> None:
    host = LyingHost("edu")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["edu.identity"]), host, snapshot, EDU)
    found = Run(host, snapshot, made, lender=Lender(host, confirmed=True))
    host.do(f"/sys/bus/pci/devices/{EDU}/driver_override", "sdmdev_edu")
    assert [one.test for one in found if isinstance(one, Result)] == ["edu.identity"]


def left(host: LyingHost, does: Callable[[], None], target: str = EDU) -> Result:
    _, result = after(host, does, target)
    assert (result.test, result.target) == (RESTORED, HOST)
    return result


def group_of(host: LyingHost, address: str) -> int | None:
    return next(one.group for one in read_snapshot(host).devices if one.address == address)


class HangingHost(LyingHost):
    """A model in which the reading of one file does not return before the end of the test."""

    hanging = ""

    def __init__(self, scenario: str) -> None:
        super().__init__(scenario)
        self.released = threading.Event()

    def read(self, path: str, limit: int = 65536) -> bytes:
        text = super().read(path, limit)
        if path == self.hanging:
            self.released.wait(30)
        return text


def test_a_file_that_hangs_afterwards_does_not_keep_the_run_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sdmtop.patience.DEADLINE", 0.2)
    host = HangingHost("edu")
    found: list[Result] = []

    def does() -> None:
        host.hanging = "/proc/interrupts"

    run = threading.Thread(target=lambda: found.extend(after(host, does)), daemon=True)
    run.start()
    run.join(20)
    ended = not run.is_alive()
    host.released.set()
    assert ended
    assert found[0].test == "x.careless"


def test_a_driver_that_is_another_one() -> None:
    host = LyingHost("edu")
    result = left(host, lambda: host.give_to_vfio(EDU))
    assert result.result == "fail"
    assert result.reason == (
        f"left behind: driver of {EDU}: sdmdev_edu -> vfio-pci; "
        f"driver_override of {EDU}: none -> vfio-pci"
    )
    assert [(one.expected, one.got) for one in result.evidence] == [
        ("sdmdev_edu", "vfio-pci"), ("none", "vfio-pci"),
    ]  # fmt: skip


def test_a_domain_type() -> None:
    host = LyingHost("edu")
    number = group_of(host, EDU)

    def does() -> None:
        host.do("/sys/bus/pci/drivers/sdmdev_edu/unbind", EDU)
        host.do(f"/sys/kernel/iommu_groups/{number}/type", "identity")
        host.do("/sys/bus/pci/drivers/sdmdev_edu/bind", EDU)

    before = next(one for one in read_snapshot(host).groups if one.id == number).domain_type
    result = left(host, does)
    assert result.reason == f"left behind: domain type of group/{number}: {before} -> identity"


def test_an_affinity() -> None:
    host = LyingHost("default")
    (irq, *_) = [row.irq for row in read_snapshot(host).interrupts if row.device == ZIP]
    result = left(host, lambda: host.do(f"/proc/irq/{irq}/smp_affinity_list", "1"), ZIP)
    assert result.result == "fail"
    assert result.reason is not None
    assert result.reason.startswith(f"left behind: affinity of {ZIP} (")
    assert result.reason.endswith(" -> 1")


def test_an_affinity_is_nobodys_fault_where_irqbalance_moves_them() -> None:
    host = LyingHost("default")
    (irq, *_) = [row.irq for row in read_snapshot(host).interrupts if row.device == ZIP]
    pid = host.kernel.processes.own.pid
    host.texts[f"/proc/{pid}/comm"] = b"irqbalance\n"
    assert len(after(host, lambda: host.do(f"/proc/irq/{irq}/smp_affinity_list", "1"), ZIP)) == 1


def test_what_has_changed_elsewhere_is_told_and_fails_nothing() -> None:
    host = LyingHost("edu")
    result = left(host, lambda: host.give_to_vfio(OTHER))
    assert result.result == "skip"
    assert result.reason is not None
    assert result.reason.startswith(
        f"changed meanwhile, outside of what the tests had: driver of {OTHER}: e1000e -> vfio-pci"
    )


def test_a_queue_of_somebody_else_is_told_and_fails_nothing() -> None:
    host = LyingHost("edu")
    (type_, *_) = [one for one in read_snapshot(host).mdev_types if one.parent == EDU]
    create = f"/sys/class/mdev_bus/{EDU}/mdev_supported_types/{type_.id}/create"
    result = left(host, lambda: host.do(create, QUEUE))
    assert result.result == "skip"
    assert (
        result.reason
        == f"changed meanwhile, outside of what the tests had: {QUEUE}: not there -> there"
    )


def test_a_queue_that_was_made_for_the_tests_and_is_still_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = LyingHost("edu")
    snapshot = read_snapshot(host)
    lender = Lender(host, confirmed=True)
    monkeypatch.setattr(lender, "give_back", lambda _loan: None)
    made = jobs(chosen(["sdmdev.neighbour"]), host, snapshot, EDU)
    *_, last = Run(host, snapshot, made, lender=lender)
    assert isinstance(last, Result)
    assert (last.test, last.result) == (RESTORED, "fail")
    assert last.reason is not None
    assert last.reason.count("not there -> there") == 2


def test_checks_of_the_box_only_look_and_need_no_second_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = LyingHost("edu")
    snapshot = read_snapshot(host)
    made = jobs(chosen(["host.iommu"]), host, snapshot, HOST)
    monkeypatch.setattr("sdmtop.selftests.runner.read_snapshot", lambda _host: pytest.fail("read"))
    assert len([*Run(host, snapshot, made, lender=Lender(host))]) == 1
