"""What goes on on a modelled host by itself: loads, programs, faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator.faults import Faults
from sdmtop.backends.simulator.loads import DriverLoads
from sdmtop.backends.simulator.programs import Programs

if TYPE_CHECKING:
    from sdmtop.backends.simulator.syscalls import System


class World:
    """Everything besides the kernel that a scenario describes."""

    def __init__(self, system: System) -> None:
        self.programs = Programs(system)
        self.faults = Faults(system, self.programs)
        self._loads = DriverLoads(system.kernel)

    def start(self) -> None:
        """Let it go on from now."""
        self._loads.start()
        self.programs.start()
        self.faults.start()
