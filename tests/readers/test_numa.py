"""NUMA nodes."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.model import NumaNode
from sdmtop.readers.numa import numbers_of_list, read_numa_nodes
from sdmtop.readers.unknowns import Unknowns

_NODES = "/sys/devices/system/node"


def read(files: dict[str, object]) -> tuple[tuple[NumaNode, ...], list[str]]:
    unknowns = Unknowns()
    entries = {f"{_NODES}/{name}": entry for name, entry in files.items()}
    found = read_numa_nodes(TreeHost({"/sys/x": "", **entries}), unknowns)  # type: ignore[dict-item]
    return found, [entry.errno for entry in unknowns.entries()]


def test_nodes_have_their_cpus_and_their_distances() -> None:
    found, _ = read(
        {
            "node0/cpulist": "0-1,4\n",
            "node0/distance": "10 21\n",
            "node1/cpulist": "2-3\n",
            "node1/distance": "21 10\n",
            "possible": "0-1\n",
        }
    )
    assert found == (NumaNode(0, (0, 1, 4), (10, 21)), NumaNode(1, (2, 3), (21, 10)))


def test_a_kernel_without_numa_has_no_nodes_and_nothing_is_unknown() -> None:
    assert read({}) == ((), [])


def test_a_file_that_fails_is_unknown_and_the_rest_is_there() -> None:
    failing = Failure(errno.EIO)
    found, unknown = read({"node0/cpulist": "0\n", "node0/distance": failing})
    assert found == (NumaNode(0, (0,), ()),)
    assert unknown == ["EIO"]


@pytest.mark.parametrize("text", ["x", "1-", "-1", "3-2", "0-99999999", "1,,2"])
def test_a_list_that_makes_no_sense_has_no_numbers(text: str) -> None:
    assert numbers_of_list(text) == ()


@given(st.text(), st.text())
def test_any_text_is_survived(cpulist: str, distance: str) -> None:
    read({"node0/cpulist": cpulist, "node0/distance": distance})
