"""Faults: what each does to the machine, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sdmtop.backends.simulator.faults import FaultError
from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from sdmtop.backends.simulator.scenario import OPERATIONS, Fault
from sdmtop.backends.simulator.syscalls import IOCTLS
from sdmtop.backends.simulator.vfs import Directory, File
from sdmtop.readers.kernel_log import read_faults
from sdmtop.readers.snapshot import read_snapshot
from tests.backends.simulator.machines import machine
from tests.backends.simulator.test_programs import GUEST, ZIP, board, log, names, process, queues

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = "57ac0000-0000-4000-8000-000000000001"
PROGRAM = process("zipd", "pid = 11", f'uuid = "{UUID}"')


def total(host: object, device: str = ZIP) -> int:
    snapshot = read_snapshot(host)  # type: ignore[arg-type]
    return sum(row.total for row in snapshot.interrupts if row.device == device)


@pytest.mark.parametrize("target", [UUID, ZIP, f"{ZIP}/0"])
def test_a_stalled_queue_does_no_work_until_it_is_over(target: str) -> None:
    host = board(PROGRAM)
    host.step(5)
    host.inject(Fault("stall", target=target, lasts=10))
    host.step(1)
    before = total(host)
    host.step(8)
    assert total(host) == before
    host.step(5)
    assert total(host) > before


def test_a_lost_interrupt_is_not_counted_and_its_program_waits_in_vain_for_a_while() -> None:
    unharmed, host = board(PROGRAM), board(PROGRAM)
    host.step(5)
    host.inject(Fault("lost-interrupt", target=ZIP))
    host.step(5)
    unharmed.step(10)
    # It tries again after a second, in which ten batches would have been done.
    assert total(unharmed) - total(host) == pytest.approx(11, abs=2)


def test_a_spurious_interrupt_is_counted_and_wakes_nobody() -> None:
    host = board("")
    host.inject(Fault("spurious-interrupt", target=ZIP, times=4))
    assert total(host) == 4


def test_an_interrupt_can_be_named_by_its_number() -> None:
    host = board("")
    (row,) = (row for row in read_snapshot(host).interrupts if row.device == ZIP)
    host.inject(Fault("spurious-interrupt", target=row.irq))
    assert total(host) == 1


def test_a_storm_rages_for_its_time() -> None:
    host = board("")
    host.inject(Fault("interrupt-storm", target=ZIP, amount=50_000, lasts=4))
    host.step(2)
    assert total(host) == pytest.approx(100_000, rel=0.1)
    host.step(10)
    after = total(host)
    assert after == pytest.approx(200_000, rel=0.1)
    host.step(10)
    assert total(host) == after


def test_a_storm_ends_with_the_driver_of_its_device() -> None:
    host = board("")
    host.inject(Fault("interrupt-storm", target=ZIP))
    host.write("/sys/bus/pci/drivers/hisi_zip/unbind", ZIP.encode()).result()
    host.step(5)
    assert total(host) == 0


def test_an_iommu_fault_is_logged_with_its_device() -> None:
    host = machine(f'title = ""\n{GUEST}')
    host.inject(Fault("iommu-fault", target="0000:05:00.0", times=2))
    found = read_faults(host)
    assert [fault.device for fault in found] == ["0000:05:00.0"] * 2


def test_no_pasid_is_left_for_a_while() -> None:
    host = board(process("late", "begin = 2\nlives = 3\nagain = 10"))
    host.inject(Fault("pasid-exhaustion", lasts=5))
    host.step(3)
    assert names(read_snapshot(host)) == []
    assert "(ENOSPC)" in log(host)
    host.step(10)
    assert names(read_snapshot(host)) == ["late"]


def test_a_device_that_is_pulled_out_is_gone() -> None:
    host = board("")
    host.inject(Fault("removal", target=ZIP))
    assert read_snapshot(host).devices == ()


def test_a_wrong_result_leaves_the_device_once() -> None:
    host = board(PROGRAM)
    host.inject(Fault("wrong-result", target=ZIP, times=3))
    host.step(5)
    assert host.kernel.find(ZIP).accelerator().wrong == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["zipd", "11"])
def test_a_killed_process_leaves_its_queue_behind(target: str) -> None:
    host = board(PROGRAM)
    host.step(3)
    host.inject(Fault("kill", target=target))
    snapshot = read_snapshot(host)
    assert names(snapshot) == []
    assert [queue.state for queue in queues(snapshot)] == ["orphan"]


def test_a_process_can_be_killed_at_any_moment() -> None:
    for tenths in range(25):
        host = board(PROGRAM)
        host.step(tenths / 10)
        host.inject(Fault("kill", target="zipd"))
        host.step(2)
        snapshot = read_snapshot(host)
        assert snapshot.processes == ()
        assert snapshot.pasids == ()
        assert host.kernel.iommu.groups["0"].shares == {}


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        (ZIP, "unbind"),
        ("hisi_zip", "bind"),
        ("pci", "drivers_probe"),
        ("0", "type"),
        ("hisi_zip-zlib", "create"),
        (UUID, "create"),
        ("DMA", "type"),
        ("vfio-pci", "driver_override"),
        ("zipd", "MAP_DMA"),
        ("vfio", "open"),
        ("", "unbind"),
    ],
)
def test_what_an_operation_can_be_about_is_accepted(target: str, operation: str) -> None:
    host = board(PROGRAM)
    host.step(3)
    host.inject(Fault("hang", target=target, operation=operation))
    assert [trap.target for trap in host.system.traps] == [target]


def writable(directory: Directory) -> Iterator[str]:
    """The names of all files below a directory that can be written to."""
    for name in directory.names():
        node = directory.get(name)
        if isinstance(node, Directory):
            yield from writable(node)
        elif isinstance(node, File) and node.store is not None:
            yield name


def test_every_file_that_is_written_and_every_command_is_an_operation() -> None:
    found = {"open", *IOCTLS}
    for name in ("default", "idxd", "broken"):
        host = SimulatorHost(scenario_of(name))
        host.kernel.load("dmatest")
        found |= {*writable(host.root)}
    assert found == {*OPERATIONS}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("stall", target="0000:09:00.0"), "there is no device 0000:09:00.0"),
        (Fault("stall", target=f"{ZIP}/99"), f"{ZIP} has no queue 99"),
        (Fault("stall", target=f"{ZIP}/x"), f"{ZIP} has no queue x"),
        (Fault("stall"), "a fault of kind stall needs a target"),
        (Fault("errno", operation="bind"), "needs an errno that there is"),
        (Fault("errno", operation="bind", errno="ENONSENSE"), "needs an errno that there is"),
        (Fault("hang"), "needs an operation"),
        (Fault("kill", target="nobody"), "there is no process nobody that could be killed"),
        (Fault("kill", target="1"), "there is no process 1 that could be killed"),
        (Fault("kill", target="4242"), "there is no process 4242 that could be killed"),
        (Fault("hang", operation="unbindd"), "there is no operation unbindd; there are allow_"),
        (Fault("stall", target=ZIP, operation="unbind"), "kind stall takes no operation"),
        (Fault("pasid-exhaustion", target="foo"), "kind pasid-exhaustion takes no target"),
        (
            Fault("errno", target="nosuch", operation="unbind", errno="EBUSY"),
            "there is nothing nosuch that unbind could be about",
        ),
        (Fault("hang", target="nobody", operation="MAP_DMA"), "nothing nobody that MAP_DMA could"),
        (Fault("hang", target="no-uuid", operation="create"), "nothing no-uuid that create could"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_a_sentence(fault: Fault, reason: str) -> None:
    with pytest.raises(FaultError, match=reason):
        board("").inject(fault)


def test_a_device_that_does_not_compute_has_no_queue_to_stall() -> None:
    host = machine(f'title = ""\n{GUEST}')
    with pytest.raises(FaultError, match=r"0000:05:00\.0 does not compute"):
        host.inject(Fault("stall", target="0000:05:00.0"))


def spurious_after(seconds: float, when: str, seed: int = 0) -> int:
    from sdmtop.backends.simulator.host import SimulatorHost

    text = f'[[fault]]\nkind = "spurious-interrupt"\ntarget = "{ZIP}"\n{when}\n'
    host = SimulatorHost(replace(board(text).kernel.scenario), seed=seed)
    host.step(seconds)
    return total(host)


def test_a_fault_comes_at_its_time_once() -> None:
    assert [spurious_after(seconds, "at = 4") for seconds in (3, 5, 60)] == [0, 1, 1]


def test_a_fault_comes_every_so_often() -> None:
    assert [spurious_after(seconds, "every = 4") for seconds in (3, 5, 41)] == [0, 1, 10]


def test_a_fault_comes_by_chance_at_its_rate_and_by_its_seed() -> None:
    counts = [spurious_after(1000, "rate = 0.1", seed) for seed in range(5)]
    assert all(60 <= count <= 140 for count in counts)
    assert len(set(counts)) > 1
    assert counts[0] == spurious_after(1000, "rate = 0.1", 0)


def test_a_scheduled_fault_whose_target_is_gone_is_told_in_the_log() -> None:
    host = board('[[fault]]\nkind = "kill"\ntarget = "4711"\nat = 1\n')
    host.step(2)
    assert "simulator: no kill: there is no process 4711 that could be killed" in log(host)
