"""Human names of PCI devices, and short words for PCI classes.

`class_word` is on the path of the first paint: what the names need is imported late.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PCI_IDS = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids")

# PCI Code and ID Assignment Specification: base class, or base class and sub-class.
_CLASS_WORDS = {
    "01": "storage", "0100": "SCSI", "0101": "IDE", "0104": "RAID",
    "0105": "ATA", "0106": "SATA", "0107": "SAS", "0108": "NVMe", "02": "network",
    "0200": "Ethernet", "0207": "InfiniBand", "0208": "fabric", "03": "display", "0300": "VGA",
    "0302": "3D", "04": "multimedia", "0403": "audio", "05": "memory", "0502": "CXL memory",
    "06": "bridge", "0600": "host bridge", "0601": "ISA bridge", "0604": "PCI bridge",
    "07": "communication", "0700": "serial", "08": "system", "0806": "IOMMU", "09": "input",
    "0b": "processor", "0b40": "co-processor", "0c": "serial bus", "0c03": "USB",
    "0c04": "Fibre Channel", "0c05": "SMBus", "0d": "wireless", "0e": "intelligent I/O",
    "0f": "satellite", "10": "crypto", "11": "signal processing", "12": "accelerator",
    "13": "instrumentation", "40": "co-processor", "ff": "device",
}  # fmt: skip


def class_word(class_: str | None) -> str:
    """A word or two for a class code such as `0x010802`; `device` where nothing fits."""
    if class_ is None:
        return "device"
    return _CLASS_WORDS.get(class_[2:6]) or _CLASS_WORDS.get(class_[2:4]) or "device"


class Names:
    """Vendor and model of a PCI device: from udev's hwdb, else from a `pci.ids` file.

    Neither database there: no names, and no error. Answers are remembered by id.
    """

    def __init__(self, pci_ids: "Sequence[str]" = PCI_IDS, *, hwdb: bool = True) -> None:
        self._files = pci_ids
        self._use_hwdb = hwdb
        self._lookup: Callable[[str, str], str | None] | None = None
        self._known: dict[tuple[str, str], str | None] = {}

    def device(self, vendor: str | None, device: str | None) -> str | None:
        """The name for ids as sysfs spells them (`0x8086`, `0x10d3`)."""
        if vendor is None or device is None:
            return None
        key = (vendor, device)
        if key not in self._known:
            if self._lookup is None:
                self._lookup = self._open()
            self._known[key] = self._lookup(vendor[2:], device[2:])
        return self._known[key]

    def _open(self) -> "Callable[[str, str], str | None]":
        hwdb = _open_hwdb() if self._use_hwdb else None

        def look_up(vendor: str, device: str) -> str | None:
            name = hwdb(vendor, device) if hwdb is not None else None
            # The file is seldom needed, once an id, and too large to be kept.
            return name or find_in_pci_ids(_read_first(self._files), vendor, device)

        return look_up


SHARED_NAMES = Names()
"""For the process: opening the database costs more than the rest of a small reading."""


def find_in_pci_ids(table: bytes, vendor: str, device: str) -> str | None:
    """`vendor name, device name` from the text of a pci.ids file; None if the vendor is unknown."""
    start = table.find(b"\n%s  " % vendor.encode())
    if start < 0:
        return None
    line_end = table.find(b"\n", start + 1)
    if line_end < 0:
        line_end = len(table)
    name = table[start + 7 : line_end]
    # A vendor's block ends at the next line that begins with neither a tab nor a comment.
    end = line_end
    while end >= 0 and table[end + 1 : end + 2] in (b"\t", b"#"):
        end = table.find(b"\n", end + 1)
    block = table[line_end : end if end >= 0 else len(table)]
    found = block.find(b"\n\t%s  " % device.encode())
    if found >= 0:
        model = block[found + 8 :].split(b"\n", 1)[0]
        name = name + b" " + model
    return name.decode("utf-8", "backslashreplace").strip() or None


def _read_first(files: "Sequence[str]") -> bytes:
    for file in files:
        try:
            with open(file, "rb") as stream:
                return b"\n" + stream.read()
        except OSError:
            continue  # A missing database is normal; the next one may be there.
    return b""


def _open_hwdb() -> "Callable[[str, str], str | None] | None":
    """Look-ups in udev's hardware database, through the library that pyudev has loaded."""
    try:
        import pyudev

        context = pyudev.Context()
    except (ImportError, OSError):
        return None
    library = context._libudev

    def look_up(vendor: str, device: str) -> str | None:
        modalias = f"pci:v0000{vendor.upper()}d0000{device.upper()}sv*sd*bc*sc*i*".encode()
        # Opened anew for each id, of which a host has a few: kept, it is a megabyte of memory.
        database = library.udev_hwdb_new(context)
        if not database:
            return None
        entry = library.udev_hwdb_get_properties_list_entry(database, modalias, 0)
        found = {}
        while entry:
            key = library.udev_list_entry_get_name(entry)
            value = library.udev_list_entry_get_value(entry)
            found[key] = value.decode("utf-8", "backslashreplace") if value else ""
            entry = library.udev_list_entry_get_next(entry)
        library.udev_hwdb_unref(database)
        maker = found.get(b"ID_VENDOR_FROM_DATABASE", "")
        return f"{maker} {found.get(b'ID_MODEL_FROM_DATABASE', '')}".strip() or None

    return look_up
