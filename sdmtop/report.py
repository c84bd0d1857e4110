"""`snapshot --format tree`: the outline of a whole Snapshot as text."""

import shutil
from collections.abc import Iterator, Mapping, Sequence

from sdmtop.columns import DEFAULT, Columns
from sdmtop.conclusions import blindness, holders, states
from sdmtop.headline import headline, iommu_kind, is_without_iommu, no_iommu_help
from sdmtop.lookup import devices_of
from sdmtop.model import Sdmdev, Snapshot
from sdmtop.outline import Outline
from sdmtop.text import printable, width

_WIDEST = 64
"""Cells of a column at most, into a pipe: one hostile name must not widen every line."""

_PIPE_COLUMNS = 160
_PIPE_ROWS = 1000


def outline(snapshot: Snapshot, columns: Sequence[str] = DEFAULT) -> Outline:
    """The lines of a Snapshot, with these columns beside the name."""
    devices = devices_of(snapshot)
    return Outline(
        snapshot.groups,
        devices.get,
        (device.address for device in snapshot.devices if device.group is None),
        queues_by_parent(snapshot),
        {process.pid: process for process in snapshot.processes},
        holders=holders(snapshot),
        states=states(snapshot),
        blind=blindness(snapshot) is not None,
        holding=bool(snapshot.sdmdevs or snapshot.processes)
        or any(group.owner == "vfio" for group in snapshot.groups),
        columns=columns,
    )


def queues_by_parent(snapshot: Snapshot) -> Mapping[str, list[Sdmdev]]:
    """The sdmdevs, mdevs, uacce and IDXD queues under the device that serves them."""
    found: dict[str, list[Sdmdev]] = {}
    for queue in snapshot.sdmdevs:
        found.setdefault(queue.parent or "", []).append(queue)
    return found


def tree_text(snapshot: Snapshot, *, recorded: bool = False) -> str:
    """The whole tree, a line each: as wide as the terminal, or as wide as it is into a pipe.

    The heading of a `recorded` one says so: its snapshot tells which kind of host was recorded.
    """
    columns = shutil.get_terminal_size((0, 0)).columns
    backend = "replay" if recorded else snapshot.host.backend
    return "".join(f"{line.rstrip()}\n" for line in _lines(snapshot, backend, columns))


def _lines(snapshot: Snapshot, backend: str, columns: int) -> Iterator[str]:
    units = [unit.name for unit in snapshot.iommu_units]
    yield headline(
        name=snapshot.host.name,
        kernel=snapshot.host.kernel,
        iommu=iommu_kind(units),
        backend=backend,
        read_only=snapshot.host.read_only,
        state=snapshot.taken_at,
        width=columns or _PIPE_COLUMNS,
    )
    if is_without_iommu(units, snapshot.groups):
        help_ = no_iommu_help(columns or _PIPE_COLUMNS, _PIPE_ROWS)
        yield from (f" {text}" for text in help_)
    tree = outline(snapshot)
    rows = [(tree.cells(line, tree.core(line)), line.depth) for line in tree.lines()]
    widths = tree.columns.widths(columns) if columns else _fitting(tree.columns, rows)
    yield tree.columns.heading(widths)
    for cells, depth in rows:
        yield tree.columns.render(cells, depth, widths)
    if snapshot.unknown:
        yield f"{len(snapshot.unknown)} facts could not be read: see 'unknown' in --format json"


def _fitting(columns: Columns, rows: "list[tuple[tuple[str, ...], int]]") -> tuple[int, ...]:
    """As wide as what is in them."""
    taken = [([width(printable(text[:_WIDEST])) for text in cells], depth) for cells, depth in rows]
    return columns.fitting(taken, _WIDEST)
