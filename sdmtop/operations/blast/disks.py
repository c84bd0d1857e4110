"""Disks: what stands on those behind a device, down to mount points and swap."""

from collections.abc import Iterator

from sdmtop.operations.blast.mounts import SOURCE as MOUNTS
from sdmtop.operations.blast.nvme import FABRIC, Subsystems
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.storage import SOURCE, Storage
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict

CLASSES = frozenset({"block", "nvme", "nvme-subsystem"})


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """What would be lost with the disks of a device, and the paths that would be lost to others."""
    storage = survey.once(Storage)
    disks = disks_of(survey, device)
    shared = _shared(survey, device)
    for disk, chain in disks:
        for loss in storage.losses(disk, chain):
            yield device.verdict(loss.kind, loss.sentence, *loss.chain)
    for disk, chain, others in shared:
        sentence = f"{disk} loses a path; {', '.join(others)} still leads to it"
        yield device.verdict("unsafe", sentence, *chain, disk)
    ports = survey.parts_of(device, "fc_host")
    if disks or ports or device.is_of_class("01"):
        content = [f"content {node}" for disk, _ in disks for node in storage.nodes(disk)]
        what = "what its disks carry"
        fabric = (FABRIC,) if ports else ()
        yield from survey.doubts(device, what, "classes", SOURCE, MOUNTS, *fabric, *content)
    if device.is_of_class("01") and device.driver and not disks and not shared:
        yield device.verdict("safe", "no disk is behind it")


def disks_of(survey: Survey, device: Touched) -> list[tuple[str, tuple[str, ...]]]:
    """The disks that go with a device, each with what leads to it."""
    storage = survey.once(Storage)
    found: list[tuple[str, tuple[str, ...]]] = [
        (part.name, ()) for part in survey.parts_of(device, "block") if storage.is_disk(part.name)
    ]
    found += [
        (name, (controller.name,))
        for controller in survey.once(Subsystems).controllers(device)
        for name, part in storage.blocks.items()
        if part.path.startswith(f"{controller.path}/")
        and survey.owner(part.path) is None
        and storage.is_disk(name)
    ]
    found += [(head, chain) for head, chain, others in _heads(survey, device) if not others]
    return sorted(found)


def _shared(survey: Survey, device: Touched) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """The disks to which controllers lead that stay."""
    return [(head, chain, others) for head, chain, others in _heads(survey, device) if others]


def _heads(survey: Survey, device: Touched) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """The disks of the NVMe subsystems of a device, with the controllers that stay."""
    subsystems = survey.once(Subsystems)
    return [
        (
            head,
            (controller.name, subsystem),
            [path.name for path in subsystems.paths(head) if not subsystems.goes(path)],
        )
        for controller in subsystems.controllers(device)
        for head, subsystem in subsystems.heads(controller.name)
    ]
