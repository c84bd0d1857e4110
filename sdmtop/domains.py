"""Which groups and sdmdevs share which translation: one I/O page table, or none at all."""

from collections.abc import Iterator
from typing import NamedTuple

from sdmtop.model import IommuGroup, Sdmdev, Snapshot

_IDENTITY = "identity"
_BLOCKED = "blocked"
_EMULATED = "emulated"


class Domain(NamedTuple):
    """Everything whose DMA goes through the same translation.

    `groups` have it attached; `sdmdevs` run in it though their own group is another. The groups
    in identity share memory as it is, and emulated mdevs are translated by their driver: those
    are one entry each, without a table. `evidence` says how it is known what is attached.
    """

    key: str
    type: str | None
    evidence: str
    groups: tuple[IommuGroup, ...]
    sdmdevs: tuple[Sdmdev, ...]

    @property
    def size(self) -> int:
        """How many devices and sdmdevs are in it."""
        return sum(len(group.devices) for group in self.groups) + len(self.sdmdevs)

    @property
    def is_shared(self) -> bool:
        """Whether sdmdevs are in it beside the device that serves them."""
        return bool(self.groups and self.sdmdevs)

    def holds(self, target: str | None) -> bool:
        """Whether a TARGET is in it: a group, one of its devices, an sdmdev."""
        return any(target in (f"group/{group.id}", *group.devices) for group in self.groups) or any(
            target == queue.id for queue in self.sdmdevs
        )


def domains(snapshot: Snapshot) -> list[Domain]:
    """All of them: those that are shared first, the largest of them before the others."""
    queues: dict[int, list[Sdmdev]] = {}
    for queue in snapshot.sdmdevs:
        if queue.domain_of is not None:
            queues.setdefault(queue.domain_of, []).append(queue)
    of_queues = {queue.id for queue in snapshot.sdmdevs}
    groups = [group for group in snapshot.groups if not of_queues.issuperset(group.devices)]
    found = [*_tables(groups, queues), *_without_tables(groups, queues, snapshot)]
    return sorted(found, key=lambda domain: (not domain.is_shared, -len(domain.sdmdevs)))


def _tables(groups: list[IommuGroup], queues: dict[int, list[Sdmdev]]) -> Iterator[Domain]:
    for group in groups:
        mine = tuple(queues.get(group.id, ()))
        if group.attached.type not in (_IDENTITY, _BLOCKED) or mine:
            evidence = group.attached.evidence
            yield Domain(f"group/{group.id}", group.attached.type, evidence, (group,), mine)


def _without_tables(
    groups: list[IommuGroup], queues: dict[int, list[Sdmdev]], snapshot: Snapshot
) -> Iterator[Domain]:
    for type_ in (_IDENTITY, _BLOCKED):
        alike = tuple(
            group for group in groups if group.attached.type == type_ and group.id not in queues
        )
        if alike:
            known = all(group.attached.evidence == "known" for group in alike)
            yield Domain(type_, type_, "known" if known else "inferred", alike, ())
    emulated = tuple(
        queue
        for queue in snapshot.sdmdevs
        if queue.kind in ("sdmdev", "mdev") and queue.domain_of is None
    )
    if emulated:
        yield Domain(_EMULATED, _EMULATED, "known", (), emulated)
