"""Small records to build a snapshot from, with everything filled in that a test does not name."""

from collections.abc import Sequence
from typing import Any

from sdmtop.model import (
    AttachedDomain,
    Device,
    HostInfo,
    Interrupt,
    IommuGroup,
    Process,
    Sdmdev,
    Snapshot,
    Unknown,
)


def snapshot(
    *,
    groups: Sequence[IommuGroup] = (),
    devices: Sequence[Device] = (),
    sdmdevs: Sequence[Sdmdev] = (),
    processes: Sequence[Process] = (),
    unknown: Sequence[Unknown] = (),
    **fields: Any,
) -> Snapshot:
    return Snapshot(
        taken_at="2026-01-01T00:00:00.000Z",
        host=HostInfo(name="box", kernel="6.12.0", backend="capture", cpus=2, read_only=True),
        groups=tuple(groups),
        devices=tuple(devices),
        sdmdevs=tuple(sdmdevs),
        processes=tuple(processes),
        unknown=tuple(unknown),
        **{
            "iommu_units": (),
            "mdev_types": (),
            "pasids": (),
            "interrupts": (),
            **fields,
        },
    )


def group(id_: int, *devices: str, **fields: Any) -> IommuGroup:
    facts: dict[str, Any] = {
        "domain_type": "DMA",
        "attached": AttachedDomain(type="DMA", evidence="inferred"),
        "owner": "kernel",
        "viable": False,
        "viability_reason": None,
        "reserved_regions": (),
        "shared_by": (),
    }
    return IommuGroup(id=id_, devices=devices, **{**facts, **fields})


def device(address: str, **fields: Any) -> Device:
    facts: dict[str, Any] = {
        "bus": "pci",
        "path": f"/sys/devices/pci0000:00/{address}",
        "parent": None,
        "group": None,
        "iommu": None,
        "driver": None,
        "driver_override": None,
        "vendor": "0x8086",
        "device": "0x10d3",
        "class_": "0x020000",
        "name": None,
        "numa_node": None,
        "irqs": (),
        "pasid": None,
        "sriov": None,
        "physfn": None,
        "sdmdev": None,
    }
    return Device(address=address, **{**facts, **fields})


def interrupt(irq: str, **fields: Any) -> Interrupt:
    facts: dict[str, Any] = {
        "chip": None,
        "hwirq": None,
        "trigger": None,
        "actions": (),
        "per_cpu": (),
        "total": 0,
        "device": None,
        "shared_by": (),
        "affinity": None,
    }
    return Interrupt(irq=irq, **{**facts, **fields})


def queue(id_: str, **fields: Any) -> Sdmdev:
    facts: dict[str, Any] = {
        "kind": "mdev",
        "parent": "0000:00:01.0",
        "type": "fact",
        "group": 21,
        "state": "orphan",
        "domain_of": None,
        "pasid": None,
        "holders": (),
        "params": {},
    }
    return Sdmdev(id=id_, **{**facts, **fields})
