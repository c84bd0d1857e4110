"""What stock kernels are built without: the tables of Intel's units, iommufd, nodes of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest import witnesses
from tests.guest.conftest import FULL_KERNEL, group_with, queue_of, snapshot_of
from tests.guest.scenes import QUEUE, holding, holding_cdev
from tests.guest.topologies import NIC, VIRTIO_NIC

if TYPE_CHECKING:
    from tests.guest.conftest import Sight
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", FULL_KERNEL, indirect=True, ids="-".join),
]


def translated(guest: Guest) -> set[str]:
    """`grep`: the devices that have a row in the tables of the units (of segment 0)."""
    tables = "/sys/kernel/debug/iommu/intel/dmar_translation_struct"
    lines = witnesses.lines_of(guest, f"grep -o '^[0-9a-f]*:[0-9a-f]*\\.[0-7]' {tables}")
    return {f"0000:{line}" for line in lines}


def node_of(guest: Guest, device: str) -> str:
    """`ls`: the node of a device of VFIO, an mdev included."""
    names = guest.run("sh", "-c", f"ls /sys/bus/*/devices/{device}/vfio-dev").text.split()
    return f"/dev/vfio/devices/{names[-1]}"


def test_where_a_driver_has_a_device_its_domain_is_known_and_only_to_root(sight: Sight) -> None:
    assert sight.ask(translated) >= sight.ask(witnesses.pci_devices).keys()
    evidence = "inferred" if sight.ordinary else "known"
    for group in sight.snapshot["groups"]:
        if group["owner"] == "kernel":
            attached = {"type": group["domain_type"], "evidence": evidence}
            assert group["attached"] == attached, group["id"]
    refused = [entry for entry in sight.snapshot["unknown"] if "debug/iommu" in entry["path"]]
    assert [entry["errno"] for entry in refused] == ["EACCES"] * sight.ordinary


def test_a_group_on_its_identity_domain_is_known_to_pass_through(guest: Guest) -> None:
    driver = f"/sys/bus/pci/devices/{VIRTIO_NIC}/driver"
    virtio = "/sys/bus/pci/drivers/virtio-pci/bind"
    type_ = f"/sys/bus/pci/devices/{VIRTIO_NIC}/iommu_group/type"
    guest.write(f"{driver}/unbind", VIRTIO_NIC)
    guest.write(type_, "identity")
    guest.write(virtio, VIRTIO_NIC)
    group = group_with(snapshot_of(guest), VIRTIO_NIC)
    assert (group["domain_type"], group["owner"]) == ("identity", "kernel")
    assert group["attached"] == {"type": "identity", "evidence": "known"}
    guest.write(f"{driver}/unbind", VIRTIO_NIC)
    guest.write(type_, "auto")
    guest.write(virtio, VIRTIO_NIC)


def test_a_device_that_is_claimed_and_not_attached_is_known_to_be_blocked(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, NIC), "--bind"):
        assert NIC not in translated(busy)
        group = group_with(snapshot_of(busy), NIC)
        assert group["attached"] == {"type": "blocked", "evidence": "known"}


def test_a_device_in_an_address_space_of_its_holder_is_on_a_foreign_domain(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, NIC), "--attach"):
        assert NIC in translated(busy)
        group = group_with(snapshot_of(busy), NIC)
        assert (group["owner"], group["attached"]) == (
            "vfio", {"type": "unmanaged", "evidence": "inferred"}
        )  # fmt: skip
    group = group_with(snapshot_of(busy), NIC)
    assert group["attached"] == {"type": group["domain_type"], "evidence": "inferred"}


def test_who_holds_iommufd_and_the_node_of_a_device_is_named(busy: Guest) -> None:
    node = node_of(busy, NIC)
    with holding_cdev(busy, node, "--attach") as holder:
        (process,) = snapshot_of(busy)["processes"]
        assert process["pid"] == holder.pid
        assert process["holds"] == ["/dev/iommu", f"{node} {NIC}"]


def test_a_mapping_of_a_node_tells_which_device_it_is_of(busy: Guest) -> None:
    node = node_of(busy, NIC)
    with holding_cdev(busy, node, "--only-mmap") as holder:
        snapshot = snapshot_of(busy)
        (process,) = snapshot["processes"]
        assert (process["pid"], process["holds"]) == (holder.pid, [f"{node} (mmap) {NIC}"])
        assert queue_of(snapshot, QUEUE)["state"] == "orphan"


def test_a_device_that_was_opened_through_its_group_is_named_by_the_kernel(busy: Guest) -> None:
    group = group_with(snapshot_of(busy), NIC)["id"]
    with holding(busy, group, "--device", NIC):
        (process,) = snapshot_of(busy)["processes"]
        assert f"anon_inode:[vfio-device] {NIC}" in process["holds"]


def test_a_queue_that_is_bound_through_its_node_has_started(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, QUEUE), "--bind") as holder:
        queue = queue_of(snapshot_of(busy), QUEUE)
        assert (queue["state"], queue["holders"]) == ("started", [holder.pid])
        assert queue["params"] == {"pid": str(holder.pid)}
    assert queue_of(snapshot_of(busy), QUEUE)["state"] == "orphan"
