"""Faults that are injected: when a scenario says so, or by hand."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.mdev import Mdev
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.scenario import may_be_written
from sdmtop.backends.simulator.sdmdev import SdmdevQueue
from sdmtop.backends.simulator.syscalls import Trap

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.accelerators.hardware import Queue
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.programs import Programs
    from sdmtop.backends.simulator.scenario import Fault, FaultKind
    from sdmtop.backends.simulator.syscalls import System

_STORM = 100_000.0
"""Interrupts a second, unless the fault says how many."""
_HIGHEST_PAGE = 1 << 20
"""Below this page are the addresses that a wrong request asks for."""


_NODES = ("", "vfio/", "vfio/devices/", "dsa/", "iax/")
"""Where in /dev nodes are."""


class FaultError(ValueError):
    """A fault that cannot be injected: why, as a sentence."""


class Faults:
    """Those of the scenario, and those that are injected by hand."""

    def __init__(self, system: System, programs: Programs) -> None:
        self._system = system
        self._kernel = system.kernel
        self._programs = programs

    def start(self) -> None:
        """Have each happen at its time."""
        for fault in self._kernel.scenario.faults:
            first = fault.at if fault.at is not None else self._until_next(fault)
            self._schedule(fault, first)

    def inject(self, fault: Fault) -> None:
        """Let it happen now. Raises `FaultError` where it cannot, or would wait in vain."""
        mistake = fault.mistake()
        if mistake is not None:
            raise FaultError(mistake)
        operation, target = fault.operation or "", fault.target
        is_needless = not operation or not target or may_be_written(operation, target)
        if not is_needless and not self._is_there(target):
            raise FaultError(f"there is nothing {target} that {operation} could be about")
        self._happen(fault)

    def _is_there(self, name: str) -> bool:
        """Whether something is there that a path, what is written or a process can name."""
        kernel, exists = self._kernel, self._system.exists
        buses = kernel.buses.values()
        return (
            any(name in (bus.name, *bus.drivers) or name in bus.devices for bus in buses)
            or name in kernel.iommu.groups
            or name in kernel.vfio.groups
            or name in kernel.interrupts.lines
            or any(name in parent.types for parent in kernel.mdev.parents.values())
            or any(name in (process.name, str(process.pid)) for process in kernel.processes)
            or any(name == process.name for process in kernel.scenario.processes)
            or any(exists(f"/dev/{place}{name}") for place in _NODES)
        )

    def _happen(self, fault: Fault) -> None:
        actions: dict[FaultKind, Callable[[Fault], None]] = {
            "errno": self._trap,
            "hang": self._trap,
            "removal": self._remove,
            "lost-interrupt": self._lose,
            "spurious-interrupt": self._raise_spurious,
            "interrupt-storm": self._storm,
            "pasid-exhaustion": self._exhaust,
            "iommu-fault": self._miss,
            "stall": self._stall,
            "wrong-result": self._spoil,
            "kill": self._kill,
        }
        actions[fault.kind](fault)

    def _schedule(self, fault: Fault, seconds: float) -> None:
        def happen() -> None:
            try:
                self._happen(fault)
            except FaultError as error:
                self._kernel.log.say(f"simulator: no {fault.kind}: {error}", 4)
            if fault.at is None:
                self._schedule(fault, self._until_next(fault))

        self._kernel.clock.after(seconds, happen)

    def _until_next(self, fault: Fault) -> float:
        if fault.every is not None:
            return fault.every
        return self._kernel.random.expovariate(fault.rate) if fault.rate else float("inf")

    def _later(self, fault: Fault, action: Callable[[], None]) -> None:
        """Do this when the fault is over, if it ever is."""
        if fault.lasts is not None:
            self._kernel.clock.after(fault.lasts, action)

    # -- operations ----------------------------------------------------------------------------

    def _trap(self, fault: Fault) -> None:
        number: int | None = getattr(errno, fault.errno or "", None)
        trap = Trap(fault.operation or "", fault.target, number, fault.times)
        self._system.set(trap)
        self._later(fault, lambda: self._system.release(trap))

    def _kill(self, fault: Fault) -> None:
        found = [
            process
            for process in self._kernel.processes
            if fault.target in (process.name, str(process.pid)) and self._is_mortal(process)
        ]
        if not found:
            raise FaultError(f"there is no process {fault.target} that could be killed")
        for process in found:
            self._programs.kill(process)

    def _is_mortal(self, process: Process) -> bool:
        return process.pid != 1 and process is not self._kernel.processes.own

    # -- interrupts ----------------------------------------------------------------------------

    def _lose(self, fault: Fault) -> None:
        for line in self._lines(fault.target):
            line.lost += fault.times or 1

    def _raise_spurious(self, fault: Fault) -> None:
        self._kernel.interrupts.spurious(self._lines(fault.target)[0], fault.times or 1)

    def _storm(self, fault: Fault) -> None:
        tick = self._kernel.scenario.tick
        each = int((fault.amount if fault.amount is not None else _STORM) * tick)
        line = self._lines(fault.target)[0]
        end = None if fault.lasts is None else self._kernel.clock.now + fault.lasts

        def blow() -> None:
            is_over = end is not None and self._kernel.clock.now > end
            if is_over or self._kernel.interrupts.lines.get(str(line.number)) is not line:
                return
            self._kernel.interrupts.fire(line, each)
            self._kernel.clock.after(tick, blow)

        blow()

    def _lines(self, target: str) -> list[Interrupt]:
        """The interrupts of a device, or the one of a number."""
        line = self._kernel.interrupts.lines.get(target)
        if line is not None:
            return [line]
        device = self._device(target)
        if not device.lines:
            raise FaultError(f"{target} has no interrupt set up")
        return device.lines

    # -- devices -------------------------------------------------------------------------------

    def _remove(self, fault: Fault) -> None:
        self._device(fault.target).remove()

    def _miss(self, fault: Fault) -> None:
        device = self._device(fault.target)
        random = self._kernel.random
        for _ in range(fault.times or 1):
            address = random.randrange(_HIGHEST_PAGE) << 12
            self._kernel.iommu.fault(device, address, write=random.random() < 0.5)

    def _exhaust(self, fault: Fault) -> None:
        pasids = self._kernel.pasids
        pasids.exhausted = True

        def end() -> None:
            pasids.exhausted = False

        self._later(fault, end)

    def _stall(self, fault: Fault) -> None:
        queues = self._queues(fault.target)
        for queue in queues:
            queue.is_stalled = True

        def end() -> None:
            for queue in queues:
                queue.is_stalled = False
                queue.ring()

        self._later(fault, end)

    def _spoil(self, fault: Fault) -> None:
        device = self._device(fault.target)
        self._with_hardware(device).accelerator().wrong += fault.times or 1

    def _queues(self, target: str) -> list[Queue]:
        """A queue, by its mdev or as DEVICE/NUMBER; of a device, all that work."""
        mdev = self._kernel.mdev.bus.devices.get(target)
        if isinstance(mdev, Mdev):
            if not isinstance(mdev.vfio, SdmdevQueue):
                raise FaultError(f"{target} is an ordinary mdev: it has no queue")
            return [mdev.vfio.hardware]
        name, _, number = target.partition("/")
        hardware = self._with_hardware(self._device(name)).accelerator()
        if not number:
            return [*hardware.started.values()]
        try:
            return [hardware.queue(int(number))]
        except (ValueError, OSError):
            raise FaultError(f"{name} has no queue {number}") from None

    @staticmethod
    def _with_hardware(device: PciDevice) -> PciDevice:
        if device.spec.accelerator is None:
            raise FaultError(f"{device.name} does not compute")
        return device

    def _device(self, name: str) -> PciDevice:
        device = next((bus.devices[name] for bus in self._kernel.buses.values()
                       if name in bus.devices), None)  # fmt: skip
        if device is None:
            raise FaultError(f"there is no device {name}")
        if not isinstance(device, PciDevice):
            raise FaultError(f"{name} has no hardware of its own")
        return device
