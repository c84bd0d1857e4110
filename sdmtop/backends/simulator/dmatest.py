"""Channels of the DMA engine, and the module `dmatest` (drivers/dma/dmatest.c).

Work queues of IDXD that the driver `dmaengine` has are channels. The module copies, compares, and
says what it found in the kernel log.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.idxd import IdxdQueue
    from sdmtop.backends.simulator.kernel import Kernel

_DEFAULTS = {
    "iterations": "0",
    "timeout": "3000",
    "test_buf_size": "16384",
    "threads_per_chan": "1",
    "max_channels": "0",
    "noverify": "N",
    "verbose": "Y",
}
_SECONDS = 20e-6
"""Of one test."""


def channels(kernel: Kernel) -> dict[str, IdxdQueue]:
    """By the names that the DMA engine gives them."""
    queues = [
        queue
        for idxd in kernel.idxd.values()
        for queue in idxd.queues.values()
        if queue.is_enabled and queue.spec.driver_name == "dmaengine"
    ]
    return {f"dma{number}chan0": queue for number, queue in enumerate(queues)}


class DmaTest:
    """The module: its parameters, and the channel that it was told to test."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.values = dict(_DEFAULTS)
        self.channel = ""
        self.is_running = False
        self._has_ended = False

    def store(self, name: str) -> Callable[[bytes], None]:
        """What a write to a parameter does."""

        def store(data: bytes) -> None:
            self.values[name] = data.decode().strip()

        return store

    def store_channel(self, data: bytes) -> None:
        """`channel`. Raises EINVAL for one that there is not."""
        name = data.decode().strip()
        if name not in channels(self._kernel):
            self._kernel.log.say(f"dmatest: Could not start test, no channel {name}", 3)
            raise refusal(errno.EINVAL, f"there is no channel {name}")
        self.channel = name
        self._has_ended = False

    def show_run(self) -> str:
        """`run`: whether a test is running. To ask frees the channel of one that has ended."""
        if self._has_ended:
            self.channel = ""
        return "Y\n" if self.is_running else "N\n"

    def store_run(self, data: bytes) -> None:
        """`run`: begin, or stop and let the channel go."""
        if data.strip() not in (b"1", b"Y", b"y"):
            self.is_running = False
            self.channel = ""
            return
        if self.is_running:
            raise refusal(errno.EBUSY, "a test is running")
        if not self.channel:
            raise refusal(errno.EINVAL, "no channel was configured")
        tests = int(self.values["iterations"])
        self.is_running = True
        if tests:  # Without a number it would go on until it is stopped.
            channel = self.channel
            self._kernel.clock.after(tests * _SECONDS, lambda: self._end(channel, tests))

    def _end(self, channel: str, tests: int) -> None:
        if not self.is_running:
            return
        self.is_running = False
        self._has_ended = True
        queue = channels(self._kernel)[channel]
        hardware = queue.idxd.device.accelerator()
        stalled = hardware.queue(queue.index).is_stalled
        data = self._kernel.random.randbytes(64)
        failures = tests if stalled else sum(hardware.spoil(data) != data for _ in range(tests))
        rate = 0.0 if stalled else 1 / _SECONDS
        size = int(self.values["test_buf_size"])
        self._kernel.log.say(
            f"dmatest: {channel}-copy0: summary {tests} tests, {failures} failures {rate:.2f} iops "
            f"{rate * size / 2048:.0f} KB/s ({-errno.ETIMEDOUT if stalled else 0})"
        )
