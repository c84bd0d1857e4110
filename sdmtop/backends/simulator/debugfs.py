"""/sys/kernel/debug: Intel's tables, which show what is attached to each device now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.vfs import Computed, Directory, File, Fixed

if TYPE_CHECKING:
    from sdmtop.backends.simulator.iommu import Domain, Unit
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.vfs import Node

_PRESENT, _SECOND_LEVEL, _FIRST_LEVEL, _PASS_THROUGH = 1, 2 << 6, 1 << 6, 4 << 6
_HEADER = (
    "B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry\n"
)  # fmt: skip


def debugfs(kernel: Kernel) -> Directory:
    """Empty where the scenario has none."""

    def entries() -> dict[str, Node]:
        if not kernel.scenario.debugfs:
            return {}
        intel = [unit for unit in kernel.iommu.units.values() if unit.driver == "intel"]
        if not intel:
            return {"iommu": Directory()}
        table = File(lambda: "\n".join(_table(unit) for unit in intel) + "\n")
        found = Directory(Fixed(dmar_translation_struct=table))
        return {"iommu": Directory(Fixed(intel=found))}

    return Directory(Computed(entries), mode=0o700)


def _table(unit: Unit) -> str:
    """`dmar_translation_struct` of a unit: a row for each device and PASID that is not blocked."""
    rows = [f"IOMMU {unit.name}: Root Table Address: {_address(unit.name):#x}\n", _HEADER]
    for name in sorted(unit.devices):
        device = unit.devices[name]
        group = device.group
        if group is None or not isinstance(device, PciDevice):
            continue
        tables: dict[int, Domain] = {}
        if group.domain is not None and group.domain.kind != "blocked":
            tables[0] = group.domain
        tables |= group.pasids
        for pasid, domain in sorted(tables.items()):
            if unit.pasid_bits or not pasid:
                rows.append(_row(unit, name, pasid, domain))
    return "".join(rows)


def _row(unit: Unit, name: str, pasid: int, domain: Domain) -> str:
    """As `intel/debugfs.c` prints it, in scalable or in legacy mode."""
    root = f"{0:#018x}:{_address(unit.name) + 0x1001:#018x}"
    table = 0 if domain.kind == "identity" else _address(f"domain {domain.number}")
    function = name.partition(":")[2]
    if not unit.pasid_bits:
        kind = 2 << 2 if domain.kind == "identity" else 0
        context = f"{domain.number << 8 | 2:#018x}:{table | kind | _PRESENT:#018x}"
        nothing = f"{0:#018x}:{0:#018x}:{0:#018x}"
        return f"{function}\t{root}\t{context}\t{-1:<6}\t{nothing}\n"
    context = f"{0:#018x}:{_address(name) | 0x401:#018x}"
    if domain.kind == "identity":
        entry = (0, domain.number, _PASS_THROUGH | _PRESENT)
    elif domain.kind == "SVA":
        entry = (table | 1, domain.number, _FIRST_LEVEL | _PRESENT)
    else:
        entry = (0, domain.number, table | _SECOND_LEVEL | _PRESENT | 4)
    words = ":".join(f"{word:#018x}" for word in entry)
    return f"{function}\t{root}\t{context}\t{pasid:<6}\t{words}\n"


def _address(what: str) -> int:
    """A physical address that belongs to this name only, as far as it matters."""
    number = 0
    for byte in what.encode():
        number = (number * 131 + byte) & 0xFF_FFFF
    return 0x1_0000_0000 + (number << 12)
