"""The first paint: header, the visible lines of the tree, footer, before Textual is imported.

It reads only what it shows, with the readers' own functions, and formats it with the formatter of
`snapshot --format tree`. The records are not used: importing msgspec takes longer than all this.
On the path of the first paint, of course.
"""

import os
import sys
from itertools import islice

from sdmtop.columns import DEFAULT
from sdmtop.headline import headline, iommu_kind, is_without_iommu, no_iommu_help
from sdmtop.layout import line_columns, tree_columns, tree_rows
from sdmtop.outline import UNKNOWN, Outline
from sdmtop.readers.devices import PCI, device_facts, pci_path
from sdmtop.readers.groups import group_facts, group_ids, owner
from sdmtop.readers.host import host_facts
from sdmtop.readers.sysfs import follow, in_order, name_of, names
from sdmtop.text import fact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from sdmtop.backends.base import Host
    from sdmtop.readers.unknowns import Unknowns

_Record: "Any" = type(sys.implementation)  # types.SimpleNamespace, without importing types
_MDEVS = "/sys/bus/mdev/devices"
_HELD = ("/sys/class/vfio", "/sys/class/uacce", "/sys/bus/dsa/devices")
"""Where there is an entry for each node that a process can hold."""


class _LaterUnknowns:
    """Failures met at a glance are not kept: the full reading meets and tells them again."""

    def note(self, path: str, error: OSError, what: str) -> None:
        """Do nothing."""

    def note_failure(self, path: str, answer: "bytes | OSError", what: str) -> None:
        """Do nothing."""


class Glance:
    """What fits on a screen of `columns` x `rows`; reads the host as it is made.

    `shown` are the columns of the tree beside the name.
    `head` is the text of the header, `seen` the lines of the tree that fit, `outline` what draws
    them; `help` is what to do where there is no IOMMU. The console shows these until the first
    full reading, so that keys are obeyed before that.
    """

    def __init__(
        self, host: "Host", columns: int, rows: int, shown: "Sequence[str]" = DEFAULT
    ) -> None:
        self._host = host
        self._shown = shown
        self._columns = columns
        self._rows = rows
        self._unknowns: Unknowns = _LaterUnknowns()  # type: ignore[assignment]
        self._addresses: frozenset[str] = frozenset()
        self._devices: dict[str, Any] = {}
        self._states: dict[str, str] = {}
        units = self._units()
        self._groups = group_ids(host, self._unknowns)
        self.help = no_iommu_help(columns, rows) if is_without_iommu(units, self._groups) else ()
        box = host_facts(host, self._unknowns)
        self.head = headline(
            name=box["name"],
            kernel=box["kernel"],
            iommu=iommu_kind(units),
            backend=box["backend"],
            read_only=host.refusal() is not None,
            state="starting",
            width=columns,
        )
        self.outline = self._outline()
        room = tree_rows(columns, rows) - len(self.help) - 1
        self.seen = list(islice(self.outline.lines(), max(room, 0)))
        self._addresses = frozenset()  # Of no more use, and as large as the host.

    def frame(self) -> "list[str]":
        """The whole screen: header, tree, footer; each line at most `columns` wide."""
        outline = self.outline
        columns = outline.columns
        widths = columns.widths(line_columns(tree_columns(self._columns)))
        body = [f" {text}"[: self._columns] for text in self.help]
        body.append(f"  {columns.heading(widths)}")
        body += [
            f"  {columns.render(outline.cells(line, outline.core(line)), line.depth, widths)}"
            for line in self.seen
        ]
        body += [""] * (self._rows - 2 - len(body))
        footer = " q quit  ? help"[: self._columns]
        return [f"\x1b[7m{self.head}\x1b[0m", *body, footer]

    def _units(self) -> "list[str]":
        """The names of the IOMMU units."""
        try:
            return in_order(names(self._host, "/sys/class/iommu"))
        except OSError:
            return []

    def _outline(self) -> Outline:
        try:
            self._addresses = frozenset(names(self._host, PCI))
        except OSError:
            self._addresses = frozenset()
        return Outline(
            self._members(),
            self._device,
            self._loose(),
            self._queues(),
            {},
            holders={},
            states=self._states,
            blind=True,
            holding=any(map(self._lists, _HELD)),
            columns=self._shown,
        )

    def _lists(self, directory: str) -> bool:
        """Whether there is anything in a directory."""
        try:
            return bool(names(self._host, directory))
        except OSError:
            return False

    def _members(self) -> "Iterator[Any]":
        for id_ in self._groups:
            facts = group_facts(self._host, id_, self._unknowns)
            members = in_order(map(fact, facts.pop("members", ())))
            drivers = {
                member: device.driver if (device := self._device(member)) else None
                for member in members
            }
            if facts:
                # All that the lines ask is whether it can be told at all.
                told = self._states.keys().isdisjoint(members) or owner(drivers) == "kernel"
                yield _Record(
                    **facts,
                    devices=members,
                    owner=owner(drivers),
                    viable=told or None,
                    viability_reason=None,
                    shared_by=(),
                )

    def _loose(self) -> "Iterator[str]":
        for address in in_order(self._addresses):
            device = self._device(address)
            if device is not None and device.group is None:
                yield address

    def _device(self, address: str) -> "Any":
        if address not in self._devices:
            facts = {}
            if address in self._addresses:
                path = pci_path(self._host, address)
                facts = device_facts(self._host, address, path, self._unknowns)
            self._devices[address] = _Record(**facts, name=None) if facts else None
            if facts and not facts["driver_known"]:
                self._states[address] = UNKNOWN
        return self._devices[address]

    def _queues(self) -> "dict[str, list[Any]]":
        """Every mdev of a PCI device under its parent, told by its path alone."""
        found: dict[str, list[Any]] = {}
        try:
            uuids = sorted(names(self._host, _MDEVS))
            links = self._host.look(_MDEVS, (), uuids) if uuids else []
        except OSError:
            return found
        for uuid, link in zip(uuids, links, strict=True):
            if isinstance(link, bytes):
                path = follow(_MDEVS, os.fsdecode(link))
                parent = path.split("/")[-2]
                if parent in self._addresses:  # Others have no line yet that it could hang below.
                    found.setdefault(parent, []).append(self._queue(uuid, path))
        return found

    def _queue(self, uuid: str, path: str) -> "Any":
        try:
            group, type_ = self._host.look(path, (), ("iommu_group", "mdev_type"))
        except OSError:
            group = type_ = OSError()
        number = name_of(group)
        return _Record(
            id=fact(uuid),
            kind="mdev",
            type=name_of(type_),
            state="…",
            group=int(number) if number and number.isdecimal() else None,
            domain_of=None,
            holders=(),
        )
