"""PASIDs that are live, wherever a kernel shows them (kernel-abi section 10).

No kernel file joins a PASID to a process: either the driver of an sdmdev tells both, or it is
inferred (`infer_processes`) and says so, or the process stays unknown.
"""

import errno
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.model import Pasid, Sdmdev
from sdmtop.readers.intel_debugfs import TABLES, Translation
from sdmtop.readers.iommu_units import CLASS
from sdmtop.readers.sysfs import names, natural, number
from sdmtop.readers.unknowns import Unknowns, names_or_note
from sdmtop.text import fact

SVA_DRIVER = "/sys/bus/pci/drivers/uio_pci_sva"
INFERRED = " (inferred)"
"""At the end of a source: that the process is a conclusion, not a fact that was read."""

_MDEVS = "/sys/bus/mdev/devices"


def read_pasids(
    host: Host,
    unknowns: Unknowns,
    translation: Translation | None,
    sdmdevs: Iterable[Sdmdev],
) -> tuple[Pasid, ...]:
    """Every live PASID, sorted by number and device, each with where it was read.

    Sources: Intel's debugfs tables (PASIDs only), `params/pasid` and `params/pid` of sdmdevs,
    the driver uio_pci_sva. A row that names a process replaces one that does not.
    """
    queues = tuple(sdmdevs)
    found: dict[tuple[str, int], Pasid] = {}
    for row in (
        *_of_tables(translation),
        *_of_sva_driver(host, unknowns),
        *(row for queue in queues for row in _of_queue(queue)),
    ):
        key = (row.device, row.pasid)
        if key not in found or row.process is not None:
            found[key] = row
    _note_idxd(unknowns, queues)
    if translation is None:
        _note_blind(host, unknowns)
    return tuple(sorted(found.values(), key=_key))


def infer_processes(
    pasids: Iterable[Pasid], holders: Mapping[str, frozenset[int] | None]
) -> tuple[Pasid, ...]:
    """The PASIDs, with the process where only one is possible.

    `holders` has the processes that hold a node of each device, None where that cannot be told.
    Two conclusions are sound (kernel-abi section 10): a device with one live PASID and one
    holder; one PASID on several devices, and one process that holds them all. All else stays
    as it is.
    """
    rows = tuple(pasids)
    of_device: dict[str, set[int]] = {}
    devices_of: dict[int, set[str]] = {}
    for row in rows:
        of_device.setdefault(row.device, set()).add(row.pasid)
        devices_of.setdefault(row.pasid, set()).add(row.device)

    def conclude(row: Pasid) -> Pasid:
        if row.process is not None:
            return row
        devices = devices_of[row.pasid]
        held = [of for device in devices if (of := holders.get(device)) is not None]
        if len(held) < len(devices):
            return row
        common = frozenset.intersection(*held)
        if len(common) != 1 or (len(devices) == 1 and len(of_device[row.device]) != 1):
            return row
        return replace(row, process=min(common), source=row.source + INFERRED)

    return tuple(conclude(row) for row in rows)


def _key(row: Pasid) -> tuple[object, ...]:
    return (row.pasid, natural(row.device))


def _of_tables(translation: Translation | None) -> Iterable[Pasid]:
    if translation is None:
        return
    for address in translation.addresses():
        for pasid in translation.live_pasids(address):
            yield Pasid(pasid=pasid, device=address, process=None, source=TABLES)


def _of_queue(queue: Sdmdev) -> Iterable[Pasid]:
    """An sdmdev whose driver tells its PASID; `pid` is the process that owns the queue."""
    if queue.kind not in ("sdmdev", "mdev"):
        return
    pasid = queue.pasid if queue.pasid is not None else number(queue.params.get("pasid", ""))
    if pasid is not None and pasid > 0:
        yield Pasid(
            pasid=pasid,
            device=queue.parent or queue.id,
            process=_positive(queue.params.get("pid", "")),
            source=f"{_MDEVS}/{queue.id}/params/pasid",
        )


def _positive(text: str) -> int | None:
    value = number(text)
    return value if value is not None and value > 0 else None


def _of_sva_driver(host: Host, unknowns: Unknowns) -> Iterable[Pasid]:
    """Devices of uio_pci_sva: one user each, whose PASID is 0 or negative while nobody is."""
    entries = names_or_note(host, unknowns, SVA_DRIVER, "PASIDs of devices on uio_pci_sva")
    for device in (name for name in entries if ":" in name):
        path = f"{SVA_DRIVER}/{device}/pasid"
        what = "PASID of this device's user"
        try:
            answer = host.read(path)
        except OSError as error:
            unknowns.note_failure(path, error, what)
            continue
        pasid = number(answer)
        if pasid is None:
            unknowns.note(path, OSError(errno.EINVAL, "not a number"), what)
        elif pasid > 0:
            yield Pasid(pasid=pasid, device=fact(device), process=None, source=fact(path))


def _note_idxd(unknowns: Unknowns, queues: Iterable[Sdmdev]) -> None:
    """IDXD tells who has a queue open, but hides with which PASID."""
    for queue in queues:
        if queue.kind == "idxd" and queue.params.get("pids"):
            hidden = OSError(errno.ENODATA, "not told")
            what = "PASIDs of IDXD queues: the kernel tells who has one open, not with which PASID"
            unknowns.note(f"/sys/bus/dsa/devices/{queue.id}", hidden, what)
            return


def _note_blind(host: Host, unknowns: Unknowns) -> None:
    """On other IOMMUs than Intel's no file lists PASIDs; Intel's own reader says why it cannot."""
    try:
        units = names(host, CLASS)
    except OSError:
        return  # Noted by the reader of the units.
    if units and not any(name.startswith("dmar") for name in units):
        blind = OSError(errno.EOPNOTSUPP, "no such file in any kernel")
        what = "PASIDs that are live on each device: only Intel's debugfs tells, not this IOMMU"
        unknowns.note(CLASS, blind, what)
