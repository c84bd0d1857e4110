"""QEMU's `edu`: a device that computes factorials and copies memory, made to be learnt on.

Its registers: docs/specs/edu of QEMU. They are reached through the descriptor's region, 32 bits at
a time: its 64-bit ones take the lower half, and no DMA address here needs more.
"""

import math
from collections.abc import Sequence

from sdmtop import vfio
from sdmtop.backends.base import Host, Signal
from sdmtop.errors import because
from sdmtop.model import Snapshot
from sdmtop.readers.kernel_log import parse
from sdmtop.selftests.claim import PAGE, Claim, claim, endpoints, mapped
from sdmtop.selftests.host import PROVOKED
from sdmtop.selftests.records import Benchmark, SelfTest
from sdmtop.selftests.trial import Trial, word

_IDS = ("0x1234", "0x11e8")
_IDENTITY, _LIVENESS, _FACTORIAL, _STATUS = 0x00, 0x04, 0x08, 0x20
_INTERRUPT_STATUS, _RAISE, _ACKNOWLEDGE = 0x24, 0x60, 0x64
_DMA_SOURCE, _DMA_TARGET, _DMA_COUNT, _DMA_COMMAND = 0x80, 0x88, 0x90, 0x98

_MAGIC = 0x010000ED
_COMPUTING = 0x01
_START, _TO_MEMORY, _INTERRUPT_WHEN_DONE = 1, 2, 4
_DMA_DONE = 0x100

BUFFER = 0x40000
"""Where the device has memory of its own: 4096 bytes."""

_COUNT = 2048
"""Bytes of a copy. All 4096 would do for the device, but end QEMU 7.2 (an error of its bounds)."""

_PATIENCE = 2.0
_MESSAGES = 20
_OUTSIDE = 0x900_0000
"""An IOVA below the 256 MiB that the device can reach, where nothing is mapped."""


def targets(_host: Host, snapshot: Snapshot) -> Sequence[str]:
    """Every edu in a group."""
    return [one.address for one in endpoints(snapshot) if (one.vendor, one.device) == _IDS]


class _Registers:
    """BAR 0 of the device."""

    def __init__(self, trial: Trial, device: vfio.Device) -> None:
        self._trial = trial
        self._handle = device.handle
        self._base = device.region(0).offset

    def read(self, offset: int) -> int:
        """A register of 32 bits."""
        return int.from_bytes(self._handle.read_at(self._base + offset, 4), "little")

    def write(self, offset: int, value: int) -> None:
        """Set it."""
        self._handle.write_at(self._base + offset, value.to_bytes(4, "little"))

    def copy(self, source: int, target: int, count: int, command: int) -> None:
        """A DMA, and wait until it has ended; fails when it does not."""
        self.write(_DMA_SOURCE, source)
        self.write(_DMA_TARGET, target)
        self.write(_DMA_COUNT, count)
        self.write(_DMA_COMMAND, command | _START)
        if not self._trial.until(lambda: not self.read(_DMA_COMMAND) & _START, _PATIENCE):
            self._trial.fail(f"a DMA of {count} bytes has not ended in {_PATIENCE:g} s")


def _edu(trial: Trial) -> tuple[Claim, _Registers]:
    claimed = claim(trial)
    _allow_dma(claimed.device)
    return claimed, _Registers(trial, claimed.device)


def _allow_dma(device: vfio.Device) -> None:
    """Let it master the bus: the command register of configuration space."""
    config = device.region(vfio.CONFIG_REGION).offset
    command = int.from_bytes(device.handle.read_at(config + 4, 2), "little")
    device.handle.write_at(config + 4, (command | 0x6).to_bytes(2, "little"))


# -- registers -------------------------------------------------------------------------------


def identity(trial: Trial) -> str:
    """The register that says what it is."""
    _, registers = _edu(trial)
    trial.expect("identity", _MAGIC, registers.read(_IDENTITY), _IDENTITY, show=word)
    return "version 1.0"


def liveness(trial: Trial) -> str:
    """A register that answers with the complement."""
    _, registers = _edu(trial)
    patterns = (0, 0xFFFF_FFFF, 0x5555_5555, 0xAAAA_AAAA, 0x1234_5678)
    for pattern in patterns:
        registers.write(_LIVENESS, pattern)
        wanted = ~pattern & 0xFFFF_FFFF
        trial.expect(f"complement of {word(pattern)}", wanted, registers.read(_LIVENESS),
                     _LIVENESS, show=word)  # fmt: skip
    return f"{len(patterns)} patterns"


def factorial(trial: Trial) -> str:
    """Every factorial that 32 bits can hold."""
    _, registers = _edu(trial)
    for n in range(13):
        trial.say(f"{n}!")
        trial.expect(f"{n}!", math.factorial(n), _compute(trial, registers, n), _FACTORIAL)
    return "0! to 12!"


def _compute(trial: Trial, registers: _Registers, n: int) -> int:
    registers.write(_FACTORIAL, n)
    if not trial.until(lambda: not registers.read(_STATUS) & _COMPUTING, _PATIENCE):
        trial.fail(f"{n}! has not ended in {_PATIENCE:g} s")
    return registers.read(_FACTORIAL)


# -- DMA -------------------------------------------------------------------------------------


def dma(trial: Trial) -> str:
    """Memory to the device and back to another page, compared byte by byte."""
    claimed, registers = _edu(trial)
    pages, iova = mapped(trial, claimed.container, 2 * PAGE)
    end = PAGE + _COUNT
    patterns = (bytes(range(256)) * (_COUNT // 256), b"\xa5\x5a" * (_COUNT // 2))
    for number, pattern in enumerate(patterns, 1):
        trial.say(f"pattern {number} to the device")
        pages.view[:_COUNT] = pattern
        registers.copy(iova, BUFFER, _COUNT, 0)
        trial.say(f"pattern {number} from the device")
        registers.copy(BUFFER, iova + PAGE, _COUNT, _TO_MEMORY)
        trial.expect(f"pattern {number}", pattern, bytes(pages.view[PAGE:end]), iova + PAGE)
        trial.expect("bytes behind it", bytes(PAGE - _COUNT), bytes(pages.view[end:]),
                     iova + end)  # fmt: skip
    return f"{len(patterns)} patterns of {_COUNT} bytes both ways"


def outside(trial: Trial) -> str:
    """A DMA where nothing is mapped: stopped, and told in the kernel log."""
    claimed, registers = _edu(trial)
    page, iova = mapped(trial, claimed.container)
    before = _faults(trial)
    _announce(trial)
    trial.say("writing where nothing is mapped")
    registers.copy(BUFFER, _OUTSIDE, _COUNT, _TO_MEMORY)
    trial.expect("our own page", bytes(PAGE), bytes(page.view), iova)
    trial.say("looking for the fault in the kernel log")
    found: list[str] = []

    def told() -> bool:
        found[:] = [text for text in _faults(trial)[len(before) :] if f"{_OUTSIDE:x}" in text]
        return bool(found)

    if not trial.until(told, _PATIENCE, every=0.02):
        trial.fail(f"no fault at {_OUTSIDE:#x} in the kernel log within {_PATIENCE:g} s")
    trial.note("kernel log", found[0], _OUTSIDE)
    return "stopped, and in the kernel log"


def _faults(trial: Trial) -> list[str]:
    """The faults of the target that the kernel has logged so far."""
    try:
        records = trial.host.kernel_log()
    except OSError as error:
        trial.skip(f"the kernel log cannot be read: {because(error)}")
    return [fault.text for fault in parse(records) if fault.device == trial.target]


def _announce(trial: Trial) -> None:
    """Say in the kernel log that what follows is meant to be."""
    trial.write("/dev/kmsg", f"<6>{PROVOKED} {trial.target}\n")


# -- interrupts ------------------------------------------------------------------------------


def interrupt(trial: Trial) -> str:
    """Messages of the hardware itself: raised, counted here and by the kernel, acknowledged."""
    claimed, registers = _edu(trial)
    signal = _armed(trial, claimed)
    before = _kernel_count(trial)
    for value in range(1, _MESSAGES + 1):
        registers.write(_RAISE, value)
        trial.expect(f"message {value}", 1, trial.wait(signal, _PATIENCE))
        trial.expect("interrupt status", value, registers.read(_INTERRUPT_STATUS),
                     _INTERRUPT_STATUS)  # fmt: skip
        registers.write(_ACKNOWLEDGE, value)
        trial.expect("after acknowledging", 0, registers.read(_INTERRUPT_STATUS),
                     _INTERRUPT_STATUS)  # fmt: skip
    trial.expect("counted by the kernel", _MESSAGES, _kernel_count(trial) - before)
    return f"{_MESSAGES} messages"


def dma_interrupt(trial: Trial) -> str:
    """A DMA that says by an interrupt when it has ended."""
    claimed, registers = _edu(trial)
    signal = _armed(trial, claimed)
    _, iova = mapped(trial, claimed.container)
    registers.write(_DMA_SOURCE, iova)
    registers.write(_DMA_TARGET, BUFFER)
    registers.write(_DMA_COUNT, _COUNT)
    trial.say("waiting for the interrupt")
    registers.write(_DMA_COMMAND, _START | _INTERRUPT_WHEN_DONE)
    trial.expect("interrupts", 1, trial.wait(signal, _PATIENCE))
    trial.expect("interrupt status", _DMA_DONE, registers.read(_INTERRUPT_STATUS),
                 _INTERRUPT_STATUS, show=word)  # fmt: skip
    registers.write(_ACKNOWLEDGE, _DMA_DONE)
    return "one DMA, one interrupt"


def _armed(trial: Trial, claimed: Claim) -> Signal:
    signal = trial.closing(trial.host.signal())
    trial.say("setting MSI up")
    claimed.device.signal_irqs(vfio.MSI, [signal])
    return signal


def _kernel_count(trial: Trial) -> int:
    """Interrupts of the target so far, on the lines that VFIO names after it."""
    name = f"({trial.target})"
    count = trial.interrupts(lambda row: any(name in action for action in row.actions))
    if count is None:
        trial.fail(f"no row of /proc/interrupts is named after {trial.target}")
    return count


# -- benchmarks ------------------------------------------------------------------------------


def bench_factorial(trial: Trial) -> list[float]:
    """Factorials a second, each waited for."""
    _, registers = _edu(trial)
    return [1 / seconds for seconds in trial.samples(100, lambda: _compute(trial, registers, 12))]


def bench_interrupt(trial: Trial) -> list[float]:
    """Microseconds from the write that raises a message to its signal."""
    claimed, registers = _edu(trial)
    signal = _armed(trial, claimed)

    def raise_one() -> None:
        registers.write(_RAISE, 1)
        trial.wait(signal, _PATIENCE)

    samples = trial.samples(100, raise_one, then=lambda: registers.write(_ACKNOWLEDGE, 1))
    return [seconds * 1e6 for seconds in samples]


def bench_dma(trial: Trial) -> list[float]:
    """Megabytes a second from memory to the device."""
    claimed, registers = _edu(trial)
    _, iova = mapped(trial, claimed.container)
    samples = trial.samples(10, lambda: registers.copy(iova, BUFFER, _COUNT, 0))
    return [_COUNT / 1e6 / seconds for seconds in samples]


_NEEDS = "an edu on vfio-pci and free, its group viable"
_TOUCHES = "opens the device, which resets it"

TESTS = (
    SelfTest(
        "edu.identity", identity, targets,
        proves="the device answers, and is what it says", needs=_NEEDS, touches=_TOUCHES,
        why="another device is behind this address, or it has fallen off the bus",
        remedy="compare with lspci -nn; reset the device",
        claims=True,
    ),
    SelfTest(
        "edu.liveness", liveness, targets,
        proves="what is written to a register arrives, all 32 bits of it", needs=_NEEDS,
        touches=f"{_TOUCHES}; its liveness register",
        why="bits are lost on the way to the device, or it does not run",
        remedy="reset the device; look for AER errors of the ports above it",
        claims=True,
    ),
    SelfTest(
        "edu.factorial", factorial, targets,
        proves="the device computes, and computes right", needs=_NEEDS,
        touches=f"{_TOUCHES}; its factorial register",
        why="a result is wrong, or the device never says that it is done",
        remedy="reset the device; if it stays so, the device is at fault",
        takes=0.2, claims=True,
    ),
    SelfTest(
        "edu.dma", dma, targets,
        proves="data goes through the IOMMU to the device and back unchanged", needs=_NEEDS,
        touches=f"{_TOUCHES}; its buffer, two pages of our own",
        why="a byte is wrong, missing, or written where it was not asked for",
        remedy="sdmtop doctor shows IOMMU faults; check the IOVA of the evidence against them",
        takes=0.6, claims=True,
    ),
    SelfTest(
        "edu.dma-outside", outside, targets,
        proves="the IOMMU stops a DMA where nothing is mapped, and says so",
        needs=f"{_NEEDS}; the kernel log",
        touches=f"{_TOUCHES}; leaves a fault in the kernel log, announced as meant to be",
        why="there is no isolation: the device writes where it likes; or faults are not reported",
        remedy="do not give this device away; check that the group's domain translates",
        takes=0.3, claims=True,
    ),
    SelfTest(
        "edu.interrupt", interrupt, targets,
        proves="messages of the hardware arrive, each once, here and in the kernel's count",
        needs=_NEEDS, touches=f"{_TOUCHES}; its interrupt",
        why="a message is lost, doubled, or counted for another line",
        remedy="check interrupt remapping (sdmtop doctor); reset the device",
        takes=0.2, claims=True,
    ),
    SelfTest(
        "edu.dma-interrupt", dma_interrupt, targets,
        proves="the end of a DMA is told by an interrupt", needs=_NEEDS,
        touches=f"{_TOUCHES}; its buffer, a page of our own",
        why="a driver would wait for ever",
        remedy="reset the device; see edu.interrupt",
        takes=0.2, claims=True,
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("edu.factorials", bench_factorial, targets, measures="12!, one after the other",
              unit="jobs/s", needs=_NEEDS, claims=True),
    Benchmark("edu.latency", bench_interrupt, targets, measures="a message of the hardware",
              unit="us", needs=_NEEDS, claims=True),
    Benchmark("edu.copy", bench_dma, targets, measures=f"{_COUNT} bytes to the device",
              unit="MB/s", needs=_NEEDS, takes=2.0, claims=True),
)  # fmt: skip
