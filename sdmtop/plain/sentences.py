"""Lines of the tree, interrupts, events and hosts, each as one sentence fit to be read aloud."""

from collections.abc import Iterator

from sdmtop.conclusions import blindness, holders, untold_drivers
from sdmtop.headline import iommu_kind
from sdmtop.lookup import devices_of
from sdmtop.model import Interrupt, IommuGroup, Pasid, Snapshot
from sdmtop.outline import NO_DEVICE, NO_GROUP, UNKNOWN, Line, Outline
from sdmtop.text import printable
from sdmtop.timeline import Happening, clock

_KINDS = {
    "linux": "a running kernel",
    "simulator": "simulated",
    "capture": "a capture",
}
_HEADINGS = {
    NO_GROUP: "devices without an IOMMU group",
    NO_DEVICE: "queues whose device is not known",
}


def of_host(snapshot: Snapshot) -> str:
    """Which host this is."""
    host = snapshot.host
    units = iommu_kind([unit.name for unit in snapshot.iommu_units])
    counts = (
        count(len(snapshot.groups), "group"),
        count(len(snapshot.devices), "device"),
        count(len(snapshot.sdmdevs), "queue"),
    )
    return printable(
        f"host {host.name or 'without a name'}, {_KINDS[host.backend]}, "
        f"Linux {host.kernel or 'unknown'}, IOMMU {units}, {', '.join(counts)}"
    )


def of_line(outline: Outline, line: Line, rate: float | None) -> str:
    """A line of the tree."""
    if line.key in _HEADINGS:
        return _HEADINGS[line.key]
    parts = (_group, _device, _queue)[line.depth](outline, line)
    busy = [f"{_number(rate)} interrupts a second"] if rate else []
    return printable(", ".join((*filter(None, parts), *busy)))


def of_interrupt(row: Interrupt, rate: float | None, total: int, cpu: int | None) -> str:
    """An interrupt; `cpu` is the one that has taken most."""
    parts = [
        f"interrupt {row.irq}",
        f"{_number(rate)} a second" if rate is not None else "",
        f"{total} in all",
        f"most on CPU {cpu}" if cpu is not None else "",
        f"may go to CPU {row.affinity}" if row.affinity else "",
        " ".join(row.actions),
        f"of {row.device}" if row.device else "",
    ]
    return printable(", ".join(filter(None, parts)))


def of_pasid(pasid: Pasid) -> str:
    """A live PASID."""
    owner = f"process {pasid.process}" if pasid.process is not None else "whose is not known"
    return printable(f"PASID {pasid.pasid} on {pasid.device}, {owner}, says {pasid.source}")


def of_happening(happening: Happening) -> str:
    """Something that happened."""
    mark = {"fault": "fault: ", "trouble": "trouble: "}.get(happening.kind, "")
    return printable(f"{clock(happening.at)}, {mark}{happening.text}")


def of_viability(snapshot: Snapshot, group: IommuGroup) -> Iterator[str]:
    """Whether VFIO could take a group, and what stands in the way."""
    name = f"group {group.id}"
    reason = printable(group.viability_reason or "")
    if group.viable is None:
        yield f"whether {name} can be given to VFIO cannot be told: {reason or 'no reason known'}"
    elif group.viable:
        yield f"{name} can be given to VFIO as it is"
    else:
        yield f"{name} cannot be given to VFIO: {reason}"
    devices = devices_of(snapshot)
    untold = untold_drivers(snapshot)
    for address in group.devices:
        device = devices.get(address)
        driver = f"driver {device.driver}" if device and device.driver else "no driver"
        told = untold.get(address, driver) if device else "of which nothing is known"
        yield printable(f"it has {address}, {told}")
    yield _held(snapshot, f"group/{group.id}", name)
    attached = group.attached
    yield printable(f"attached now is {attached.type or 'an unknown domain'}, {attached.evidence}")


def _held(snapshot: Snapshot, key: str, name: str) -> str:
    names = {process.pid: process.name for process in snapshot.processes}
    pids = holders(snapshot).get(key, ())
    if pids:
        who = ", ".join(f"process {pid} {names.get(pid) or ''}".strip() for pid in pids)
        return printable(f"{name} is held by {who}")
    blind = blindness(snapshot)
    if blind is not None:
        return printable(f"whether {name} is held cannot be told: {blind.what}, {blind.errno}")
    return f"{name} is held by nobody"


def _group(outline: Outline, line: Line) -> tuple[str, ...]:
    name, domain, owner, holder, _, sharing = outline.core(line)
    return name, f"default domain {_said(domain)}", f"owner {_said(owner)}", _by(holder), sharing


def _device(outline: Outline, line: Line) -> tuple[str, ...]:
    address, driver, state, holder, _, name = outline.core(line)
    if not state:
        return f"device {address}", "not read yet"
    bound = "no driver" if driver == "-" else f"driver {_said(driver)}"
    return f"device {address}", bound, f"state {_said(state)}", _by(holder), name


def _queue(outline: Outline, line: Line) -> tuple[str, ...]:
    id_, type_, state, holder, _, domain = outline.core(line)
    return f"queue {id_}", f"type {_said(type_)}", f"state {_said(state)}", _by(holder), domain


def _by(holder: str) -> str:
    """A cell of the column of holders in words."""
    if not holder:
        return ""
    return {"-": "held by nobody", UNKNOWN: "holder unknown"}.get(holder, f"held by {holder}")


def _said(cell: str) -> str:
    return "unknown" if cell == UNKNOWN else cell


def _number(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def count(number: int, noun: str) -> str:
    """So many of a thing."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
