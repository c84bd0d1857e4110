"""UACCE: a queue taken at open, started, given work, and given back at close (kernel-abi 6)."""

import errno
from collections.abc import Sequence

from sdmtop import vfio
from sdmtop.backends.base import Handle, Host, Memory
from sdmtop.model import Snapshot
from sdmtop.readers.sysfs import number
from sdmtop.readers.uacce import CLASS
from sdmtop.selftests.claim import PAGE, memory, open_queue
from sdmtop.selftests.records import Benchmark, SelfTest
from sdmtop.selftests.rings import PATIENCE, ROOM, Rings, answers, describes_itself
from sdmtop.selftests.trial import Trial, plural

_DOORBELL, _RINGS = 0, PAGE
"""Where to map the two regions: their number, in pages (include/uapi/misc/uacce/uacce.h)."""

_REFUSALS = {
    errno.ENODEV: "its device is in no IOMMU group, so no process can be bound to it",
    errno.EOPNOTSUPP: "its IOMMU, or that's driver, has no shared virtual addressing",
    errno.ENOSPC: "no PASID is left",
    errno.EOVERFLOW: "the PASID of this process is too large for the device",
    errno.ENXIO: "the device was removed",
    errno.EINVAL: "the device is going away",
}
_ATTEMPTS = 5


def targets(_host: Host, snapshot: Snapshot) -> Sequence[str]:
    """Every device of class uacce."""
    return [queue.id for queue in snapshot.sdmdevs if queue.kind == "uacce"]


def _open(trial: Trial) -> Handle:
    return open_queue(trial, f"/dev/{trial.target}", "all its queues are taken", _REFUSALS)


def _ask(handle: Handle, request: vfio.Request) -> int:
    return handle.ioctl(request.number)


def queue(trial: Trial) -> str:
    """Taken, started once, given back."""
    trial.expect("queues taken while open, left over after close", (1, 0), _counts(trial))
    handle = _open(trial)
    trial.expect("START_Q", 0, _ask(handle, vfio.START_QUEUE))
    trial.refused("START_Q again", (errno.EINVAL,), _ask, handle, vfio.START_QUEUE)
    trial.refused("an unknown command", (errno.EINVAL, errno.ENOTTY), handle.ioctl, 0x57FF)
    return f"{_available(trial)} queues left"


def _counts(trial: Trial) -> tuple[int, int]:
    """How `available_instances` falls when a queue is opened, and what is missing afterwards.

    Other processes take queues as well: what they disturb is counted again.
    """
    counts = (1, 0)
    for _ in range(_ATTEMPTS):
        before = _available(trial)
        handle = _open(trial)
        during = _available(trial)
        handle.close()
        after = _available(trial)
        if before is None or during is None or after is None:
            trial.note("available_instances", "the driver keeps no count")
            break
        counts = before - during, before - after
        if counts == (1, 0):
            break
    return counts


def _available(trial: Trial) -> int | None:
    """`available_instances`; None where the driver keeps no count."""
    try:
        return number(trial.host.read(f"{CLASS}/{trial.target}/available_instances"))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise


def _started(trial: Trial) -> tuple[Memory, Memory]:
    """A queue at work: its doorbell, its rings."""
    handle = _open(trial)
    doorbell = trial.closing(handle.map(_DOORBELL, PAGE))
    size = number(trial.queue.params.get("region_dus_size", "")) or PAGE
    rings = trial.closing(handle.map(_RINGS, size))
    if not describes_itself(rings):
        trial.skip(f"how to fill the rings of {trial.queue.type} is not known here")
    _ask(handle, vfio.START_QUEUE)
    return doorbell, rings


def _rings(trial: Trial) -> Rings:
    doorbell, rings = _started(trial)
    room = memory(trial, ROOM)
    # The queue works in the address space of this process: an address of ours is an IOVA.
    return Rings(
        trial, doorbell, rings, room, room.address, lambda come: trial.until(come, PATIENCE)
    )


def job(trial: Trial) -> str:
    """Work with a known answer, of each kind that the queue does."""
    known = answers(trial.queue.params.get("algorithms", "").split(", "))
    if not known:
        trial.skip("no answer is known to what it computes")
    if (number(trial.queue.params.get("flags", "")) or 0) & 1 == 0:
        trial.skip("without shared virtual addressing, its user library maps the memory")
    rings = _rings(trial)
    for answer in known:
        rings.check(answer)
    return plural(len(known), "job")


def bench_job(trial: Trial) -> list[float]:
    """Microseconds for one job, from the doorbell to its completion."""
    known = answers(trial.queue.params.get("algorithms", "").split(", "))
    if not known:
        trial.skip("no answer is known to what it computes")
    rings = _rings(trial)
    return [seconds * 1e6 for seconds in trial.samples(100, lambda: rings.perform(known[0]))]


_NEEDS = "a free queue, and the right to open its node"

TESTS = (
    SelfTest(
        "uacce.queue", queue, targets,
        proves="a queue can be opened, started once, and is given back at close", needs=_NEEDS,
        touches="takes one queue for a moment",
        why="no process can be bound to the device, its queue does not start, or is not given back",
        remedy="uacce_mode=1 of the driver, an IOMMU with shared virtual addressing; see sdmtop "
        "doctor: pasid, queues",
    ),
    SelfTest(
        "uacce.job", job, targets,
        proves="work given to a queue comes back right",
        needs=f"{_NEEDS}; rings whose form is known here", touches="takes one queue for a moment",
        why="a result is wrong, or no completion comes",
        remedy="reset the device; look at isolate and at the driver's counters in debugfs",
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("uacce.latency", bench_job, targets, measures="one job and its completion",
              unit="us", needs=_NEEDS),
)  # fmt: skip
