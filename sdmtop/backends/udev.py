"""Uevents of the running kernel, through pyudev."""

import os
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.backends.base import Event, Events

if TYPE_CHECKING:
    import pyudev

_SUBSYSTEMS = frozenset(
    {"pci", "platform", "mdev", "vfio", "vfio-dev", "iommu", "sdmdev", "uacce", "dsa", "cpu",
     "mdev_bus", "cdx", "fsl-mc", "amba"}
)  # fmt: skip
"""Subsystems whose events can change what is shown; a disk's or a console's cannot."""


class UdevEvent(NamedTuple):
    """See `base.Event`."""

    action: str
    subsystem: str
    path: str


def listen() -> Events | None:
    """The stream of uevents; None where netlink is not permitted (then one polls)."""
    import pyudev

    try:
        return UdevEvents(pyudev.Context())
    except (OSError, ImportError):
        return None


class UdevEvents:
    """See `base.Events`."""

    def __init__(self, context: "pyudev.Context") -> None:
        self._context = context
        self._monitor: pyudev.Monitor | None = self._open()

    def _open(self) -> "pyudev.Monitor":
        import pyudev

        # Where udev runs, its events come after its rules have been applied.
        source = "udev" if os.path.exists("/run/udev/control") else "kernel"
        monitor = pyudev.Monitor.from_netlink(self._context, source)
        monitor.start()
        return monitor

    def fileno(self) -> int:
        """The netlink socket."""
        return -1 if self._monitor is None else int(self._monitor.fileno())

    def drain(self) -> list[Event]:
        """All events that have come, those of no interest left out; `lost` if there were more."""
        found: list[Event] = []
        while self._monitor is not None:
            try:
                device = self._monitor.poll(timeout=0)
            except OSError:
                # The socket's buffer has overflowed (ENOBUFS): a new one begins from now.
                self._monitor = self._open()
                found.append(UdevEvent("lost", "", "/sys/devices"))
                continue
            if device is None:
                break
            if device.subsystem in _SUBSYSTEMS:
                found.append(UdevEvent(device.action, device.subsystem, device.sys_path))
        return found

    def close(self) -> None:
        """Stop listening: the socket goes with the monitor."""
        self._monitor = None
