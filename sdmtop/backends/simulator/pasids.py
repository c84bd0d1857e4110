"""PASIDs: one number for the address space of a process, given out once and kept until it ends."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from sdmtop.backends.simulator.processes import Process

FIRST = 1
"""0 is the kernel's own: requests without a PASID."""


class Pasids:
    """Which process has which. As `drivers/iommu/iommu-sva.c`: freed when the process dies."""

    def __init__(self) -> None:
        self.by_number: dict[int, Process] = {}
        self._numbers: dict[Process, int] = {}
        self.exhausted = False
        """Set by an injected fault: none is given out any more."""

    def of(self, process: Process) -> int | None:
        """The PASID of a process, if it has one."""
        return self._numbers.get(process)

    def allocate(self, process: Process, bits: int) -> int:
        """The PASID of a process, its first one if need be, of this many bits at most.

        Raises ENOSPC when none is left, EOVERFLOW for one that the device is too narrow for.
        """
        number = self._numbers.get(process)
        if number is not None:
            if number >> bits:
                raise refusal(
                    errno.EOVERFLOW, f"PASID {number} of {process} has more than {bits} bits"
                )
            return number
        most = 1 << bits
        number = next((one for one in range(FIRST, most) if one not in self.by_number), None)
        if self.exhausted or number is None:
            raise refusal(errno.ENOSPC, f"all {most - FIRST} PASIDs are taken")
        self.by_number[number] = process
        self._numbers[process] = number
        return number

    def free(self, process: Process) -> None:
        """The process has died."""
        number = self._numbers.pop(process, None)
        if number is not None:
            del self.by_number[number]
