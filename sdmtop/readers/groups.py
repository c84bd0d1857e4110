"""IOMMU groups: `/sys/kernel/iommu_groups`.

`group_facts` and `group_ids` are on the path of the first paint: light imports only.
"""

import errno
from sys import intern

from sdmtop.readers.sysfs import index, is_absent, names, number, word
from sdmtop.text import fact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, IommuGroup
    from sdmtop.readers.unknowns import Unknowns

GROUPS = "/sys/kernel/iommu_groups"
EMULATED = "vfio-noiommu"
"""The `name` of a group that has no IOMMU behind it: noiommu devices, and every mdev of today."""

UNSAFE = "no IOMMU: VFIO's unsafe noiommu mode only"
"""Why a device in such a group cannot be given to a process safely."""

ONLY_BRIDGES = "nothing but bridges, which do not stand in VFIO's way"
"""What a group has that cannot be attached, and need not be."""

LOST_REGION = "cannot tell its reserved regions, of which one may be direct"
"""Why it is open whether a group can be given away though its drivers are known."""

TRANSLATING = ("DMA", "DMA-FQ")
"""Default domains through which no device reaches what is not mapped for it."""

_MANAGED = frozenset({"pcieport", "pci-stub", "fsl_mc_dprc"})

_UIO = ("uio_pci_generic", "igb_uio")

_ATTACHING = ("vdpa", "ifcvf", "pds_core", "usnic")

_FILES = ("type", "reserved_regions")
_WHAT = ("domain type", "reserved regions")
_EMPTY = OSError(errno.EINVAL, "empty")


def group_ids(host: "Host", unknowns: "Unknowns") -> "list[int]":
    """The numbers of all groups, sorted. None at all means: no IOMMU driver is active."""
    try:
        return sorted(id_ for name in names(host, GROUPS) if (id_ := index(name)) is not None)
    except OSError as error:
        unknowns.note(GROUPS, error, "all IOMMU groups")
        return []


def group_facts(host: "Host", id_: int, unknowns: "Unknowns") -> "dict[str, Any]":
    """`id`, `domain_type`, `reserved_regions`, `name`, `members` (link names) of a group.

    The regions are as they were read, empty where there is no such file; None where it fails.

    Empty when the group is gone (its last device was pulled while we read).
    """
    path = f"{GROUPS}/{id_}"
    try:
        answers = host.look(path, _FILES)
    except OSError as error:
        if not is_absent(error):
            unknowns.note(path, error, "everything about this group")
        return {}
    for file, answer, what in zip(_FILES, answers, _WHAT, strict=True):
        if answer.__class__ is not bytes:
            unknowns.note_failure(f"{path}/{file}", answer, what)
    try:
        members = names(host, f"{path}/devices")
    except OSError as error:
        unknowns.note(f"{path}/devices", error, "devices of this group")
        members = []
    type_, regions = answers
    domain_type = word(type_)
    if domain_type is not None:
        domain_type = intern(domain_type)  # One string for thousands of groups.
    elif type_.__class__ is bytes:
        unknowns.note(f"{path}/type", _EMPTY, "domain type")
    text = regions if isinstance(regions, bytes) else b"" if is_absent(regions) else None
    return {
        "id": id_,
        "domain_type": domain_type,
        "reserved_regions": text,
        # Only a group without a default domain has a name (kernel-abi 1.1, `vfio-noiommu`).
        "name": _name(host, path, unknowns) if domain_type in (None, "unknown") else None,
        "members": members,
    }


def _name(host: "Host", path: str, unknowns: "Unknowns") -> str | None:
    try:
        return word(host.read(f"{path}/name"))
    except OSError as error:
        unknowns.note_failure(f"{path}/name", error, "group name")
        return None


def is_vfio(driver: str) -> bool:
    """Whether a driver hands its device to VFIO: vfio-pci, mlx5_vfio_pci, vfio-platform, ..."""
    return "vfio" in driver


def is_bridge(device: "Device") -> bool:
    """Whether other devices are behind it (PCI class 06xx).

    Of class 0680 are devices that bridge to something that is none of PCI's, as NVSwitch: VFIO
    takes them like any other.
    """
    class_ = device.class_ or ""
    return class_.startswith("0x06") and not class_.startswith("0x0680")


def is_uio(driver: str) -> bool:
    """Whether a driver hands its device to a process by uio, with physical addresses only."""
    return driver in _UIO


def uses_dma(driver: str) -> bool:
    """Whether a bound driver owns the group: all but those with `driver_managed_dma`."""
    return driver not in _MANAGED and not is_vfio(driver)


def may_attach(driver: str) -> bool:
    """Whether a driver of the kernel's is known to attach a domain of its own to its device.

    Those that call `iommu_attach_device` on a machine with Intel's units: vDPA, and usnic.
    """
    return any(word in driver for word in _ATTACHING)


def viability(
    drivers: "dict[str, str | None]",
    unread: "set[str]",
    *,
    emulated: bool,
    direct: str = "",
    regions_known: bool = True,
) -> "tuple[bool | None, str | None]":
    """Whether VFIO could take the group, and why not.

    `drivers` is member -> bound driver, `unread` the members whose driver cannot be told, and
    `direct` where a region begins that firmware wants mapped one to one; without `regions_known`
    there may be one that could not be read. The kernel's rule: no member may be bound to a driver
    that uses the DMA API, nor is a group with such a region given away (iommu.c,
    `require_direct`; on Intel before, "ineligible due to RMRR").
    """
    if not drivers:
        return None, "the group has no device"
    if emulated:
        return True, None
    culprits = [
        f"{member} is bound to {driver}"
        for member, driver in drivers.items()
        if driver is not None and uses_dma(driver)
    ]
    if culprits:
        return False, "; ".join(culprits)
    if not unread.isdisjoint(drivers):
        return None, f"cannot tell the driver of {', '.join(sorted(unread & drivers.keys()))}"
    if direct:
        return False, f"its region {direct} is direct: firmware wants it mapped one to one"
    if not regions_known:
        return None, LOST_REGION
    return True, None


def is_owner_told(group: "IommuGroup") -> bool:
    """Whether the drivers that say who owns the group could all be told."""
    return group.viable is not None or not group.devices or group.viability_reason == LOST_REGION


def owner(drivers: "dict[str, str | None]") -> "Literal['kernel', 'vfio', 'free']":
    """Who the bound drivers say owns the group; a claim without a driver leaves no trace."""
    bound = [driver for driver in drivers.values() if driver is not None]
    if any(map(uses_dma, bound)):
        return "kernel"
    return "vfio" if any(map(is_vfio, bound)) else "free"


def regions(text: bytes) -> "tuple[tuple[tuple[str, str, str], ...], bool]":
    """(start, end, type) of each line of `reserved_regions`, and whether that is all of it.

    It is not where a line has another form, or no end: such lines are left out.
    """
    *lines, rest = text.split(b"\n")
    found = []
    whole = not rest
    for line in lines:
        parts = line.split()
        if len(parts) == 3 and _is_address(parts[0]) and _is_address(parts[1]):
            found.append((fact(parts[0]), fact(parts[1]), fact(parts[2])))
        elif parts:
            whole = False
    return tuple(found), whole


def _is_address(word: bytes) -> bool:
    return word.startswith(b"0x") and number(word, 16) is not None
