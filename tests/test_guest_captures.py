"""Archives that `make guest-captures` made, against those that were made by other means.

The machines are alike, not the same: what they have in common must read the same.
"""

import functools
from pathlib import Path

import pytest

from sdmtop.backends.base import open_host
from sdmtop.model import Device, Snapshot
from sdmtop.readers.snapshot import read_snapshot

TREES = Path(__file__).parent / "trees"
PAIRS = [
    ("guest-6.1-intel", "debian-6.1-intel-plain"),
    ("guest-6.12-intel-busy", "debian-6.12-intel-sdmdev"),
    ("guest-full-intel-scalable-busy", "lab-6.12-intel-debugfs"),
]
FACTS = ("bus", "parent", "path", "vendor", "device", "class_", "name", "numa_node", "iommu",
         "physfn")  # fmt: skip


@functools.cache
def captured(name: str) -> Snapshot:
    return read_snapshot(open_host(f"capture:{TREES / name}.tar.xz"))


def common(one: str, other: str) -> list[tuple[Device, Device]]:
    """The devices that are at the same address in both, and are the same."""
    found = {device.address: device for device in captured(other).devices}
    pairs = [(device, found[device.address]) for device in captured(one).devices
             if device.address in found]  # fmt: skip
    return [(ours, theirs) for ours, theirs in pairs if ours.device == theirs.device]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_most_devices_are_in_both(ours: str, theirs: str) -> None:
    assert len(common(ours, theirs)) >= 20


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("fact", FACTS)
def test_common_devices_have_the_same_facts(ours: str, theirs: str, fact: str) -> None:
    for one, other in common(ours, theirs):
        assert getattr(one, fact) == getattr(other, fact), one.address


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_common_devices_are_grouped_alike(ours: str, theirs: str) -> None:
    pairs = [pair for pair in common(ours, theirs) if pair[0].bus == "pci"]
    of_ours = {one.group: set[str]() for one, _ in pairs}
    of_theirs = {other.group: set[str]() for _, other in pairs}
    for one, other in pairs:
        of_ours[one.group].add(one.address)
        of_theirs[other.group].add(other.address)
    assert sorted(map(sorted, of_ours.values())) == sorted(map(sorted, of_theirs.values()))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_units_read_alike(ours: str, theirs: str) -> None:
    def facts(name: str) -> list[tuple[object, ...]]:
        return [(unit.name, unit.driver, unit.pasid, unit.pasid_bits, unit.domains_supported)
                for unit in captured(name).iommu_units]  # fmt: skip

    assert facts(ours) == facts(theirs)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_chips_of_interrupts_are_spelt_alike(ours: str, theirs: str) -> None:
    def chips(name: str) -> set[str]:
        return {row.chip.partition("-0000:")[0] for row in captured(name).interrupts if row.chip}

    assert chips(ours) == chips(theirs)


def test_the_machine_of_amd_has_one_unit_in_no_group() -> None:
    snapshot = captured("guest-6.1-amd")
    assert [(unit.name, unit.driver) for unit in snapshot.iommu_units] == [("ivhd0", "amd")]
    alone = [device.address for device in snapshot.devices if device.group is None]
    assert alone == ["0000:00:07.0"]


def test_behind_virtio_a_device_has_a_group_only_when_a_driver_has_probed_it() -> None:
    snapshot = captured("guest-6.12-virtio")
    assert [unit.driver for unit in snapshot.iommu_units] == ["virtio"]
    for device in snapshot.devices:
        assert device.group is not None or device.driver is None or device.iommu is None


def test_without_an_iommu_there_are_only_the_groups_of_mdevs() -> None:
    snapshot = captured("guest-6.12-none-busy")
    assert snapshot.iommu_units == ()
    assert {group.attached.type for group in snapshot.groups} == {"emulated"}
    assert len(snapshot.groups) == len(snapshot.sdmdevs) == 4


def test_a_full_kernel_lets_it_be_known_what_is_attached() -> None:
    snapshot = captured("guest-full-intel-scalable-busy")
    owned = [group for group in snapshot.groups if group.owner == "kernel"]
    assert len(owned) >= 10
    assert {(group.attached.type, group.attached.evidence) for group in owned} == {("DMA", "known")}
