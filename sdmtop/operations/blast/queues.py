"""Queues and virtual machines: mediated devices of a parent, and what VFIO holds."""

from collections.abc import Iterator

from sdmtop.conclusions import blindness, holders
from sdmtop.model import Sdmdev
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.groups import is_vfio
from sdmtop.readers.idxd import is_configured

CLASSES = frozenset(
    {"sdmdev", "mdev_bus", "uacce", "dsa", "iax", "vfio", "vfio-dev", "iommu", "misc"}
)


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """The queues of a device, those that share its domain, and who holds it through VFIO."""
    snapshot = survey.snapshot
    queues = {queue.id: queue for queue in snapshot.sdmdevs}
    for queue in queues.values():
        if queue.parent == device.address:
            yield from _of_queue(survey, device, queue)
            yield from _of_configuration(survey, device, queue)
    for group in snapshot.groups:
        if device.address not in group.devices:
            continue
        for id_ in group.shared_by:
            if queues[id_].parent != device.address:
                sentence = f"{id_} uses the domain of its group"
                yield device.verdict("unsafe", sentence, f"group/{group.id}", id_)
        if device.driver is not None and is_vfio(device.driver):
            yield from _of_vfio(survey, device, group.id)


def _of_queue(survey: Survey, device: Touched, queue: Sdmdev) -> Iterator[Verdict]:
    if queue.holders:
        programs = ", ".join(_program(survey, pid) for pid in queue.holders)
        sentence = f"its queue {queue.id} is held by {programs}"
        yield device.verdict("unsafe", sentence, queue.id, programs)
    elif queue.holders is None or queue.state in ("held", "started"):
        yield device.verdict("unknown", f"cannot tell who holds its queue {queue.id}", queue.id)
    elif queue.kind in ("sdmdev", "mdev"):
        sentence = (
            f"the state of its queue {queue.id}, which nobody holds, is lost"
            if device.address in survey.resets
            else f"its queue {queue.id}, which nobody holds, goes with it"
        )
        yield device.verdict("unsafe", sentence, queue.id)


def _of_configuration(survey: Survey, device: Touched, queue: Sdmdev) -> Iterator[Verdict]:
    """What was set up on a queue of IDXD: its driver begins with a reset, and makes queues anew.

    So does a reset of the function; newer drivers set the queues up again after that one.
    """
    if queue.kind != "idxd":
        return
    told = is_configured(queue)
    if told is None:
        sentence = f"cannot tell whether its queue {queue.id} is configured"
        yield device.verdict("unknown", sentence, queue.id)
    elif told:
        what = f"the configuration of its queue {queue.id}"
        reset = f"{what} is lost, unless the driver sets it up again"
        sentence = reset if device.address in survey.resets else f"{what} goes with it"
        yield device.verdict("unsafe", sentence, queue.id, queue.type or "none")


def _of_vfio(survey: Survey, device: Touched, group: int) -> Iterator[Verdict]:
    held = holders(survey.snapshot)
    pids = held.get(device.address) or held.get(f"group/{group}", ())
    node = f"/dev/vfio/{group}"
    if pids:
        programs = ", ".join(_program(survey, pid) for pid in pids)
        yield device.verdict("unsafe", f"its group is held by {programs}", node, programs)
        return
    doubt = blindness(survey.snapshot)
    if doubt is not None:
        yield device.verdict("unknown", f"cannot tell {doubt.what}", node, doubt.path)
    else:
        sentence = f"it is on {device.driver}, and nobody holds its group"
        yield device.verdict("safe", sentence, node)


def _program(survey: Survey, pid: int) -> str:
    names = {process.pid: process.name for process in survey.snapshot.processes}
    return f"{names.get(pid) or '?'} (process {pid})"
