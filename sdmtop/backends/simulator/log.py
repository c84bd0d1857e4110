"""The kernel log, as `/dev/kmsg` gives it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdmtop.backends.simulator.clock import Clock

KEPT = 4096
"""Records in the log's buffer: older ones are overwritten."""

ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6


class KernelLog:
    """Records with priority, number and time; of a device, also which (`DEVICE=+pci:...`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: deque[bytes] = deque(maxlen=KEPT)
        self._serial = 0

    def say(self, text: str, level: int = INFO, *, subsystem: str = "", device: str = "") -> None:
        """Log a line; about a device of this subsystem, if they are given."""
        microseconds = int(self._clock.now * 1_000_000)
        fields = f" SUBSYSTEM={subsystem}\n DEVICE=+{subsystem}:{device}\n" if device else ""
        record = f"{level},{self._serial},{microseconds},-;{_escaped(text)}\n{fields}"
        self._records.append(record.encode())
        self._serial += 1

    def records(self) -> list[bytes]:
        """All that are left, oldest first."""
        return [*self._records]


def _escaped(text: str) -> str:
    """The kernel shows what is not printable as an escape."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(c if " " <= c <= "~" and c != "\\" else f"\\x{ord(c) & 0xFF:02x}" for c in text)
