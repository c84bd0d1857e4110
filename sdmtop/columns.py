"""The columns of the tree: which there are, how wide they are, and a line of them as text.

On the path of the first paint: imports next to nothing.
"""

from sdmtop.text import cell, fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "name"
"""The column that is always there, and always first."""

DEFAULT = ("domain", "state", "holder", "irq/s", "what")
"""The other columns, unless one chooses."""

INDENT = 2

_REST = "what"
"""The column that takes the room that the others leave."""

_COMFORT = 24
"""Cells that it may take before the others grow."""

_GROWING = ("domain", NAME, "holder", "irq/s")
"""Who takes more room first, where there is some; then the others in their order."""


class Column:
    """A column: its headings (the second where it is narrow), and its least and most cells."""

    __slots__ = ("least", "meaning", "most", "right", "short", "title")

    def __init__(
        self,
        title: str,
        least: int,
        most: int,
        meaning: str,
        *,
        short: str = "",
        right: bool = False,
    ) -> None:
        self.title = title
        self.short = short or title
        self.least = least
        self.most = most
        self.meaning = meaning
        self.right = right


COLUMNS = {
    NAME: Column("GROUP / DEVICE / QUEUE", 16, 24, "group, device, queue", short="GROUP / DEVICE"),
    "domain": Column("DOMAIN/DRIVER", 11, 16, "default domain; driver; type of a queue",
                     short="DOM/DRIVER"),
    "state": Column("STATE", 8, 8, "owner of a group; how a device is bound; state of a queue"),
    "holder": Column("HOLDER", 10, 20, "process that has it open or mapped"),
    "irq/s": Column("IRQ/S", 5, 6, "interrupts a second", right=True),
    "what": Column("WHAT", 0, 0, "what it is; whose domain it shares"),
    "attached": Column("ATTACHED", 9, 9, "domain that is attached to the group now"),
    "viable": Column("VIABLE", 6, 6, "whether VFIO could take the group"),
    "override": Column("OVERRIDE", 8, 16, "driver_override: the only driver that may bind"),
    "numa": Column("NUMA", 4, 4, "NUMA node of the device", right=True),
    "iommu": Column("IOMMU", 6, 16, "IOMMU unit of the device"),
    "id": Column("ID", 9, 9, "vendor and device id"),
    "pasid": Column("PASID", 6, 6, "of a queue its PASID; of a device whether it is enabled"),
    "irqs": Column("IRQS", 4, 4, "how many interrupts the device has", right=True),
}  # fmt: skip
"""Name in the configuration -> column."""

_UUIDS = Column("GROUP / DEVICE / QUEUE", 19, 40, "", short="GROUP / DEVICE")
"""The first column, where there are UUIDs."""


class Columns:
    """The columns that are shown, on a host of a kind.

    Told by the width and by what kind of host this is, never by the facts in the lines: the
    columns stand still while facts arrive, and are those of the first paint. `uuids` says whether
    there are names as long as that, `holding` whether anything can be held: only then is there a
    column for it.
    """

    def __init__(self, shown: "Sequence[str]" = DEFAULT, *, uuids: bool, holding: bool) -> None:
        names = [name for name in shown if holding or name != "holder"]
        self.names = (NAME, *names)
        self._columns = [COLUMNS[name] for name in self.names]
        if uuids:
            self._columns[0] = _UUIDS
        self._widths: dict[int, tuple[int, ...]] = {}

    def widths(self, width: int) -> "tuple[int, ...]":
        """The cells of each column on a line of `width` cells; none where there is no column."""
        found = self._widths.get(width)
        if found is None:
            found = self._widths[width] = tuple(self._divide(width))
        return found

    def _divide(self, width: int) -> "list[int]":
        cells = [column.least for column in self._columns]
        rest = self.names.index(_REST) if _REST in self.names else -1
        # No gap for the rest: where it has no room there is no such column.
        spare = width - sum(cells) - (len(cells) - 1)
        comfort = _COMFORT if rest >= 0 else 0
        growing = [name for name in _GROWING if name in self.names]
        growing += [name for name in self.names if name not in growing]
        for name in growing:
            index = self.names.index(name)
            grown = min(max(spare - comfort, 0), max(self._columns[index].most - cells[index], 0))
            cells[index] += grown
            spare -= grown
        # So little room for the rest would say nothing.
        taker = rest if spare >= 4 and rest > 0 else 0
        if spare > 0:
            cells[taker] += spare + (1 if rest > 0 and taker == 0 else 0)
        return self._cut(cells, width)

    def _cut(self, cells: "list[int]", width: int) -> "list[int]":
        """On a line that is too short the columns on the right are cut, then left out."""
        left = width
        for index, wanted in enumerate(cells):
            cells[index] = min(wanted, max(left, 0))
            left -= cells[index] + 1 if wanted else 0
        return cells

    def fitting(self, rows: "Sequence[tuple[Sequence[int], int]]", most: int) -> "tuple[int, ...]":
        """Columns as wide as the widest of their cells, and of their headings.

        `rows` are the cells that each text takes, and the depth of its line; `most` is for all
        columns but the rest, which may be twice as wide.
        """
        widths = [len(column.title) for column in self._columns]
        for taken, depth in rows:
            for index, cells in enumerate(taken):
                widths[index] = max(widths[index], cells + (0 if index else INDENT * depth))
        return tuple(
            2 * most if name == _REST else min(wide, most)
            for name, wide in zip(self.names, widths, strict=True)
        )

    def heading(
        self, widths: "Sequence[int]", *, order: str = NAME, turned: bool = False, note: str = ""
    ) -> str:
        """The line of column headings, with a mark at the one that the lines are sorted by.

        `turned` says that they are in falling order; a printable `note` takes the place of the
        first two headings.
        """
        titles = [
            column.title if wide >= len(column.title) else column.short
            for column, wide in zip(self._columns, widths, strict=True)
        ]
        if order in self.names and (order, turned) != (NAME, False):
            at = self.names.index(order)
            titles[at] = titles[at][: max(widths[at] - 1, 0)] + ("▾" if turned else "▴")
        line = self._join(titles, widths)
        room = min(sum(widths[:2]) + 1, len(line))
        return fit(note, room) + line[room:] if note else line

    def render(self, cells: "Sequence[str]", depth: int, widths: "Sequence[int]") -> str:
        """A line's cells as printable text, each column as wide as `widths` says."""
        indent = INDENT * depth
        name = " " * indent + middle(cells[0], max(widths[0] - indent, 0))
        return self._join((name, *cells[1:]), widths)

    def at(self, cell_: int, widths: "Sequence[int]") -> str:
        """The name of the column that stands at a cell of a line."""
        end = 0
        for name, wide in zip(self.names, widths, strict=True):
            end += wide + 1 if wide else 0
            if cell_ < end:
                return name
        return self.names[-1]

    def _join(self, cells: "Sequence[str]", widths: "Sequence[int]") -> str:
        return " ".join(
            [
                text.rjust(wide)[:wide] if column.right else cell(text, wide)
                for text, wide, column in zip(cells, widths, self._columns, strict=True)
                if wide > 0
            ]
        )


def middle(text: str, cells: int) -> str:
    """The text if it fits, else its beginning and its end: UUIDs differ in their last digits."""
    if len(text) <= cells or cells < 3:
        return text
    head = (cells - 1) // 2
    return f"{text[:head]}…{text[head + 1 - cells :]}"
