"""The type1 IOMMU of a container: which domains its groups use, and what is mapped in all of them.

As `drivers/vfio/vfio_iommu_type1.c`, with the 2018 series' way to attach a group of sdmdevs: it
shares the domain of the parent's group (sdmdev.md sections 5 and 6).
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.iommu import Domain, Mapping
from sdmtop.backends.simulator.processes import PAGE
from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from sdmtop.backends.simulator.iommu import Group, Unit
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.vfio import VfioGroup

PAGE_SIZES = 0x4020_1000
EMULATED_PAGE_SIZES = 0xFFFF_FFFF_FFFF_F000
_LAST = (1 << 64) - 1


class Dma:
    """A mapping that the container was asked for. `pinned` says whether it counts as locked."""

    def __init__(self, iova: int, view: memoryview, process: Process, protection: int) -> None:
        self.iova = iova
        self.view = view
        self.process = process
        self.readable = bool(protection & uapi.MAP_READ)
        self.writable = bool(protection & uapi.MAP_WRITE)
        self.pinned = False

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.view)

    @property
    def end(self) -> int:
        """The first IOVA behind it."""
        return self.iova + self.size


class ContainerDomain:
    """A domain of the container, and its groups there.

    `parent` is the group whose domain it is, for one that is only shared; `pasid` the PASID that
    it has there. A table of a PASID alone is of no group.
    """

    def __init__(
        self,
        domain: Domain,
        group: VfioGroup | None,
        *,
        coherent: bool,
        parent: Group | None = None,
        pasid: int | None = None,
    ) -> None:
        self.domain = domain
        self.groups = [group] if group is not None else []
        self.coherent = coherent
        self.parent = parent
        self.pasid = pasid


class Type1:
    """See `Container.iommu`. `model` is what SET_IOMMU has asked for."""

    def __init__(self, kernel: Kernel, model: int) -> None:
        self._kernel = kernel
        self.model = model
        self.domains: list[ContainerDomain] = []
        self.emulated: list[VfioGroup] = []
        """Groups of ordinary mdevs: no IOMMU domain at all (`external_domain`)."""
        self.dmas: dict[int, Dma] = {}

    @property
    def is_coherent(self) -> bool:
        """Whether all its DMA is coherent with the CPU's caches."""
        return bool(self.domains) and all(one.coherent for one in self.domains)

    # -- attach ----------------------------------------------------------------------------------

    def attach(self, group: VfioGroup, process: Process) -> None:
        """Attach a group, in the order of sdmdev.md section 5; nothing is changed by a refusal."""
        if group in self.emulated or any(group in one.groups for one in self.domains):
            raise refusal(
                errno.EINVAL, f"group {group.group.id} is attached to this container already"
            )
        if group.is_noiommu:
            self.emulated.append(group)
            return
        if group.group.unit is not None:
            self._attach_own(group, group.group.unit)
            return
        parents = {device.shares_with for device in group.group.devices.values()}
        if parents == {None}:
            self.emulated.append(group)
            return
        parent_groups = {parent.group if parent is not None else None for parent in parents}
        parent = parent_groups.pop()
        if parent is None or parent_groups:
            what = "sit in different groups" if parent_groups else "has no IOMMU group"
            raise refusal(errno.ENODEV, f"the parent of group {group.group.id}'s devices {what}")
        self._attach_shared(group, parent, process)

    def _attach_shared(self, group: VfioGroup, parent: Group, process: Process) -> None:
        """Share the domain of the parent's group; with PASIDs, use a table of its own there."""
        domain = parent.share(group, process)
        try:
            buses = {device.bus for device in parent.devices.values()}
            if None in buses:
                raise refusal(errno.ENODEV, f"a device of group {parent.id} is on no bus")
            if len(buses) > 1:
                raise refusal(
                    errno.EINVAL, f"the devices of group {parent.id} are on different buses"
                )
            pasid = None
            if parent.has_pasids:
                pasid = self._kernel.pasids.allocate(process, parent.pasid_bits)
                domain = self._kernel.iommu.bind_pasid(parent, pasid, process, group)
                if any(device.walks_page_table for device in group.devices):
                    domain.fallback = process.memory
            found = ContainerDomain(
                domain, group, coherent=parent.is_coherent, parent=parent, pasid=pasid
            )
            try:
                self._replay(found)
            except OSError:
                self._let_go_pasid(found)
                raise
        except OSError:
            parent.unshare(group)
            raise
        self.domains.append(found)

    def _let_go_pasid(self, found: ContainerDomain) -> None:
        if found.parent is not None and found.pasid is not None:
            self._kernel.iommu.unbind_pasid(found.parent, found.pasid, found.groups[0])

    def _attach_own(self, group: VfioGroup, unit: Unit) -> None:
        """A domain of the container's own: an unmanaged one, merged with one that is alike."""
        iommu_group = group.group
        if self._kernel.iommu.out_of_domains:
            raise refusal(errno.EIO, "the IOMMU has no domain left")
        for dma in self.dmas.values():
            self._check_iova(dma.iova, dma.size, (iommu_group,))
        if not unit.remapping and not self._kernel.vfio.allow_unsafe_interrupts:
            self._kernel.log.say(
                "vfio_iommu_type1_attach_group: No interrupt remapping support.  Use the module "
                'param "allow_unsafe_interrupts" to enable VFIO IOMMU support on this platform', 4
            )  # fmt: skip
            raise refusal(errno.EPERM, f"{unit.name} does not remap interrupts")
        for found in self.domains:
            if found.parent is None and self._is_alike(found, unit):
                iommu_group.attach(found.domain)
                found.groups.append(group)
                return
        found = ContainerDomain(
            self._kernel.iommu.domain("unmanaged"), group, coherent=unit.coherent
        )
        iommu_group.attach(found.domain)
        try:
            self._replay(found)
        except OSError:
            iommu_group.detach()
            raise
        self.domains.append(found)

    @staticmethod
    def _is_alike(found: ContainerDomain, unit: Unit) -> bool:
        other = found.groups[0].group.unit
        return other is not None and other.driver == unit.driver and found.coherent == unit.coherent

    def attach_pasid(self, group: Group, pasid: int, process: Process) -> None:
        """Attach one PASID of a group (iommufd): a table of its own beside what is attached."""
        table = self._kernel.iommu.bind_pasid(group, pasid, process, self)
        found = ContainerDomain(table, None, coherent=group.is_coherent, parent=group, pasid=pasid)
        try:
            self._replay(found)
        except OSError:
            self._kernel.iommu.unbind_pasid(group, pasid, self)
            raise
        self.domains.append(found)

    def detach_pasid(self, group: Group, pasid: int) -> None:
        """Take it away again; nothing happens where it is not attached."""
        for found in self.domains:
            if not found.groups and (found.parent, found.pasid) == (group, pasid):
                self.domains.remove(found)
                found.domain.unmap_all(self)
                self._kernel.iommu.unbind_pasid(group, pasid, self)
                break
        if not self.domains:
            self._unpin_all()

    def _replay(self, found: ContainerDomain) -> None:
        """Map in a new domain what the container has mapped already; all of it or nothing."""
        for dma in self.dmas.values():
            self._check_free(found, dma.iova, dma.size)
        unpinned: dict[Process, int] = {}
        for dma in self.dmas.values():
            if not dma.pinned:
                unpinned[dma.process] = unpinned.get(dma.process, 0) + dma.size
        charged: list[tuple[Process, int]] = []
        for process, size in unpinned.items():
            try:
                process.pin(size)
            except OSError:
                for other, given in charged:
                    other.unpin(given)
                raise
            charged.append((process, size))
        for dma in self.dmas.values():
            dma.pinned = True
            self._map_in(found, dma)

    # -- detach ----------------------------------------------------------------------------------

    def detach(self, group: VfioGroup, *, keep: bool = False) -> None:
        """Detach a group; a domain that is shared is not freed, but rid of what is ours.

        With the last group go the mappings, unless it is an iommufd's address space (`keep`).
        """
        if group in self.emulated:
            self.emulated.remove(group)
            if not self.emulated and not self.domains and not keep:
                self.unmap_everything()
            return
        found = next((one for one in self.domains if group in one.groups), None)
        if found is None:
            return
        found.groups.remove(group)
        if found.parent is None:
            group.group.detach()
        if found.groups:
            return
        self.domains.remove(found)
        if not any(one.domain is found.domain for one in self.domains):
            found.domain.unmap_all(self)
        if found.parent is not None:
            if found.pasid is not None:
                self._kernel.iommu.unbind_pasid(found.parent, found.pasid, group)
            found.parent.unshare(group)
        if self.domains:
            return
        self._unpin_all()
        if not self.emulated and not keep:
            self.dmas.clear()

    def detach_all(self) -> None:
        """Detach every group, as when an attach of several has failed."""
        for group in [*self.emulated, *(g for one in self.domains for g in one.groups)]:
            self.detach(group)

    def _unpin_all(self) -> None:
        for dma in self.dmas.values():
            if dma.pinned:
                dma.process.unpin(dma.size)
                dma.pinned = False

    def unmap_everything(self) -> None:
        """Forget all mappings: nothing is attached any more."""
        self._unpin_all()
        self.dmas.clear()

    # -- commands --------------------------------------------------------------------------------

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int:
        """The commands of a container with an IOMMU."""
        if request == uapi.IOMMU_GET_INFO:
            return self._get_info(argument)
        if request == uapi.IOMMU_MAP_DMA:
            argsz, flags, address, iova, size = uapi.unpack(argument, "IIQQQ")
            if argsz < 32 or flags & ~(uapi.MAP_READ | uapi.MAP_WRITE):
                raise refusal(errno.EINVAL, "argsz is too small, or a flag is not known")
            self.map(process, address, iova, size, flags)
            return 0
        if request == uapi.IOMMU_UNMAP_DMA:
            argsz, flags, iova, size = uapi.unpack(argument, "IIQQ")
            if argsz < 24 or flags & ~uapi.UNMAP_FLAG_ALL:
                raise refusal(errno.EINVAL, "argsz is too small, or a flag is not known")
            done = self.unmap(iova, size, everything=bool(flags & uapi.UNMAP_FLAG_ALL))
            uapi.pack(argument, "IIQQ", argsz, flags, iova, done)
            return 0
        if request == uapi.IOMMU_BIND:
            return self._bind(process, argument)
        raise refusal(errno.ENOTTY, "a container has no such command")

    def map(self, process: Process, address: int, iova: int, size: int, protection: int) -> None:
        """MAP_DMA."""
        if not protection:
            raise refusal(errno.EINVAL, "a mapping is for reading, writing or both")
        if not size or (size | iova | address) % PAGE:
            raise refusal(
                errno.EINVAL, "address, IOVA and size are multiples of a page, and not nothing"
            )
        if iova + size - 1 > _LAST or address + size - 1 > _LAST:
            raise refusal(errno.EINVAL, "it wraps around")
        other = self._overlapping(iova, size)
        if other is not None:
            raise refusal(errno.EEXIST, f"{other.iova:#x} is mapped already")
        if len(self.dmas) >= self._kernel.vfio.dma_entry_limit:
            raise refusal(errno.ENOSPC, f"the container has {len(self.dmas)} mappings, its limit")
        self._check_iova(iova, size, tuple(group.group for one in self.domains
                                           for group in one.groups))  # fmt: skip
        for found in self.domains:
            self._check_free(found, iova, size)
        dma = Dma(iova, process.memory.at(address, size), process, protection)
        if self.domains:
            process.pin(size)
            dma.pinned = True
        self.dmas[iova] = dma
        for found in self.domains:
            self._map_in(found, dma)

    def unmap(self, iova: int, size: int, *, everything: bool = False) -> int:
        """UNMAP_DMA; how many bytes were unmapped. Raises EINVAL for a part of a mapping."""
        if everything:
            if iova or size:
                raise refusal(errno.EINVAL, "to unmap all, IOVA and size are 0")
            size = _LAST
        elif not size or (size | iova) % PAGE or iova + size - 1 > _LAST:
            raise refusal(errno.EINVAL, "IOVA and size are multiples of a page, and not nothing")
        for edge in (iova, iova + size - 1):
            cut = self._overlapping(edge, 1)
            if cut is not None and self.model != uapi.TYPE1 and (
                cut.iova < iova or cut.end > iova + size
            ):  # fmt: skip
                raise refusal(errno.EINVAL, f"the mapping at {cut.iova:#x} would be cut in two")
        gone = [dma for dma in self.dmas.values() if iova <= dma.iova < iova + size]
        for dma in gone:
            self._unmap_one(dma)
        return sum(dma.size for dma in gone)

    def _unmap_one(self, dma: Dma) -> None:
        for domain in {one.domain for one in self.domains}:
            domain.unmap(dma.iova)
        if dma.pinned:
            dma.process.unpin(dma.size)
        del self.dmas[dma.iova]

    def _overlapping(self, iova: int, size: int) -> Dma | None:
        for dma in self.dmas.values():
            if dma.iova < iova + size and iova < dma.end:
                return dma
        return None

    def _check_iova(self, iova: int, size: int, groups: tuple[Group, ...]) -> None:
        """Raise EINVAL for IOVAs that one of these groups cannot have."""
        for group in groups:
            if group.unit is not None and iova + size - 1 > group.unit.last_iova:
                raise refusal(
                    errno.EINVAL, f"{iova + size - 1:#x} is beyond what {group.unit.name} maps"
                )
            for region in group.reserved:
                if region.type != "direct-relaxable" and iova <= region.end and (
                    region.start < iova + size
                ):  # fmt: skip
                    raise refusal(
                        errno.EINVAL,
                        f"{region.start:#x} to {region.end:#x} is reserved ({region.type}) "
                        f"in group {group.id}",
                    )

    def _check_free(self, found: ContainerDomain, iova: int, size: int) -> None:
        """Raise EINVAL where a shared domain has something else there."""
        if found.parent is None:
            return
        self._check_iova(iova, size, (found.parent,))
        other = found.domain.overlapping(iova, size)
        if other is not None and other.owner is not self:
            whose = "the kernel driver's" if isinstance(other.owner, str) else "another container's"
            raise refusal(
                errno.EINVAL,
                f"{other.iova:#x} is {whose} in the domain that group {found.parent.id} shares",
            )

    def _map_in(self, found: ContainerDomain, dma: Dma) -> None:
        """Map it in a domain, unless another group of the container has shared that one already."""
        if found.domain.overlapping(dma.iova, dma.size) is None:
            found.domain.map(Mapping(dma.iova, dma.view, dma.readable, dma.writable, self))

    def _bind(self, process: Process, argument: int | bytearray) -> int:
        """VFIO_IOMMU_BIND: tell a process its PASID in this container."""
        argsz, flags, what, _, _ = uapi.unpack(argument, "IIIIi")
        if argsz < 20 or flags != uapi.BIND_PROCESS or what:
            raise refusal(errno.EINVAL, "only the caller itself can be bound")
        pasid = next((one.pasid for one in self.domains if one.pasid is not None), None)
        if pasid is None or self._kernel.pasids.of(process) != pasid:
            raise refusal(errno.ENODEV, "no IOMMU of this container has a PASID for the caller")
        uapi.pack(argument, "IIIIi", argsz, flags, what, pasid, 0)
        return 0

    def _get_info(self, argument: int | bytearray) -> int:
        """The page sizes, and capabilities: IOVA ranges, dirty tracking, mappings left."""
        argsz, _ = uapi.unpack(argument, "II")
        if argsz < 16:
            raise refusal(errno.EINVAL, "argsz is too small")
        capabilities = [
            (2, struct.pack("IIQQ", 0, 0, PAGE, 1 << 38)),
            (3, struct.pack("I", self._kernel.vfio.dma_entry_limit - len(self.dmas))),
        ]
        ranges = self.ranges()
        if ranges:
            text = b"".join(struct.pack("QQ", *one) for one in ranges)
            capabilities.append((1, struct.pack("II", len(ranges), 0) + text))
        chain, at = b"", 24
        for number, (id_, body) in enumerate(capabilities):
            padded = body + bytes(-len(body) % 8)
            last = number == len(capabilities) - 1
            chain += struct.pack("HHI", id_, 1, 0 if last else at + 8 + len(padded)) + padded
            at += 8 + len(padded)
        sizes = PAGE_SIZES if self.domains else EMULATED_PAGE_SIZES
        fits = argsz >= at
        whole = struct.pack("IIQII", at, 3, sizes, 24 if fits else 0, 0) + (chain if fits else b"")
        uapi.overwrite(argument, whole[:argsz])
        return 0

    def ranges(self) -> list[tuple[int, int]]:
        """The IOVAs that every group can have, both ends inclusive."""
        groups = [group.group for one in self.domains for group in one.groups]
        groups += [one.parent for one in self.domains if one.parent is not None]
        real = [group for group in groups if group.unit is not None]
        if not real:
            return []
        last = min(group.unit.last_iova for group in real if group.unit is not None)
        holes = sorted(
            {(region.start, region.end) for group in real for region in group.reserved
             if region.type != "direct-relaxable"}
        )  # fmt: skip
        found, start = [], 0
        for low, high in holes:
            if start < low <= last:
                found.append((start, low - 1))
            start = max(start, high + 1)
        if start <= last:
            found.append((start, last))
        return found
