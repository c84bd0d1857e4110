"""Whose domain an sdmdev uses: sdmdev.md sections 5 (attach), 6 (detach) and 9 (the rules)."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.pasids import Pasids
from sdmtop.backends.simulator.processes import Process
from sdmtop.vfio import TYPE1, TYPE1V2, Container, Group
from tests.backends.simulator.machines import (
    GROUPS,
    PARENT,
    PCI,
    SECOND_PARENT,
    SIBLING,
    Other,
    claim,
    create,
    group_of,
    group_of_mdev,
    hold,
    machine,
    parents,
    refused,
    text,
    to_vfio,
    uuid,
    write,
)

if TYPE_CHECKING:
    from sdmtop.backends.simulator.host import SimulatorHost
    from sdmtop.backends.simulator.iommu import Group as IommuGroup

BESIDES = f"""
[[device]]
address = "{SIBLING}"
unit = "smmu3.0x1"
driver = "nvme"
"""


def share(host: SimulatorHost, number: int, parent: str = PARENT) -> tuple[Container, Group]:
    """Make an sdmdev, and attach its group to a container of its own."""
    return claim(host, group_of_mdev(host, create(host, number, parent)))


def parent_group(host: SimulatorHost, parent: str = PARENT) -> IommuGroup:
    return host.kernel.iommu.groups[group_of(host, parent)]


# -- section 5: attach -----------------------------------------------------------------------------


def test_a_group_that_is_in_the_container_already_is_refused() -> None:
    host = parents()
    container, group = share(host, 1)
    with refused(errno.EINVAL, "in a container already"):
        group.set_container(container)
    iommu = host.kernel.vfio.groups[group_of_mdev(host, uuid(1))].container
    assert iommu is not None
    assert iommu.iommu is not None
    with refused(errno.EINVAL, "attached to this container already"):
        iommu.iommu.attach(iommu.groups[0], host.kernel.processes.own)


def test_an_ordinary_mdev_needs_no_domain_at_all() -> None:
    host = machine(
        'title = "t"\n[[unit]]\nname = "dmar0"\n[[device]]\naddress = "0000:00:02.0"\n'
        'unit = "dmar0"\ndriver = "mtty"\ninstances = 2\nmdev_type = [{ id = "1" }]\n'
    )
    type_ = f"{PCI}/0000:00:02.0/mdev_supported_types/mtty-1"
    write(host, f"{type_}/create", uuid(1))
    container, _ = claim(host, group_of_mdev(host, uuid(1)))
    memory = host.memory(4096)
    container.map(memory, 0)
    group = parent_group(host, "0000:00:02.0")
    assert not group.shares
    assert host.kernel.processes.own.pinned == 0
    # No IOMMU is behind it: any IOVA will do, and no range is told.
    assert container.ranges() == ()


def test_a_parent_without_a_group_has_no_domain_to_share() -> None:
    host = parents(unit="")
    with refused(errno.ENODEV, "has no IOMMU group"):
        share(host, 1)


def test_sdmdevs_of_one_group_must_have_parents_of_one_group() -> None:
    host = parents()
    first, second = create(host, 1), create(host, 2, SECOND_PARENT)
    mdevs = host.kernel.mdev.bus.devices
    # Cannot happen by sysfs alone: a driver would have to put them there.
    host.kernel.iommu.leave(mdevs[second])
    group = mdevs[first].group
    assert group is not None
    host.kernel.iommu.join(group, mdevs[second])
    with refused(errno.ENODEV, "sit in different groups"):
        claim(host, str(group.id))
    assert not parent_group(host).shares


def test_sharing_counts_and_is_seen_as_sharing() -> None:
    host = parents()
    _, group = share(host, 1)
    assert len(parent_group(host).shares) == 1
    share(host, 2)
    assert len(parent_group(host).shares) == 2
    group.close()
    assert len(parent_group(host).shares) == 1


@pytest.mark.parametrize(
    ("bus", "number", "reason"),
    [(None, errno.ENODEV, "on no bus"), ("platform", errno.EINVAL, "different buses")],
)
def test_every_device_of_the_parents_group_must_be_on_one_bus(
    bus: str | None, number: int, reason: str
) -> None:
    host = parents(
        unit='unit = "smmu3.0x1"\ngroup = "both"',
        more='[[device]]\naddress = "other.0"\nbus = "platform"\nunit = "smmu3.0x1"\n',
    )
    stranger = host.kernel.find("other.0")
    host.kernel.iommu.leave(stranger)
    host.kernel.iommu.join(parent_group(host), stranger)
    if bus is None:
        stranger.bus = None  # type: ignore[assignment]
    with refused(number, reason):
        share(host, 1)
    assert not parent_group(host).shares


def test_a_shared_domain_is_never_merged_and_gets_what_is_mapped_already() -> None:
    host = parents()
    container, _ = share(host, 1)
    memory = host.memory(8192)
    container.map(memory, 0x10_0000)
    second = Group.open(host, f"/dev/vfio/{group_of_mdev(host, create(host, 2, SECOND_PARENT))}")
    second.set_container(container)
    one, other = (parent_group(host, parent).domain for parent in (PARENT, SECOND_PARENT))
    assert one is not other
    for domain in (one, other):
        assert domain is not None
        assert [hex(m.iova) for m in domain if not isinstance(m.owner, str)] == ["0x100000"]


def test_a_replay_that_fails_gives_the_share_back() -> None:
    host = parents()
    container, _ = share(host, 1)
    ring = next(iter(parent_group(host, SECOND_PARENT).domain or ()))
    memory = host.memory(4096)
    moved = ring.iova - 0x100_0000
    # What the second parent's driver has mapped stands where the container has something.
    domain = parent_group(host, SECOND_PARENT).domain
    assert domain is not None
    domain.unmap(ring.iova)
    domain.map(ring._replace(iova=moved))
    container.map(memory, moved)
    second = Group.open(host, f"/dev/vfio/{group_of_mdev(host, create(host, 2, SECOND_PARENT))}")
    with refused(errno.EINVAL, "kernel driver"):
        second.set_container(container)
    assert not parent_group(host, SECOND_PARENT).shares
    assert not second.status().in_container
    assert [mapping.iova for mapping in domain] == [moved]


def test_an_own_domain_is_merged_with_one_that_is_alike() -> None:
    host = parents()
    container, _ = claim(host, to_vfio(host, PARENT))
    second = Group.open(host, f"/dev/vfio/{to_vfio(host, SECOND_PARENT)}")
    second.set_container(container)
    domains = {parent_group(host, parent).domain for parent in (PARENT, SECOND_PARENT)}
    (domain,) = domains
    assert domain is not None
    assert domain.kind == "unmanaged"


def test_no_domain_left_is_eio() -> None:
    host = parents()
    host.kernel.iommu.out_of_domains = True
    with refused(errno.EIO, "no domain left"):
        claim(host, to_vfio(host, PARENT))
    # What was opened is still ours: closing gives it back.
    host.close()
    assert parent_group(host).owner is None


def test_a_group_that_is_not_on_its_default_domain_cannot_be_attached_elsewhere() -> None:
    host = parents()
    group = parent_group(host)
    domain = host.kernel.iommu.domain("unmanaged")
    group.attach(domain)
    with refused(errno.EBUSY):
        group.attach(host.kernel.iommu.domain("unmanaged"))
    assert group.domain is domain


def test_interrupts_must_be_remapped_unless_unsafe_ones_are_allowed() -> None:
    host = machine(
        'title = "t"\n[[unit]]\nname = "dmar0"\nremapping = false\n[[device]]\n'
        f'address = "{PARENT}"\nunit = "dmar0"\n'
    )
    group = to_vfio(host, PARENT)
    with refused(errno.EPERM, "does not remap interrupts"):
        claim(host, group)
    assert b"No interrupt remapping support" in host.kernel_log()[-1]
    host.kernel.processes.own.close(3)
    host.kernel.processes.own.close(4)
    write(host, "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "1")
    claim(host, group)


# -- section 6: detach -----------------------------------------------------------------------------


def test_the_last_detach_unmaps_and_unpins_and_leaves_the_domain_to_the_parent() -> None:
    host = parents()
    container, group = share(host, 1)
    container.map(host.memory(8192), 0x10_0000)
    domain = parent_group(host).domain
    assert host.kernel.processes.own.pinned == 8192
    group.unset_container()
    assert parent_group(host).domain is domain
    assert domain is not None
    assert all(isinstance(mapping.owner, str) for mapping in domain)
    assert host.kernel.processes.own.pinned == 0
    assert not parent_group(host).shares
    group.set_container(container)
    container.set_iommu(TYPE1)
    assert container.unmap(0x10_0000, 8192) == 0


def test_what_is_undone_in_one_domain_stays_in_the_others() -> None:
    host = parents()
    container, _ = share(host, 1)
    second = Group.open(host, f"/dev/vfio/{group_of_mdev(host, create(host, 2, SECOND_PARENT))}")
    second.set_container(container)
    container.map(host.memory(4096), 0x10_0000)
    second.unset_container()
    kept, undone = (parent_group(host, parent).domain for parent in (PARENT, SECOND_PARENT))
    assert kept is not None
    assert undone is not None
    assert len([*kept]) == 2
    assert len([*undone]) == 1
    assert host.kernel.processes.own.pinned == 4096


def test_a_container_that_is_closed_detaches_everything() -> None:
    host = parents()
    container, group = share(host, 1)
    container.map(host.memory(4096), 0x10_0000)
    container.close()
    # Its group still has it.
    assert parent_group(host).shares
    group.close()
    assert not parent_group(host).shares
    assert host.kernel.processes.own.pinned == 0
    assert len([*(parent_group(host).domain or ())]) == 1


# -- section 9: the rules --------------------------------------------------------------------------


@pytest.mark.parametrize("domain_type", ["DMA", "DMA-FQ"])
def test_without_pasids_one_process_shares_a_translated_domain(domain_type: str) -> None:
    host = parents(domain_type=domain_type)
    share(host, 1)
    share(host, 2)
    other = Other(host)
    group = group_of_mdev(host, create(host, 3))
    with refused(errno.EBUSY, r"shared by sdmtop \(pid 4242\) already"):
        other.claim(group)
    host.close()
    other.end()
    assert Other(host, 900).claim(group)


def test_user_iovas_must_keep_off_the_kernels_and_reserved_ones() -> None:
    host = parents(more=BESIDES)
    container, _ = share(host, 1)
    memory = host.memory(4096)
    with refused(errno.EINVAL, "kernel driver's in the domain that group"):
        container.map(memory, 0xFFFF_0000)
    with refused(errno.EINVAL, "reserved"):
        container.map(memory, 0x0800_0000)
    with refused(errno.EINVAL, "beyond"):
        container.map(memory, 1 << 48)
    assert host.kernel.processes.own.pinned == 0


def test_with_pasids_each_process_has_its_own_and_the_kernel_none() -> None:
    host = parents(pasid_bits=8)
    container, _ = share(host, 1)
    other = Other(host)
    theirs = other.claim(group_of_mdev(host, create(host, 2)))
    container.map(host.memory(4096), 0x10_0000)
    group = parent_group(host)
    assert {pasid: table.process for pasid, table in group.pasids.items()} == {
        1: host.kernel.processes.own,
        2: other.process,
    }
    assert {table.kind for table in group.pasids.values()} == {"SVA"}
    assert group.domain is group.default
    assert len([*group.pasids[1]]) == 1
    assert not [*group.pasids[2]]
    argument = bytearray(struct.pack("IIIIi", 20, 1, 0, 0, 0))
    other.ioctl(theirs, uapi.IOMMU_BIND, argument)
    assert struct.unpack("IIIIi", argument)[3] == 2


def test_with_pasids_the_kernels_addresses_are_no_concern() -> None:
    host = parents(pasid_bits=8)
    container, _ = share(host, 1)
    container.map(host.memory(4096), 0xFFFF_0000)


def test_an_untranslated_domain_can_be_shared_with_pasids_only() -> None:
    with refused(errno.EINVAL, "IDENTITY: not a paging domain"):
        share(parents(domain_type="identity"), 1)
    host = parents(domain_type="identity", pasid_bits=8)
    share(host, 1)
    group = parent_group(host)
    assert group.domain is not None
    assert group.domain.kind == "identity"
    assert [*group.pasids] == [1]


@pytest.mark.parametrize("bits", [0, 8])
def test_a_domain_that_somebody_has_through_vfio_cannot_be_shared(bits: int) -> None:
    host = parents(pasid_bits=bits, unit='unit = "smmu3.0x1"\ngroup = "both"')
    name = create(host, 1)
    group = parent_group(host)
    # The parent keeps its driver, so only a driver of another kind of VFIO could do this.
    group.drivers = 0
    Other(host)
    holder = Other(host, 813)
    group.claim("qemu (pid 812) through VFIO")
    group.attach(host.kernel.iommu.domain("unmanaged"))
    with refused(errno.EINVAL, r"UNMANAGED: held by qemu \(pid 812\) through VFIO"):
        holder.claim(group_of_mdev(host, name))
    group.detach()
    with refused(errno.EINVAL, "BLOCKED"):
        Other(host, 814).claim(group_of_mdev(host, create(host, 2)))


def test_while_it_is_shared_nobody_moves_the_group() -> None:
    host = parents()
    _, opened = share(host, 1)
    group = parent_group(host)
    with refused(errno.EBUSY, "shared by sdmtop"):
        group.attach(host.kernel.iommu.domain("unmanaged"))
    for word in ("identity", "DMA", "DMA-FQ", "auto"):
        with refused(errno.EBUSY, "shared by sdmtop"):
            write(host, f"{GROUPS}/{group.id}/type", word)
    before = group.domain
    group.detach()
    assert group.domain is before
    opened.close()
    write(host, f"{GROUPS}/{group.id}/type", "DMA-FQ")
    assert text(host, f"{GROUPS}/{group.id}/type") == "DMA-FQ"


def test_vfio_on_the_parent_and_its_sdmdevs_exclude_each_other() -> None:
    host = parents()
    hold(host, PARENT)
    with refused(errno.ENOENT):
        create(host, 1)
    host = parents()
    share(host, 1)
    write(host, f"{PCI}/{PARENT}/driver_override", "vfio-pci")
    unbind = host.write(f"{PCI}/{PARENT}/driver/unbind", PARENT.encode())
    assert not unbind.wait(5)


def test_a_process_that_dies_gives_back_its_share_and_its_pasid() -> None:
    host = parents(pasid_bits=8)
    other = Other(host)
    other.claim(group_of_mdev(host, create(host, 1)))
    assert host.kernel.pasids.by_number
    other.end()
    assert not parent_group(host).shares
    assert not parent_group(host).pasids
    assert not host.kernel.pasids.by_number


def test_pasids_can_run_out() -> None:
    host = parents(pasid_bits=1)
    share(host, 1)
    with refused(errno.ENOSPC, "all 1 PASIDs are taken"):
        Other(host).claim(group_of_mdev(host, create(host, 2)))
    assert len(parent_group(host).shares) == 1
    assert TYPE1V2 == 3


def test_a_narrow_device_gets_a_low_pasid_that_is_free() -> None:
    pasids = Pasids()
    wide = [Process(100 + number, "wide") for number in range(20)]
    for process in wide:
        pasids.allocate(process, 16)
    with refused(errno.ENOSPC, "all 15 PASIDs are taken"):
        pasids.allocate(Process(200, "narrow"), 4)
    pasids.free(wide[2])
    assert pasids.allocate(Process(200, "narrow"), 4) == 3
