"""All families, and which of their tests apply to what."""

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from sdmtop.backends.base import Host
from sdmtop.errors import UsageError
from sdmtop.model import Snapshot
from sdmtop.operations.targets import MDEVS
from sdmtop.readers.groups import is_vfio
from sdmtop.selftests import crypto, dmatest, edu, idxd, iommufd, sdmdev, uacce, vfio
from sdmtop.selftests import host as host_family
from sdmtop.selftests.records import HOST, Benchmark, SelfTest
from sdmtop.selftests.runner import Job

_SDMDEV = "sdmdev"
"""The family whose tests of a parent are those of its queues."""

TESTS: tuple[SelfTest, ...] = (
    *vfio.TESTS,
    *iommufd.TESTS,
    *sdmdev.TESTS,
    *edu.TESTS,
    *crypto.TESTS,
    *dmatest.TESTS,
    *uacce.TESTS,
    *idxd.TESTS,
    *host_family.TESTS,
)
BENCHMARKS: tuple[Benchmark, ...] = (
    *vfio.BENCHMARKS,
    *sdmdev.BENCHMARKS,
    *edu.BENCHMARKS,
    *crypto.BENCHMARKS,
    *dmatest.BENCHMARKS,
    *uacce.BENCHMARKS,
    *idxd.BENCHMARKS,
)


def chosen(
    patterns: Sequence[str] | None = None, *, bench: bool = False
) -> tuple[SelfTest | Benchmark, ...]:
    """The tests, or the benchmarks, of these names: all, of a family, or of `*.interrupt`.

    In their own order. Raises `UsageError` for a name that none of them has.
    """
    all_: tuple[SelfTest | Benchmark, ...] = BENCHMARKS if bench else TESTS
    if not patterns:
        return all_
    for pattern in patterns:
        if not any(_is_named(test.name, pattern) for test in all_):
            kind, more = ("benchmark", " --bench") if bench else ("test", "")
            raise UsageError(f"no {kind} is named {pattern!r} (see 'sdmtop selftest --list{more}')")
    return tuple(
        test for test in all_ if any(_is_named(test.name, pattern) for pattern in patterns)
    )


def _is_named(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or name.partition(".")[0] == pattern


def jobs(
    tests: Iterable[SelfTest | Benchmark], host: Host, snapshot: Snapshot, target: str | None
) -> list[Job]:
    """Each test on each of its targets, sorted by target, so that a device is taken once.

    `target` is a TARGET; an sdmdev stands for the sdmdev tests of its parent. None is everything
    but the box itself, and takes no device away from its driver.
    """
    named = None if target is None else members(snapshot, target)
    parents = {*stand_ins(snapshot, named or ()).values()}
    given = {device.address for device in snapshot.devices if is_vfio(device.driver or "")}

    def is_wanted(test: SelfTest | Benchmark, one: str) -> bool:
        if named is not None:
            return one in named or (one in parents and _is_named(test.name, _SDMDEV))
        return one != HOST and (one in given or not test.claims)

    found: dict[str, list[Job]] = {}
    for test in tests:
        for one in test.targets(host, snapshot):
            if is_wanted(test, one):
                found.setdefault(one, []).append(Job(test, one))
    # Those that need the device's own driver come before those for which it is taken away.
    return [
        job
        for of_target in found.values()
        for job in sorted(of_target, key=lambda job: job.test.claims)
    ]


def exists(snapshot: Snapshot, target: str) -> bool:
    """Whether the host has something of that name, to be tested or not."""
    if target == HOST:
        return True
    names = {f"group/{group.id}" for group in snapshot.groups}
    names.update(device.address for device in snapshot.devices)
    names.update(queue.id for queue in snapshot.sdmdevs)
    return target in names


def stand_ins(snapshot: Snapshot, names: Collection[str]) -> dict[str, str]:
    """The sdmdevs among these, each with the parent that is tested in its place.

    What there is to be tested of a queue needs one that is free; so queues are made for it.
    """
    return {
        queue.id: queue.parent
        for queue in snapshot.sdmdevs
        if queue.kind == "sdmdev"
        and queue.id in names
        and queue.parent is not None
        and queue.parent not in names
    }


def history_of(
    snapshot: Snapshot, target: str, names: Sequence[str] | None
) -> tuple[frozenset[str], Sequence[str] | None]:
    """Under which targets, and of which tests (None: all), results of a TARGET are kept.

    `names` are the tests that are asked for.
    """
    named = members(snapshot, target)
    parents = stand_ins(snapshot, named).values()
    if parents:
        all_ = [test.name for test in TESTS] if names is None else names
        names = [name for name in all_ if _is_named(name, _SDMDEV)]
    return named.union(parents), names


def told(snapshot: Snapshot, target: str) -> tuple[str, ...]:
    """What is tested in the place of a TARGET, in words."""
    return tuple(
        f"{queue} is left alone: its parent {parent} is tested, on queues made for that"
        for queue, parent in stand_ins(snapshot, members(snapshot, target)).items()
    )


def why_none(
    tests: Sequence[SelfTest | Benchmark], host: Host, snapshot: Snapshot, target: str
) -> str | None:
    """Why none of these applies to a mediated device, and what to test instead.

    None if it is something else.
    """
    noun = "benchmark" if any(isinstance(test, Benchmark) for test in tests) else "test"
    for queue in snapshot.sdmdevs:
        if queue.id == target and queue.kind in MDEVS and queue.parent is not None:
            if queue.kind == "sdmdev" and any(_is_named(test.name, _SDMDEV) for test in tests):
                return f"no {noun} applies: its parent {queue.parent} has no queue left for one"
            if jobs(tests, host, snapshot, queue.parent):
                instead = f"itself: test its parent, {queue.parent}"
                return f"no {noun} applies to a mediated device {instead}"
            return f"no {noun} applies to it, nor to its parent {queue.parent}"
    return None


def members(snapshot: Snapshot, target: str) -> frozenset[str]:
    """What a TARGET stands for: itself; a group's devices; a parent's queues as well."""
    kind, _, number = target.partition("/")
    devices = {target}
    if kind == "group":
        devices.update(
            address
            for group in snapshot.groups
            if str(group.id) == number
            for address in group.devices
        )
    queues = (queue.id for queue in snapshot.sdmdevs if queue.parent in devices)
    return frozenset((*devices, *queues))
