"""Hosts that lie: the model as it is, but for one answer. What a self-test must not believe."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sdmtop.backends.simulator.host import SimulatorHost, scenario_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.base import Handle, Memory


class LyingHandle:
    """A handle that changes what an ioctl answers, or what is read."""

    def __init__(self, handle: Handle, host: LyingHost) -> None:
        self._handle = handle
        self._host = host

    @property
    def number(self) -> int:
        return self._handle.number

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        def call() -> int:
            return self._handle.ioctl(request, argument)

        self._host.count()
        lie = self._host.lies.get(request)
        return lie(call, argument) if lie is not None else call()

    def adopt(self, number: int) -> LyingHandle:
        return LyingHandle(self._handle.adopt(number), self._host)

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._handle.read_at(offset, size)
        return self._host.reads(offset, data)

    def write_at(self, offset: int, data: bytes) -> int:
        return self._handle.write_at(offset, data)

    def map(self, offset: int, size: int) -> Memory:
        return self._handle.map(offset, size)

    def close(self) -> None:
        self._handle.close()


class LyingHost(SimulatorHost):
    """A model whose time stands still, and whose handles may lie."""

    def __init__(self, scenario: str) -> None:
        # Nobody else is there: no program that holds a device, no fault but the test's own.
        quiet = replace(scenario_of(scenario), processes=(), faults=())
        super().__init__(quiet, url=f"sim:{scenario}")
        self.step(20)
        self.lies: dict[int, Callable[[Callable[[], int], int | bytearray], int]] = {}
        self.texts: dict[str, bytes] = {}
        self.reads: Callable[[int, bytes], bytes] = lambda _offset, data: data
        self.calls = 0
        """Nodes that were opened, and ioctls, so far."""
        self.fails_at: int | None = None

    def count(self) -> None:
        """One more call; that of this number fails."""
        number, self.calls = self.calls, self.calls + 1
        if number == self.fails_at:
            raise OSError(errno.EIO, "it was made to fail")

    def open(self, path: str) -> Handle:
        self.count()
        return LyingHandle(super().open(path), self)

    def read(self, path: str, limit: int = 65536) -> bytes:
        return self.texts.get(path) or super().read(path, limit)

    def give_to_vfio(self, address: str) -> None:
        """Take a device from its driver, and bind it to vfio-pci."""
        device = f"/sys/bus/pci/devices/{address}"
        driver = self.kernel.pci.devices[address].driver
        if driver is not None:
            self.do(f"/sys/bus/pci/drivers/{driver.name}/unbind", address)
        self.do(f"{device}/driver_override", "vfio-pci")
        self.do("/sys/bus/pci/drivers_probe", address)

    def do(self, path: str, text: str) -> None:
        """What an operator writes by hand."""
        write = self.write(path, text.encode())
        write.wait(5)
        write.result()


def accept(_call: Callable[[], int], _argument: int | bytearray) -> int:
    """Do nothing, and say that it was done."""
    return 0


def forgive(call: Callable[[], int], _argument: int | bytearray) -> int:
    """Say that it was done, whatever came of it."""
    try:
        return call()
    except OSError:
        return 0
