"""`snapshot --format tree`: the outline of a whole Snapshot as text."""

import shutil
from collections.abc import Iterator, Mapping

from sdmtop.headline import NO_IOMMU_HELP, headline, iommu_kind
from sdmtop.model import Sdmdev, Snapshot
from sdmtop.outline import Outline, heading, render

_PIPE_COLUMNS = 160


def outline(snapshot: Snapshot) -> Outline:
    """The lines of a Snapshot."""
    devices = {device.address: device for device in snapshot.devices}
    return Outline(
        snapshot.groups,
        devices.get,
        (device.address for device in snapshot.devices if device.group is None),
        queues_by_parent(snapshot),
        {process.pid: process for process in snapshot.processes},
    )


def queues_by_parent(snapshot: Snapshot) -> Mapping[str, list[Sdmdev]]:
    """The sdmdevs, mdevs, uacce and IDXD queues under the device that serves them."""
    found: dict[str, list[Sdmdev]] = {}
    for queue in snapshot.sdmdevs:
        if queue.parent is not None:
            found.setdefault(queue.parent, []).append(queue)
    return found


def tree_text(snapshot: Snapshot) -> str:
    """The whole tree, a line each, as wide as the terminal (160 columns into a pipe)."""
    width = shutil.get_terminal_size((_PIPE_COLUMNS, 25)).columns
    return "".join(f"{line.rstrip()}\n" for line in _lines(snapshot, width))


def _lines(snapshot: Snapshot, width: int) -> Iterator[str]:
    units = [unit.name for unit in snapshot.iommu_units]
    yield headline(
        name=snapshot.host.name,
        kernel=snapshot.host.kernel,
        iommu=iommu_kind(units),
        backend=snapshot.host.backend,
        read_only=snapshot.host.read_only,
        state=snapshot.taken_at,
        width=width,
    )
    if not units:
        yield from (f" {text}" for text in NO_IOMMU_HELP)
    yield heading(width)
    tree = outline(snapshot)
    for line in tree.lines():
        yield render(tree.cells(line), line.depth, width)
    if snapshot.unknown:
        yield f"{len(snapshot.unknown)} facts could not be read: see 'unknown' in --format json"
