"""IOMMU units, groups and domains: who may attach what, and what a device can reach through it.

As `drivers/iommu/iommu.c` has it, and with the 2018 series' share count, by the rules of its
review: a group's domain can be shared only while it is the default one; while it is shared nobody
moves the group to another.
"""

from __future__ import annotations

import bisect
import errno
from typing import TYPE_CHECKING, Literal, NamedTuple

from sdmtop.backends.simulator.refusal import DmaError, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sdmtop.backends.simulator.devices import Device
    from sdmtop.backends.simulator.log import KernelLog
    from sdmtop.backends.simulator.processes import AddressSpace, Process
    from sdmtop.backends.simulator.scenario import Reserved
    from sdmtop.backends.simulator.versions import Behaviour

Kind = Literal["DMA", "DMA-FQ", "identity", "blocked", "unmanaged", "SVA"]
"""Domain types, as `type` of a group spells them; `SVA` is the table of a process's PASID."""

TYPES = ("identity", "DMA", "DMA-FQ", "auto")
"""Words that a group's `type` takes."""

MSI_WINDOW = (0xFEE0_0000, 0xFEEF_FFFF)
ARM_MSI_WINDOW = (0x0800_0000, 0x080F_FFFF)
"""Where VFIO maps the interrupt controller on Arm: `MSI_IOVA_BASE` in arm-smmu-v3.c."""
_TRANSLATED = ("DMA", "DMA-FQ", "unmanaged", "SVA")


class Region(NamedTuple):
    """A line of `reserved_regions`: addresses (both inclusive), and why."""

    start: int
    end: int
    type: str


class Mapping(NamedTuple):
    """IOVAs of a domain, and the memory behind them. `owner` put it there."""

    iova: int
    view: memoryview
    readable: bool
    writable: bool
    owner: object

    @property
    def end(self) -> int:
        """The first IOVA behind it."""
        return self.iova + len(self.view)


class Domain:
    """A page table. `process` is whose it is, for one that belongs to a PASID.

    `fallback` is an address space that is used where nothing is mapped: a process whose own page
    table the device walks.
    """

    def __init__(self, kind: Kind, number: int, *, process: Process | None = None) -> None:
        self.kind = kind
        self.number = number
        self.process = process
        self.fallback: AddressSpace | None = None
        self.users: set[object] = set()
        """Who has bound the PASID that this is the table of."""
        self._starts: list[int] = []
        self._mappings: dict[int, Mapping] = {}

    def __iter__(self) -> Iterator[Mapping]:
        return (self._mappings[start] for start in self._starts)

    @property
    def is_paging(self) -> bool:
        """Whether anything can be mapped in it."""
        return self.kind in _TRANSLATED

    def overlapping(self, iova: int, size: int) -> Mapping | None:
        """A mapping that has one of these IOVAs."""
        index = bisect.bisect_left(self._starts, iova + size)
        if not index:
            return None
        mapping = self._mappings[self._starts[index - 1]]
        return mapping if mapping.end > iova else None

    def map(self, mapping: Mapping) -> None:
        """Add a mapping; the caller has checked that it overlaps none."""
        bisect.insort(self._starts, mapping.iova)
        self._mappings[mapping.iova] = mapping

    def unmap(self, iova: int) -> None:
        """Take the mapping away that begins there."""
        del self._mappings[iova]
        self._starts.remove(iova)

    def unmap_all(self, owner: object) -> None:
        """Take away what this owner has mapped."""
        for mapping in [*self]:
            if mapping.owner is owner:
                self.unmap(mapping.iova)

    def find(self, iova: int, size: int, *, write: bool) -> list[memoryview] | None:
        """The memory behind consecutive IOVAs; None where one of them is not mapped for this."""
        found: list[memoryview] = []
        while size > 0:
            mapping = self.overlapping(iova, 1)
            if mapping is None or not (mapping.writable if write else mapping.readable):
                return self._find_in_process(iova, size, found)
            part = mapping.view[iova - mapping.iova : iova - mapping.iova + size]
            found.append(part)
            iova += len(part)
            size -= len(part)
        return found

    def _find_in_process(
        self, iova: int, size: int, found: list[memoryview]
    ) -> list[memoryview] | None:
        if self.fallback is None:
            return None
        try:
            return [*found, self.fallback.at(iova, size)]
        except OSError:
            return None


_CAP = 0x00D2_008C_222F_0686
_ECAP = 0x0000_0000_00F0_0F46
_IR, _SMTS, _PASID, _PSS, _PRS = 1 << 3, 1 << 43, 1 << 40, 35, 1 << 29
"""Registers of an Intel unit, without the bits that a scenario chooses."""


class Unit:
    """An IOMMU. `pasid_bits` is 0 for one without PASIDs."""

    def __init__(
        self,
        name: str,
        driver: str,
        *,
        pasid_bits: int = 0,
        remapping: bool = True,
        coherent: bool = True,
    ) -> None:
        self.name = name
        self.driver = driver
        self.pasid_bits = pasid_bits
        self.remapping = remapping
        self.coherent = coherent
        self.devices: dict[str, Device] = {}

    def registers(self) -> tuple[int, int]:
        """CAP and ECAP of an Intel unit."""
        ecap = _ECAP | (_IR if self.remapping else 0) | int(self.coherent)
        if self.pasid_bits:
            ecap |= _SMTS | _PASID | _PRS | self.pasid_bits - 1 << _PSS
        return _CAP, ecap

    @property
    def last_iova(self) -> int:
        """The end of the aperture."""
        return (1 << 48) - 1

    def domains(self) -> int:
        """How many domains are in use."""
        groups = {device.group for device in self.devices.values() if device.group}
        attached = {group.domain.number for group in groups if group.domain is not None}
        return len(attached) + sum(len(group.pasids) for group in groups)


class Group:
    """An IOMMU group. One without a unit is emulated: an mdev's, or VFIO's without an IOMMU.

    `owner` is who has claimed it for a process; `drivers` counts the bound drivers that use the
    DMA API; `shares` has who shares the domain, and for which process.
    """

    def __init__(self, iommu: Iommu, id_: int, unit: Unit | None, name: str | None = None) -> None:
        self._iommu = iommu
        self.id = id_
        self.unit = unit
        self.name = name
        self.devices: dict[str, Device] = {}
        self.boot_type: Kind = "DMA"
        self.default: Domain | None = None
        self.domain: Domain | None = None
        self.reserved: tuple[Region, ...] = ()
        self.drivers = 0
        self.owner: object | None = None
        self.shares: dict[object, Process] = {}
        self.pasids: dict[int, Domain] = {}
        """The tables of PASIDs."""

    # -- the DMA API and VFIO exclude each other ----------------------------------------------

    def use(self) -> None:
        """A driver that uses the DMA API is to be bound. Raises EBUSY in a claimed group."""
        if self.owner is not None:
            raise refusal(errno.EBUSY, f"group {self.id} is in user hands: held by {self.owner}")
        self.drivers += 1

    def unuse(self) -> None:
        """That driver is gone."""
        self.drivers -= 1

    @property
    def is_viable(self) -> bool:
        """What GET_STATUS says: whether a process could claim it, or has."""
        return self.owner is not None or not self.drivers

    def blame(self) -> str:
        """The devices whose drivers make it not viable."""
        return "; ".join(
            f"{device.name} is bound to {device.driver.name}"
            for device in self.devices.values()
            if device.driver is not None and device.driver.uses_dma
        )

    def claim(self, owner: object) -> None:
        """Take the group for a process: from now on nothing gets through until an attach.

        Raises the kernel's errno for a group that is not viable or has a direct region, EBUSY for
        one whose domain is shared.
        """
        if self.owner is not None:
            raise refusal(errno.EBUSY, f"group {self.id} is held by {self.owner}")
        if self.drivers:
            reason = f"group {self.id} is not viable: {self.blame()}"
            raise refusal(self._iommu.behaviour.not_viable, reason)
        self._refuse_shared()
        if any(region.type == "direct" for region in self.reserved):
            self._iommu.log.say(
                f"Firmware has requested this device have a 1:1 IOMMU mapping, rejecting "
                f"configuring the device without a 1:1 mapping. Contact your platform vendor. "
                f"(group {self.id})",
            )
            reason = f"group {self.id} has a region that firmware maps 1:1 and cannot be blocked"
            raise refusal(self._iommu.behaviour.direct_region, reason)
        self.owner = owner
        self.domain = self._iommu.blocked

    def release(self) -> None:
        """The owner lets go: the default domain is back."""
        self.owner = None
        self.domain = self.default

    def attach(self, domain: Domain) -> None:
        """Attach a domain of the owner's. Raises EBUSY where another one than it expects is."""
        self._refuse_shared()
        if self.domain is not self._iommu.blocked and self.domain is not self.default:
            raise refusal(errno.EBUSY, f"group {self.id} is on a domain of {self.owner}")
        self.domain = domain

    def detach(self) -> None:
        """Back to nothing getting through, or to the default domain where nobody owns it."""
        self.domain = self._iommu.blocked if self.owner is not None else self.default

    # -- sharing -------------------------------------------------------------------------------

    @property
    def pasid_bits(self) -> int:
        """Width of the PASIDs that its unit and all its devices have; 0: without."""
        if self.unit is None:
            return 0
        widths = (device.pasid_bits for device in self.devices.values() if device.does_dma)
        return min((self.unit.pasid_bits, *widths))

    @property
    def has_pasids(self) -> bool:
        """Whether every process that shares gets a table of its own."""
        return self.pasid_bits > 0

    @property
    def is_coherent(self) -> bool:
        """Whether DMA of its devices sees the CPU's caches."""
        return self.unit is not None and self.unit.coherent

    def share(self, holder: object, process: Process) -> Domain:
        """Count one more who shares the domain; the domain.

        Raises EINVAL for a domain that cannot be shared, EBUSY where another process does.
        """
        domain = self.domain
        if domain is None or domain is not self.default:
            kind = domain.kind.upper() if domain else "none"
            by = f": held by {self.owner}" if self.owner is not None else ""
            raise refusal(errno.EINVAL, f"group {self.id}'s domain is {kind}{by}")
        if not self.has_pasids:
            if not domain.is_paging:
                raise refusal(
                    errno.EINVAL,
                    f"group {self.id}'s domain is IDENTITY: not a paging domain, and without "
                    "PASIDs nothing could be mapped for a process",
                )
            others = {other for other in self.shares.values() if other is not process}
            if others:
                raise refusal(
                    errno.EBUSY,
                    f"group {self.id}'s domain is shared by {min(others, key=lambda o: o.pid)} "
                    "already: without PASIDs only one process can share it",
                )
        self.shares[holder] = process
        return domain

    def unshare(self, holder: object) -> None:
        """Count one less."""
        del self.shares[holder]

    def _refuse_shared(self) -> None:
        if self.shares:
            users = sorted({f"{process}" for process in self.shares.values()})
            raise refusal(errno.EBUSY, f"group {self.id}'s domain is shared by {', '.join(users)}")

    # -- sysfs ---------------------------------------------------------------------------------

    @property
    def type(self) -> str:
        """The default domain's type, `unknown` for an emulated group."""
        return self.default.kind if self.default is not None else "unknown"

    def set_type(self, text: bytes) -> None:
        """Give the group another default domain (kernel-abi 1.1).

        Raises EINVAL for another word or an emulated group, EPERM or EBUSY while it is owned.
        """
        kernel = self._iommu.behaviour
        if not kernel.writable_type:
            raise refusal(errno.EACCES, "this kernel only shows the type")
        word = text.removesuffix(b"\n").decode("ascii", "replace")
        if word not in TYPES:
            raise refusal(errno.EINVAL, f"{word!r} is none of {', '.join(TYPES)}")
        if self.default is None:
            raise refusal(errno.EINVAL, f"group {self.id} has no default domain")
        self._refuse_shared()
        if len(self.devices) > 1 and not kernel.many_type:
            raise refusal(errno.EINVAL, f"group {self.id} has more than one device")
        if kernel.live_type and word == "DMA-FQ" and self.default.kind == "DMA":
            self.default.kind = "DMA-FQ"
            return
        if self.owner is not None:
            raise refusal(kernel.busy_type, f"group {self.id} is held by {self.owner}")
        if self.drivers:
            raise refusal(kernel.busy_type, f"a driver is still bound: {self.blame()}")
        if not kernel.many_type and any(one.driver is not None for one in self.devices.values()):
            # Kernels that ask for a single device ask for it without any driver, VFIO's included.
            raise refusal(errno.EBUSY, "a driver is still bound")
        kinds: dict[str, Kind] = {"identity": "identity", "DMA": "DMA", "DMA-FQ": "DMA-FQ"}
        self.default = self.domain = self._iommu.domain(kinds.get(word, self.boot_type))

    def reserve(self, regions: Iterable[Reserved]) -> None:
        """Regions of a device that has joined."""
        found = {*self.reserved, *(Region(one.start, one.end, one.type) for one in regions)}
        self.reserved = tuple(sorted(found))

    def describe_reserved(self) -> str:
        """`reserved_regions`."""
        return "".join(
            f"{region.start:#018x} {region.end:#018x} {region.type}\n" for region in self.reserved
        )


class Iommu:
    """All units and groups."""

    def __init__(self, log: KernelLog, behaviour: Behaviour, memory: AddressSpace) -> None:
        self.log = log
        self.behaviour = behaviour
        self.units: dict[str, Unit] = {}
        self.groups: dict[str, Group] = {}
        """By number, as the name of its directory."""
        self._memory = memory
        self._lowest = 0
        self._numbers = 1
        self.blocked = Domain("blocked", 0)
        self.out_of_domains = False
        """Set by an injected fault: no domain can be had any more."""

    def domain(self, kind: Kind, *, process: Process | None = None) -> Domain:
        """A new domain."""
        self._numbers += 1
        return Domain(kind, self._numbers, process=process)

    def new_group(self, unit: Unit | None, *, boot: Kind = "DMA", name: str | None = None) -> Group:
        """A group with the lowest free number."""
        while str(self._lowest) in self.groups:
            self._lowest += 1
        group = Group(self, self._lowest, unit, name)
        if unit is not None:
            group.boot_type = boot
            group.default = group.domain = self.domain(boot)
            window = ARM_MSI_WINDOW if unit.driver == "arm-smmu-v3" else MSI_WINDOW
            group.reserved = (Region(*window, "msi"),)
        self.groups[str(group.id)] = group
        return group

    def join(self, group: Group, device: Device) -> None:
        """A device is found to be of this group."""
        group.devices[device.name] = device
        device.group = group
        if group.unit is not None:
            group.unit.devices[device.name] = device

    def leave(self, device: Device) -> None:
        """A device is gone; so is its group, if it was the last one."""
        group = device.group
        if group is None:
            return
        del group.devices[device.name]
        device.group = None
        if group.unit is not None:
            group.unit.devices.pop(device.name, None)
        if not group.devices:
            del self.groups[str(group.id)]
            self._lowest = min(self._lowest, group.id)

    # -- PASIDs --------------------------------------------------------------------------------

    def bind_pasid(self, group: Group, pasid: int, process: Process, user: object) -> Domain:
        """The table of a PASID on a group, made for the first of its users."""
        if pasid not in group.pasids:
            group.pasids[pasid] = self.domain("SVA", process=process)
        group.pasids[pasid].users.add(user)
        return group.pasids[pasid]

    @staticmethod
    def unbind_pasid(group: Group, pasid: int, user: object) -> None:
        """One user less; the table goes with the last."""
        group.pasids[pasid].users.discard(user)
        if not group.pasids[pasid].users:
            del group.pasids[pasid]

    # -- what a device does --------------------------------------------------------------------

    def translate(
        self, device: Device, iova: int, size: int, *, write: bool, pasid: int | None = None
    ) -> list[memoryview]:
        """The memory that a device reaches. Raises `DmaError`, which is logged as the unit does."""
        domain = self._domain_of(device, pasid)
        if domain is None or domain.kind == "identity":
            # Untranslated, or no IOMMU at all: the kernel's own memory.
            try:
                return [self._memory.at(iova, size)]
            except OSError:
                found = None
        else:
            found = domain.find(iova, size, write=write)
        if found is None:
            self._report(device, iova, write=write, pasid=pasid)
            raise DmaError(
                errno.EFAULT, f"{device.name}: {iova:#x} is not mapped in {self._which(domain)}"
            )
        return found

    def fault(self, device: Device, iova: int, *, write: bool) -> None:
        """Report a fault that was injected."""
        self._report(device, iova, write=write, pasid=None)

    def _domain_of(self, device: Device, pasid: int | None) -> Domain | None:
        group = device.group
        if group is None or group.unit is None:
            return None
        if pasid is None:
            return group.domain
        return group.pasids.get(pasid, self.blocked)

    @staticmethod
    def _which(domain: Domain | None) -> str:
        return f"domain {domain.number} ({domain.kind})" if domain else "memory"

    def _report(self, device: Device, iova: int, *, write: bool, pasid: int | None) -> None:
        unit = device.group.unit if device.group else None
        if unit is None:
            return
        line = _REPORTS.get(unit.driver, _report_other)
        for text in line(self, unit, device, iova, write, pasid):
            self.log.say(text, 3)


def _report_intel(
    iommu: Iommu, _unit: Unit, device: Device, iova: int, write: bool, pasid: int | None
) -> tuple[str, ...]:
    name = device.name if iommu.behaviour.segment_in_fault else device.name.partition(":")[2]
    way, code, bit = ("Write", 5, "Write") if write else ("Read", 6, "Read")
    whose = "NO_PASID" if pasid is None else f"PASID {pasid:#x}"
    return (
        "DMAR: DRHD: handling fault status reg 2",
        f"DMAR: [DMA {way} {whose}] Request device [{name}] fault addr {iova:#x} "
        f"[fault reason {code:#04x}] PTE {bit} access is not set",
    )


def _report_amd(
    _iommu: Iommu, _unit: Unit, device: Device, iova: int, write: bool, _pasid: int | None
) -> tuple[str, ...]:
    domain = device.group.domain.number if device.group and device.group.domain else 0
    return (
        f"{device.driver.name if device.driver else 'pci'} {device.name}: AMD-Vi: Event logged "
        f"[IO_PAGE_FAULT domain={domain:#06x} address={iova:#x} flags={0x20 if write else 0:#06x}]",
    )


def _report_smmu(
    _iommu: Iommu, unit: Unit, device: Device, iova: int, write: bool, pasid: int | None
) -> tuple[str, ...]:
    bus, slot = device.name.split(":")[-2:] if device.name.count(":") == 2 else ("0", "0.0")
    number, _, function = slot.partition(".")
    stream = int(bus, 16) << 8 | int(number, 16) << 3 | int(function or "0", 16)
    head = f"arm-smmu-v3 {unit.name.replace('smmu3.0x', 'arm-smmu-v3.')}"
    first = 0x10 | (0 if pasid is None else 1 << 11 | pasid << 12) | stream << 32
    second = 0 if write else 1 << 35
    words = (first, second, iova, 0)
    return (f"{head}: event 0x10 received:", *(f"{head}: \t{word:#018x}" for word in words))


def _report_other(
    _iommu: Iommu, unit: Unit, device: Device, iova: int, write: bool, _pasid: int | None
) -> tuple[str, ...]:
    return (f"{unit.name}: page fault of {device.name} at {iova:#x} [{'W' if write else 'R'}]",)


_REPORTS = {"intel": _report_intel, "amd": _report_amd, "arm-smmu-v3": _report_smmu}
