"""Devices that really compute, one file a kind. They know nothing of the kernel that drives them.

A device reaches memory through `translate` only, as its IOMMU lets it, and speaks up through its
interrupt only. Its time is virtual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.hardware import Accelerator, Port, Queue
    from sdmtop.backends.simulator.scenario import AcceleratorKind


def make(
    kind: AcceleratorKind, port: Port, queues: int, *, common_doorbell: bool = False
) -> Accelerator[Queue]:
    """An accelerator of a kind, behind a port, with this many queues.

    `common_doorbell`: see `RingAccelerator`; it means nothing for kinds without rings.
    """
    from sdmtop.backends.simulator.accelerators.dsa import Dsa
    from sdmtop.backends.simulator.accelerators.edu import Edu
    from sdmtop.backends.simulator.accelerators.hpre import Hpre
    from sdmtop.backends.simulator.accelerators.memcpy import Memcpy
    from sdmtop.backends.simulator.accelerators.sec import Sec
    from sdmtop.backends.simulator.accelerators.zip import Zip

    if kind == "edu":
        return Edu(port, queues)
    if kind == "dsa":
        return Dsa(port, queues)
    rings = {"zip": Zip, "sec": Sec, "hpre": Hpre, "memcpy": Memcpy}
    return rings[kind](port, queues, common_doorbell=common_doorbell)
