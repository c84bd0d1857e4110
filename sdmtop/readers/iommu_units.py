"""IOMMU units and what they can do: `/sys/class/iommu`.

Intel and AMD export their capability registers; Arm SMMUv3 and virtio export nothing but the
list of devices, so whether they know PASIDs cannot be told from here.
"""

import errno
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sdmtop.backends.base import Host
from sdmtop.model import Detail, IommuUnit, UnitDriver
from sdmtop.readers.host import kernel_release
from sdmtop.readers.sysfs import in_order, name_of, number, word
from sdmtop.readers.unknowns import Unknowns, names_or_note
from sdmtop.text import fact, printable

CLASS = "/sys/class/iommu"

_INTEL = ("cap", "ecap", "domains_supported", "domains_used")
_GUESSED = " (inferred: this kernel may print the two words in either order)"


def read_iommu_units(host: Host, unknowns: Unknowns) -> tuple[IommuUnit, ...]:
    """Every unit, sorted by name; none at all where no IOMMU driver is active.

    `pasid` and `pasid_bits` are those of the unit's registers, and None where it exports none.
    """
    return tuple(_unit(host, unknowns, name) for name in unit_names(host, unknowns))


def unit_names(host: Host, unknowns: Unknowns) -> list[str]:
    """The names of all units, sorted: `dmar0`, `ivhd0`, `smmu3.0x...`, a virtio bus name."""
    return in_order(names_or_note(host, unknowns, CLASS, "all IOMMU units"))


def unit_devices(host: Host, unknowns: Unknowns, name: str) -> tuple[str, ...]:
    """The addresses of the devices behind a unit: the names of the links in `devices/`."""
    path = f"{CLASS}/{name}/devices"
    links = names_or_note(host, unknowns, path, "devices behind this IOMMU unit")
    return tuple(fact(link) for link in in_order(links))


def unit_details(host: Host, unit: IommuUnit) -> tuple[Detail, ...]:
    """Every capability of a unit that its registers tell, in the order of the registers.

    A register that cannot be read, or holds no number, is shown as itself with the reason.
    """
    directory = f"{CLASS}/{unit.name}"
    if unit.driver == "intel":
        return (
            *_plain(host, f"{directory}/intel-iommu", "version", "Version of the architecture"),
            *_plain(host, f"{directory}/intel-iommu", "address", "Where its registers are"),
            *_register(host, f"{directory}/intel-iommu/cap", _CAP),
            *_register(host, f"{directory}/intel-iommu/ecap", _ECAP),
        )
    if unit.driver == "amd":
        return (
            *_plain(host, f"{directory}/amd-iommu", "cap", "Header of its PCI capability"),
            *_register(host, f"{directory}/amd-iommu/features", _EFR, _amd_efr),
        )
    nothing = "Nothing is exported: PASID width is only told through iommufd, or by the boot log"
    return (Detail(name="Capabilities", value="not exported", path=directory, meaning=nothing),)


# -- one unit --------------------------------------------------------------------------------


def _unit(host: Host, unknowns: Unknowns, name: str) -> IommuUnit:
    path = f"{CLASS}/{name}"
    driver = _driver(host, unknowns, name)
    pasid_bits: int | None = None
    pasid: bool | None = None
    supported: int | None = None
    used: int | None = None
    if driver == "intel":
        _, ecap, supported, used = _numbers(host, unknowns, f"{path}/intel-iommu", _INTEL)
        if ecap is not None:
            pasid = bool(ecap >> 40 & 1)
            pasid_bits = (ecap >> 35 & 0x1F) + 1 if pasid else None
    elif driver == "amd":
        efr = _amd_features(host, unknowns, f"{path}/amd-iommu")
        if efr is not None:
            # Guest translation is what a PASID indexes: without it PASMAX means nothing.
            pasid = bool(efr >> 4 & 1)
            pasid_bits = (efr >> 32 & 0x1F) + 1 if pasid else None
    return IommuUnit(
        name=fact(name),
        driver=driver,
        pasid=pasid,
        pasid_bits=pasid_bits,
        domains_used=used,
        domains_supported=supported,
        devices=unit_devices(host, unknowns, name),
    )


def _driver(host: Host, unknowns: Unknowns, name: str) -> UnitDriver:
    """Told by the attribute directory, else by the name, else by the device that it is."""
    path = f"{CLASS}/{name}"
    try:
        inside = host.list(path)
    except OSError as error:
        unknowns.note_failure(path, error, "attributes of this IOMMU unit")
        inside = []
    if "intel-iommu" in inside or name.startswith("dmar"):
        return "intel"
    if "amd-iommu" in inside or name.startswith("ivhd"):
        return "amd"
    if name.startswith("smmu3."):
        return "arm-smmu-v3"
    return "virtio" if _is_virtio(host, unknowns, path, name) else "other"


def _is_virtio(host: Host, unknowns: Unknowns, path: str, name: str) -> bool:
    """A virtio unit has the name of what its bus sits on: a PCI function, or an MMIO window."""
    link = f"{path}/device"
    try:
        if host.readlink(link).rpartition("/")[2].startswith("virtio"):
            return True
        link = f"{link}/driver"
        return host.readlink(link).rpartition("/")[2] == "virtio_iommu"
    except OSError as error:
        unknowns.note_failure(link, error, "driver of this IOMMU unit")
        # No such link tells nothing; no other driver names its unit like a PCI function.
        return name.count(":") == 2 and name[-2:-1] == "."


def _numbers(
    host: Host, unknowns: Unknowns, directory: str, files: tuple[str, ...]
) -> list[int | None]:
    """The registers (hexadecimal) and counts (decimal) in one directory."""
    try:
        answers = host.look(directory, files)
    except OSError as error:
        unknowns.note_failure(directory, error, "capabilities of this IOMMU unit")
        return [None] * len(files)
    found = []
    for file, answer in zip(files, answers, strict=True):
        path, what = f"{directory}/{file}", f"{file} of this IOMMU unit"
        unknowns.note_failure(path, answer, what)
        value = number(answer, 10 if file.startswith("domains") else 16)
        if value is None and isinstance(answer, bytes):
            unknowns.note(path, OSError(errno.EINVAL, "not a number"), what)
        found.append(value)
    return found


# -- AMD's features --------------------------------------------------------------------------


def _amd_features(host: Host, unknowns: Unknowns, directory: str) -> int | None:
    path, what = f"{directory}/features", "PASID support of this IOMMU unit"
    try:
        text = host.read(path)
    except OSError as error:
        unknowns.note_failure(path, error, what)
        return None
    efr = extended_features(text, kernel_release(host, unknowns))
    if efr is None:
        unknowns.note(path, OSError(errno.EINVAL, "not two numbers"), what)
        return None
    return efr[0]


def extended_features(text: bytes, release: str | None) -> tuple[int, bool] | None:
    """AMD's EFR out of `features`, and whether it had to be guessed which of two words it is.

    Kernels up to 6.1 print `EFR2:EFR`, those from 6.12 on `EFR:EFR2` (both observed). In between,
    or without a release, the word with more bits set is taken. None for any other text.
    """
    words = [value for part in text.split(b":") if (value := number(part, 16)) is not None]
    if len(words) == 1 and b":" not in text:
        return words[0], False
    if len(words) != 2 or text.count(b":") != 1:
        return None
    first, last = words
    version = _version(release)
    if version is not None and version >= (6, 12):
        return first, False
    if version is not None and version <= (6, 1):
        return last, False
    return max(first, last, key=int.bit_count), True


def _version(release: str | None) -> tuple[int, int] | None:
    """(6, 12) of `6.12.95+deb12-amd64`."""
    major, _, rest = (release or "").partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    if not (0 < len(major) < 5 and 0 < len(minor) < 5):
        return None
    major_number, minor_number = number(major), number(minor)
    if major_number is None or minor_number is None:
        return None
    return major_number, minor_number


def _amd_efr(host: Host, text: bytes) -> tuple[int, str] | None:
    found = extended_features(text, kernel_release(host, Unknowns()))
    return None if found is None else (found[0], _GUESSED if found[1] else "")


# -- what the bits mean ----------------------------------------------------------------------


class _Field(NamedTuple):
    """A bit field of a register: where, how to say it, and what it tells an operator.

    A field that depends on another has that one's bit in `needs`, and is left out without it.
    """

    name: str
    shift: int
    bits: int
    meaning: str
    show: Callable[[int], str] = lambda value: "yes" if value else "no"
    needs: int | None = None


def _width(value: int) -> str:
    return f"{value + 1}-bit"


def _one_of(words: Mapping[int, str]) -> Callable[[int], str]:
    return lambda value: words.get(value, f"reserved value {value}")


def _widths(value: int) -> str:
    """SAGAW: which depths of second-level tables, and so which address widths."""
    known = {1: "39-bit (3 levels)", 2: "48-bit (4 levels)", 3: "57-bit (5 levels)"}
    return ", ".join(words for bit, words in known.items() if value >> bit & 1) or "none"


_CAP = (
    _Field("Domains (ND)", 0, 3, "How many domain ids the unit has",
           lambda value: str(1 << (4 + 2 * value))),
    _Field("Caching mode (CM)", 7, 1, "yes: this is a virtual IOMMU, and each map costs an exit"),
    _Field("Guest address widths (SAGAW)", 8, 5, "How large an IOVA the page tables can hold",
           _widths),
    _Field("Maximum address width (MGAW)", 16, 6, "The largest IOVA that the unit translates",
           _width),
    _Field("First-level 1 GiB pages (FL1GP)", 56, 1, "A CPU that has them and a unit without: "
           "the kernel refuses shared virtual addressing"),
    _Field("Posted interrupts (PI)", 59, 1, "Interrupts reach a running guest without the host"),
    _Field("First-level 5 levels (FL5LP)", 60, 1, "Can share the page table of a CPU with 57-bit "
           "addresses"),
)  # fmt: skip

_ECAP = (
    _Field("Coherent page walks (C)", 0, 1, "no: the kernel flushes caches at each change of a "
           "table"),
    _Field("Queued invalidation (QI)", 1, 1, "Needed for interrupt remapping, ATS and PASIDs"),
    _Field("Device TLB (DT, ATS)", 2, 1, "Devices may cache translations"),
    _Field("Interrupt remapping (IR)", 3, 1, "no: a device in user space can forge interrupts; "
           "VFIO refuses unless unsafe interrupts are allowed"),
    _Field("Extended interrupt mode (EIM)", 4, 1, "Interrupts reach CPUs above number 255"),
    _Field("Pass-through (PT)", 6, 1, "Identity domains cost no translation"),
    _Field("Snoop control (SC)", 7, 1, "The unit can force DMA to be cache coherent"),
    _Field("Nested translation (NEST)", 26, 1, "A guest can manage tables of its own"),
    _Field("Page requests (PRS)", 29, 1, "Devices may ask for a page that is not there: "
           "shared memory need not be pinned"),
    _Field("PASID", 40, 1, "Several address spaces behind one device"),
    _Field("PASID width (PSS)", 35, 5, "How many PASIDs the unit can tell apart", _width, 40),
    _Field("Scalable mode (SMTS)", 43, 1, "Supported; whether it is enabled shows only in debugfs "
           "or the boot log"),
    _Field("Second-level tables (SLTS)", 46, 1, "Scalable mode can use the kernel's own tables"),
    _Field("First-level tables (FLTS)", 47, 1, "Scalable mode can use the page tables of a "
           "process"),
)  # fmt: skip

_LEVELS = {0: "4 levels", 1: "5 levels", 2: "6 levels"}
_EFR = (
    _Field("Peripheral page requests (PPR)", 1, 1, "Devices may ask for a page that is not there"),
    _Field("Guest translation (GT)", 4, 1, "Needed for PASIDs and for tables of a guest's own"),
    _Field("Host tables (HATS)", 10, 2, "Depth of the kernel's own tables", _one_of(_LEVELS)),
    _Field("Guest tables (GATS)", 12, 2, "Depth of tables that a PASID selects",
           _one_of({0: "4 levels", 1: "5 levels"})),
    _Field("PASID table levels (GLX)", 14, 2, "Depth of the table of PASIDs",
           _one_of({0: "1 level", 1: "2 levels", 2: "3 levels"})),
    _Field("PASID width (PASMAX)", 32, 5, "How many PASIDs the unit can tell apart", _width, 4),
    _Field("Guest I/O protection (GIOSUP)", 48, 1, "Two-layer translation for guests"),
    _Field("Host access bit (HASUP)", 49, 1, "The unit marks pages that a device has used"),
    _Field("Host dirty bit (HDSUP)", 52, 1, "Dirty tracking for live migration"),
    _Field("Secure nested paging (SNP)", 63, 1, "Works with confidential guests"),
)  # fmt: skip


def _hexadecimal(_host: Host, text: bytes) -> tuple[int, str] | None:
    value = number(text, 16)
    return None if value is None else (value, "")


def _register(
    host: Host,
    path: str,
    fields: tuple[_Field, ...],
    parse: Callable[[Host, bytes], tuple[int, str] | None] = _hexadecimal,
) -> tuple[Detail, ...]:
    """The fields of a register; `parse` gives its value, and a caveat for each of them."""
    try:
        text = host.read(path)
    except OSError as error:
        return (_unreadable(path, error),)
    found = parse(host, text)
    if found is None:
        return (_no_number(path, text),)
    value, caveat = found
    return _decoded(value, path, fields, caveat)


def _decoded(
    register: int, path: str, fields: tuple[_Field, ...], caveat: str
) -> tuple[Detail, ...]:
    return tuple(
        Detail(
            name=field.name,
            value=field.show(register >> field.shift & ((1 << field.bits) - 1)) + caveat,
            path=path,
            meaning=field.meaning,
        )
        for field in fields
        if field.needs is None or register >> field.needs & 1
    )


def _plain(host: Host, directory: str, file: str, meaning: str) -> tuple[Detail, ...]:
    path = f"{directory}/{file}"
    try:
        value = word(host.read(path)) or ""
    except OSError as error:
        return (_unreadable(path, error),)
    return (Detail(name=file, value=printable(value), path=path, meaning=meaning),)


def _unreadable(path: str, error: OSError) -> Detail:
    reason = errno.errorcode.get(error.errno or 0, "EIO")
    name = name_of(path.encode("utf-8", "surrogateescape")) or path
    meaning = "What it would have told is unknown"
    return Detail(name=name, value=f"? ({reason})", path=path, meaning=meaning)


def _no_number(path: str, text: bytes) -> Detail:
    shown = printable(fact(text[:64].strip()))
    meaning = "Not in a form known here"
    return Detail(name=path.rpartition("/")[2], value=shown, path=path, meaning=meaning)
