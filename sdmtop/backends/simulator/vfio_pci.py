"""What `vfio-pci` gives the holder of a device: regions, interrupts as signals, reset.

As `drivers/vfio/pci/vfio_pci_{core,intrs}.c`.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.processes import PAGE, Signal
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.vfio import VfioDevice

if TYPE_CHECKING:
    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.processes import Process

INTX, MSI, MSIX, ERR, REQ = range(5)
_BARS, _ROM, _CONFIG, _VGA = range(6), 6, 7, 8
_REGIONS, _IRQS = 9, 5
_MAPPED_REGISTERS = 256
"""Bytes of BAR 0 that are registers also where it is mapped."""
_NAMES = {INTX: "vfio-intx({0})", MSI: "vfio-msi[{1}]({0})", MSIX: "vfio-msix[{1}]({0})"}
_KINDS = {INTX: "intx", MSI: "msi", MSIX: "msix"}


class VfioPciDevice(VfioDevice):
    """A PCI device in the hands of a process."""

    def __init__(self, device: PciDevice) -> None:
        super().__init__(device)
        self.pci = device
        self._index = -1
        """Which of INTx, MSI and MSI-X is enabled; -1: none."""
        self._signals: list[Signal | None] = []
        self._request: Signal | None = None
        self._error: Signal | None = None
        self._pages: dict[int, bytearray] = {}
        """BARs that are mapped: their memory, by index."""
        self._seen = b""

    def on_close(self) -> None:
        """See `VfioDevice.on_close`: interrupts off, and the function is reset."""
        self._disable()
        self._request = self._error = None
        self._pages.clear()
        if self.pci.hardware is not None:
            self.pci.hardware.reset()

    def ask_to_release(self) -> bool:
        """See `VfioDevice.ask_to_release`: raise the REQ signal."""
        if self._request is None:
            return False
        self._request.raise_()
        return True

    # -- commands ------------------------------------------------------------------------------

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """See `VfioDevice.ioctl`."""
        if request == uapi.DEVICE_GET_INFO:
            argsz, *_ = uapi.unpack(argument, "IIII")
            if argsz < 16:
                raise refusal(errno.EINVAL, "argsz is too small")
            flags = uapi.INFO_PCI | (uapi.INFO_RESET if self.pci.resets else 0)
            uapi.pack(argument, "IIII", 24, flags, _REGIONS, _IRQS)
            return 0
        if request == uapi.DEVICE_GET_REGION_INFO:
            self._get_region(argument)
            return 0
        if request == uapi.DEVICE_GET_IRQ_INFO:
            self._get_irq(argument)
            return 0
        if request == uapi.DEVICE_SET_IRQS:
            self._set_irqs(process, argument)
            return 0
        if request == uapi.DEVICE_RESET:
            if not self.pci.resets:
                raise refusal(errno.EINVAL, f"{self.pci.name} has no way to be reset")
            self.pci.reset()
            return 0
        raise refusal(errno.ENOTTY, "a PCI device has no such command")

    # -- regions -------------------------------------------------------------------------------

    def _size(self, index: int) -> int:
        bars = self.pci.spec.bars
        if index in _BARS:
            return bars[index] if index < len(bars) else 0
        if index == _ROM:
            return 0
        if index == _CONFIG:
            return self.pci.config_size
        raise refusal(errno.EINVAL, f"there is no region {index}")

    def _get_region(self, argument: int | bytearray) -> None:
        argsz, _, index, _, _, _ = uapi.unpack(argument, "IIIIQQ")
        if argsz < 32:
            raise refusal(errno.EINVAL, "argsz is too small")
        size = self._size(index)
        flags = uapi.REGION_READ | uapi.REGION_WRITE if size else 0
        if size >= PAGE and index in _BARS:
            flags |= uapi.REGION_MMAP
        uapi.pack(argument, "IIIIQQ", 32, flags, index, 0, size, index << 40)

    def _place(self, offset: int, size: int) -> tuple[int, int]:
        """(region, offset in it) of an access. Raises EINVAL for one that is outside."""
        index, at = offset >> 40, offset & ((1 << 40) - 1)
        if size < 0 or at + size > self._size(index):
            raise refusal(errno.EINVAL, f"{at:#x} is beyond the end of region {index}")
        return index, at

    def read_at(self, offset: int, size: int) -> bytes:
        """See `VfioDevice.read_at`."""
        index, at = self._place(offset, size)
        if index == _CONFIG:
            return self.pci.config()[at : at + size]
        if index or self.pci.spec.accelerator is None:
            return bytes(size)
        return self.pci.accelerator().read_register(at, size)

    def write_at(self, offset: int, data: bytes) -> int:
        """See `VfioDevice.write_at`."""
        index, at = self._place(offset, len(data))
        if index == 0 and self.pci.spec.accelerator is not None:
            self.pci.accelerator().write_register(at, data)
        return len(data)

    def memory_at(self, offset: int, size: int) -> memoryview:
        """See `VfioDevice.memory_at`: BARs, whose registers follow at the next call of the host."""
        index, at = self._place(offset, size)
        if index not in _BARS or at % PAGE or not size:
            raise refusal(errno.EINVAL, f"region {index} cannot be mapped there")
        if index not in self._pages:
            self._pages[index] = bytearray(self._size(index))
            if not index:
                self._show_registers()
        return memoryview(self._pages[index])[at : at + size]

    def look(self) -> None:
        """See `VfioDevice.look`: words of BAR 0 that differ were written; then all show anew."""
        page = self._pages.get(0)
        if page is None or self.pci.spec.accelerator is None:
            return
        words = bytes(page[:_MAPPED_REGISTERS])
        if words != self._seen:
            for at in range(0, len(words), 4):
                if words[at : at + 4] != self._seen[at : at + 4]:
                    self.pci.accelerator().write_register(at, words[at : at + 4])
        self._show_registers()

    def _show_registers(self) -> None:
        if self.pci.spec.accelerator is None:
            return
        read = self.pci.accelerator().read_register
        self._seen = b"".join(read(at, 4) for at in range(0, _MAPPED_REGISTERS, 4))
        self._pages[0][:_MAPPED_REGISTERS] = self._seen

    # -- interrupts ----------------------------------------------------------------------------

    def _count(self, index: int) -> int:
        spec = self.pci.spec.interrupts
        vectors = max(len(spec.actions), 1)
        if index == INTX:
            return 0 if self.pci.physfn is not None else 1
        if index == MSI:
            return vectors if spec.kind == "msi" else 0
        if index == MSIX:
            return vectors if spec.kind == "msix" else 0
        if index == REQ or (index == ERR and self.pci.config_size == PAGE):
            return 1
        raise refusal(errno.EINVAL, f"there is no interrupt index {index}")

    def _get_irq(self, argument: int | bytearray) -> None:
        argsz, _, index, _ = uapi.unpack(argument, "IIII")
        if argsz < 16:
            raise refusal(errno.EINVAL, "argsz is too small")
        count = self._count(index)
        flags = uapi.IRQ_EVENTFD
        flags |= uapi.IRQ_MASKABLE | uapi.IRQ_AUTOMASKED if index == INTX else uapi.IRQ_NORESIZE
        uapi.pack(argument, "IIII", 16, flags, index, count)

    def _set_irqs(self, process: Process, argument: int | bytearray) -> None:
        argsz, flags, index, start, count = uapi.unpack(argument, "IIIII")
        body = uapi.body(argument, 20)
        most = self._count(index)
        data, action = flags & 7, flags & 0x38
        sizes = {uapi.DATA_NONE: 0, uapi.DATA_BOOL: 1, uapi.DATA_EVENTFD: 4}
        if (argsz < 20 or flags & ~0x3F or data not in sizes or action.bit_count() != 1
                or start >= max(most, 1) or start + count > most
                or argsz - 20 < count * sizes[data] or len(body) < argsz - 20):  # fmt: skip
            raise refusal(errno.EINVAL, f"interrupts of index {index} cannot be set so")
        if not count and data != uapi.DATA_NONE:
            raise refusal(errno.EINVAL, "nothing to set")
        if action != uapi.ACTION_TRIGGER:
            if index != INTX:
                raise refusal(errno.ENOTTY, "only INTx can be masked")
            return
        if data == uapi.DATA_EVENTFD:
            signals = [_signal(process, body, number) for number in range(count)]
            self._connect(index, start, signals)
        elif not count:
            self._disconnect(index)
        else:
            chosen = [
                number for number in range(start, start + count)
                if data == uapi.DATA_NONE or body[number - start]
            ]  # fmt: skip
            self._fire(index, chosen)

    def _connect(self, index: int, start: int, signals: list[Signal | None]) -> None:
        if index == REQ:
            self._request = signals[0]
        elif index == ERR:
            self._error = signals[0]
        elif self._index == index:
            for number, signal in enumerate(signals, start):
                if number >= len(self._signals):
                    raise refusal(errno.EINVAL, f"vector {number} was not enabled")
                self._signals[number] = signal
        elif self._index != -1:
            raise refusal(errno.EINVAL, f"{_KINDS[self._index]} is enabled")
        elif start:
            raise refusal(errno.EINVAL, "the vectors are enabled from the first one on")
        else:
            self._enable(index, signals)

    def _enable(self, index: int, signals: list[Signal | None]) -> None:
        kind = _KINDS[index]
        for number in range(len(signals)):
            line = self.kernel.allocate_line(
                self.pci, kind, number, _NAMES[index].format(self.pci.name, number),
                lambda number=number: self._on_interrupt(number),  # type: ignore[misc]
            )  # fmt: skip
            self.pci.lines.append(line)
        self._index = index
        self._signals = signals
        self.pci.msi = "" if index == INTX else kind

    def _disconnect(self, index: int) -> None:
        signals = {REQ: self._request, ERR: self._error}
        if index != self._index and signals.get(index) is None:
            raise refusal(errno.EINVAL, f"index {index} is not enabled")
        if index == REQ:
            self._request = None
        elif index == ERR:
            self._error = None
        else:
            self._disable()

    def _disable(self) -> None:
        lines: list[Interrupt] = self.pci.lines
        for line in lines:
            self.kernel.interrupts.free(line)
        lines.clear()
        self.pci.msi = ""
        self._index = -1
        self._signals = []

    def _fire(self, index: int, numbers: list[int]) -> None:
        """Raise the signals as the interrupts would: no counter moves (kernel-abi 3.6)."""
        if index in (REQ, ERR):
            signal = self._request if index == REQ else self._error
            if signal is None:
                raise refusal(errno.EINVAL, f"index {index} has no signal")
            if numbers:
                signal.raise_()
            return
        if index != self._index:
            raise refusal(errno.EINVAL, f"index {index} is not enabled")
        for number in numbers:
            self._on_interrupt(number)

    def _on_interrupt(self, number: int) -> None:
        signal = self._signals[number] if number < len(self._signals) else None
        if signal is not None:
            signal.raise_()


def _signal(process: Process, data: bytes, number: int) -> Signal | None:
    """The eventfd that the caller has named; None for -1. Raises EBADF, EINVAL."""
    (descriptor,) = struct.unpack_from("i", data, number * 4)
    if descriptor == -1:
        return None
    file = process.file(descriptor)
    if not isinstance(file, Signal):
        raise refusal(errno.EINVAL, f"descriptor {descriptor} is no eventfd")
    return file
