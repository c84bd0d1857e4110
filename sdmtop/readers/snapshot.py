"""Joins what the readers found into one Snapshot.

A `Reading` holds the parts of a host and can read each of them again by itself, so that the
sampler reads only what may have changed. Each part has its own `Unknowns`: reading it again
replaces them. `read_snapshot` is one use of it: every part once.
"""

import errno
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from functools import lru_cache
from typing import Any, TypeVar

from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.model import (
    AttachedDomain,
    Device,
    DevicePasid,
    Evidence,
    HostInfo,
    Interrupt,
    IommuGroup,
    IommuUnit,
    MdevType,
    NumaNode,
    Owner,
    Pasid,
    Process,
    Record,
    ReservedRegion,
    Sdmdev,
    SdmdevParams,
    SdmdevState,
    Snapshot,
    Sriov,
)
from sdmtop.readers.config_space import read_capabilities
from sdmtop.readers.devices import PCI, device_facts, pci_paths
from sdmtop.readers.groups import (
    EMULATED,
    GROUPS,
    TRANSLATING,
    UNSAFE,
    group_facts,
    group_ids,
    may_attach,
    owner,
    regions,
    uses_dma,
    viability,
)
from sdmtop.readers.holders import Holdings, read_holders
from sdmtop.readers.host import host_facts
from sdmtop.readers.idxd import read_idxd
from sdmtop.readers.intel_debugfs import Translation, read_translation
from sdmtop.readers.interrupts import InterruptTable, read_interrupts
from sdmtop.readers.iommu_units import read_iommu_units
from sdmtop.readers.kernel_log import boot_time
from sdmtop.readers.mdev import read_mdev_types, read_mdevs
from sdmtop.readers.names import SHARED_NAMES, Names
from sdmtop.readers.numa import read_numa_nodes
from sdmtop.readers.pasids import infer_processes, read_pasids
from sdmtop.readers.sdmdev import parent_paths, read_sdmdev_parents
from sdmtop.readers.spread import read_each, spare_cpus
from sdmtop.readers.sysfs import in_order, is_absent, natural, number, target, word
from sdmtop.readers.uacce import read_uacce
from sdmtop.readers.unknowns import Notes, Unknowns, UnknownsOfMany
from sdmtop.readers.vfio import Node, read_nodes
from sdmtop.text import fact

R = TypeVar("R", bound=Record)

_UNTOLD = AttachedDomain(type=None, evidence="unknown")
_EMULATED_DOMAIN = AttachedDomain(type="emulated", evidence="known")
_BLOCKED = AttachedDomain(type="blocked", evidence="known")
_IDENTITY = AttachedDomain(type="identity", evidence="known")
_LOG_REFUSED = {
    errno.EACCES: "the kernel log is for root",
    errno.EPERM: "the kernel log is for root",
    errno.ENOENT: "there is no kernel log here",
    errno.ENODATA: "the kernel log was not captured",
}
_IOMMUFD = "/dev/iommu"
_DEVICES = "/sys/devices/"
_CLAIMING = ("group", "noiommu-group", "cdev")


def read_snapshot(host: Host) -> Snapshot:
    """One reading of everything. Raises nothing on content: see `Snapshot.unknown`."""
    with closing(Reading(host)) as reading:
        reading.read_all()
        return reading.snapshot()


class Reading:
    """The parts of a host as they were last read, by the name of the reader's subsystem."""

    def __init__(
        self, host: Host, names: Names | None = None, *, helpers: int | None = None
    ) -> None:
        self.host = host
        # Files of a kernel can be read by forks as well (`spread`); all else is in memory.
        wanted = spare_cpus() if host.backend == "linux" else 0
        self._helpers = wanted if helpers is None else helpers
        self.names = names or SHARED_NAMES
        self.info = HostInfo(
            name=None, kernel=None, backend=host.backend, cpus=None, read_only=True
        )
        self.units: tuple[IommuUnit, ...] = ()
        self.numa_nodes: tuple[NumaNode, ...] = ()
        self.paths: dict[str, str] = {}
        self._pci_count = 0
        self.devices: dict[str, Device] = {}
        self.groups: dict[int, IommuGroup] = {}
        self.mdev_types: tuple[MdevType, ...] = ()
        self.sdmdevs: tuple[Sdmdev, ...] = ()
        self._there: tuple[Node, ...] = ()
        self.nodes: tuple[Node, ...] = ()
        """Those that are there, and those that are only held."""
        self.holdings: Holdings | None = None
        self.translation: Translation | None = None
        self.pasids: tuple[Pasid, ...] = ()
        self.interrupts: tuple[Interrupt, ...] = ()
        self._emulated: set[int] = set()
        self._spellings: dict[str, str] = {}
        self._table = InterruptTable()
        self._undriven: set[str] = set()
        self._leaving: dict[str, str] = {}
        self._claims: dict[int | str | None, tuple[int, ...] | None] = {}
        self._unsafe: set[int] = set()
        self._region_lost: set[int] = set()
        self._parents: Mapping[str, SdmdevParams] = {}
        self._unknowns: dict[str, Unknowns] = {}
        self._of_devices = UnknownsOfMany()

    def read_all(self) -> None:
        """Every part, in the order in which they need each other."""
        self.read_host()
        self.read_topology()
        self.read_devices()
        self.read_queues()
        self.read_holders()
        self.read_domains()
        self.read_interrupts()

    # -- the parts ---------------------------------------------------------------------------

    def read_host(self) -> None:
        """Name, kernel, CPUs; and the IOMMU units, which change as seldom."""
        unknowns = self._begin("host")
        read_only = self.host.refusal() is not None
        self.info = HostInfo(**host_facts(self.host, unknowns), read_only=read_only)
        self.units = read_iommu_units(self.host, unknowns)
        self.numa_nodes = read_numa_nodes(self.host, unknowns)

    def read_topology(self) -> None:
        """Which groups and devices there are, and who is in which group; no facts of devices.

        Raises nothing; devices that are gone are forgotten.
        """
        unknowns = self._begin("topology")
        self._parents = read_sdmdev_parents(self.host, unknowns)
        ids = group_ids(self.host, unknowns)
        # Forks, where there are any, read groups while the devices are listed here.
        read = read_each(ids, self._facts_of_group, self._helpers)
        self.paths = dict(parent_paths(self.host, unknowns))
        try:
            pci = dict(pci_paths(self.host))
        except OSError as error:
            unknowns.note(PCI, error, "all PCI devices")
            pci = {}
        self._pci_count = len(pci)
        self.paths.update(pci)
        groups: dict[int, IommuGroup] = {}
        self._spellings = {address: address for address in self.paths}
        self._emulated.clear()
        self._unsafe.clear()
        self._region_lost.clear()
        for id_, (facts, notes) in zip(ids, read, strict=True):
            unknowns.add_all(notes)
            if facts:
                groups[id_] = self._group(facts, unknowns)
        self.groups = groups
        self._spellings = {}
        for gone in self.devices.keys() - self.paths.keys():
            self._forget(gone)

    def read_devices(self, only: Iterable[str] | None = None) -> None:
        """The facts of all devices of the topology, or of some of them."""
        wanted = list(self.paths if only is None else only)
        for address, (facts, notes) in zip(
            wanted, read_each(wanted, self._facts_of_device, self._helpers), strict=True
        ):
            path = self.paths.get(address)
            if facts and path:
                # The strings that are there already: those of a fork are others.
                facts["address"], facts["path"] = fact(address), fact(path)
                self.devices[address] = _same(
                    self.devices.get(address), self._device(address, facts)
                )
            else:
                self._forget(address)
            if path and (notes or address in self._of_devices):
                # Of a device that could not be read at all, this is all that is known.
                self._of_devices.replace(address, path, notes)

    def read_queues(self) -> None:
        """Mdev types, and all that a process can hold: sdmdevs, mdevs, uacce and IDXD queues."""
        unknowns = self._begin("queues")
        parents = parent_paths(self.host, unknowns)
        self.mdev_types = read_mdev_types(self.host, unknowns, parents)
        self.sdmdevs = (
            *read_mdevs(self.host, unknowns, parents),
            *(
                replace(queue, group=self._group_of(queue.parent))
                for queue in (*read_uacce(self.host, unknowns), *read_idxd(self.host, unknowns))
            ),
        )
        self._there = read_nodes(self.host, unknowns)

    def read_holders(self) -> None:
        """Who holds the nodes, by descriptor or by mapping; wants `read_queues` before it."""
        self.holdings = read_holders(self.host, self._there, self._begin("holders"))
        self.nodes = (*self._there, *self.holdings.gone)

    def read_domains(self) -> None:
        """What Intel's debugfs tells of domains, and the live PASIDs."""
        unknowns = self._begin("domains")
        self.translation = read_translation(self.host, unknowns)
        self.pasids = read_pasids(self.host, unknowns, self.translation, self.sdmdevs)

    def read_interrupts(self) -> None:
        """All rows of `/proc/interrupts`, joined to the devices read before."""
        of_irq: dict[int, str | None] = {}
        for address, device in self.devices.items():
            for irq in device.irqs:
                # Of a line that several devices share, nobody can tell which one raised it.
                of_irq[irq] = None if irq in of_irq else address
        unknowns = self._begin("interrupts")
        self.interrupts = read_interrupts(self.host, unknowns, of_irq, self._table)

    def note_log(self, error: OSError) -> None:
        """Remember that the kernel log could not be read."""
        why = _LOG_REFUSED.get(error.errno or 0, "the kernel log could not be read")
        self._begin("log").note("/dev/kmsg", error, f"IOMMU faults: {why}")

    def note_counters(self, error: OSError | None) -> None:
        """Remember that the counts of interrupts cannot be read, or that they can."""
        unknowns = self._begin("counters")
        if error is not None:
            unknowns.note("/proc/stat", error, "rates of interrupts")

    def close(self) -> None:
        """Give back what is kept open between two readings."""
        if self._table.affinities is not None:
            self._table.affinities.close()

    def differs(self, pci: Collection[str], groups: Collection[str]) -> bool:
        """Whether a listing of all PCI devices and of all groups is not what the topology has."""
        return (
            len(pci) != self._pci_count
            or not self.paths.keys() >= set(pci)
            or set(groups) != set(map(str, self.groups))
        )

    def is_unbound(self, address: str) -> bool:
        """Whether a device had no driver when it was read, and no unbind was under way."""
        device = self.devices.get(address)
        return device is not None and device.driver is None and address not in self._undriven

    def is_leaving(self, address: str) -> bool:
        """Whether an unbind was under way when the device was read, or it cannot be told."""
        return address in self._undriven

    # -- the join ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The parts, joined and sorted."""
        sdmdevs = self._joined_sdmdevs()
        self._claims = self._read_claims()
        shared: dict[int, list[str]] = {}
        by_parent: dict[str, list[str]] = {}
        for queue in sdmdevs:
            if queue.domain_of is not None:
                shared.setdefault(queue.domain_of, []).append(queue.id)
            if queue.kind == "sdmdev" and queue.parent is not None:
                by_parent.setdefault(queue.parent, []).append(queue.id)
        mdevs = frozenset(queue.id for queue in sdmdevs)
        self.groups = {
            id_: self._joined_group(group, tuple(in_order(shared.get(id_, ()))), mdevs)
            for id_, group in self.groups.items()
        }
        parts: list[Unknowns | UnknownsOfMany] = [*self._unknowns.values(), self._of_devices]
        unknowns = [entry for part in parts for entry in part.entries()]
        holdings = self.holdings
        return Snapshot(
            taken_at=rfc3339(_time_of(self.host)),
            host=self.info,
            iommu_units=self.units,
            groups=tuple(self.groups.values()),
            devices=tuple([self.devices[key] for key in in_order(self.devices)]),
            mdev_types=self.mdev_types,
            sdmdevs=sdmdevs,
            pasids=infer_processes(self.pasids, self._users()),
            interrupts=self._joined_interrupts(by_parent),
            processes=self._processes(holdings),
            unknown=tuple(sorted(unknowns, key=lambda entry: (entry.path, entry.what))),
        )

    def _begin(self, part: str) -> Unknowns:
        unknowns = self._unknowns[part] = Unknowns()
        return unknowns

    def _forget(self, address: str) -> None:
        """A device that is gone, with all that is known or unknown of it."""
        self.devices.pop(address, None)
        self._undriven.discard(address)
        self._leaving.pop(address, None)
        self._of_devices.drop(address)

    def _group(self, facts: dict[str, Any], unknowns: Unknowns) -> IommuGroup:
        id_: int = facts["id"]
        members = []
        for name in facts["members"]:
            # The string that is there already: a large host has thousands of each.
            address = self._spellings.get(name)
            if address is None:
                # Not a PCI device: another bus, an mdev, or a link renamed after a collision.
                address = self._resolve(f"{GROUPS}/{id_}/devices/{name}", unknowns) or name
            members.append(fact(address))
        if facts["name"] == EMULATED:
            # An mdev is no device of ours: what is one has no IOMMU, but does real DMA.
            real = any(address in self.paths for address in members)
            (self._unsafe if real else self._emulated).add(id_)
        text = facts["reserved_regions"]
        reserved, whole = _reserved(text or b"")
        if text is None or not whole:
            self._region_lost.add(id_)
        if not whole:
            lost = OSError(errno.EINVAL, "line of a form not known here")
            unknowns.note(f"{GROUPS}/{id_}/reserved_regions", lost, "reserved regions")
        said = {
            "domain_type": facts["domain_type"],
            "reserved_regions": reserved,
            "devices": tuple(in_order(members)),
        }
        before = self.groups.get(id_)
        if before is not None:
            return _same(before, replace(before, **said))
        return IommuGroup(
            id=id_,
            attached=_UNTOLD,
            owner="free",
            viable=None,
            viability_reason=None,
            shared_by=(),
            **said,
        )

    def _resolve(self, link: str, unknowns: Unknowns) -> str | None:
        """The true name behind a group's link; its path is remembered unless it is an mdev."""
        try:
            path = target(self.host, link)
        except OSError as error:
            unknowns.note(link, error, "which device this is")
            return None
        if not path.startswith(_DEVICES):
            unknowns.note(link, OSError(errno.EINVAL, "no device"), "which device this is")
            return None
        name = path[path.rfind("/") + 1 :]
        try:
            subsystem = self.host.readlink(f"{path}/subsystem")
        except OSError as error:
            # A pending removal leaves no such link: see readers/mdev.py.
            unknowns.note_failure(f"{path}/subsystem", error, "which bus a device is on")
            subsystem = ""
            if is_absent(error):
                self._note_dangling(link, path, unknowns)
        if subsystem and not subsystem.endswith("/mdev"):
            self.paths.setdefault(name, path)
        return name

    def _note_dangling(self, link: str, path: str, unknowns: Unknowns) -> None:
        try:
            self.host.mode(path)
        except OSError as error:
            unknowns.note(link, error, "which device this is")

    def _facts_of_group(self, id_: int) -> tuple[dict[str, Any], Notes]:
        """What a group's files say, and what could not be read of it."""
        unknowns = Unknowns()
        return group_facts(self.host, id_, unknowns), unknowns.take()

    def _facts_of_device(self, address: str) -> tuple[dict[str, Any], Notes]:
        """What a device's files say (nothing if it is gone), and what could not be read of it.

        To the facts of `device_facts` comes `pasid`: the values of a `DevicePasid`, or None.
        """
        path = self.paths.get(address)
        if path is None:
            return {}, ()
        unknowns = Unknowns()
        facts = device_facts(self.host, address, path, unknowns)
        if facts:
            facts["pasid"] = self._pasid_capability(facts, path, unknowns)
        return facts, unknowns.take()

    def _device(self, address: str, facts: dict[str, Any]) -> Device:
        del facts["power_state"]
        told = facts.pop("driver_told")
        if facts.pop("driver_known"):
            self._undriven.discard(address)
            self._leaving.pop(address, None)
        else:
            self._undriven.add(address)
            if told:
                self._leaving[address] = told
        group = self.groups.get(facts["group"])
        if group is not None:
            facts["group"] = group.id  # The number that is there already, as the strings are.
        sriov = facts.pop("sriov")
        pasid = facts.pop("pasid")
        return Device(
            name=self.names.device(facts["vendor"], facts["device"]),
            pasid=_pasid(*pasid) if pasid else None,
            sriov=Sriov(total=sriov[0], vfs=sriov[1]) if sriov else None,
            sdmdev=self._parents.get(address),
            **facts,
        )

    def _pasid_capability(
        self, facts: dict[str, Any], path: str, unknowns: Unknowns
    ) -> tuple[bool, bool, int | None] | None:
        if facts["bus"] != "pci":
            return None
        power = facts["power_state"]
        if facts["physfn"] is not None and facts["physfn"] in self.paths:
            # A VF has no PASID capability of its own: it uses its PF's, which may sleep.
            path = self.paths[facts["physfn"]]
            power = self._power_state(path)
        found = read_capabilities(self.host, path, power, unknowns).pasid
        return (found.capable, found.enabled, found.max) if found is not None else None

    def _power_state(self, path: str) -> str | None:
        try:
            return word(self.host.look(path, ("power_state",))[0])
        except OSError:
            return None  # Noted by the reader of that device.

    def _group_of(self, address: str | None) -> int | None:
        device = self.devices.get(address) if address is not None else None
        return device.group if device is not None else None

    def _joined_group(
        self, group: IommuGroup, shared_by: tuple[str, ...], mdevs: frozenset[str]
    ) -> IommuGroup:
        emulated = group.id in self._emulated
        drivers: dict[str, str | None] = {}
        untold = set()
        for address in group.devices:
            device = self.devices.get(address)
            drivers[address] = device.driver if device is not None else None
            if address in self._undriven or (device is None and address not in mdevs):
                untold.add(address)
        direct = [one.start for one in group.reserved_regions if one.type == "direct"]
        lost = group.id in self._region_lost
        if (direct or lost) and self._held(group):
            direct, lost = [], False  # A kernel that has given it away all the same.
        viable, reason = viability(
            drivers,
            untold,
            emulated=emulated,
            direct="".join(direct[:1]),
            regions_known=not lost,
        )
        if group.id in self._unsafe:
            viable, reason = False, UNSAFE
        joined = replace(
            group,
            owner=self._owner(group, drivers),
            viable=viable,
            viability_reason=reason,
            attached=self._attached(group, drivers, told=not untold, emulated=emulated),
            shared_by=shared_by,
        )
        return _same(group, joined)

    def _owner(self, group: IommuGroup, drivers: dict[str, str | None]) -> Owner:
        """Who owns the group: a driver that is being unbound still does, and so does a holder."""
        if not self._leaving.keys().isdisjoint(drivers):
            drivers = {one: self._leaving.get(one, driver) for one, driver in drivers.items()}
        found = owner(drivers)
        return "vfio" if found == "free" and self._held(group) else found

    def _attached(
        self, group: IommuGroup, drivers: Mapping[str, str | None], *, told: bool, emulated: bool
    ) -> AttachedDomain:
        """What is attached now (design.md, Truth): from debugfs, else from who owns the group.

        Known is what Intel's tables say of every member: nothing gets through, or all of it does
        untranslated. That requests are translated does not tell by which domain. It is the
        default one if a driver that uses the DMA API is bound too, for such a driver binds only
        to a group on its default domain and then no process can claim it (iommu.c,
        `iommu_device_use_default_domain`); but not if the driver attaches domains of its own.
        With VFIO a foreign table looks like the default one: that stays inferred from holders, of
        whom one that has only opened a node may have claimed nothing yet.
        """
        if emulated:
            return _EMULATED_DOMAIN
        if group.id in self._unsafe:
            return _UNTOLD
        seen = {self.translation.requests(one) for one in group.devices} if self.translation else ()
        if seen == {"blocked"}:
            return _BLOCKED
        if seen == {"pass-through"}:
            return _IDENTITY
        users = [driver for driver in drivers.values() if driver is not None and uses_dma(driver)]
        if users:
            default = seen == {"translated"} and group.domain_type in TRANSLATING
            sure = default and told and not any(map(may_attach, users))
            return _domain(group.domain_type, "known" if sure else "inferred")
        held = self._held(group)
        if held is None or not told or (held and not self._in_use(group)):
            return _UNTOLD
        return _domain("unmanaged" if held else group.domain_type, "inferred")

    def _held(self, group: IommuGroup) -> bool | None:
        """Whether a process holds the group's node or the cdev of one of its devices."""
        if self.holdings is None:
            return None
        names: tuple[int | str, ...] = (group.id, *group.devices)
        answers = [self._claims.get(name, ()) for name in names]
        return True if any(answers) else None if None in answers else False

    def _in_use(self, group: IommuGroup) -> bool:
        """Whether a holder has gone so far that a domain of its own must be attached.

        Through a group no device is opened before that; a cdev is bound to an iommufd first.
        """
        if self.holdings is None:
            return False
        iommufds = self.holdings.by_node.get(_IOMMUFD, ())
        users = self._claims.get(group.id) or ()
        return any(
            (users and self.holdings.device_open(address, users))
            or not set(iommufds).isdisjoint(self._claims.get(address) or ())
            for address in group.devices
        )

    def _read_claims(self) -> dict[int | str | None, tuple[int, ...] | None]:
        """Group, or device of a cdev -> who holds its node; None: cannot tell."""
        return {
            node.device or node.group: self.holdings.holders(node.path)
            for node in self.nodes
            if self.holdings is not None and node.kind in _CLAIMING
        }

    def _users(self) -> dict[str, frozenset[int] | None]:
        """All processes that can have bound a PASID of each device that has one.

        They hold its cdev, its group or one of its queues; whoever opened an IDXD queue counts
        too, for the descriptor may have been handed on. None where a process could not be looked
        into, and for a device without such a node, whose driver has nodes that are not known here.
        """
        held = self.holdings
        if held is None or held.unreadable or held.stray:
            return {}
        users: dict[str, frozenset[int] | None] = {}
        for address in {row.device for row in self.pasids}:
            queues = [queue for queue in self.sdmdevs if queue.parent == address]
            group = self._group_of(address)
            nodes = [
                node
                for node in self.nodes
                if node.device == address
                or (node.group is not None and node.group == group)
                or any(_is_node_of(node, queue) for queue in queues)
            ]
            pids = {pid for node in nodes for pid in held.by_node.get(node.path, ())}
            pids.update(pid for queue in queues for pid in _openers(queue))
            users[address] = frozenset(pids) if nodes else None
        return users

    def _joined_sdmdevs(self) -> tuple[Sdmdev, ...]:
        found = [self._joined_sdmdev(queue) for queue in self.sdmdevs]
        return tuple(sorted(found, key=lambda queue: natural(queue.id)))

    def _joined_sdmdev(self, queue: Sdmdev) -> Sdmdev:
        holders = self._holders(queue)
        return replace(queue, holders=holders, state=self._state(queue, holders))

    def _holders(self, queue: Sdmdev) -> tuple[int, ...] | None:
        """Who has a node of the queue; None where nobody is known, but somebody may have it.

        Openers that the driver names are holders even where /proc cannot be searched for more.
        """
        found, all_seen = _openers(queue), self.holdings is not None and not _has_user(queue)
        for node in self.nodes:
            if self.holdings is not None and _is_node_of(node, queue):
                these = self.holdings.holders(node.path)
                found.update(these or ())
                all_seen = all_seen and these is not None
        return tuple(sorted(found)) if found or all_seen else None

    def _state(self, queue: Sdmdev, holders: tuple[int, ...] | None) -> SdmdevState | None:
        """idle, held, started or orphan (sdmdev.md section 8); None when it cannot be told.

        An mdev takes its queue at create, so one that nobody holds is an orphan; a uacce or IDXD
        queue takes it at open, so one that nobody holds is idle, unless it counts a client: the
        kernel itself, or a process that we do not see.
        """
        if _clients(queue):
            return "started"
        if holders is None:
            return None
        if queue.kind not in ("sdmdev", "mdev"):
            return "started" if holders else "idle"
        if not holders:
            return "orphan"
        started = self.holdings is not None and self.holdings.device_open(queue.id, holders)
        return "started" if started else "held"

    def _joined_interrupts(self, by_parent: Mapping[str, list[str]]) -> tuple[Interrupt, ...]:
        if not by_parent:
            return self.interrupts
        return tuple(
            replace(row, shared_by=tuple(by_parent[row.device]))
            if row.device is not None and row.device in by_parent
            else row
            for row in self.interrupts
        )

    @staticmethod
    def _processes(holdings: Holdings | None) -> tuple[Process, ...]:
        return holdings.processes if holdings is not None else ()


def _same(before: R | None, now: R) -> R:
    """The record of before where it is equal: earlier snapshots share it."""
    return before if before is not None and before == now else now


# Thousands of groups and devices have the same few of these.


@lru_cache(maxsize=1024)
def _reserved(text: bytes) -> tuple[tuple[ReservedRegion, ...], bool]:
    found, whole = regions(text)
    return tuple(ReservedRegion(start=one[0], end=one[1], type=one[2]) for one in found), whole


@lru_cache(maxsize=64)
def _pasid(capable: bool, enabled: bool, most: int | None) -> DevicePasid:
    return DevicePasid(capable, enabled, most)


@lru_cache(maxsize=64)
def _domain(type_: str | None, evidence: Evidence) -> AttachedDomain:
    return AttachedDomain(type=type_, evidence=evidence) if type_ else _UNTOLD


def taken_at(host: Host) -> float | None:
    """When a capture was made, in seconds since the epoch; None where it does not tell.

    None of a host that goes on, too.
    """
    if not host.taken_at:
        return None
    from datetime import datetime  # A millisecond that only captures need.

    try:
        return datetime.fromisoformat(host.taken_at).timestamp()
    except (ValueError, OverflowError):
        return None  # Written by somebody else than `sdmtop capture`.


def _time_of(host: Host) -> float:
    """Seconds since the epoch; a simulated host has a time of its own, a capture its last."""
    if host.backend == "simulator":
        booted = boot_time(host)
        if booted is not None:
            return booted + host.now()
    return taken_at(host) or time.time()


def _is_node_of(node: Node, queue: Sdmdev) -> bool:
    if queue.kind in ("sdmdev", "mdev"):
        return node.device == queue.id or (node.kind == "group" and node.group == queue.group)
    return node.device == queue.id


def _clients(queue: Sdmdev) -> int:
    """How many have an IDXD queue open, by its own count."""
    return number(queue.params.get("clients", "")) or 0 if queue.kind == "idxd" else 0


def _has_user(queue: Sdmdev) -> bool:
    """Whether a process must have an IDXD queue open, be it seen or not."""
    return bool(_clients(queue)) and (queue.type or "").startswith("user")


def _openers(queue: Sdmdev) -> set[int]:
    """The processes that the driver of an IDXD queue says have it open (kernel-abi section 7)."""
    if queue.kind != "idxd":
        return set()
    pids = queue.params.get("pids", "").split(",")
    return {pid for text in pids if (pid := number(text)) is not None}


def rfc3339(seconds: float) -> str:
    """A time in UTC, to the millisecond, from seconds since the epoch."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{int(seconds * 1000) % 1000:03d}Z"
