"""Shared-domain mediated devices: a queue of a parent that keeps its driver (sdmdev.md).

The queues are made for the test, by a plan of `sdmtop create`, and removed after it.
"""

import errno
import hashlib
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sdmtop import vfio
from sdmtop.backends.base import Host, Memory
from sdmtop.model import MdevType, Sdmdev, Snapshot
from sdmtop.operations.preconditions import why_not_shared
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.claim import PAGE, memory
from sdmtop.selftests.records import Benchmark, SelfTest, Skipped
from sdmtop.selftests.rings import PATIENCE, ROOM, Rings, answers, describes_itself
from sdmtop.selftests.trial import Trial, plural

_DOORBELL, _RINGS = 0, 1
"""Regions of an sdmdev."""

_FACTORIAL = "factorial"
"""`name` of the type whose queue computes n! of the number in its doorbell page."""

_IOVAS = (0x1000_0000, 0x2000_0000, 0x4000_0000, 0x1_0000_0000)
"""Where room may be in a domain that is shared with the parent's driver."""

_AT_ONCE = 16
"""Jobs that are given to a queue together, to see how many it does in a second."""

_NO_BIND = frozenset({errno.ENOTTY, errno.EINVAL, errno.ENODEV})


def targets(_host: Host, snapshot: Snapshot) -> Sequence[str]:
    """Parents of class `sdmdev` that have a queue to give."""
    return [
        device.address
        for device in snapshot.devices
        if device.sdmdev is not None and spare_type(snapshot, device.address) is not None
    ]


def spare_type(snapshot: Snapshot, parent: str, count: int = 1) -> MdevType | None:
    """The first type of a parent of which so many instances are to be had."""
    for one in snapshot.mdev_types:
        if one.parent == parent and (one.available_instances or 0) >= count:
            return one
    return None


def spare_types(snapshot: Snapshot, parent: str) -> list[MdevType]:
    """The types of a parent of which a queue each is to be had.

    Types may take their queues from one pool, as those of HiSilicon do: what is free of a type
    has to be enough for those before it as well.
    """
    found: list[MdevType] = []
    for one in snapshot.mdev_types:
        if one.parent == parent and (one.available_instances or 0) > len(found):
            found.append(one)
    return found


class _Attached(NamedTuple):
    """A queue that this process has open."""

    group: vfio.Group
    container: vfio.Container
    device: vfio.Device

    def close(self) -> None:
        """Let it go: device, then group, then container."""
        for node in (self.device, self.group, self.container):
            node.close()


def _lent(trial: Trial, index: int = 0) -> Sdmdev:
    if index >= len(trial.lent):
        trial.skip("no queue was made for the test")
    found = [one for one in trial.snapshot.sdmdevs if one.id == trial.lent[index]]
    if not found or found[0].group is None:
        trial.fail(f"{trial.lent[index]} was created, and has no group")
    return found[0]


def _type(trial: Trial, queue: Sdmdev) -> MdevType:
    return next(
        one
        for one in trial.snapshot.mdev_types
        if (one.parent, one.id) == (queue.parent, queue.type)
    )


def _attach(trial: Trial, queue: Sdmdev) -> _Attached:
    """As the user library of the RFC does it, in its order."""
    trial.say(f"attaching {queue.id}")
    group = trial.closing(vfio.Group.open(trial.host, f"/dev/vfio/{queue.group}"))
    trial.holds("viable", group.status().viable)
    container = trial.closing(vfio.Container.open(trial.host))
    group.set_container(container)
    params = trial.device.sdmdev
    try:
        container.set_iommu((params.iommu_type if params else None) or vfio.TYPE1)
    except OSError as error:
        # In use, or not to be shared as it is set up: that is no fault, and `attach` says the same.
        after = patiently(trial.host, read_snapshot, trial.host)
        why = why_not_shared(trial.host, after, queue, error.errno or 0)
        if why is None:
            raise
        trial.skip(f"its parent's domain cannot be shared: {why}")
    device = trial.closing(group.device(queue.id))
    try:
        pasid = container.bind_process()
    except OSError as error:
        if error.errno not in _NO_BIND:
            raise
        trial.note("PASID", "none: the queue starts at open")
    else:
        trial.note("PASID", pasid)
        device.bind_pasid(pasid)
    return _Attached(group, container, device)


class _Work:
    """A queue that is attached, and jobs for it."""

    def __init__(self, trial: Trial, queue: Sdmdev) -> None:
        self._trial = trial
        self.attached = _attach(trial, queue)
        self._is_factorial = _type(trial, queue).name == _FACTORIAL
        self._known = answers((_type(trial, queue).name or "",))
        region = self.attached.device.region(_DOORBELL)
        self.doorbell = trial.closing(self.attached.device.handle.map(region.offset, PAGE))
        self._pages = [self.doorbell]
        self.iova = 0
        self._rings: Rings | None = None
        if not self._is_factorial:
            self._rings = self._ring_queue()

    def _ring_queue(self) -> Rings:
        trial, device = self._trial, self.attached.device
        if not self._known:
            trial.skip("no answer is known to what its type computes")
        region = device.region(_RINGS)
        rings = trial.closing(device.handle.map(region.offset, region.size))
        if not describes_itself(rings):
            trial.skip("how to fill its rings is not known here")
        self._pages.append(rings)
        room = memory(trial, ROOM)
        self.iova = _place(self.attached.container, room)

        def wait(come: Callable[[], bool]) -> None:
            device.wait(int(PATIENCE * 1000))
            come()

        return Rings(trial, self.doorbell, rings, room, self.iova, wait)

    def check(self) -> int:
        """Have every job done whose answer is known; how many."""
        if self._rings is None:
            for n in range(1, 13):
                self._factorial(n)
            return 12
        for answer in self._known:
            self._rings.check(answer)
        return len(self._known)

    def _factorial(self, n: int) -> None:
        device = self.attached.device
        self._trial.say(f"{n}!")
        device.handle.write_at(device.region(_DOORBELL).offset, n.to_bytes(4, "little"))
        woken = device.wait(int(PATIENCE * 1000))
        got = int.from_bytes(self.doorbell.view[4:8], "little")
        if not woken and got != math.factorial(n):
            self._trial.fail(f"{n}!: WAIT ended after {PATIENCE:g} s: no interrupt came")
        self._trial.expect(f"{n}!", math.factorial(n), got)

    def repeat(self, count: int) -> None:
        """Have one job done so often: given all at once, where the queue takes more than one."""
        if self._rings is not None:
            self._rings.repeat(self._known[0], count)
            return
        for _ in range(count):
            self._factorial(12)

    def close(self) -> None:
        """Let the queue go: as long as its pages are mapped, the device stays open."""
        for page in self._pages:
            page.close()
        self.attached.close()

    def picture(self) -> str:
        """All that a process can see of its queue, as a checksum."""
        return hashlib.sha256(b"".join(bytes(one.view) for one in self._pages)).hexdigest()[:16]


def _place(container: vfio.Container, room: Memory) -> int:
    for iova in _IOVAS:
        try:
            container.map(room, iova)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EEXIST):
                raise
        else:
            return iova
    raise Skipped("no IOVA is free in the parent's domain")


# -- the tests -------------------------------------------------------------------------------


def lifecycle(trial: Trial) -> str:
    """Made, in a group of its own, held once, let go."""
    queue = _lent(trial)
    type_ = _type(trial, queue)
    create = f"{trial.device.path}/mdev_supported_types/{type_.id}/create"
    trial.refused("the same UUID again", (errno.EEXIST,), trial.write, create, queue.id)
    attached = _attach(trial, queue)
    path = f"/dev/vfio/{queue.group}"
    trial.refused("a second holder", (errno.EBUSY,), vfio.Group.open, trial.host, path)
    trial.holds("in a container", attached.group.status().in_container)
    attached.close()
    again = trial.closing(vfio.Group.open(trial.host, path))
    trial.holds("in a container, after close", again.status().in_container, wanted=False)
    return f"{type_.id} in group {queue.group}"


def job(trial: Trial) -> str:
    """Work with a known answer, on a queue of each type."""
    jobs = 0
    tested: list[str] = []
    untested: dict[str, str] = {
        one.id: "no queue is free"
        for one in trial.snapshot.mdev_types
        if one.parent == trial.target
    }
    for index in range(max(1, len(trial.lent))):
        queue = _lent(trial, index)
        type_ = _type(trial, queue).id
        trial.note("type", type_)
        try:
            work = _Work(trial, queue)
            jobs += work.check()
            work.close()
        except Skipped as skip:
            untested[type_] = str(skip)
        else:
            tested.append(type_)
            del untested[type_]
    if not tested:
        trial.skip("; ".join(dict.fromkeys(untested.values())))
    left = "".join(f"; not tested: {name} ({why})" for name, why in untested.items())
    return f"{plural(jobs, 'job')} of {', '.join(tested)}{left}"


def interrupt(trial: Trial) -> str:
    """WAIT ends with the parent's interrupt, the one that all its queues share."""
    work = _Work(trial, _lent(trial))
    before = _interrupts(trial)
    jobs = work.check()
    trial.say("counting")
    count = _interrupts(trial) - before
    trial.note("interrupts of the parent meanwhile", count)
    trial.holds("at least one interrupt for each wait", count >= jobs)
    return f"{jobs} waits, {plural(count, 'interrupt')}"


def _interrupts(trial: Trial) -> int:
    """All that have come from the parent so far."""
    lines = {str(irq) for irq in trial.device.irqs}
    if not lines:
        trial.skip("the parent has no interrupt")
    return trial.interrupts(lambda row: row.label in lines) or 0


def neighbour(trial: Trial) -> str:
    """Work on one queue leaves the other alone."""
    first, second = (_Work(trial, _lent(trial, index)) for index in range(2))
    before = second.picture()
    jobs = first.check()
    trial.expect("pages of the other queue", before, second.picture())
    second.check()
    return f"{plural(jobs, 'job')} on each"


def detach(trial: Trial) -> str:
    """What was mapped through the queue is gone from the parent's domain."""
    queue = _lent(trial)
    for attempt in ("first", "second"):
        attached = _attach(trial, queue)
        room = memory(trial, ROOM)
        trial.say(f"mapping, the {attempt} time")
        if attempt == "first":
            iova = _place(attached.container, room)
        else:
            # A mapping that had stayed would be in the way: the domain is the same.
            attached.container.map(room, iova)
            trial.note("the same IOVA, mapped anew", f"{iova:#x}", iova)
        attached.close()
        room.close()
    return f"IOVA {iova:#x} was free again"


def bench_latency(trial: Trial) -> list[float]:
    """Microseconds for one job, from the doorbell to the end of WAIT."""
    work = _Work(trial, _lent(trial))
    return [seconds * 1e6 for seconds in trial.samples(100, lambda: work.repeat(1))]


def bench_jobs(trial: Trial) -> list[float]:
    """Jobs a second, `_AT_ONCE` of them under way."""
    work = _Work(trial, _lent(trial))
    return [_AT_ONCE / seconds for seconds in trial.samples(50, lambda: work.repeat(_AT_ONCE))]


_NEEDS = "an sdmdev parent with two free queues; VFIO"
_TOUCHES = "creates two queues of the parent, and removes them"

TESTS = (
    SelfTest(
        "sdmdev.lifecycle", lifecycle, targets,
        proves="a queue is made once, held by one process, and free again when it lets go",
        needs=_NEEDS, touches=_TOUCHES,
        why="two processes could share a queue, or one that was closed stays taken",
        remedy="sdmtop doctor: shared-domains, orphans; else report it with the kernel's version",
        queues=2,
    ),
    SelfTest(
        "sdmdev.interrupt", interrupt, targets,
        proves="WAIT ends with the interrupt that the parent shares with its queues",
        needs=f"{_NEEDS}; a type known here", touches=_TOUCHES,
        why="a wait ended without an interrupt: the queue is polled, or it is counted elsewhere",
        remedy="check the parent's interrupt in the interrupts pane; see interrupt-remapping",
        queues=2,
    ),
    SelfTest(
        "sdmdev.neighbour", neighbour, targets,
        proves="work on one queue does not disturb another of the same parent",
        needs=f"{_NEEDS}; a type known here", touches=_TOUCHES,
        why="queues are not isolated: a process sees, or spoils, what is another's",
        remedy="do not give queues of this parent to different users",
        queues=2,
    ),
    SelfTest(
        "sdmdev.detach", detach, targets,
        proves="nothing stays mapped in the parent's domain when a queue is let go",
        needs=_NEEDS, touches=f"{_TOUCHES}; maps 16 KiB of its own",
        why="a mapping was left: the parent could still reach memory that is somebody else's now",
        remedy="unload the parent's driver before the memory is used again; report it",
        queues=2,
    ),
    # The last, since it needs other queues than those before it, which are made once for all.
    SelfTest(
        "sdmdev.job", job, targets,
        proves="work given to a queue of each type comes back right",
        needs="an sdmdev parent with a free queue; VFIO; a type known here",
        touches="creates a queue of each type of the parent, and removes them",
        why="a result is wrong, or none comes",
        remedy="reset the parent; look at its driver's counters",
        queues=1, each_type=True,
    ),
)  # fmt: skip

_BENCH_NEEDS = "an sdmdev parent with a free queue; VFIO; a type known here"

BENCHMARKS = (
    Benchmark("sdmdev.latency", bench_latency, targets,
              measures="one job of the first type with room, and the wait for it",
              unit="us", needs=_BENCH_NEEDS, queues=1),
    Benchmark("sdmdev.jobs", bench_jobs, targets,
              measures=f"jobs of that type, {_AT_ONCE} at once where its queue takes so many",
              unit="jobs/s", needs=_BENCH_NEEDS, queues=1),
)  # fmt: skip
