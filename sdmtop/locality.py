"""How far the CPU that takes an interrupt is from the device that raises it."""

from collections.abc import Sequence
from typing import NamedTuple

from sdmtop.lookup import devices_of
from sdmtop.model import Interrupt, NumaNode, Snapshot

NEAR = 10
"""The distance of a node from itself, as firmware states it (ACPI SLIT)."""


class Place(NamedTuple):
    """Where an interrupt is taken: the CPU that takes most of it, and the CPU's node.

    `device_node` is the device's, `distance` the one between the two. What is not known is None.
    """

    cpu: int
    node: int | None
    device_node: int | None
    distance: int | None

    @property
    def is_far(self) -> bool:
        """Whether it is known to be taken on another node than the device's."""
        return self.node is not None and self.device_node not in (None, self.node)

    @property
    def words(self) -> str:
        """The place in words: `CPU 5, node 1: 21 from node 0`, where the device is."""
        if self.node is None:
            return f"CPU {self.cpu}"
        here = f"CPU {self.cpu}, node {self.node}"
        if self.device_node is None:
            return here
        if not self.is_far:
            return f"{here}: near"
        return f"{here}: {self.distance or 'far'} from node {self.device_node}"


class Locality:
    """Nodes of CPUs and devices, looked up once for a snapshot."""

    def __init__(self, nodes: Sequence[NumaNode], snapshot: Snapshot) -> None:
        self.node_of_cpu = {cpu: node.id for node in nodes for cpu in node.cpus}
        self._distances = {
            (node.id, other.id): distance
            for node in nodes
            for other, distance in zip(nodes, node.distances, strict=False)
        }
        self._devices = devices_of(snapshot)

    def place(self, row: Interrupt, counts: Sequence[int]) -> Place | None:
        """Where an interrupt is taken, told by its counts on each CPU; None if it never came."""
        if not any(counts):
            return None
        cpu = counts.index(max(counts))
        node = self.node_of_cpu.get(cpu)
        device_node = self.node_of_device(row.device)
        distance = None
        if node is not None and device_node is not None:
            distance = self._distances.get((node, device_node))
        return Place(cpu=cpu, node=node, device_node=device_node, distance=distance)

    def node_of_device(self, address: str | None) -> int | None:
        """The node that a device is near to; None where that is not known."""
        device = self._devices.get(address) if address is not None else None
        return device.numa_node if device is not None else None
