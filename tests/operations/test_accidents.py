"""Accidents of users of other tools: here none happens, and what would have is told.

Their numbers are those of the collection that the threads were taken from. Machines are captured
or built file by file where planning is what matters, and modelled where something is done.
"""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.backends.limits import SIDE_EFFECTS
from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from sdmtop.backends.simulator.scenario import Fault, read_scenario
from sdmtop.backends.tree import Directory, Link
from sdmtop.conclusions import holders
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, Progress, Result, begin
from sdmtop.operations.kept import Kept
from sdmtop.operations.mdevs import plan_create, plan_remove
from sdmtop.operations.plan import Plan, Verdict, Write
from sdmtop.operations.settings import plan_affinity, plan_reset
from sdmtop.operations.store import open_store
from sdmtop.operations.undo import plan_detach
from sdmtop.readers.irq_counters import VisibleCounts
from sdmtop.readers.snapshot import read_snapshot
from tests.backends.simulator.machines import (
    BRIDGED_EDU,
    BRIDGED_NIC,
    BRIDGED_TESTDEV,
    EDU,
    NVME,
    PARENT,
    PCI,
    Other,
    create,
    driver_of,
    group_of_mdev,
    guest,
    parents,
    text,
    to_vfio,
    write,
)
from tests.operations.blast.box import DISK, NIC, OPERATOR, OTHER_NIC, Box, system_disk

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot

CARD = "0000:00:07.0"
YES = Consent(confirmed=True)


def attach(host: Host, *targets: str) -> Plan:
    return plan_attach(host, read_snapshot(host), targets)


def carry_out(host: Host, plan: Plan, consent: Consent | None = None) -> Result:
    """Do it, with all typed that has to be."""
    consent = consent or Consent(confirmed=True, typed=plan.phrase)
    return begin(host, plan, store=open_store(host), kept=Kept(host), consent=consent)


def written(plan: Plan) -> list[tuple[str, str]]:
    return [
        (step.action.path, step.action.data)
        for step in plan.steps
        if isinstance(step.action, Write)
    ]


def opened(host: SimulatorHost, address: str) -> Other:
    """Another process that has the device of a group open, through VFIO."""
    group = to_vfio(host, address)
    qemu = Other(host)
    container, node = qemu.open("/dev/vfio/vfio"), qemu.open(f"/dev/vfio/{group}")
    qemu.ioctl(node, uapi.GROUP_SET_CONTAINER, bytearray(struct.pack("i", container)))
    qemu.ioctl(container, uapi.SET_IOMMU, uapi.TYPE1V2)
    qemu.ioctl(node, uapi.GROUP_GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
    return qemu


def test_1_the_system_disk_is_unbound_below_lvm_or_raid() -> None:
    plan = attach(system_disk().host(), DISK)
    (refusal,) = plan.refusals
    assert refusal.sentence == "/ is mounted from it (ext4)"
    assert refusal.evidence == (DISK, "nvme0n1", "nvme0n1p2", "md0 (raid1)", "/")
    with pytest.raises(RefusedError):
        carry_out(system_disk().host(), plan)


SHARED_GROUP = """
title = "a display adapter and the system disk in one group"

[[unit]]
name = "dmar0"

[[device]]
address = "0000:01:00.0"
unit = "dmar0"
group = "slot"
driver = "nouveau"
vendor = 0x10de
device = 0x1b80
class = 0x030000

[[device]]
address = "0000:02:00.0"
unit = "dmar0"
group = "slot"
driver = "nvme"
vendor = 0x144d
device = 0xa808
class = 0x010802
"""
DISPLAY, SYSTEM = "0000:01:00.0", "0000:02:00.0"


def test_2_the_system_disk_shares_the_group_of_the_display_adapter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the guard the disk goes with the group; with it nothing does, at no boot either."""
    mounted = Verdict("refused", SYSTEM, "/ is mounted from it (ext4)", (SYSTEM, "nvme0n1", "/"))

    def root_is_on_it(
        _host: Host, _snapshot: Snapshot, touched: tuple[str, ...], **_: object
    ) -> tuple[Verdict, ...]:
        return (mounted,) if SYSTEM in touched else ()

    where = "sdmtop.operations.preconditions.blast_radius"
    monkeypatch.setattr(where, lambda *_args, **_kwargs: ())
    unguarded = SimulatorHost(read_scenario(SHARED_GROUP, "group.toml"))
    plan = attach(unguarded, DISPLAY)
    assert carry_out(unguarded, plan).ending == "done"
    assert driver_of(unguarded, SYSTEM) == "vfio-pci"  # The host is dead.

    monkeypatch.setattr(where, root_is_on_it)
    host = SimulatorHost(read_scenario(SHARED_GROUP, "group.toml"))
    plan = attach(host, DISPLAY)
    assert any(SYSTEM in decision and "attached as well" in decision for decision in plan.decisions)
    assert plan.refusals == (mounted,)
    with pytest.raises(RefusedError, match="/ is mounted from it"):
        carry_out(host, plan)
    with pytest.raises(RefusedError, match="/ is mounted from it"):
        carry_out(host, replace(plan, verdicts=()))
    assert (driver_of(host, DISPLAY), driver_of(host, SYSTEM)) == ("nouveau", "nvme")
    # Nothing that is written outlives a boot.
    assert all(path.startswith("/sys/") for path, _ in written(plan))
    assert any("not persistent" in note for note in plan.notes)


def test_2_the_disk_of_that_group_is_told_apart_by_what_it_carries() -> None:
    box = system_disk()
    box.disk(group=1)
    box.device(CARD, "0x030000", "nouveau", group=1)
    plan = attach(box.host(), CARD)
    assert any(DISK in decision for decision in plan.decisions)
    assert [refusal.subject for refusal in plan.refusals] == [DISK]


def test_3_it_refuses_without_a_reason() -> None:
    box = system_disk()
    box.interface("eth0", NIC)
    box.route("eth0")
    box.log_in()
    refusals = attach(box.host(), DISK, NIC).refusals
    assert {refusal.subject for refusal in refusals} == {DISK, NIC}
    for refusal in refusals:
        assert refusal.sentence
        assert len(refusal.evidence) > 2


def test_4_all_network_cards_at_once() -> None:
    box = Box()
    box.interface("eth0", NIC)
    box.interface("eth1", OTHER_NIC)
    box.route("eth0")
    box.route("eth1", metric=200)
    box.log_in()
    refusals = attach(box.host(), NIC, OTHER_NIC).refusals
    assert any("the last route to your own session" in one.sentence for one in refusals)
    assert all(OPERATOR in one.evidence for one in refusals)


def test_5_a_write_that_never_returns() -> None:
    host = guest()
    qemu = opened(host, EDU)
    plan = plan_detach(host, read_snapshot(host), [EDU])
    assert any("qemu" in doubt.sentence for doubt in plan.doubts)
    result = carry_out(host, plan)
    assert result.ending == "stuck"
    assert "qemu" in (result.trouble or "")
    assert host.kernel.processes.own.pid is not None  # Nobody was signalled: it still waits,
    assert result.pending is not None
    assert not result.pending.write.wait(0)
    reset = plan_reset(host, read_snapshot(host), EDU)  # It would wait for the same lock.
    assert any("an unbind of it is under way" in one.sentence for one in reset.refusals)
    qemu.end()
    assert result.pending.write.wait(5)  # and returns when the holder has let go.


def test_6_a_read_that_waits_for_the_writer() -> None:
    host = guest()
    assert {"sriov_numvfs", "sriov_vf_total_msix"} <= SIDE_EFFECTS
    opened(host, EDU)
    carry_out(host, plan_detach(host, read_snapshot(host), [EDU]))
    for other in (host, system_disk().host()):
        with pytest.raises(PermissionError):
            other.read(f"{PCI}/{EDU}/sriov_numvfs")
    assert read_snapshot(host).devices  # The stuck device hangs nobody.


def test_7_the_removal_of_an_mdev_never_returns() -> None:
    host = parents()
    name = create(host, 1)
    Other(host).claim(group_of_mdev(host, name))
    plan = plan_remove(host, read_snapshot(host), [name])
    assert any("holds it" in refusal.sentence for refusal in plan.refusals)
    with pytest.raises(RefusedError):
        carry_out(host, plan)


def test_8_unbound_and_then_not_bound() -> None:
    """The kernel says yes to a probe that binds nothing: here, of a device without a driver."""
    host = guest()
    before = read_snapshot(host).devices
    plan = attach(host, EDU)
    probe = replace(plan.steps[-1], action=Write("/sys/bus/pci/drivers_probe", BRIDGED_TESTDEV))
    result = carry_out(host, replace(plan, steps=(*plan.steps[:-1], probe)))
    assert result.ending == "rolled back"
    assert "without effect" in (result.trouble or "")
    assert read_snapshot(host).devices == before


@pytest.mark.parametrize("scenario", ["default", "edu", "broken", "vgpu"])
def test_9_every_twin_of_a_card_is_bound(scenario: str) -> None:
    host = open_host(f"sim:{scenario}?at=0")
    snapshot = read_snapshot(host)
    for device in snapshot.devices:
        try:
            plan = plan_attach(host, snapshot, [device.address])
        except (NothingToDoError, RefusedError):
            continue
        for path, data in written(plan):
            assert not path.endswith(("new_id", "/ids"))
            assert device.address in path + data or data == "\n" or "0000:" in path + data


def test_10_virtual_functions_in_use_are_lost_with_the_physical_one() -> None:
    host = guest()
    write(host, f"{PCI}/{NVME}/sriov_numvfs", "1")
    (function,) = [
        device.address for device in read_snapshot(host).devices if device.physfn == NVME
    ]
    opened(host, function)
    plan = attach(host, NVME)
    assert any(function in (one.subject, *one.evidence) for one in (*plan.refusals, *plan.doubts))
    with pytest.raises(RefusedError):
        carry_out(host, plan, YES)


def test_11_another_driver_grabs_a_sibling_meanwhile() -> None:
    host = guest()
    write(host, f"{PCI}/{BRIDGED_NIC}/driver/unbind", BRIDGED_NIC)
    plan = attach(host, BRIDGED_EDU)
    write(host, "/sys/bus/pci/drivers/e1000/bind", BRIDGED_NIC)
    with pytest.raises(RefusedError, match=BRIDGED_NIC):
        carry_out(host, plan)
    assert driver_of(host, BRIDGED_EDU) != "vfio-pci"


def test_12_processes_that_cannot_be_read_are_taken_for_none() -> None:
    box = Box()
    box.disk()
    box.process(70, "qemu")
    box.put("/proc/70/fd", Directory(errno.EACCES))
    plan = attach(box.host(), DISK)
    assert any("cannot be looked into" in doubt.sentence for doubt in plan.doubts)
    assert not plan.refusals


def test_13_a_holder_that_only_has_a_mapping() -> None:
    box = Box()
    box.device(NIC, driver="vfio-pci")
    box.put("/sys/class/vfio/2/dev", "240:2\n")
    box.process(70, "leaky")
    box.put("/proc/70/maps", "7f00-7f01 rw-s 00000000 00:0e 9   anon_inode:[vfio-device]\n")
    box.put("/proc/70/fd/3", Link("/dev/vfio/2", os.makedev(240, 2)))
    assert holders(read_snapshot(box.host()))["group/2"] == (70,)
    host = box.host()
    assert any("leaky" in doubt.sentence for doubt in plan_detach(
        host, read_snapshot(host), [NIC]).doubts)  # fmt: skip


QUEUES = """
title = "a network card with three interrupts"

[[unit]]
name = "dmar0"

[[device]]
address = "0000:02:00.0"
unit = "dmar0"
driver = "e1000e"
vendor = 0x8086
device = 0x10d3
class = 0x020000
interrupts = { kind = "msix", actions = ["eth0-rx-0", "eth0-tx-0", "eth0"] }
"""


def affinities(host: SimulatorHost, irqs: tuple[int, ...]) -> dict[int, str]:
    return {irq: text(host, f"/proc/irq/{irq}/smp_affinity_list") for irq in irqs}


@pytest.mark.parametrize("failing", [0, 1, -1])
def test_14_half_of_the_affinities_is_restored(failing: int) -> None:
    """The kernel refuses one of several (EIO): those before it go back, and each is told of."""
    host = SimulatorHost(read_scenario(QUEUES, "queues.toml"))
    snapshot = read_snapshot(host)
    (device,) = snapshot.devices
    before = affinities(host, device.irqs)
    plan = plan_affinity(host, snapshot, device.address, "0")
    assert len(plan.steps) == 3
    paths = [path for path, _ in written(plan)]
    # As a script would do it: one after the other, without a look back.
    unguarded = SimulatorHost(read_scenario(QUEUES, "queues.toml"))
    fail(unguarded, paths[failing])
    for path, cpus in written(plan):
        with suppress(OSError):
            write(unguarded, path, cpus)
    assert len(set(affinities(unguarded, device.irqs).values())) == 2

    fail(host, paths[failing])
    told: list[Progress] = []
    result = begin(
        host, plan, store=open_store(host), kept=Kept(host), consent=YES, tell=told.append
    )
    assert result.ending == "rolled back"
    assert affinities(host, device.irqs) == before
    assert plan.steps[failing].title in (result.trouble or "")
    assert "EIO" in (result.trouble or "")
    at = failing % len(plan.steps)
    ended = {one.step: one.phase for one in told}
    assert all(ended[step] == "undone" for step in range(at))
    assert at + 1 not in ended


def fail(host: SimulatorHost, path: str) -> None:
    """Have the kernel refuse one write to this file of an interrupt."""
    irq = path.split("/")[3]
    host.inject(
        Fault(kind="errno", operation="smp_affinity_list", target=irq, errno="EIO", times=1)
    )


def test_14_whoever_moves_interrupts_as_well_is_named() -> None:
    box = Box()
    box.process(77, "irqbalance")
    box.put("/proc/interrupts", "  CPU0  CPU1\n 24:  7  8 IR-PCI-MSI-0000:00:02.0 0-edge dev\n")
    box.put("/proc/irq/24/smp_affinity_list", "0-1\n")
    box.put("/sys/kernel/irq/24/actions", "dev\n")
    host = box.host()
    plan = plan_affinity(host, read_snapshot(host), "irq/24", "1")
    assert any("irqbalance runs (process 77)" in note for note in plan.notes)


def test_15_other_cpus_than_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container of one CPU, on a host of which CPUs 2 and 5 are online."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0})
    box = Box()
    box.put("/proc/interrupts", "  CPU2  CPU5\n 24:  7  8 IR-PCI-MSI-0000:00:02.0 0-edge dev\n")
    box.put("/sys/devices/system/cpu/online", "2,5\n")
    box.put("/proc/irq/24/smp_affinity_list", "2,5\n")
    box.put("/sys/kernel/irq/24/actions", "dev\n")
    box.put("/sys/kernel/irq/24/per_cpu_count", "0,0,7,0,0,8\n")
    host = box.host()
    snapshot = read_snapshot(host)
    (interrupt,) = snapshot.interrupts
    assert (interrupt.per_cpu, interrupt.total) == ((7, 8), 15)
    counts = VisibleCounts(host)  # One a CPU that there may be.
    counts.watch((24,))
    counts.update(())
    assert (counts.counts[24][2], counts.counts[24][5]) == (7, 8)
    # CPU 5 is there, though we do not see so many; CPU 0, which we see, is not.
    assert not plan_affinity(host, snapshot, "irq/24", "5").refusals
    (refusal,) = plan_affinity(host, snapshot, "irq/24", "0").refusals
    assert refusal.sentence == "none of the CPUs 0 is online"
    assert refusal.evidence == ("/sys/devices/system/cpu/online", "2,5")


def test_16_another_device_has_taken_the_address() -> None:
    plan = attach(guest(), EDU)
    scenario = scenario_of("edu")
    devices = tuple(
        replace(one, device=0x9999) if one.address == EDU else one for one in scenario.devices
    )
    renumbered = SimulatorHost(replace(scenario, kernel="6.12", devices=devices))
    with pytest.raises(RefusedError, match="changed since the plan was made"):
        carry_out(renumbered, plan)
    assert driver_of(renumbered, EDU) != "vfio-pci"


def test_17_a_mediated_device_is_gone_after_a_reboot() -> None:
    host = parents()
    (type_,) = read_snapshot(host).mdev_types[:1]
    plan = plan_create(host, read_snapshot(host), f"{PARENT}/{type_.id}")
    assert any("not persistent" in note and "mdevctl" in note for note in plan.notes)


def test_18_a_device_is_reset_below_its_driver() -> None:
    host = guest()
    plan = plan_reset(host, read_snapshot(host), NVME)
    assert plan.doubts
    with pytest.raises(RefusedError, match="typed in full"):
        carry_out(host, plan, YES)


def test_19_checks_that_another_way_in_passes_by() -> None:
    """A plan whose verdicts were taken away is judged again before its first step."""
    host = open_host("sim:default?at=0")
    plan = attach(host, "0000:01:00.0")
    assert plan.refusals
    with pytest.raises(RefusedError, match="is mounted from it"):
        carry_out(host, replace(plan, verdicts=()))
