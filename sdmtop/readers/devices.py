"""Devices of any bus: what their directory in sysfs says of them.

On the path of the first paint: facts come as dictionaries (the fields of `model.Device`), because
importing the records costs more than the paint.
"""

import errno
import posixpath
import stat
from sys import intern

from sdmtop.readers.sysfs import (
    follow,
    index,
    is_absent,
    name_of,
    number,
    number_of,
    target,
    word,
)
from sdmtop.text import fact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sdmtop.backends.base import Host
    from sdmtop.readers.unknowns import Unknowns

PCI = "/sys/bus/pci/devices"

# `modalias` carries class and ids in one read. So does `uevent`, but reading that takes the device
# lock on some kernels (6.1.192 for one), which an unbind holds while it waits for a holder.
_FILES = ("modalias", "numa_node", "power_state", "irq", "sriov_totalvfs")
_LINKS = ("driver", "iommu_group", "iommu", "physfn")
_WHAT = ("class and ids", "NUMA node", "power state", "legacy interrupt", "SR-IOV size",
         "driver", "IOMMU group", "IOMMU unit", "physical function")  # fmt: skip
_ASKED = tuple(zip((*_FILES, *_LINKS), _WHAT, strict=True))

_NO_NODE = -1
_NOT_A_NUMBER = OSError(errno.EINVAL, "not a number")

_identities: "dict[bytes, tuple[str | None, str | None, str | None]]" = {}
"""Vendor, device and class of each modalias met: a large host has few for thousands of devices."""


def pci_paths(host: "Host") -> "Iterator[tuple[str, str]]":
    """(address, sysfs path) of every PCI device, in no particular order.

    Raises `OSError` when the bus cannot be listed. Source: `/sys/bus/pci/devices`, links whose
    names are the addresses.
    """
    addresses = host.list(PCI)
    for address, link in zip(addresses, host.look(PCI, (), addresses), strict=True):
        # A link that cannot be read is left to the reader of the device, who says so.
        text = link.decode("utf-8", "surrogateescape") if isinstance(link, bytes) else address
        yield address, follow(PCI, text)


def pci_path(host: "Host", address: str) -> str:
    """The sysfs path of one PCI device; below the bus where its link cannot be read."""
    try:
        return target(host, f"{PCI}/{address}")
    except OSError:
        return f"{PCI}/{address}"


def device_facts(host: "Host", address: str, path: str, unknowns: "Unknowns") -> "dict[str, Any]":
    """The fields of `model.Device` that the device's own directory tells, at `path`.

    Empty when the directory is gone (a device that was pulled while we read). Not among the
    fields: `name`, `pasid` and `sdmdev`, which other readers know. Besides them: `power_state`;
    `driver_known`, False where an unbind is under way or the link could not be read; and
    `driver_told`, the driver that is there all the same: its name, or `vfio` or `kernel`.
    """
    try:
        answers = host.look(path, _FILES, _LINKS)
    except OSError as error:
        if not is_absent(error):
            unknowns.note(path, error, "everything about this device")
        return {}
    modalias, numa_node, power_state, irq, totalvfs, driver, group, iommu, physfn = answers
    for (file, what), answer in zip(_ASKED, answers, strict=True):
        failed = not isinstance(answer, bytes) and not is_absent(answer)
        if failed and not _is_unit_itself(host, path, file):
            unknowns.note_failure(f"{path}/{file}", answer, what)

    driver_name = name_of(driver)
    absent = isinstance(driver, OSError) and is_absent(driver)
    group_number = number_of(group)
    told = ""
    if isinstance(modalias, bytes):
        vendor, device, class_ = _identity(modalias)
        if absent:
            told = side_that_waits(host, path, modalias, group_number)
    else:
        text = b"\n" + _uevent(host, path, unknowns)
        ids, _, device_id = _field(text, b"\nPCI_ID=").partition(b":")
        vendor, device = _hex(ids, 4), _hex(device_id, 4)
        class_ = _hex(_field(text, b"\nPCI_CLASS="), 6)
        if driver_name is None:
            told = fact(_field(text, b"\nDRIVER="))
    waits = bool(told) and absent
    if waits:
        waiting = OSError(errno.EBUSY, "an unbind has begun and waits for a holder to let go")
        unknowns.note(f"{path}/driver", waiting, f"driver: {waiting.strerror}")
        what = "driver override: it is left alone while an unbind waits"
        unknowns.note(f"{path}/driver_override", waiting, what)
    numa = number(numa_node)
    if (numa is None or numa < _NO_NODE) and numa_node.__class__ is bytes:
        numa = None
        unknowns.note(f"{path}/numa_node", _NOT_A_NUMBER, "NUMA node")
    total = number(totalvfs)
    if (total is None or total < 0) and totalvfs.__class__ is bytes:
        total = None
        unknowns.note(f"{path}/sriov_totalvfs", _NOT_A_NUMBER, "SR-IOV size")
    return {
        "address": fact(address),
        "bus": _bus(host, path, unknowns),
        "path": fact(path),
        "parent": _parent(path),
        "group": group_number,
        "iommu": name_of(iommu),
        "driver": driver_name,
        "driver_known": not told and (isinstance(driver, bytes) or is_absent(driver)),
        "driver_told": told or None,
        "driver_override": None if waits else _override(host, path, unknowns),
        "vendor": vendor,
        "device": device,
        "class_": class_,
        "numa_node": None if numa == _NO_NODE else numa,
        "irqs": _irqs(host, path, irq, driver_name or told, unknowns),
        "sriov": (total, _vfs(host, path, unknowns)) if total else None,
        "physfn": name_of(physfn),
        "power_state": word(power_state),
    }


def _is_unit_itself(host: "Host", path: str, file: str) -> bool:
    """Whether `iommu` is a directory, no link: AMD's unit is a PCI function, behind no other."""
    if file != "iommu":
        return False
    try:
        return stat.S_ISDIR(host.mode(f"{path}/iommu"))
    except OSError:
        return False


def _identity(modalias: bytes) -> "tuple[str | None, str | None, str | None]":
    """Vendor, device and class as sysfs spells them; None where the modalias has none."""
    known = _identities.get(modalias)
    if known is None:
        vendor, device, class_ = _ids_of_modalias(modalias)
        known = _identities[modalias] = _hex(vendor, 4), _hex(device, 4), _hex(class_, 6)
    return known


def _ids_of_modalias(modalias: bytes) -> tuple[bytes, bytes, bytes]:
    """Vendor, device and class of `pci:v00008086d000010D3sv...sd...bc02sc00i00`; else nothing."""
    if not modalias.startswith(b"pci:v"):
        return b"", b"", b""
    return modalias[5:13], modalias[14:22], modalias[44:46] + modalias[48:50] + modalias[51:53]


def side_that_waits(host: "Host", path: str, modalias: bytes, group: int | None) -> str:
    """Whose unbind waits for a holder: `vfio` or `kernel`; empty if the device is plainly unbound.

    For a device without a `driver` link, by files that take no lock. The parent of an mdev that is
    open still offers its types. A device of VFIO that is open is still enabled, and the node of its
    group still there. (So may a bridge be, for the devices behind it; but VFIO takes none.)
    """
    if _ids_of_modalias(modalias)[2].startswith(b"06"):
        return ""
    if _exists(host, f"{path}/mdev_supported_types"):
        return "kernel"
    nodes = (f"/sys/class/vfio/{group}", f"/sys/class/vfio/noiommu-{group}")
    if group is None or not any(_exists(host, node) for node in nodes):
        return ""
    return "vfio" if _is_enabled(host, path) else ""


def _is_enabled(host: "Host", path: str) -> bool:
    """Whether somebody has enabled the device; one that is not of PCI does not tell."""
    try:
        return bool(number(host.read(f"{path}/enable")))
    except OSError:
        return False


def _exists(host: "Host", path: str) -> bool:
    try:
        host.mode(path)
    except OSError:
        return False
    return True


def _uevent(host: "Host", path: str, unknowns: "Unknowns") -> bytes:
    """`uevent` of a device that has no `modalias`: of no bus, or an mdev's parent of its own."""
    try:
        return host.read(f"{path}/uevent")
    except OSError as error:
        unknowns.note_failure(f"{path}/uevent", error, "driver, class and ids")
        return b""


def _field(uevent: bytes, key: bytes) -> bytes:
    """The value of a `KEY=` line; empty where there is none."""
    start = uevent.find(key)
    if start < 0:
        return b""
    start += len(key)
    end = uevent.find(b"\n", start)
    return uevent[start:end] if end >= 0 else uevent[start:]


def _hex(digits: bytes, width: int) -> str | None:
    """Hexadecimal digits of a uevent as sysfs spells them: `0x`, lower case, zero-padded."""
    try:
        return intern(f"{int(digits, 16):#0{width + 2}x}")
    except ValueError:
        return None


def _bus(host: "Host", path: str, unknowns: "Unknowns") -> str | None:
    """The bus: told by the path for a PCI device, by the `subsystem` link for others."""
    if _is_pci_address(path[path.rfind("/") + 1 :]):
        return "pci"
    try:
        return fact(posixpath.basename(host.readlink(f"{path}/subsystem")))
    except OSError as error:
        unknowns.note_failure(f"{path}/subsystem", error, "bus")
        return None


def _is_pci_address(name: str) -> bool:
    return name[-2:-1] == "." and name.count(":") == 2


def _parent(path: str) -> str | None:
    """The device above: None below a host bridge, or below a directory that is no device."""
    above, _, name = posixpath.dirname(path).rpartition("/")
    if name.startswith("pci") or name in ("platform", "virtual", "system", "devices"):
        return None
    if above == "/sys/devices/virtual":
        return None  # The class of a device that sits on nothing, as `mtty/mtty`.
    return intern(fact(name))


def _override(host: "Host", path: str, unknowns: "Unknowns") -> str | None:
    """`driver_override`; reading it takes the lock of the device on most kernels."""
    file = f"{path}/driver_override"
    try:
        override = word(host.read(file))
    except OSError as error:
        unknowns.note_failure(file, error, "driver override")
        return None
    return None if override == "(null)" else override


def _irqs(
    host: "Host", path: str, legacy: "bytes | OSError", driver: str, unknowns: "Unknowns"
) -> tuple[int, ...]:
    """Linux interrupt numbers: the MSI vectors, or the one legacy line."""
    try:
        vectors = host.list(f"{path}/msi_irqs")
    except OSError as error:
        if not is_absent(error):
            unknowns.note(f"{path}/msi_irqs", error, "MSI vectors")
            return ()
        line = number(legacy)
        if (line is None or line < 0) and legacy.__class__ is bytes:
            line = None
            unknowns.note(f"{path}/irq", _NOT_A_NUMBER, "legacy interrupt")
        return (line,) if line and _may_use_line(host, path, driver) else ()
    return tuple(sorted(irq for vector in vectors if (irq := index(vector)) is not None))


def _may_use_line(host: "Host", path: str, driver: str) -> bool:
    """Whether the legacy line that firmware wrote down may be one that Linux uses.

    Not before a driver enables the device, and those of VFIO do so when their user opens it.
    """
    return _is_enabled(host, path) if driver.startswith("vfio") else bool(driver)


def _vfs(host: "Host", path: str, unknowns: "Unknowns") -> int:
    """How many VFs exist: their links, since reading `sriov_numvfs` takes the device lock."""
    try:
        return sum(name.startswith("virtfn") for name in host.list(path))
    except OSError as error:
        unknowns.note(path, error, "virtual functions")
        return 0
