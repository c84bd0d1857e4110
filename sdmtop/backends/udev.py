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

    # Where udev runs, its events come after its rules have been applied.
    source = "udev" if os.path.exists("/run/udev/control") else "kernel"
    try:
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source)
        monitor.start()
    except (OSError, ImportError):
        return None
    return UdevEvents(monitor)


class UdevEvents:
    """See `base.Events`."""

    def __init__(self, monitor: "pyudev.Monitor") -> None:
        self._monitor = monitor

    def fileno(self) -> int:
        """The netlink socket."""
        return int(self._monitor.fileno())

    def drain(self) -> list[Event]:
        """All events that have come, those of no interest left out."""
        found: list[Event] = []
        while (device := self._monitor.poll(timeout=0)) is not None:
            if device.subsystem in _SUBSYSTEMS:
                found.append(UdevEvent(device.action, device.subsystem, device.sys_path))
        return found

    def close(self) -> None:
        """Stop listening; the socket goes with the monitor."""
        self._monitor.remove_filter()
