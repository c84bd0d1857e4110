"""The header: which host this is, what its IOMMU is, and whether we may change it.

On the path of the first paint: light imports only.
"""

from sdmtop.text import fit, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sized

_BADGES = {"linux": "REAL", "simulator": "SIM", "capture": "CAPTURE", "replay": "REPLAY"}
_KINDS = (
    ("dmar", "intel"),
    ("ivhd", "amd"),
    ("smmu3.", "arm-smmu-v3"),
    ("smmu.", "arm-smmu"),
)

NO_IOMMU = "none"
_HELP = (
    "No IOMMU is active: /sys/class/iommu and /sys/kernel/iommu_groups are empty.",
    "Firmware: enable VT-d, AMD-Vi or SMMU. Kernel: intel_iommu=on or amd_iommu=on.",
    "Then, as root, for devices to be passed on: modprobe vfio-pci vfio_iommu_type1",
    "Try: key w or sdmtop tour, sdmtop --host capture:FILE, or sdmtop --host sim:",
)
HELP_ROWS = len(_HELP)
"""Lines of help at most."""

_HELP_COLUMNS = max(map(len, _HELP)) + 1
_HELP_FROM = 20
"""Rows from which there is room for all of the help."""


def is_without_iommu(units: "Sized", groups: "Sized") -> bool:
    """Whether no IOMMU is active: some kinds have groups, but no unit that is listed."""
    return not len(units) and not len(groups)


def no_iommu_help(columns: int, rows: int) -> "tuple[str, ...]":
    """What to do where there is no IOMMU, in as many lines as there is room for."""
    if rows >= _HELP_FROM and columns >= _HELP_COLUMNS:
        return _HELP
    if columns >= 60:
        return ("No IOMMU is active: w, --host capture:FILE or --host sim:",)
    return ("No IOMMU is active: w or --host sim:",)


def iommu_kind(units: "list[str]") -> str:
    """What the names in `/sys/class/iommu` say: `intel x2`, `amd`, `virtio`, or `none`."""
    if not units:
        return NO_IOMMU
    kinds: dict[str, int] = {}
    for unit in units:
        kind = next((kind for prefix, kind in _KINDS if unit.startswith(prefix)), None)
        if kind is None:
            # virtio-iommu is named after its PCI function; all others carry their own name.
            kind = "virtio" if unit.count(":") == 2 else unit.rstrip("0123456789.x")
        kinds[kind] = kinds.get(kind, 0) + 1
    return ", ".join(f"{kind} x{count}" if count > 1 else kind for kind, count in kinds.items())


def headline(
    *,
    name: str | None,
    kernel: str | None,
    iommu: str,
    backend: str,
    read_only: bool,
    state: str,
    width: int,
) -> str:
    """One line of `width` cells; `state` (clock, refresh) stands at its right end."""
    armed = "READ-ONLY" if read_only else "ARMED"
    left = printable(
        f" sdmtop  [{_BADGES.get(backend, backend)}] [{armed}]  {name or '?'}"
        f"  IOMMU {iommu}  Linux {kernel or '?'}"
    )
    right = f"{state} "
    room = max(width - len(right) - 1, 0)
    return fit(f"{fit(left, room)} {right}", width)
