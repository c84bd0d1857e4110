"""The lines of the tree, and their columns."""

from typing import Any

import pytest

from sdmtop.model import DevicePasid, Process, Snapshot, Unknown
from sdmtop.outline import NO_DEVICE
from sdmtop.report import outline
from tests.records import device, group, queue, snapshot

NIC = "0000:02:00.0"
UUID = "5d3de000-0000-4000-8000-000000000001"
QEMU = Process(pid=42, name="qemu-system-x86", user="root", holds=("/dev/vfio/7",))
BLIND = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds devices")


def cells_of(snap: Snapshot, key: str) -> tuple[str, ...]:
    tree = outline(snap)
    (line,) = [line for line in tree.lines() if line.key == key]
    return tree.core(line)


def passed_through(**fields: Any) -> Snapshot:
    nic = device(NIC, group=7, driver="vfio-pci")
    return snapshot(groups=[group(7, NIC, owner="vfio", viable=True)], devices=[nic], **fields)


def test_a_group_shows_who_holds_it_with_the_pid_first() -> None:
    assert cells_of(passed_through(processes=[QEMU]), "group/7")[3] == "42 qemu-system-x86"


def test_several_holders_are_the_first_and_how_many_more() -> None:
    other = Process(pid=50, name="dpdk", user="root", holds=("/dev/vfio/7",))
    assert cells_of(passed_through(processes=[QEMU, other]), "group/7")[3] == "42 +1"


def test_a_group_of_vfio_that_nobody_holds_says_so() -> None:
    assert cells_of(passed_through(), "group/7")[3] == "-"


def test_a_group_whose_holder_cannot_be_told_says_so() -> None:
    assert cells_of(passed_through(unknown=[BLIND]), "group/7")[3] == "?"


def test_a_group_of_the_kernel_says_nothing_of_holders() -> None:
    snap = snapshot(groups=[group(7, NIC)], devices=[device(NIC)], unknown=[BLIND])
    assert cells_of(snap, "group/7")[3] == ""


def test_a_device_whose_unbind_waits_is_stuck_and_its_group_is_not_free() -> None:
    nic = device(NIC, group=7)
    waits = Unknown(path=f"{nic.path}/driver", errno="EBUSY", what="driver")
    reason = f"cannot tell the driver of {NIC}"
    undecided = group(7, NIC, owner="free", viable=None, viability_reason=reason)
    snap = snapshot(groups=[undecided], devices=[nic], unknown=[waits])
    assert cells_of(snap, NIC)[1:3] == ("?", "stuck")
    assert cells_of(snap, "group/7")[2] == "?"


def test_a_virtual_function_is_bound_or_unbound_like_any_device() -> None:
    bound = device(NIC, driver="vfio-pci", physfn="0000:02:00.1", name="NIC")
    assert cells_of(snapshot(devices=[bound]), NIC)[2] == "bound"
    assert cells_of(snapshot(devices=[bound]), NIC)[5] == "VF of 02:00.1, NIC"
    assert cells_of(snapshot(devices=[device(NIC, physfn="0000:02:00.1")]), NIC)[2] == "unbound"


def test_a_queue_whose_device_is_not_known_has_a_heading_of_its_own() -> None:
    snap = snapshot(devices=[device(NIC)], sdmdevs=[queue(UUID), queue("wq0.0", parent=None)])
    lines = list(outline(snap).lines())
    assert [line.key for line in lines[2:]] == [NO_DEVICE, UUID, "wq0.0"]
    assert cells_of(snap, NO_DEVICE)[0] == "no known device"


def chosen(snap: Snapshot, key: str, *names: str) -> tuple[str, ...]:
    tree = outline(snap, names)
    (line,) = [line for line in tree.lines() if line.key == key]
    return tree.cells(line, tree.core(line))[1:]


def test_other_columns_can_be_chosen_in_any_order() -> None:
    pasid = DevicePasid(capable=True, enabled=False, max=8)
    nic = device(NIC, group=7, driver="vfio-pci", numa_node=1, iommu="dmar0", irqs=(40, 41),
                 driver_override="vfio-pci", pasid=pasid)  # fmt: skip
    mine = queue(UUID, parent=NIC, pasid=3)
    snap = snapshot(
        groups=[group(7, NIC, owner="vfio", viable=True)], devices=[nic], sdmdevs=[mine]
    )
    names = ("numa", "state", "iommu", "id", "irqs", "override", "pasid")
    assert chosen(snap, NIC, *names) == (
        "1", "bound", "dmar0", "8086:10d3", "2", "vfio-pci", "off"
    )  # fmt: skip
    assert chosen(snap, "group/7", "viable", "attached", "numa") == ("yes", "DMA", "")
    assert chosen(snap, UUID, "pasid", "numa") == ("3", "")


def test_what_is_not_there_is_a_dash_in_a_column_that_was_chosen() -> None:
    names = ("numa", "iommu", "irqs", "override", "pasid")
    assert set(chosen(snapshot(devices=[device(NIC)]), NIC, *names)) == {"-"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Huawei Technologies Co., Ltd. HiSilicon ZIP Engine", "Huawei HiSilicon ZIP Engine"),
        ("Intel Corporation I350 Gigabit Network", "Intel I350 Gigabit Network"),
        ("Red Hat, Inc. QEMU PCIe Root port", "Red Hat QEMU PCIe Root port"),
        ("Advanced Micro Devices, Inc. [AMD] Starship", "Advanced Micro Devices [AMD] Starship"),
        ("Technology Ltd.", "Technology Ltd."),
    ],
)
def test_of_a_maker_the_name_is_told_and_not_what_kind_of_company_it_is(
    name: str, shown: str
) -> None:
    assert cells_of(snapshot(devices=[device(NIC, name=name)]), NIC)[-1] == shown
