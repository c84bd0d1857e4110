"""What an attach would do, on captured kernels."""

from __future__ import annotations

import errno

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.plan import Fact, Load, Write
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.captured import BUSY, PLAIN, captured, refusals, writes
from tests.readers import small_host
from tests.readers.small_host import GROUPS, ROOT

NIC = "0000:06:03.0"
"""In group 17, with a device on sdmdev_edu, one on vfio-pci and one without a driver."""


def test_a_device_is_unbound_overridden_and_bound() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:04:00.0"])
    path = "0000:04:00.0/driver_override"
    assert writes(plan) == [
        ("virtio-pci/unbind", "0000:04:00.0"),
        (path, "vfio-pci"),
        ("vfio-pci/bind", "0000:04:00.0"),
    ]
    assert plan.targets == ("0000:04:00.0",)
    assert plan.locks == ("group/16",)


def test_undone_from_the_last_step_to_the_first_each_finds_what_it_needs() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:04:00.0"])
    assert [step.inverse for step in reversed(plan.steps)] == [
        Write("/sys/bus/pci/drivers/vfio-pci/unbind", "0000:04:00.0"),
        Write("/sys/devices/pci0000:00/0000:00:04.0/0000:04:00.0/driver_override", "\n"),
        Write("/sys/bus/pci/drivers/virtio-pci/bind", "0000:04:00.0"),
    ]


def test_each_step_begins_where_the_one_before_it_ended() -> None:
    plan = plan_attach(*captured(BUSY), [NIC])
    known = {(fact.kind, fact.path): fact.value for fact in plan.identity}
    for step in plan.steps:
        for fact in step.before:
            assert known.setdefault((fact.kind, fact.path), fact.value) == fact.value
        known.update({(fact.kind, fact.path): fact.value for fact in step.after})


def test_every_other_device_of_the_group_gets_a_decision() -> None:
    plan = plan_attach(*captured(BUSY), [NIC])
    assert plan.decisions == (
        "0000:05:00.0: kept as it is: it has no driver",
        "0000:06:01.0: attached as well: sdmdev_edu would keep the group not viable",
        "0000:06:02.0: kept as it is: vfio-pci does not stand in the way",
    )
    assert ("sdmdev_edu/unbind", "0000:06:01.0") in writes(plan)
    assert ("vfio-pci/bind", "0000:06:01.0") in writes(plan)


def test_devices_that_stand_in_the_way_can_just_be_unbound() -> None:
    plan = plan_attach(*captured(BUSY), [NIC], only=True)
    assert ("sdmdev_edu/unbind", "0000:06:01.0") in writes(plan)
    assert ("vfio-pci/bind", "0000:06:01.0") not in writes(plan)
    assert any("stays without a driver" in note for note in plan.notes)


def test_bridges_do_not_stand_in_the_way() -> None:
    host, snapshot = captured(PLAIN)
    (group,) = [one for one in snapshot.groups if "0000:06:03.0" in one.devices]
    plan = plan_attach(host, snapshot, [f"group/{group.id}"])
    assert "0000:05:00.0" not in plan.targets
    assert "0000:06:03.0" in plan.targets


def test_vfs_go_first_and_come_back_last() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:02:00.0"])
    assert writes(plan)[:2] == [("0000:02:00.0/sriov_numvfs", "0"), ("nvme/unbind", "0000:02:00.0")]
    assert plan.steps[0].inverse == Write(
        "/sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/sriov_numvfs", "2"
    )


def test_mediated_devices_of_a_parent_go_first_and_come_back_last() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:01:00.0"])
    uuids = [f"5d3de000-0000-4000-8000-00000000000{number}" for number in (2, 1)]
    assert writes(plan)[:3] == [
        (f"{uuids[0]}/remove", "1"),
        (f"{uuids[1]}/remove", "1"),
        ("sdmdev_edu/unbind", "0000:01:00.0"),
    ]
    assert isinstance(plan.steps[0].inverse, Write)
    assert plan.steps[0].inverse.data == uuids[0]


def test_the_identity_of_a_device_is_its_driver_its_ids_its_group_and_who_is_in_it() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:04:00.0"])
    path = "/sys/devices/pci0000:00/0000:00:04.0/0000:04:00.0"
    values = {fact.path: fact.value for fact in plan.identity}
    assert values[f"{path}/driver"] == "virtio-pci"
    assert (values[f"{path}/modalias"] or "").startswith("pci:v00001AF4d00001041")
    assert values[f"{path}/iommu_group"] == "16"
    assert values["/sys/kernel/iommu_groups/16/devices"] == "0000:04:00.0"
    assert plan.identity[0].path == f"{path}/driver"


def test_several_targets_are_one_plan() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:04:00.0", "0000:41:00.0"])
    assert plan.targets == ("0000:04:00.0", "0000:41:00.0")
    assert plan.locks == ("group/16", "group/19")
    assert len(plan.steps) == 6
    assert plan.phrase == "0000:04:00.0 0000:41:00.0"


def test_a_target_that_stands_in_the_way_of_another_is_attached_once() -> None:
    plan = plan_attach(*captured(BUSY), [NIC, "0000:06:01.0"])
    assert writes(plan).count(("vfio-pci/bind", "0000:06:01.0")) == 1


def test_the_pci_domain_may_be_left_out() -> None:
    assert plan_attach(*captured(BUSY), ["04:00.0"]).targets == ("0000:04:00.0",)


def test_another_driver_can_be_chosen() -> None:
    plan = plan_attach(*captured(BUSY), [NIC], driver="uio_pci_generic")
    assert ("uio_pci_generic/bind", NIC) in writes(plan)
    assert plan.decisions == ()  # Only VFIO asks for the whole group.
    assert plan.command == f"sdmtop attach {NIC} --driver uio_pci_generic"


def test_a_driver_of_uio_is_told_with_what_an_iommu_does_to_it() -> None:
    translated = plan_attach(*captured(BUSY), [NIC], driver="uio_pci_generic")
    assert any("`sdmtop domain-type group/17 identity` first" in note for note in translated.notes)
    bare = plan_attach(*captured("no-iommu"), ["0000:06:03.0"], driver="uio_pci_generic")
    (unsafe,) = [one for one in bare.verdicts if "nothing translates its DMA" in one.sentence]
    assert unsafe.kind == "unsafe"
    host, snapshot = captured(BUSY)
    groups = tuple(replace(one, domain_type=None) for one in snapshot.groups)
    untold = plan_attach(host, replace(snapshot, groups=groups), [NIC], driver="uio_pci_generic")
    (unknown,) = [one for one in untold.verdicts if "anything translates" in one.sentence]
    assert unknown.kind == "unknown"


def test_group_0_is_a_group() -> None:
    host, snapshot = captured(BUSY)
    devices = tuple(
        replace(one, group=0) if one.address == NIC else one for one in snapshot.devices
    )
    plan = plan_attach(host, replace(snapshot, devices=devices), [NIC], driver="uio_pci_generic")
    assert any("`sdmtop domain-type group/0 identity` first" in note for note in plan.notes)


def test_a_driver_that_no_such_device_has_is_told_to_be_forced_on_it() -> None:
    (note,) = [
        note
        for note in plan_attach(*captured(BUSY), [NIC], driver="nvme").notes
        if "override" in note and "whether or not it knows such a device" in note
    ]
    assert note.startswith(f"nvme has to take {NIC}")
    own = plan_attach(*captured(BUSY), ["0000:02:00.1"], driver="nvme")
    assert not any("whether or not it knows" in note for note in own.notes)


def test_what_is_copied_into_a_shell_is_quoted() -> None:
    plan = plan_attach(*captured(BUSY), [NIC], driver="vfio-pci;reboot")
    assert "modprobe 'vfio-pci;reboot'" in plan.equivalents
    shown = (plan.command, *plan.equivalents)
    assert all(";" not in line.replace("'vfio-pci;reboot'", "") for line in shown)


def test_what_is_attached_already_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDoError, match="attached already"):
        plan_attach(*captured(BUSY), ["0000:03:00.0"])


@pytest.mark.parametrize("name", ["0000:ff:00.0", "group/99", "nothing", "", "group/", "group/x"])
def test_a_name_that_means_nothing_is_nothing_to_do(name: str) -> None:
    with pytest.raises(NothingToDoError):
        plan_attach(*captured(BUSY), [name])


def test_a_bridge_is_refused() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:00:01.0"])
    assert any("it is a bridge" in one for one in refusals(plan))


def test_a_device_without_a_group_is_refused() -> None:
    plan = plan_attach(*captured("no-iommu"), ["0000:00:1f.2"])
    assert any("no IOMMU group" in one for one in refusals(plan))


def test_a_bus_without_vfio_needs_a_driver() -> None:
    host, snapshot = captured(BUSY)
    devices = tuple(replace(one, bus="spi") for one in snapshot.devices)
    with pytest.raises(RefusedError, match="which driver"):
        plan_attach(host, replace(snapshot, devices=devices), [NIC])


def test_the_equivalents_are_commands_of_tools_that_people_know() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:04:00.0"])
    assert plan.equivalents == (
        "driverctl --nosave set-override 0000:04:00.0 vfio-pci",
        "virsh nodedev-detach pci_0000_04_00_0 --driver vfio",
    )


def test_driverctl_is_told_of_a_bus_that_is_not_pci() -> None:
    host, snapshot = captured(BUSY)
    devices = tuple(replace(one, bus="platform") for one in snapshot.devices)
    plan = plan_attach(host, replace(snapshot, devices=devices), ["0000:04:00.0"])
    assert plan.equivalents[-1] == (
        "driverctl --bus platform --nosave set-override 0000:04:00.0 vfio-platform"
    )
    assert any("`driverctl --bus platform set-override`" in note for note in plan.notes)


def test_what_no_tool_does_is_a_line_for_the_shell_where_its_step_stands() -> None:
    plan = plan_attach(*captured(BUSY), [NIC], only=True)
    assert plan.equivalents == (
        "driverctl --nosave set-override 0000:06:03.0 vfio-pci",
        "virsh nodedev-detach pci_0000_06_03_0 --driver vfio",
        *(
            f"mdevctl stop --uuid {queue.id}"
            for queue in reversed(captured(BUSY)[1].sdmdevs)
            if queue.parent == "0000:06:01.0"
        ),
        "echo 0000:06:01.0 > /sys/bus/pci/drivers/sdmdev_edu/unbind",
    )


def test_all_devices_are_unbound_before_anything_else_changes() -> None:
    for only in (False, True):
        done = [place for place, _ in writes(plan_attach(*captured(BUSY), [NIC], only=only))]
        unbinds = [place for place in done if place.endswith(("/unbind", "/remove"))]
        assert len(unbinds) > 1
        assert done[: len(unbinds)] == unbinds


def test_vfs_that_go_first_are_no_part_of_what_a_tool_does() -> None:
    plan = plan_attach(*captured(BUSY), ["0000:02:00.0"])
    assert plan.equivalents[0].startswith("echo 0 > ")
    assert plan.equivalents[1].startswith("driverctl --nosave set-override 0000:02:00.0 ")


def test_what_is_set_up_on_queues_of_idxd_is_a_cost() -> None:
    host = open_host("sim:idxd?at=0")
    plan = plan_attach(host, read_snapshot(host), ["0000:6a:01.0"])
    lost = [one.sentence for one in plan.doubts if "configuration" in one.sentence]
    assert lost == [
        f"the configuration of its queue wq0.{number} goes with it" for number in (0, 1, 2)
    ]
    (note,) = [note for note in plan.notes if "accel-config" in note]
    assert "an undo does not set up the queues" in note


def test_a_driver_that_is_not_there_is_loaded_before_anything_loses_its_own() -> None:
    host = tree()
    plan = plan_attach(host, read_snapshot(host), [small_host.NIC])
    assert writes(plan)[0] == ("modprobe", "vfio-pci")
    assert plan.steps[0].after == (Fact("exists", "/sys/bus/pci/drivers/vfio-pci", "yes"),)


def test_each_driver_that_is_not_there_is_loaded() -> None:
    host = open_host("capture:tests/trees/debian-6.1-intel-plain.tar.xz")
    names = ["0000:00:1f.2"]
    plan = plan_attach(host, read_snapshot(host), names, driver="mlx5_vfio_pci")
    loads = [step.action.module for step in plan.steps if isinstance(step.action, Load)]
    assert loads == ["mlx5_vfio_pci", "vfio-pci"]  # The other is for the rest of its group.
    assert all(isinstance(step.action, Load) for step in plan.steps[:2])


def test_the_name_of_the_module_is_not_taken_for_that_of_the_driver() -> None:
    host = tree()
    with pytest.raises(UsageError, match="its driver is called vfio-pci"):
        plan_attach(host, read_snapshot(host), [small_host.NIC], driver="vfio_pci")


def test_no_module_is_loaded_where_that_is_over() -> None:
    host = tree()
    host.put("/proc/sys/kernel/modules_disabled", "1\n")
    plan = plan_attach(host, read_snapshot(host), [small_host.NIC])
    assert any("no module may be loaded" in one for one in refusals(plan))


def test_firmware_that_keeps_a_mapping_of_its_own_is_a_refusal() -> None:
    host = tree()
    host.put(f"{GROUPS}/2/reserved_regions", "0x00000000000e0000 0x00000000000fffff direct\n")
    plan = plan_attach(host, read_snapshot(host), [small_host.NIC])
    assert any("firmware keeps a mapping" in one for one in refusals(plan))


def test_regions_that_cannot_be_told_are_a_doubt() -> None:
    host = tree()
    host.put(f"{GROUPS}/2/reserved_regions", "0x00000000000e0000 0x0000000000")
    plan = plan_attach(host, read_snapshot(host), [small_host.NIC])
    (doubt,) = [one for one in plan.doubts if "firmware" in one.sentence]
    assert (doubt.subject, doubt.kind) == (small_host.NIC, "unknown")
    assert doubt.evidence == (f"{GROUPS}/2/reserved_regions", "EINVAL")


def test_an_override_that_cannot_be_read_is_no_plan() -> None:
    host = tree()
    host.put(f"{ROOT}/{small_host.NIC}/driver_override", Failure(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        plan_attach(host, read_snapshot(host), [small_host.NIC])


def test_an_unbind_under_way_is_a_refusal() -> None:
    host = tree()
    host.remove(f"{ROOT}/{small_host.NIC}/driver")
    plan = plan_attach(host, read_snapshot(host), [small_host.NIC])
    assert any("under way" in one for one in refusals(plan))


def test_an_unbind_under_way_of_another_device_of_the_group_is_a_doubt() -> None:
    host = tree()
    host.remove(f"{ROOT}/{small_host.NIC}/driver")
    plan = plan_attach(host, read_snapshot(host), [small_host.DISK])
    (decision,) = plan.decisions
    assert decision == f"{small_host.NIC}: kept as it is: an unbind of it is under way"
    assert [one.subject for one in plan.doubts if one.kind == "unknown"] == [small_host.NIC]


def test_nothing_is_written_that_cannot_be_shown() -> None:
    host = tree()
    nasty = "evil\u202e"
    for path, entry in small_host.device("0000:03:00.0", 3, nasty).items():
        host.put(path, entry)
    plan = plan_attach(host, read_snapshot(host), ["0000:03:00.0"])
    assert any("cannot be shown" in one for one in refusals(plan))


def test_planning_reads_and_changes_nothing() -> None:
    host = tree()
    before = read_snapshot(host)
    plan_attach(host, before, [small_host.NIC])
    after = read_snapshot(host)
    assert (before.devices, before.groups) == (after.devices, after.groups)


def tree() -> TreeHost:
    return TreeHost(small_host.small_host())
