"""VFIO without an IOMMU, which only the full kernel offers: unsafe, and shown as that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest.conftest import group_with, snapshot_of
from tests.guest.kernels import FULL
from tests.guest.scenes import override
from tests.guest.topologies import NIC

if TYPE_CHECKING:
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", [(FULL, "none")], indirect=True, ids="-".join),
]


def test_a_group_without_an_iommu_is_not_viable_and_its_holder_is_named(guest: Guest) -> None:
    guest.run("modprobe", "vfio-pci")
    guest.write("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
    override(guest, NIC, "vfio-pci")
    group = group_with(snapshot_of(guest), NIC)
    node = f"/dev/vfio/noiommu-{group['id']}"
    assert (group["domain_type"], group["viable"]) == ("unknown", False)
    assert "unsafe noiommu mode" in group["viability_reason"]
    assert group["attached"] == {"type": None, "evidence": "unknown"}

    holder = guest.start("sh", "-c", f"exec 3<> {node}; echo holding; exec sleep 1000")
    holder.wait_for_output("holding")
    (process,) = snapshot_of(guest)["processes"]
    holder.kill()
    holder.wait()
    assert (process["pid"], process["holds"]) == (holder.pid, [node])
    override(guest, NIC, "e1000e")
