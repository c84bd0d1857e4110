"""Groups that VFIO has, or could have: what is shown is what the kernel itself answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest.conftest import EVERY_KERNEL, group_with, snapshot_of
from tests.guest.eyes import glance
from tests.guest.scenes import holding
from tests.guest.topologies import BRIDGED_TESTDEV, NIC

if TYPE_CHECKING:
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]


@pytest.mark.parametrize("address", [NIC, BRIDGED_TESTDEV])
def test_a_group_is_viable_if_the_kernel_says_so(busy: Guest, address: str) -> None:
    group = group_with(glance(busy), address)
    answer = busy.python("tests.guest.inside.hold", str(group["id"]), "--only-status")
    assert answer.text == ("viable\n" if group["viable"] else "not viable\n")
    assert group["viable"] is (address == NIC)


def test_a_group_that_is_not_viable_names_the_drivers_in_the_way(busy: Guest) -> None:
    reason = group_with(glance(busy), BRIDGED_TESTDEV)["viability_reason"]
    assert "0000:06:03.0 is bound to e1000" in reason


def test_a_group_whose_one_device_is_on_vfio_pci_is_owned_by_vfio(busy: Guest) -> None:
    group = group_with(glance(busy), NIC)
    assert (group["owner"], group["attached"]) == (
        "vfio",
        {"type": group["domain_type"], "evidence": "inferred"},
    )


def test_a_claimed_group_is_attached_to_a_domain_of_its_holder(busy: Guest) -> None:
    id_ = group_with(glance(busy), NIC)["id"]
    with holding(busy, id_, "--device", NIC) as holder:
        snapshot = glance(busy)
        assert group_with(snapshot, NIC)["attached"] == {
            "type": "unmanaged",
            "evidence": "inferred",
        }
        (process,) = snapshot["processes"]
        assert process["pid"] == holder.pid
        assert f"/dev/vfio/{id_}" in process["holds"]


def test_an_unbind_that_waits_for_its_holder_leaves_reading_alive(busy: Guest) -> None:
    id_ = group_with(snapshot_of(busy), NIC)["id"]
    device = f"/sys/bus/pci/devices/{NIC}"
    with holding(busy, id_, "--device", NIC):
        unbind = busy.start("sh", "-c", f"echo {NIC} > {device}/driver/unbind")
        busy.run("sh", "-c", f"while [ -e {device}/driver ]; do sleep 0.02; done")
        snapshot = snapshot_of(busy)
        (entry,) = (e for e in snapshot["unknown"] if e["path"].endswith(f"{NIC}/driver"))
        assert entry["errno"] == "EBUSY"
        assert group_with(snapshot, NIC)["viable"] is None
        assert unbind.status is None
    assert unbind.wait().status == 0
