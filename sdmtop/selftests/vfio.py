"""VFIO: can this device be given to a process, and does everything of it come through?

Facts of what must be refused: kernel-abi 3.3, and `guest-runs/` of 6.1 and 6.12.
"""

import errno
from collections.abc import Sequence
from functools import partial

from sdmtop import vfio
from sdmtop.backends.base import Host, Signal
from sdmtop.errors import because
from sdmtop.model import Snapshot
from sdmtop.readers.sysfs import number, word
from sdmtop.selftests.claim import (
    PAGE,
    claim,
    endpoints,
    free_iova,
    mapped,
    memory,
    open_group,
    refuse_reserved,
)
from sdmtop.selftests.records import Benchmark, SelfTest, Skipped
from sdmtop.selftests.trial import Trial, plural

_BARS = 6
_VECTORS = 4
_ROUNDS = 25
_INDEXES = ((vfio.MSIX, "MSI-X"), (vfio.MSI, "MSI"), (vfio.INTX, "INTx"))
_PATIENCE = 1.0


def targets(_host: Host, snapshot: Snapshot) -> Sequence[str]:
    """Every PCI device in a group, bridges apart."""
    return [device.address for device in endpoints(snapshot)]


# -- group and device ------------------------------------------------------------------------


def group(trial: Trial) -> str:
    """The way into a container, and who must be kept out of it."""
    host = trial.host
    held = open_group(trial)
    path = f"/dev/vfio/{trial.group.id}"
    trial.refused("a second open of the group", (errno.EBUSY,), vfio.Group.open, host, path)
    status = held.status()
    trial.holds("viable", status.viable)
    trial.holds("in a container", status.in_container, wanted=False)
    container = trial.closing(vfio.Container.open(host))
    trial.expect("API version", 0, container.api_version())
    trial.holds("TYPE1v2 is offered", container.supports(vfio.TYPE1V2))
    trial.refused(
        "an IOMMU for an empty container", (errno.EINVAL,), container.set_iommu, vfio.TYPE1V2
    )
    trial.refused("a device before the container", (errno.EINVAL,), held.device, trial.target)
    trial.say("attaching the group")
    held.set_container(container)
    trial.refused("a second container", (errno.EINVAL,), held.set_container, container)
    container.set_iommu(vfio.TYPE1V2)
    trial.refused("a second IOMMU", (errno.EINVAL,), container.set_iommu, vfio.TYPE1V2)
    trial.holds("in a container, once it is", held.status().in_container)
    trial.refused("a device that is not in the group", (errno.ENODEV,), held.device, "none")
    trial.say("opening the device")
    trial.closing(held.device(trial.target))
    trial.refused("leaving the container with a device open", (errno.EBUSY,), held.unset_container)
    return f"group {trial.group.id}"


def device(trial: Trial) -> str:
    """Regions as sysfs has them, configuration space of this device, BARs that can be mapped."""
    opened = claim(trial).device
    info = opened.info()
    trial.holds("a PCI device", info.is_pci)
    trial.holds("at least the regions of a PCI device", info.regions > vfio.CONFIG_REGION)
    sizes = _bar_sizes(trial)
    mapped = 0
    for index in range(_BARS):
        trial.say(f"BAR {index}")
        region = opened.region(index)
        trial.expect(f"size of BAR {index}", sizes[index], region.size)
        if region.size and region.flags & vfio.REGION_MMAP:
            view = opened.handle.map(region.offset, min(region.size, PAGE))
            trial.expect(f"bytes of BAR {index} that were mapped", PAGE, len(view.view))
            view.close()
            mapped += 1
    config = opened.region(vfio.CONFIG_REGION)
    ids = opened.handle.read_at(config.offset, 4)
    expected = tuple(number(text or "", 16) for text in (trial.device.vendor, trial.device.device))
    got = int.from_bytes(ids[:2], "little"), int.from_bytes(ids[2:], "little")
    trial.expect("vendor and device", expected, got, config.offset, show=_ids)
    for index, name in _INDEXES:
        trial.note(f"{name} vectors", opened.irqs(index).vectors)
    return f"{info.regions} regions, {plural(mapped, 'BAR')} mapped"


def _ids(value: tuple[int | None, ...]) -> str:
    return ":".join("?" if part is None else f"{part:04x}" for part in value)


def _bar_sizes(trial: Trial) -> list[int]:
    """Bytes of each BAR, from the first lines of `resource`: start, end, flags."""
    text = trial.host.read(f"{trial.device.path}/resource").decode("ascii", "replace")
    sizes = []
    for line in text.splitlines()[:_BARS]:
        start, end, _ = (int(part, 16) for part in line.split())
        sizes.append(end - start + 1 if end else 0)
    return sizes


def reset(trial: Trial) -> str:
    """A reset, after which the device still answers."""
    opened = claim(trial).device
    if not opened.info().can_reset:
        trial.skip("it has no way to be reset")
    trial.say("resetting")
    opened.reset()
    config = opened.region(vfio.CONFIG_REGION)
    ids = opened.handle.read_at(config.offset, 2)
    expected = number(trial.device.vendor or "", 16)
    trial.expect("vendor after it", expected, int.from_bytes(ids, "little"), show=_id)
    return word(trial.host.read(f"{trial.device.path}/reset_method")) or "reset"


def _id(value: int | None) -> str:
    return _ids((value,))


# -- interrupts ------------------------------------------------------------------------------


def armed(trial: Trial, opened: vfio.Device) -> tuple[int, str, list[Signal]]:
    """The best kind of interrupt that the device has, set up: index, name, a signal a vector."""
    for index, name in _INDEXES:
        vectors = min(opened.irqs(index).vectors, _VECTORS)
        if vectors:
            signals = [trial.closing(trial.host.signal()) for _ in range(vectors)]
            trial.say(f"setting {vectors} vectors of {name} up")
            opened.signal_irqs(index, signals)
            return index, name, signals
    raise Skipped("it has no interrupt")


def interrupt(trial: Trial) -> str:
    """Each vector fired from software, and counted."""
    return loopback(trial, claim(trial).device)


def loopback(trial: Trial, opened: vfio.Device) -> str:
    """The same of a device that is open, however it was claimed."""
    index, name, signals = armed(trial, opened)
    for vector, signal in enumerate(signals):
        trial.say(f"firing vector {vector}")
        opened.set_irqs(index, vfio.DATA_NONE | vfio.TRIGGER, vector, 1)
        trial.expect(f"vector {vector} of {name}, fired once", 1, trial.wait(signal, _PATIENCE))
        others = sum(other.wait(0) for other in signals if other is not signal)
        trial.expect("other vectors meanwhile", 0, others)
    fired = 0
    for _ in range(_ROUNDS):
        opened.set_irqs(index, vfio.DATA_NONE | vfio.TRIGGER, 0, 1)
        fired += trial.wait(signals[0], _PATIENCE)
    trial.expect(f"vector 0, fired {_ROUNDS} times", _ROUNDS, fired)
    opened.signal_irqs(index, [])
    off = (index, vfio.DATA_NONE | vfio.TRIGGER, 0, 1)
    trial.refused("firing what is switched off", (errno.EINVAL,), opened.set_irqs, *off)
    return plural(len(signals), f"{name} vector")


# -- DMA -------------------------------------------------------------------------------------


def dma(trial: Trial) -> str:
    """What may be mapped, and all that may not."""
    container = claim(trial).container
    trial.say("mapping")
    page, low = mapped(trial, container)
    trial.refused("the same IOVA again", (errno.EEXIST,), container.map, page, low)
    two = memory(trial, 2 * PAGE)
    trial.refused("an overlap", (errno.EEXIST,), container.map, two, low - PAGE)
    trial.refused("an IOVA within a page", (errno.EINVAL,), container.map, page, low + 0x200)
    trial.say("what is not to be had")
    refuse_reserved(trial, partial(container.map, page))
    ranges = container.ranges()
    if ranges:
        beyond = ranges[-1].end + 1
        if beyond < 1 << 64:
            trial.refused(f"past the last range, at {beyond:#x}", (errno.EINVAL,),
                          container.map, page, beyond)  # fmt: skip
    trial.refused("a wrap at the end of 64 bits", (errno.EINVAL, errno.EOVERFLOW),
                  container.map, two, (1 << 64) - PAGE)  # fmt: skip
    trial.say("unmapping")
    trial.expect("bytes unmapped", PAGE, container.unmap(low, PAGE), low)
    trial.expect("bytes unmapped again", 0, container.unmap(low, PAGE), low)
    container.map(page, low)
    trial.expect("bytes unmapped after mapping it anew", PAGE, container.unmap(low, PAGE), low)
    return f"page sizes {container.page_sizes():#x}, {len(ranges)} ranges of IOVA"


def locked(trial: Trial) -> str:
    """Memory is locked while it is mapped, and not a moment longer."""
    before = _locked(trial)
    claimed = claim(trial)
    size = 16 * PAGE
    pages, iova = mapped(trial, claimed.container, size)
    during = _locked(trial)
    trial.expect("bytes locked while mapped", size, during - before)
    claimed.container.unmap(iova, size)
    trial.expect("bytes locked after unmap", 0, _locked(trial) - before)
    claimed.container.map(pages, iova)
    trial.say("closing with a mapping left")
    for node in (claimed.device, claimed.group, claimed.container):
        node.close()
    trial.expect("bytes locked after close", 0, _locked(trial) - before)
    again = open_group(trial)
    trial.holds("in a container, after close", again.status().in_container, wanted=False)
    return f"{size} bytes"


def _locked(trial: Trial) -> int:
    """`VmLck` of this process, in bytes: what type1 counts against RLIMIT_MEMLOCK."""
    try:
        status = trial.host.read("/proc/self/status").decode("ascii", "replace")
    except OSError as error:
        trial.skip(f"/proc/self/status: {because(error)}")
    for line in status.splitlines():
        if line.startswith("VmLck:"):
            return int(line.split()[1]) * 1024
    raise Skipped("/proc/self/status has no VmLck")


# -- benchmarks ------------------------------------------------------------------------------


def bench_interrupt(trial: Trial) -> list[float]:
    """Microseconds from firing to the signal."""
    opened = claim(trial).device
    index, _, signals = armed(trial, opened)

    def fire() -> None:
        opened.set_irqs(index, vfio.DATA_NONE | vfio.TRIGGER, 0, 1)
        trial.wait(signals[0], _PATIENCE)

    return [seconds * 1e6 for seconds in trial.samples(200, fire)]


def bench_map(trial: Trial) -> list[float]:
    """Microseconds for one page, mapped and unmapped."""
    container = claim(trial).container
    page, iova = memory(trial), free_iova(container)

    def there_and_back() -> None:
        container.map(page, iova)
        container.unmap(iova, PAGE)

    return [seconds * 1e6 for seconds in trial.samples(200, there_and_back)]


_NEEDS = "the device on vfio-pci and free, its group viable"
_TOUCHES = "opens the device, which resets it"

TESTS = (
    SelfTest(
        "vfio.group", group, targets,
        proves="the group can be claimed once, attached, and not misused", needs=_NEEDS,
        touches=_TOUCHES,
        why="a second holder got in, a step out of order was accepted, or a proper one refused",
        remedy="sdmtop doctor names drivers in the way; else compare the errno with docs/vfio of "
        "the kernel",
        takes=0.1, claims=True,
    ),
    SelfTest(
        "vfio.device", device, targets,
        proves="regions and interrupts enumerate, BARs map, configuration space is this device's",
        needs=_NEEDS, touches=f"{_TOUCHES}; maps BARs without reading them",
        why="a BAR has another size than in sysfs, cannot be mapped, or another device answers",
        remedy="reset the slot; look for a firmware that moved the BARs, or a device that fell off "
        "the bus (all ones)",
        takes=0.1, claims=True,
    ),
    SelfTest(
        "vfio.interrupt", interrupt, targets,
        proves="every vector reaches this process, and no other one moves", needs=_NEEDS,
        touches=f"{_TOUCHES}; fires its interrupts from software",
        why="a vector is lost, doubled, or arrives at another",
        remedy="check interrupt remapping (sdmtop doctor) and free vectors in /proc/interrupts",
        takes=0.1, claims=True,
    ),
    SelfTest(
        "vfio.dma", dma, targets,
        proves="pages map and unmap; overlaps, misalignment, reserved windows and what is beyond "
        "the aperture are refused",
        needs=_NEEDS, touches=f"{_TOUCHES}; maps pages of its own",
        why="the IOMMU's driver accepts what would break isolation, or refuses what it offers",
        remedy="report it with the kernel's version: this is a fault of the kernel",
        takes=0.1, claims=True,
    ),
    SelfTest(
        "vfio.locked", locked, targets,
        proves="memory is locked while it is mapped, and nothing stays when all is closed",
        needs=f"{_NEEDS}; /proc/self/status", touches=f"{_TOUCHES}; maps 64 KiB of its own",
        why="pages stay pinned for nobody, or are not pinned while a device may write to them",
        remedy="report it with the kernel's version: this is a fault of the kernel",
        takes=0.1, claims=True,
    ),
    SelfTest(
        "vfio.reset", reset, targets,
        proves="the device can be reset, and answers afterwards", needs=f"{_NEEDS}; a reset method",
        touches="resets the device",
        why="the reset failed, or the device does not come back from it",
        remedy="choose another method in reset_method; power the slot off and on",
        takes=0.2, claims=True,
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark(
        "vfio.loopback", bench_interrupt, targets, measures="an interrupt fired from software",
        unit="us", needs=_NEEDS, claims=True,
    ),
    Benchmark(
        "vfio.map", bench_map, targets, measures="one page mapped and unmapped", unit="us",
        needs=_NEEDS, claims=True,
    ),
)  # fmt: skip
