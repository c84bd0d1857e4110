"""The whole reading: captured hosts fact by fact, and trees in which anything may be broken."""

from __future__ import annotations

import errno
import functools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import (
    AttachedDomain,
    Device,
    Interrupt,
    IommuGroup,
    Sdmdev,
    SdmdevParams,
    Snapshot,
    Sriov,
)
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading, read_snapshot
from sdmtop.report import tree_text
from sdmtop.schema import schema_text
from sdmtop.text import fact
from tests.descriptors import open_files
from tests.readers.small_host import (
    DISK,
    GROUPS,
    HOLDER,
    NIC,
    PARENT,
    ROOT,
    UUID,
    device,
    process,
    reading_of,
    small_host,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdmtop.backends.base import Host

TREES = Path(__file__).parents[1] / "trees"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))
SMALL = small_host()
NO_NAMES = Names((), hwdb=False)
ABSENT = (errno.ENOENT, errno.ENOTDIR)


class WatchedHost(TreeHost):
    """Remembers which accesses failed, with an errno other than "there is no such file"."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.failed: set[tuple[str, int]] = set()
        super().__init__(entries)

    def _enter(self, path: str, *, follow: bool = True) -> Any:
        try:
            return super()._enter(path, follow=follow)
        except OSError as error:
            if error.errno is not None and error.errno not in ABSENT:
                self.failed.add((path, error.errno))
            raise


def read(host: Host) -> Snapshot:
    reading = Reading(host, NO_NAMES)
    reading.read_all()
    return reading.snapshot()


def check(snapshot: Snapshot) -> None:
    """What holds for every snapshot, whatever the host said."""
    encoded = msgspec.json.encode(snapshot)
    VALIDATOR.validate(json.loads(encoded))
    assert msgspec.json.decode(encoded, type=Snapshot) == snapshot
    for line in tree_text(snapshot).split("\n"):
        assert line.isprintable()


BASE = read(TreeHost(SMALL))


# -- any entry may be anything ---------------------------------------------------------------

_PLACES = sorted(
    {
        path[:end]
        for path in SMALL
        for end in range(2, len(path) + 1)
        if path[end : end + 1] in ("", "/")
    }
)
_ERRNOS = (
    errno.EACCES,
    errno.EIO,
    errno.EINVAL,
    errno.ENOENT,
    errno.ENODEV,
    errno.ENXIO,
    errno.ETIMEDOUT,
)
_HOSTILE = (
    b"\x1b]0;owned\x07\x1b[2J",
    b"[bold red]x[/]",
    "\u202egnp.exe\u2066\u200b".encode(),
    b"\xff\xfe\x00\n",
    b"A" * 65536,
    b"9" * 4095,
    b"99999999999999999999\n",
    b"-1\n",
    b"0x10\n",
    b"\n",
    b"",
    b"0-99999999999999999999\n",
    b"CPU0 CPU99999999999999999999999 CPU" + b"9" * 5000 + b"\n 1: 99999999999999999999 1 2\n",
)
_bytes = st.one_of(st.binary(max_size=200), st.sampled_from(_HOSTILE))
_links = st.one_of(
    st.sampled_from(["", ".", "..", "/", "/proc", f"{ROOT}/{DISK}", *_PLACES]),
    st.sampled_from(_HOSTILE[:-3]).map(os.fsdecode),
    st.binary(min_size=1, max_size=20).map(os.fsdecode),
).map(Link)
_broken = st.one_of(
    _bytes,
    st.sampled_from(_ERRNOS).map(Failure),
    _links,
    st.sampled_from([Directory(), Directory(errno.EACCES), None]),
)
_mutations = st.dictionaries(st.sampled_from(_PLACES), _broken, min_size=1, max_size=5)


def mutated(changes: Mapping[str, Entry | None]) -> dict[str, Entry]:
    """The small host with some places replaced, or (None) removed, with all below them."""
    entries = dict(SMALL)
    for place, entry in changes.items():
        if any(place.startswith(f"{other}/") for other in changes):
            continue  # Gone with what is above it.
        for path in [path for path in entries if path == place or path.startswith(f"{place}/")]:
            del entries[path]
        if entry is not None:
            entries[place] = entry
    return entries


@settings(max_examples=250)
@given(_mutations)
def test_a_host_broken_anywhere_gives_a_valid_printable_snapshot(
    changes: dict[str, Entry | None],
) -> None:
    check(read(TreeHost(mutated(changes))))


@settings(max_examples=250)
@given(_mutations)
def test_what_could_not_be_read_is_unknown_with_its_errno(
    changes: dict[str, Entry | None],
) -> None:
    host = WatchedHost(mutated(changes))
    unknown = read(host).unknown
    told = {(entry.path, entry.errno) for entry in unknown}
    of_processes = any(entry.path == "/proc/*/fd" for entry in unknown)
    for path, number in host.failed:
        process = of_processes and path.startswith("/proc/") and path[6].isdigit()
        assert process or (fact(path), errno.errorcode[number]) in told, path


# Record -> where its facts come from. `attached`, `owner` and the like come from everywhere.
_PCI = "/sys/bus/pci/devices"
_FACTS: dict[str, tuple[Callable[[Snapshot], Any], tuple[str, ...]]] = {
    "a device": (
        lambda snapshot: [one for one in snapshot.devices if one.address == DISK],
        (f"{_PCI}/{DISK}", f"{ROOT}/{DISK}"),
    ),
    "a group": (
        lambda snapshot: [
            (one.domain_type, one.reserved_regions, one.devices)
            for one in snapshot.groups
            if one.id == 2
        ],
        (f"{GROUPS}/2", _PCI),
    ),
    "an mdev type": (
        lambda snapshot: snapshot.mdev_types,
        (f"{ROOT}/{PARENT}/mdev_supported_types", "/sys/class/mdev_bus", "/sys/class/sdmdev",
         "/sys/devices/virtual/sdmdev"),
    ),
    "an IOMMU unit": (
        lambda snapshot: snapshot.iommu_units,
        ("/sys/class/iommu", "/sys/devices/virtual/iommu"),
    ),
    "an interrupt": (
        lambda snapshot: [one for one in snapshot.interrupts if one.irq == "41"],
        ("/proc/interrupts", "/proc/irq", f"{_PCI}/{NIC}", f"{ROOT}/{NIC}"),
    ),
    "a process": (
        lambda snapshot: snapshot.processes,
        (f"/proc/{HOLDER}", "/sys/class/vfio"),
    ),
    "an mdev": (
        lambda snapshot: [(one.parent, one.type, one.group) for one in snapshot.sdmdevs],
        (f"/sys/bus/mdev/devices/{UUID}", f"{ROOT}/{PARENT}/{UUID}"),
    ),
}  # fmt: skip


@settings(max_examples=250)
@given(_mutations)
def test_what_was_not_touched_is_still_told(changes: dict[str, Entry | None]) -> None:
    snapshot = read(TreeHost(mutated(changes)))
    for name, (facts, sources) in _FACTS.items():
        if not any(_touches(place, source) for place in changes for source in sources):
            assert facts(snapshot) == facts(BASE), name


def _touches(place: str, source: str) -> bool:
    return place == source or place.startswith(f"{source}/") or source.startswith(f"{place}/")


class VanishingHost(TreeHost):
    """Takes a subtree away at the n-th access."""

    def __init__(self, entries: Mapping[str, Entry], place: str, accesses: int) -> None:
        super().__init__(entries)
        self._place = place
        self._left = accesses

    def _say(self, path: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.remove(self._place)
        super()._say(path)


@settings(max_examples=250)
@given(st.sampled_from(_PLACES), st.integers(1, 220))
def test_files_that_vanish_while_they_are_read_are_no_failure(place: str, accesses: int) -> None:
    snapshot = read(VanishingHost(SMALL, place, accesses))
    check(snapshot)
    # Without the node of its group a descriptor does not say which device it is of.
    stray = {"/proc/*/maps": "ENODATA"} if place.startswith(f"/proc/{HOLDER}/fd") else {}
    for entry in snapshot.unknown:
        assert entry.errno in ("ENOENT", "ENOTDIR", "EBUSY", stray.get(entry.path)), entry


@pytest.mark.parametrize("content", _HOSTILE, ids=lambda content: repr(content[:12]))
def test_hostile_content_of_any_one_file_is_survived(content: bytes) -> None:
    for path, entry in SMALL.items():
        if isinstance(entry, bytes | str):
            snapshot = read(TreeHost({**SMALL, path: content}))
            assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot
            assert all(line.isprintable() for line in tree_text(snapshot).split("\n")), path


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL, errno.ETIMEDOUT])
def test_a_failure_of_any_one_place_is_unknown(number: int) -> None:
    for place in _PLACES:
        host = WatchedHost(mutated({place: Failure(number)}))
        unknown = read(host).unknown
        told = {entry.path for entry in unknown if entry.errno == errno.errorcode[number]}
        for path, _ in host.failed:
            process = "/proc/*/fd" in told and path.startswith("/proc/") and path[6].isdigit()
            assert process or path in told, place


def test_the_small_host_is_whole() -> None:
    check(BASE)
    assert BASE.unknown == ()
    for name, (facts, _) in _FACTS.items():
        assert facts(BASE), name


@pytest.mark.parametrize("number", _ERRNOS)
def test_a_host_where_every_file_fails_is_still_a_snapshot(number: int) -> None:
    files = {path: Failure(number) for path, entry in SMALL.items() if isinstance(entry, bytes)}
    snapshot = read(TreeHost({**SMALL, **files}))
    check(snapshot)
    assert [one.address for one in snapshot.devices] == [PARENT, NIC, DISK]
    assert [one.id for one in snapshot.groups] == [1, 2, 9]


def test_an_empty_host_is_an_empty_snapshot() -> None:
    snapshot = read(TreeHost({"/sys": Directory()}))
    check(snapshot)
    assert (snapshot.groups, snapshot.devices, snapshot.interrupts) == ((), (), ())


# -- captured hosts: facts that were read by hand in the unpacked trees ------------------------


@functools.cache
def captured(name: str) -> Snapshot:
    return read(open_host(f"capture:{TREES / name}.tar.xz"))


SDMDEV, LAB, PLAIN, BARE = (
    "debian-6.12-intel-sdmdev",
    "lab-6.12-intel-debugfs",
    "debian-6.1-intel-plain",
    "no-iommu",
)


def group_of(name: str, id_: int) -> IommuGroup:
    (found,) = (group for group in captured(name).groups if group.id == id_)
    return found


def device_of(name: str, address: str) -> Device:
    (found,) = (device for device in captured(name).devices if device.address == address)
    return found


def row_of(name: str, irq: str) -> Interrupt:
    (found,) = (row for row in captured(name).interrupts if row.irq == irq)
    return found


@pytest.mark.parametrize(
    ("name", "kernel", "groups", "devices"),
    [
        (SDMDEV, "6.12.95+deb12-amd64", 29, 31),
        (LAB, "6.12.95-lab", 29, 31),
        (PLAIN, "6.1.0-56-amd64", 21, 27),
        (BARE, "6.12.95-lab", 0, 27),
    ],
)
def test_a_captured_host_is_read_whole(name: str, kernel: str, groups: int, devices: int) -> None:
    snapshot = captured(name)
    check(snapshot)
    assert (snapshot.host.kernel, snapshot.host.cpus) == (kernel, 2)
    assert [group.id for group in snapshot.groups] == list(range(groups))
    assert len(snapshot.devices) == devices


def test_group_18_has_four_devices_and_is_not_viable_because_of_three() -> None:
    group = group_of(SDMDEV, 18)
    assert group.devices == ("0000:05:00.0", "0000:06:01.0", "0000:06:02.0", "0000:06:03.0")
    assert (group.domain_type, group.owner, group.viable) == ("DMA", "kernel", False)
    assert group.viability_reason == (
        "0000:06:01.0 is bound to sdmdev_sample; 0000:06:02.0 is bound to uio_pci_generic; "
        "0000:06:03.0 is bound to e1000"
    )
    assert group.attached == AttachedDomain(type="DMA", evidence="inferred")
    (region,) = group.reserved_regions
    assert (region.start, region.end) == ("0x00000000fee00000", "0x00000000feefffff")
    assert region.type == "msi"


def test_a_group_shared_by_vfio_and_a_kernel_driver_belongs_to_the_kernel() -> None:
    group = group_of(SDMDEV, 8)
    assert (group.owner, group.viable) == ("kernel", False)
    assert group.viability_reason == "0000:00:08.1 is bound to virtio-pci"


@pytest.mark.parametrize(
    ("id_", "owner", "driver"),
    [(21, "vfio", "vfio-pci"), (22, "free", "pci-stub"), (0, "free", None)],
)
def test_a_group_without_a_driver_that_uses_dma_is_viable(
    id_: int, owner: str, driver: str | None
) -> None:
    group = group_of(SDMDEV, id_)
    assert (group.owner, group.viable, group.viability_reason) == (owner, True, None)
    assert device_of(SDMDEV, group.devices[0]).driver == driver


def test_a_vf_knows_its_pf_and_the_pf_its_vfs() -> None:
    vf = device_of(SDMDEV, "0000:02:00.1")
    assert (vf.physfn, vf.driver, vf.driver_override) == ("0000:02:00.0", "vfio-pci", "vfio-pci")
    assert vf.sriov is None
    assert device_of(SDMDEV, "0000:02:00.0").sriov == Sriov(total=2, vfs=2)
    assert device_of(PLAIN, "0000:02:00.0").sriov == Sriov(total=2, vfs=0)


def test_the_facts_of_a_device_are_those_of_its_directory() -> None:
    nvme = device_of(SDMDEV, "0000:41:00.0")
    assert nvme.path == "/sys/devices/pci0000:40/0000:40:00.0/0000:41:00.0"
    assert (nvme.parent, nvme.group, nvme.iommu) == ("0000:40:00.0", 20, "dmar0")
    assert (nvme.driver, nvme.driver_override, nvme.bus) == ("nvme", None, "pci")
    assert (nvme.vendor, nvme.device, nvme.class_) == ("0x1b36", "0x0010", "0x010802")
    assert (nvme.numa_node, nvme.irqs) == (1, (41, 43, 45))
    assert device_of(SDMDEV, "0000:00:00.0").numa_node is None


def test_an_sdmdev_of_todays_kernel_has_an_emulated_domain_of_its_own() -> None:
    queues = {queue.id: queue for queue in captured(SDMDEV).sdmdevs}
    assert len(queues) == 6
    first = queues["5d3de000-0000-4000-8000-000000000001"]
    assert (first.kind, first.parent, first.type) == (
        "sdmdev",
        "0000:01:00.0",
        "sdmdev_sample-fact",
    )
    assert (first.group, first.domain_of, first.pasid) == (23, None, None)
    assert first.params == {"dma_flag": "2", "iommu_type": "1"}
    group = group_of(SDMDEV, 23)
    assert group.attached == AttachedDomain(type="emulated", evidence="known")
    assert (group.domain_type, group.devices) == ("unknown", (first.id,))
    assert (group.viable, group.shared_by) == (True, ())


def test_an_mdev_of_a_parent_outside_class_sdmdev_is_a_generic_one() -> None:
    kinds = {queue.id[-1]: (queue.kind, queue.parent) for queue in captured(SDMDEV).sdmdevs}
    assert kinds["4"] == kinds["5"] == ("mdev", "mtty")
    assert kinds["6"] == ("sdmdev", "sdmdev_virt.0")


def test_a_parent_outside_any_group_is_a_device_too() -> None:
    virtual = device_of(SDMDEV, "sdmdev_virt.0")
    assert (virtual.bus, virtual.group, virtual.iommu) == ("platform", None, None)
    assert virtual.sdmdev == SdmdevParams(iommu_type=1, dma_flags=("SINGLE_PROC_MAP",))
    mtty = device_of(SDMDEV, "mtty")
    assert (mtty.group, mtty.sdmdev) == (None, None)


def test_mdev_types_tell_what_is_left_and_what_exists() -> None:
    types = {(one.parent, one.id): one for one in captured(SDMDEV).mdev_types}
    assert len(types) == 5
    fact_ = types["0000:01:00.0", "sdmdev_sample-fact"]
    assert (fact_.name, fact_.device_api, fact_.flags) == ("factorial", "vfio-sdmdev", "0")
    assert fact_.available_instances == 0
    assert [uuid[-1] for uuid in fact_.instances] == ["1", "2"]
    mtty = types["mtty", "mtty-1"]
    assert (mtty.name, mtty.available_instances, mtty.flags) == ("Single port serial", 21, None)


def test_the_parents_interrupt_is_shared_by_its_sdmdevs() -> None:
    row = row_of(SDMDEV, "56")
    assert (row.device, row.actions, row.per_cpu) == ("0000:01:00.0", ("sdmdev-sample",), (0, 42))
    assert [uuid[-1] for uuid in row.shared_by] == ["1", "2"]
    assert [uuid[-1] for uuid in row_of(SDMDEV, "57").shared_by] == ["3"]
    assert row_of(SDMDEV, "40").shared_by == ()


def test_an_interrupt_of_kernel_6_1_is_told_by_its_hardware_number() -> None:
    row = row_of(PLAIN, "40")
    assert (row.chip, row.hwirq, row.device) == ("IR-PCI-MSI", "1048576", "0000:02:00.0")


def test_a_capture_without_processes_cannot_tell_who_holds() -> None:
    snapshot = captured(SDMDEV)
    assert snapshot.processes == ()
    assert {(queue.holders, queue.state) for queue in snapshot.sdmdevs} == {(None, None)}
    assert group_of(SDMDEV, 21).attached == AttachedDomain(type=None, evidence="unknown")
    assert "/proc/*/fd" in {entry.path for entry in snapshot.unknown}


def test_a_configuration_space_that_was_not_captured_is_unknown_and_counted() -> None:
    entries = [entry for entry in captured(SDMDEV).unknown if entry.path.endswith("/config")]
    assert {entry.errno for entry in entries} == {"ENODATA"}
    assert sum("more)" in entry.what for entry in entries) == 1
    assert {device.pasid for device in captured(SDMDEV).devices} == {None}


def test_the_iommu_unit_counts_its_domains_and_devices() -> None:
    (unit,) = captured(SDMDEV).iommu_units
    assert (unit.name, unit.driver, unit.pasid, unit.pasid_bits) == ("dmar0", "intel", False, None)
    assert (unit.domains_used, unit.domains_supported, len(unit.devices)) == (25, 65536, 29)


def test_a_host_without_an_iommu_has_devices_and_interrupts_but_no_group() -> None:
    snapshot = captured(BARE)
    assert (snapshot.groups, snapshot.iommu_units, snapshot.sdmdevs) == ((), (), ())
    assert {device.group for device in snapshot.devices} == {None}
    assert device_of(BARE, "0000:02:00.0").irqs == (41, 42, 43)
    assert row_of(BARE, "41").device == "0000:02:00.0"


# -- a part that is read again -----------------------------------------------------------------


def test_a_device_that_is_read_again_has_only_its_present_unknowns() -> None:
    config = f"{ROOT}/{NIC}/config"
    host = TreeHost({**SMALL, config: Failure(errno.EACCES)})
    reading = Reading(host, NO_NAMES)
    reading.read_all()
    for _ in range(3):
        reading.read_devices([NIC])
    assert [entry.path for entry in reading.snapshot().unknown] == [config]
    host.remove(config)
    reading.read_devices([DISK])
    assert [entry.path for entry in reading.snapshot().unknown] == [config]
    reading.read_devices([NIC])
    assert reading.snapshot().unknown == ()


def test_the_unknowns_of_a_device_go_with_it() -> None:
    host = TreeHost({**SMALL, f"{ROOT}/{NIC}/config": Failure(errno.EACCES)})
    reading = Reading(host, NO_NAMES)
    reading.read_all()
    host.remove(f"{ROOT}/{NIC}")
    host.remove(f"{_PCI}/{NIC}")
    host.remove(f"{GROUPS}/2/devices/{NIC}")
    reading.read_topology()
    assert reading.snapshot().unknown == ()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EPERM, "the kernel log is for root"),
        (errno.ENOENT, "there is no kernel log here"),
        (errno.ENODATA, "the kernel log was not captured"),
        (errno.EIO, "the kernel log could not be read"),
    ],
)
def test_why_the_log_cannot_be_read_is_told_by_its_errno(number: int, words: str) -> None:
    reading = Reading(TreeHost(SMALL), NO_NAMES)
    reading.note_log(OSError(number, ""))
    assert [entry.what for entry in reading.snapshot().unknown] == [f"IOMMU faults: {words}"]


# -- whose interrupt it is ---------------------------------------------------------------------

_INTX = b"CPU0\n 16:          5  IO-APIC  16-fasteoi   ehci_hcd, snd\n"


def line_16(nic: str | None, disk: str | None) -> tuple[str | None, list[tuple[int, ...]]]:
    """Who raises irq 16, and the irqs of both devices that have it for their line."""
    two = {**device(NIC, 2, nic, irq=b"16\n"), **device(DISK, 2, disk, irq=b"16\n")}
    snapshot = reading_of(two, {"/proc/interrupts": _INTX}).snapshot()
    (row,) = snapshot.interrupts
    return row.device, [one.irqs for one in snapshot.devices]


def test_a_line_belongs_to_the_one_device_that_has_a_driver() -> None:
    assert line_16("ehci-pci", None) == (NIC, [(16,), ()])
    assert line_16(None, "snd_hda_intel") == (DISK, [(), (16,)])


def test_a_line_that_two_drivers_share_is_nobodys_but_both_have_its_number() -> None:
    assert line_16("ehci-pci", "snd_hda_intel") == (None, [(16,), (16,)])


def test_a_line_of_devices_without_a_driver_is_nobodys() -> None:
    assert line_16(None, None) == (None, [(), ()])


def queue_with_clients(type_: bytes) -> Sdmdev:
    """The queue of an IDXD device that counts a client, whom nobody sees."""
    place = f"{ROOT}/{NIC}/dsa0/wq0.1"
    idxd: dict[str, Entry] = {
        "/sys/bus/dsa/devices/wq0.1": Link(f"../../../devices/pci0000:00/{NIC}/dsa0/wq0.1"),
        f"{place}/type": type_,
        f"{place}/mode": b"shared\n",
        f"{place}/clients": b"1\n",
    }
    (found,) = (one for one in reading_of(SMALL, idxd).snapshot().sdmdevs if one.id == "wq0.1")
    return found


def test_a_queue_that_the_kernel_uses_is_started_though_no_process_has_it() -> None:
    queue = queue_with_clients(b"kernel\n")
    assert (queue.state, queue.holders) == ("started", ())


def test_who_has_a_queue_that_counts_a_client_cannot_be_told_if_nobody_is_seen() -> None:
    queue = queue_with_clients(b"user\n")
    assert (queue.state, queue.holders) == ("started", None)


@pytest.mark.parametrize(("own", "pf", "capable"), [("D0", "D3hot", None), ("D3hot", "D0", True)])
def test_a_function_has_its_pasids_unless_its_physical_function_sleeps(
    own: str, pf: str, capable: bool | None
) -> None:
    config = bytearray(4096)
    config[0x100:0x108] = bytes.fromhex("1b000100 00140000")  # PASID, capable of 20 bits.
    virtual = "0000:00:02.1"
    entries: dict[str, Entry] = {
        **device(NIC, 2, "x", power_state=f"{pf}\n".encode(), config=bytes(config)),
        **device(virtual, 2, "x", power_state=f"{own}\n".encode(), physfn=Link(f"../{NIC}")),
    }
    found = {one.address: one for one in reading_of(entries).snapshot().devices}[virtual]
    assert (found.pasid.capable if found.pasid else None) is capable


# -- whose PASID it is -------------------------------------------------------------------------

_TABLES = "/sys/kernel/debug/iommu/intel/dmar_translation_struct"
_ZIP = "hisi_zip-0"
_WQ = f"{ROOT}/{NIC}/dsa0/wq0.1"


def live(address: str, *pasids: int) -> bytes:
    """Rows of scalable mode: the device's own domain, and address spaces of processes."""
    zeros = b"0x0000000000000000:0x0000000000000000"
    return b"".join(
        b"\t".join(
            (address[5:].encode(), zeros, zeros, b"%d" % pasid,
             b"0x00000000010c1000:0x0000000000000005:0x0000000000000041\n")
        )
        for pasid in (0, *pasids)
    )  # fmt: skip


def with_uacce(*pasids: int) -> dict[str, Entry]:
    """The small host with a uacce queue of PARENT, and these PASIDs live on it."""
    place = f"{ROOT}/{PARENT}/uacce/{_ZIP}"
    return {
        **SMALL,
        f"/sys/class/uacce/{_ZIP}": Link(f"../../devices/pci0000:00/{PARENT}/uacce/{_ZIP}"),
        f"{place}/device": Link(f"../../../{PARENT}"),
        f"{place}/dev": b"240:0\n",
        _TABLES: b"IOMMU dmar0: Root Table Address: 0x5eb000\n" + live(PARENT, *pasids),
    }


LET_GO = process(HOLDER, "/dev/null", "/dev/null")


def pasids_of(*trees: Mapping[str, Entry]) -> list[tuple[int, int | None, str]]:
    snapshot = reading_of(*trees).snapshot()
    return [(row.pasid, row.process, row.source) for row in snapshot.pasids]


def test_the_one_pasid_of_a_device_is_inferred_to_be_its_one_holders() -> None:
    found = pasids_of(with_uacce(22), process(812, f"/dev/{_ZIP}"), LET_GO)
    assert found == [(22, 812, f"{_TABLES} (inferred)")]


def test_a_holder_of_another_queue_of_the_device_makes_it_ambiguous() -> None:
    # HOLDER has the group of an mdev of the same parent.
    assert pasids_of(with_uacce(22), process(812, f"/dev/{_ZIP}")) == [(22, None, _TABLES)]


def test_two_pasids_are_not_told_apart() -> None:
    found = pasids_of(with_uacce(22, 23), process(812, f"/dev/{_ZIP}"), LET_GO)
    assert [process for _, process, _ in found] == [None, None]


def test_a_process_that_cannot_be_looked_into_could_be_the_one() -> None:
    hidden = {"/proc/9/fd": Failure(errno.EACCES)}
    found = pasids_of(with_uacce(22), process(812, f"/dev/{_ZIP}"), LET_GO, hidden)
    assert found == [(22, None, _TABLES)]


def test_a_device_without_a_node_known_here_is_not_concluded_of() -> None:
    tables = b"IOMMU dmar0: Root Table Address: 0x5eb000\n" + live(DISK, 22)
    assert pasids_of(SMALL, {_TABLES: tables}) == [(22, None, _TABLES)]


def idxd(*pids: int) -> dict[str, Entry]:
    """A user queue wq0.1 of NIC, opened by these."""
    return {
        "/sys/bus/dsa/devices/wq0.1": Link(f"../../../devices/pci0000:00/{NIC}/dsa0/wq0.1"),
        "/sys/bus/dsa/devices/dsa!wq0.1": Link(
            f"../../../devices/pci0000:00/{NIC}/dsa0/wq0.1/dsa!wq0.1"
        ),
        f"{_WQ}/type": b"user\n",
        f"{_WQ}/dsa!wq0.1/dev": b"241:1\n",
        **{f"{_WQ}/dsa!wq0.1/file{k}/pid": f"{pid}\n" for k, pid in enumerate(pids)},
    }


def test_who_opened_an_idxd_queue_holds_it_even_if_no_process_can_be_searched() -> None:
    hidden = {"/proc/1/fd": Directory(errno.EACCES)}
    queues = reading_of(SMALL, idxd(77), hidden).snapshot().sdmdevs
    assert [(one.holders, one.state) for one in queues if one.kind == "idxd"] == [
        ((77,), "started")
    ]
    queues = reading_of(SMALL, idxd(), hidden).snapshot().sdmdevs
    assert [(one.holders, one.state) for one in queues if one.kind == "idxd"] == [(None, None)]


def test_openers_and_holders_of_an_idxd_queue_are_told_together() -> None:
    queues = reading_of(SMALL, idxd(77), process(78, "/dev/dsa/wq0.1")).snapshot().sdmdevs
    assert [one.holders for one in queues if one.kind == "idxd"] == [(77, 78)]


def test_before_processes_were_searched_nobody_is_said_not_to_hold() -> None:
    reading = Reading(TreeHost(SMALL), NO_NAMES)
    reading.read_topology()
    reading.read_queues()
    assert {(one.holders, one.state) for one in reading.snapshot().sdmdevs} == {(None, None)}


def test_a_queue_that_was_handed_on_is_not_its_new_holders() -> None:
    tables = {_TABLES: b"IOMMU dmar0: Root Table Address: 0x5eb000\n" + live(NIC, 22)}
    wq = process(78, "/dev/dsa/wq0.1")
    assert pasids_of(SMALL, idxd(78), tables, wq)[0][1] == 78
    assert pasids_of(SMALL, idxd(77), tables, wq)[0][1] is None


def test_a_listing_differs_where_one_device_or_group_stands_for_another() -> None:
    host = TreeHost(SMALL)
    reading = Reading(host, NO_NAMES)
    reading.read_topology()
    pci, groups = host.list("/sys/bus/pci/devices"), host.list("/sys/kernel/iommu_groups")
    assert pci
    assert groups
    assert not reading.differs(pci, groups)
    assert reading.differs([*pci[1:], "0000:77:00.0"], groups)
    assert reading.differs(pci[1:], groups)
    assert reading.differs(pci, [*groups[1:], "77"])


def test_groups_and_devices_that_are_the_same_again_are_the_same_records() -> None:
    reading = Reading(TreeHost(SMALL), NO_NAMES)
    reading.read_all()
    first = reading.snapshot()
    reading.read_all()
    second = reading.snapshot()
    assert first.groups
    for before, now in zip(
        first.groups + first.devices, second.groups + second.devices, strict=True
    ):
        assert before is now


def test_one_reading_of_this_machine_leaves_no_file_open() -> None:
    host = open_host("linux:")
    before = open_files()
    read_snapshot(host)
    assert not open_files() - before


@pytest.mark.parametrize(
    ("told", "year"),
    [("2001-02-03T04:05:06Z", 2001), ("2001-02-03T05:05:06+01:00", 2001), ("soon", 20), ("", 20)],
)
def test_a_capture_is_of_the_time_at_which_it_was_made(told: str, year: int) -> None:
    host = TreeHost(SMALL)
    host.taken_at = told
    taken = read_snapshot(host).taken_at
    assert taken.startswith(str(year))
    assert (taken == "2001-02-03T04:05:06.000Z") is (year == 2001)
