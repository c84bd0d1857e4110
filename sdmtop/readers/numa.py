"""NUMA nodes: which CPUs are in each, and how far one is from another.

Source: `/sys/devices/system/node/nodeN/{cpulist,distance}`. Of a kernel without NUMA there is no
such directory, and no node.
"""

from sdmtop.backends.base import Host
from sdmtop.model import NumaNode
from sdmtop.readers.sysfs import index, is_absent, names, word
from sdmtop.readers.unknowns import Unknowns

_NODES = "/sys/devices/system/node"
_MOST_CPUS = 1 << 16
"""CPUs that a list may have: more than any kernel, and little enough to write out."""


def read_numa_nodes(host: Host, unknowns: Unknowns) -> tuple[NumaNode, ...]:
    """The nodes in order. Raises nothing; a list that makes no sense is an empty one."""
    try:
        found = names(host, _NODES)
    except OSError as error:
        if not is_absent(error):
            unknowns.note(_NODES, error, "NUMA nodes")
        return ()
    ids = sorted(id_ for name in found if (id_ := index(name.removeprefix("node"))) is not None)
    return tuple(_node(host, id_, unknowns) for id_ in ids)


def _node(host: Host, id_: int, unknowns: Unknowns) -> NumaNode:
    path = f"{_NODES}/node{id_}"
    try:
        cpulist, distance = host.look(path, ("cpulist", "distance"))
    except OSError as error:
        unknowns.note(path, error, "NUMA node")
        return NumaNode(id=id_, cpus=(), distances=())
    unknowns.note_failure(f"{path}/cpulist", cpulist, "CPUs of a NUMA node")
    unknowns.note_failure(f"{path}/distance", distance, "distances of a NUMA node")
    distances = [index(part) for part in (word(distance) or "").split()]
    known = [one for one in distances if one is not None]
    return NumaNode(
        id=id_,
        cpus=numbers_of_list(word(cpulist) or ""),
        distances=tuple(known) if len(known) == len(distances) else (),
    )


def numbers_of_list(text: str) -> tuple[int, ...]:
    """The numbers of a kernel list such as `0-3,8`; none where it is no such list."""
    found: list[int] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        low, high = index(first), index(last if dash else first)
        if low is None or high is None or high < low or high >= _MOST_CPUS:
            return ()
        found += range(low, high + 1)
    return tuple(found)
