"""How far the CPU that takes an interrupt is from its device."""

import pytest

from sdmtop.locality import Locality, Place
from sdmtop.model import Interrupt, NumaNode
from tests.records import device, interrupt, snapshot

NODES = (NumaNode(0, (0, 1), (10, 21)), NumaNode(1, (2, 3), (21, 10)))
NIC = "0000:02:00.0"


def row(device_: str | None = NIC) -> Interrupt:
    return interrupt("40", device=device_)


def place(counts: tuple[int, ...], node: int | None = 0, of: str | None = NIC) -> Place | None:
    snap = snapshot(devices=[device(NIC, numa_node=node)])
    return Locality(NODES, snap).place(row(of), counts)


@pytest.mark.parametrize(
    ("counts", "node", "words"),
    [
        ((5, 9, 0, 0), 0, "CPU 1, node 0: near"),
        ((5, 0, 9, 0), 0, "CPU 2, node 1: 21 from node 0"),
        ((5, 0, 0, 0), None, "CPU 0, node 0"),
        ((0, 0, 0, 0, 0, 7), 0, "CPU 5"),
    ],
)
def test_the_cpu_that_takes_most_tells_where_it_is_taken(
    counts: tuple[int, ...], node: int | None, words: str
) -> None:
    found = place(counts, node)
    assert found is not None
    assert found.words == words
    assert found.is_far is ("from" in words)


def test_an_interrupt_that_never_came_is_taken_nowhere() -> None:
    assert place((0, 0, 0, 0)) is None
    assert place(()) is None


def test_an_interrupt_of_nobody_is_far_from_nothing() -> None:
    found = place((1, 0, 0, 0), of=None)
    assert found is not None
    assert not found.is_far


def test_without_nodes_only_the_cpu_is_known() -> None:
    found = Locality((), snapshot()).place(row(), (0, 3))
    assert found == Place(cpu=1, node=None, device_node=None, distance=None)
