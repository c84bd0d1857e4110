"""What is attached to each device now, as Intel's debugfs shows it.

Source: `/sys/kernel/debug/iommu/intel` (kernel-abi 2.2), whose format carries no promise: what is
not understood is counted and noted, never guessed. `dmar_perf_latency` is never opened, nor is
`<address>/domain_translation_struct`: to print even its first line the kernel walks all page tables
of the device, under the lock of the unit (`domain_translation_struct_show`).
"""

import errno
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from sdmtop.backends.base import Host
from sdmtop.readers.iommu_units import unit_devices, unit_names
from sdmtop.readers.sysfs import is_absent
from sdmtop.readers.unknowns import Unknowns
from sdmtop.text import fact

DEBUG = "/sys/kernel/debug"
TABLES = f"{DEBUG}/iommu/intel/dmar_translation_struct"
TABLES_LIMIT = 1024 * 1024

Type = Literal["first-level", "second-level", "nested", "pass-through"]

_WHAT = "domains attached now and live PASIDs of each device"
# Legacy context entry, bits 2-3: both kinds of translated request use the second-level table.
_LEGACY: dict[int, Type] = {0: "second-level", 1: "second-level", 2: "pass-through"}
# Scalable mode, PGTT, bits 6-8.
_PGTT: dict[int, Type] = {1: "first-level", 2: "second-level", 3: "nested", 4: "pass-through"}
_ADDRESS = ~0xFFF & 0xFFFF_FFFF_FFFF_FFFF


class Row(NamedTuple):
    """One line: what a device's requests go through.

    `pasid` is None in legacy mode and 0 for requests without a PASID in scalable mode; `table`
    is the physical address of the page table (0 for pass-through); `type` is None for a value
    that the specification reserves.
    """

    pasid: int | None
    table: int
    domain: int
    type: Type | None
    present: bool


class Translation:
    """The rows of every device, by address.

    The file names no PCI segment: a unit's segment is taken from the devices in its `devices/`
    directory, and is 0000 where that is empty.
    """

    def __init__(
        self,
        rows: Mapping[str, Mapping[str, list[Row]]],
        behind: Mapping[str, tuple[str, ...]],
        *,
        truncated: bool,
    ) -> None:
        """Take the rows by unit and `bus:device.function`, and the addresses behind each unit.

        `truncated`: there may be rows that are not among them.
        """
        self._rows: dict[str, tuple[Row, ...]] = {}
        self._unit_of = {address: unit for unit, devices in behind.items() for address in devices}
        self._shown = frozenset(rows)
        self._truncated = truncated
        for unit, devices in rows.items():
            segment = _segment(behind.get(unit, ()))
            for function, found in devices.items():
                self._rows[f"{segment}:{function}"] = tuple(found)

    def __eq__(self, other: object) -> bool:
        """Whether another reading tells the same."""
        return isinstance(other, Translation) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def addresses(self) -> Iterable[str]:
        """Every address that has a row; aliases of a bridge's secondary bus are among them."""
        return self._rows.keys()

    def rows(self, address: str) -> tuple[Row, ...]:
        """What the device's requests go through, one row for each PASID."""
        return self._rows.get(address, ())

    def live_pasids(self, address: str) -> tuple[int, ...]:
        """The PASIDs above 0 that have a table on this device now, sorted."""
        return tuple(sorted({row.pasid for row in self.rows(address) if row.pasid and row.present}))

    def requests(self, address: str) -> Literal["blocked", "pass-through", "translated"] | None:
        """What becomes of the device's requests without a PASID; None where that is not told."""
        for row in self.rows(address):
            if not row.pasid and row.present and row.type is not None:
                return "pass-through" if row.type == "pass-through" else "translated"
        return "blocked" if self.lists(address) is False else None

    def lists(self, address: str) -> bool | None:
        """Whether the device has a row; one that has none is blocked.

        None where its absence tells nothing: the device is behind no unit that was shown, its
        unit does not translate, the file was cut short or not understood, or the rows know the
        device by another name: one of ACPI's, or one in a segment that only software has (VMD).
        """
        if address in self._rows:
            return True
        if (
            self._truncated
            or not _is_of_hardware(address)
            or self._unit_of.get(address) not in self._shown
        ):
            return None
        return False


def _is_of_hardware(address: str) -> bool:
    """Whether this is `segment:bus:device.function` with a segment of hardware: 16 bits."""
    return len(address) == len("0000:00:00.0") and address.count(":") == 2


def read_translation(host: Host, unknowns: Unknowns) -> Translation | None:
    """The tables of all Intel units. None, and one `unknown` entry, where they cannot be seen.

    On a host without an Intel unit it is None and nothing is missing.
    """
    units = [name for name in unit_names(host, unknowns) if name.startswith("dmar")]
    if not units:
        return None
    try:
        text = host.read(TABLES, TABLES_LIMIT)
    except OSError as error:
        unknowns.note(TABLES, *_why(host, error))
        return None
    rows, misread = parse(text)
    if misread:
        broken = OSError(errno.EINVAL, "line of a form not known here")
        unknowns.note(TABLES, broken, f"{_WHAT}: {misread} lines of a form not known here")
    truncated = len(text) >= TABLES_LIMIT or not (b"\n" + text).endswith(b"\n")
    if truncated:
        cut = OSError(errno.EFBIG, "cut short")
        unknowns.note(TABLES, cut, f"{_WHAT}: all after the first {len(text)} bytes")
    behind = {fact(unit): unit_devices(host, unknowns, unit) for unit in units}
    return Translation(rows, behind, truncated=truncated or misread > 0)


def _why(host: Host, error: OSError) -> tuple[OSError, str]:
    """The error to show, and in words what is missing and why."""
    if not is_absent(error):
        return error, f"{_WHAT}: {_REFUSED.get(error.errno or 0, 'debugfs could not be read')}"
    try:
        mounted = host.list(DEBUG)
    except OSError as refusal:
        if is_absent(refusal):
            return error, f"{_WHAT}: no debugfs here (CONFIG_DEBUG_FS, or not captured)"
        return _why(host, refusal)
    if not mounted:
        return error, f"{_WHAT}: debugfs is not mounted on {DEBUG}"
    if "iommu" in mounted:
        return error, f"{_WHAT}: the kernel is built without CONFIG_INTEL_IOMMU_DEBUGFS"
    return error, f"{_WHAT}: the kernel is built without CONFIG_IOMMU_DEBUGFS"


_REFUSED = {
    errno.EACCES: "debugfs is for root only",
    errno.EPERM: "refused, as under kernel lockdown",
}


def parse(text: bytes) -> tuple[dict[str, dict[str, list[Row]]], int]:
    """Rows by unit and `bus:device.function`, and how many lines were of no known form.

    Any bytes will do. A last line without its newline is left out.
    """
    units: dict[str, dict[str, list[Row]]] = {}
    devices: dict[str, list[Row]] | None = None
    misread = 0
    for line in text.split(b"\n")[:-1]:
        # A device that has hundreds of live PASIDs has hundreds of lines: the common form first.
        if line[2:3] == b":" and line[5:6] == b".":
            row = _row(line.split())
            if row is None or devices is None:
                misread += 1
            else:
                devices.setdefault(line[:7].decode("ascii"), []).append(row)
        elif line.startswith(b"IOMMU ") and b": Root Table Address:" in line:
            devices = units.setdefault(fact(line[6 : line.index(b":")]), {})
        elif line.startswith(b"DMA Remapping is not enabled"):
            devices = None
        elif line.strip() and not line.startswith(b"B.D.F"):
            misread += 1
    return units, misread


def _row(fields: list[bytes]) -> Row | None:
    """`B:D.F root context [pasid pasid-entry]`; None for anything else.

    Legacy mode prints PASID -1 and zeros, and kernels before scalable mode nothing at all there:
    then the context entry itself tells.
    """
    if len(fields) not in (3, 5) or not _is_function(fields[0]):
        return None
    try:
        high, low = (int(part, 16) for part in fields[2].split(b":"))
        pasid = int(fields[3]) if len(fields) == 5 else -1
        if pasid < 0:
            type_ = _LEGACY.get(low >> 2 & 3)
            table = 0 if type_ == "pass-through" else low & _ADDRESS
            return Row(None, table, high >> 8 & 0xFFFF, type_, bool(low & 1))
        first, domain, entry = (int(part, 16) for part in fields[4].split(b":"))
    except ValueError:
        return None
    type_ = _PGTT.get(entry >> 6 & 7)
    # A nested row is told apart by the table of its guest; the table below it is common.
    tables = {"first-level": first, "nested": first, "second-level": entry}
    table = tables.get(type_ or "", 0) & _ADDRESS
    return Row(pasid, table, domain & 0xFFFF, type_, bool(entry & 1))


def _is_function(field: bytes) -> bool:
    digits = field[:2] + field[3:5] + field[6:]
    return len(field) == 7 and all(byte in b"0123456789abcdef" for byte in digits)


def _segment(addresses: tuple[str, ...]) -> str:
    for address in addresses:
        if address.count(":") == 2:
            return address.partition(":")[0]
    return "0000"
