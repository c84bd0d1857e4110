"""Domains as a picture: a head for each translation, and below it all whose DMA goes through it."""

from collections.abc import Sequence
from typing import NamedTuple

from sdmtop.collector import Sample
from sdmtop.columns import middle
from sdmtop.conclusions import holders
from sdmtop.domains import Domain, domains
from sdmtop.lookup import devices_of
from sdmtop.model import Device, IommuGroup, Sdmdev, Snapshot
from sdmtop.outline import UNKNOWN
from sdmtop.text import cell, printable
from sdmtop.tui.lines import Content
from sdmtop.tui.panes import SamplePane

_MEANINGS = {
    "identity": "not translated: all of these reach the machine's memory as it is",
    "blocked": "no DMA at all",
    "emulated": "no domain of the IOMMU: the driver of the parent translates for each by itself",
    "unmanaged": "a process maps what it wants",
}
_NAME, _SHORT = 38, 17
"""Cells of a member's name: a UUID, and two; where there is less room, its beginning and end."""

_ROOMY = 100
"""Columns of the pane from which names stand in full."""


class _Row(NamedTuple):
    """A line: of a domain, or of a member of it."""

    domain: Domain
    target: str | None = None
    member: Device | Sdmdev | IommuGroup | None = None
    last: bool = False


class Domains(SamplePane):
    """Who shares which table; the one of the selection first, then those that are shared."""

    _members: dict[str, _Row] = {}
    _holders: dict[str, tuple[int, ...]] = {}
    _names: dict[int, str | None] = {}
    _counts = (0, 0)
    _made: tuple[Snapshot, str | None] | None = None
    """What the lines were made of."""

    def show(self, sample: Sample, target: str | None) -> None:
        """Show a newer sample; nothing is made of it while nobody sees it, or if it is the same."""
        self.sample, self.target = sample, target
        if self.screen.has_class("-domains") and not self._is_made_of(sample, target):
            self._made = (sample.snapshot, target)
            super().show(sample, target)

    def _is_made_of(self, sample: Sample, target: str | None) -> bool:
        made = self._made
        return made is not None and made[0] is sample.snapshot and made[1] == target

    def title(self) -> str:
        """How many, and how many of them are shared."""
        every, shared = self._counts
        return f"6 Domains ({every}, {shared} of them shared by sdmdevs)"

    def nothing(self) -> str:
        """Say why there is none."""
        return "  there is no IOMMU group, and so no domain" if self.sample is not None else ""

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a domain, then a line a member."""
        snapshot = sample.snapshot
        self._holders = holders(snapshot)
        self._names = {process.pid: process.name for process in snapshot.processes}
        devices = devices_of(snapshot)
        found = domains(snapshot)
        self._counts = len(found), sum(domain.is_shared for domain in found)
        found.sort(key=lambda domain: not domain.holds(self.target))
        self._members = {}
        for domain in found:
            self._members[domain.key] = _Row(domain)
            members: list[tuple[str, Device | Sdmdev | IommuGroup | None]] = []
            for group in domain.groups:
                members += ((address, devices.get(address)) for address in group.devices)
            members += ((queue.id, queue) for queue in domain.sdmdevs)
            for index, (target, member) in enumerate(members):
                last = index == len(members) - 1
                self._members[f"{domain.key} {target}"] = _Row(domain, target, member, last)
        return list(self._members)

    def content(self, key: str) -> Content:
        """The head of a domain, or a member below it."""
        row = self._members[key]
        return self._head(row.domain) if row.target is None else self._member(row)

    def _head(self, domain: Domain) -> Content:
        mark = "▸ " if domain.holds(self.target) else "  "
        type_ = f"{domain.type or UNKNOWN} ({domain.evidence})"
        groups = ", ".join(f"group {group.id}" for group in domain.groups[:4])
        more = f" and {len(domain.groups) - 4} more" if len(domain.groups) > 4 else ""
        name = f"{groups}{more}" or "emulated"
        parts = [type_ if domain.groups else "", _shared_by(domain), self._held(domain)]
        meaning = _MEANINGS.get(domain.type or "", "")
        words = "; ".join(filter(None, [*parts, meaning]))
        left = max(self.line_width - 2 - len(name) - 2, 0)
        style = "accent" if domain.is_shared else "plain"
        return ((mark, "accent"), (f"{name}  ", style), (cell(words, left), "dim"))

    def _held(self, domain: Domain) -> str:
        keys = [f"group/{group.id}" for group in domain.groups]
        pids = sorted({pid for key in keys for pid in self._holders.get(key, ())})
        return f"held by {self._named(pids)}" if pids else ""

    def _member(self, row: _Row) -> Content:
        branch = "  └─ " if row.last else "  ├─ "
        mark = "▸" if row.target == self.target else " "
        width = _NAME if self.line_width >= _ROOMY else _SHORT
        name = cell(middle(printable(row.target or ""), width - 2), width)
        left = max(self.line_width - len(branch) - 1 - width - 1, 0)
        style = "warn" if isinstance(row.member, Sdmdev) and row.member.state == "orphan" else "dim"
        words = cell(self._words(row), left)
        return ((branch, "dim"), (f"{mark}{name} ", "plain"), (words, style))

    def _words(self, row: _Row) -> str:
        match row.member:
            case Sdmdev() as queue:
                pids = "?" if queue.holders is None else self._named(queue.holders) or "nobody"
                pasid = "" if queue.pasid is None else f", PASID {queue.pasid}"
                state = queue.state or UNKNOWN
                return f"{queue.kind} {queue.type or UNKNOWN}, {state}, held by {pids}{pasid}"
            case Device() as device:
                return f"{device.driver or 'no driver'}; {device.name or device.bus or 'device'}"
        return ""

    def _named(self, pids: Sequence[int]) -> str:
        return ", ".join(f"{self._names.get(pid) or UNKNOWN} {pid}" for pid in pids)

    def target_of(self, key: str) -> str | None:
        """What the line is about: a group, a device, an sdmdev."""
        row = self._members.get(key)
        if row is None or row.target is not None or not row.domain.groups:
            return row.target if row is not None else None
        return f"group/{row.domain.groups[0].id}"


def _shared_by(domain: Domain) -> str:
    if not domain.is_shared:
        return f"{len(domain.sdmdevs)} mdevs" if domain.sdmdevs else ""
    count = len(domain.sdmdevs)
    return f"shared by {count} sdmdev{'s' if count > 1 else ''}"
