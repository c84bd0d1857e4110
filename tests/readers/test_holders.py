import errno
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import Sdmdev
from sdmtop.readers.holders import ANONYMOUS, Holdings, read_holders
from sdmtop.readers.unknowns import Unknowns
from sdmtop.readers.vfio import Node
from tests.readers.small_host import (
    PARENT,
    UUID,
    device,
    mdev,
    mdev_parent,
    process,
    reading_of,
)

GROUP = Node("/dev/vfio/9", "group", 9, None, 2 << 8 | 9)
CDEV = Node("/dev/vfio/devices/vfio0", "cdev", None, "0000:02:00.1", 511 << 8)
CONTAINER = Node("/dev/vfio/vfio", "container", None, None, 10 << 8 | 196)
NODES = (CDEV, CONTAINER, GROUP)
MAPS = (
    b"7f00-7f01 r-xp 00000000 08:01 123    /usr/lib/libc.so.6\n"
    b"7f02-7f03 rw-s 00000000 00:0f 77     %s\n"
)
ANON = "anon_inode:[vfio-device]"


def read(
    *trees: Mapping[str, Entry], nodes: Sequence[Node] = NODES, unknowns: Unknowns | None = None
) -> Holdings:
    entries: dict[str, Entry] = {}
    for tree in trees:
        entries.update(tree)
    return read_holders(TreeHost(entries), nodes, unknowns or Unknowns())


def test_a_descriptor_that_names_a_node_is_a_hold() -> None:
    unknowns = Unknowns()
    found = read(process(7, "/dev/vfio/9"), process(1), unknowns=unknowns)
    assert found.holders(GROUP.path) == (7,)
    assert found.holders(CONTAINER.path) == ()
    (holder,) = found.processes
    assert (holder.pid, holder.name, holder.user) == (7, "user", "1000")
    assert holder.holds == ("/dev/vfio/9",)
    assert unknowns.entries() == ()


def test_holders_are_sorted_as_numbers_and_named_once() -> None:
    found = read(process(10, "/dev/vfio/9"), process(9, "/dev/vfio/9", "/dev/vfio/9"))
    assert found.holders(GROUP.path) == (9, 10)


def test_other_descriptors_are_no_holds() -> None:
    found = read(process(7, "/dev/null", "/tmp/vfio", "socket:[1]", "/dev/vfio/90"))
    assert (found.by_node, found.processes) == ({}, ())


class NumberingHost(TreeHost):
    """A host whose descriptors have device numbers, as in a container with its own /dev."""

    def __init__(self, entries: Mapping[str, Entry], numbers: Mapping[str, int]) -> None:
        super().__init__(entries)
        self._numbers = numbers

    def device_number(self, path: str) -> int:
        return self._numbers[path]


def test_a_node_under_another_path_is_known_by_its_number() -> None:
    assert GROUP.number is not None
    host = NumberingHost(process(7, "/container/dev/vfio/other"), {"/proc/7/fd/3": GROUP.number})
    assert read_holders(host, NODES, Unknowns()).holders(GROUP.path) == (7,)


@pytest.mark.parametrize("path", ["/dev/accel0", "/srv/jail/dev/wq"])
def test_a_node_of_another_name_is_known_by_its_number(path: str) -> None:
    assert GROUP.number is not None
    host = NumberingHost(process(7, path), {"/proc/7/fd/3": GROUP.number})
    assert read_holders(host, NODES, Unknowns()).holders(GROUP.path) == (7,)


def test_the_number_outweighs_the_name() -> None:
    assert CONTAINER.number is not None
    host = NumberingHost(process(7, "/dev/vfio/9"), {"/proc/7/fd/3": CONTAINER.number})
    found = read_holders(host, NODES, Unknowns())
    assert (found.holders(CONTAINER.path), found.holders(GROUP.path)) == ((7,), ())


def test_a_node_that_was_deleted_is_still_held() -> None:
    assert read(process(7, "/dev/vfio/9 (deleted)")).holders(GROUP.path) == (7,)


def test_a_mapping_alone_is_a_hold() -> None:
    found = read(process(7, maps=MAPS % b"/dev/vfio/devices/vfio0"))
    assert found.holders(CDEV.path) == (7,)
    assert found.processes[0].holds == ("/dev/vfio/devices/vfio0 (mmap) 0000:02:00.1",)
    assert found.device_open("0000:02:00.1") is True


def test_a_device_that_is_only_mapped_leaves_all_others_open() -> None:
    unknowns = Unknowns()
    found = read(process(7, maps=MAPS % ANON.encode()), unknowns=unknowns)
    assert found.stray
    assert found.holders(GROUP.path) is None
    assert found.processes[0].holds == (f"{ANONYMOUS} (mmap)",)
    (entry,) = unknowns.entries()
    assert (entry.path, entry.errno) == ("/proc/*/maps", "ENODATA")
    assert "process 7" in entry.what


def test_a_mapping_beside_a_held_node_is_not_stray() -> None:
    found = read(process(7, "/dev/vfio/9", maps=MAPS % ANON.encode()))
    assert not found.stray
    assert found.holders(CDEV.path) == ()


@pytest.mark.parametrize("beside", [CONTAINER.path, "/dev/iommu"])
def test_a_container_does_not_tell_which_device_is_mapped(beside: str) -> None:
    nodes = (*NODES, Node("/dev/iommu", "iommufd", None, None, None))
    found = read(process(7, beside, maps=MAPS % ANON.encode()), nodes=nodes)
    assert found.stray
    assert found.holders(GROUP.path) is None


def test_a_descriptor_that_is_named_counts_for_no_other_device() -> None:
    info = b"vfio-device-syspath: /sys/devices/pci0000:00/0000:02:00.1\n"
    named = {"/proc/7/fdinfo/4": info}
    found = read(process(7, "/dev/vfio/9", ANON, maps=MAPS % ANON.encode()), named)
    assert (found.device_open("0000:02:00.1"), found.device_open("other", (7,))) == (True, False)


def test_a_cdev_is_held_although_its_node_is_gone() -> None:
    """It goes first when the device is unbound, which then waits for the holder."""
    info = b"vfio-device-syspath: /sys/devices/pci0000:00/0000:05:00.0\n"
    found = read(process(7, "/dev/vfio/devices/vfio4 (deleted)"), {"/proc/7/fdinfo/3": info})
    (node,) = found.gone
    assert (node.kind, node.device) == ("cdev", "0000:05:00.0")
    assert found.holders(node.path) == (7,)
    assert found.device_open("0000:05:00.0") is True


def test_a_cdev_that_is_gone_and_not_named_leaves_all_others_open() -> None:
    found = read(process(7, "/dev/vfio/devices/vfio4 (deleted)"))
    assert (found.gone, found.stray, found.holders(GROUP.path)) == ((), True, None)


def test_mappings_that_are_cut_short_are_not_read_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sdmtop.readers.holders._MAPS_LIMIT", 20)
    assert read(process(7, maps=MAPS)).holders(GROUP.path) is None


HIDDEN = b"22 1 0:5 / /proc rw,nosuid - proc proc rw,hidepid=invisible\n"


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ({"/proc/self/ns/pid": Link("pid:[4026532001]")}, "outside of this PID namespace"),
        (
            {
                "/proc/self/ns/pid": Link("pid:[4026531836]"),
                "/proc/self/mountinfo": HIDDEN,
            },
            "hidepid",
        ),
    ],
)
def test_processes_that_are_not_listed_may_hold(entries: dict[str, Entry], what: str) -> None:
    unknowns = Unknowns()
    found = read(process(7), entries, unknowns=unknowns)
    assert found.holders(GROUP.path) is None
    (entry,) = unknowns.entries()
    assert what in entry.what


def test_all_processes_are_listed_where_the_first_is() -> None:
    entries: dict[str, Entry] = {
        "/proc/self/ns/pid": Link("pid:[4026531836]"), "/proc/self/mountinfo": HIDDEN,
    }  # fmt: skip
    assert read(process(1), entries).holders(GROUP.path) == ()


def test_a_device_descriptor_counts_for_the_group_that_its_process_holds() -> None:
    found = read(process(7, "/dev/vfio/9", ANON))
    assert found.device_open("any", (7,)) is True
    assert found.device_open("any", (8,)) is False


def test_a_kernel_that_says_which_device_a_descriptor_is_is_believed() -> None:
    info = b"pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:02:00.1\n"
    found = read(process(7, "/dev/vfio/9", ANON), {"/proc/7/fdinfo/4": info})
    assert found.device_open("0000:02:00.1") is True
    assert f"{ANON} 0000:02:00.1" in found.processes[0].holds


# -- what cannot be told ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "refused",
    [
        {"/proc/8/fd": Directory(errno.EACCES)},
        {"/proc/8": Failure(errno.EACCES)},
        {"/proc/8/fd/0": Failure(errno.EACCES)},
        {"/proc/8/fd": Directory(), "/proc/8/maps": Failure(errno.EACCES)},
        {"/proc/8/fd": Directory(), "/proc/8/maps": Failure(errno.EIO)},
        {"/proc/8/fd": Failure(errno.ETIMEDOUT)},
        {"/proc/8/fd/5": Link(ANON), "/proc/8/fdinfo/5": Failure(errno.EACCES)},
    ],
)
def test_a_process_that_refuses_makes_free_into_cannot_tell(refused: dict[str, Entry]) -> None:
    unknowns = Unknowns()
    found = read(process(7, "/dev/vfio/9"), refused, unknowns=unknowns)
    assert found.unreadable == 1
    assert found.holders(CONTAINER.path) is None
    assert found.holders(GROUP.path) == (7,)
    assert found.device_open("unseen") is None
    (entry,) = unknowns.entries()
    assert entry.path == "/proc/*/fd"
    assert "1 processes" in entry.what


def test_mappings_are_looked_at_although_descriptors_are_refused() -> None:
    refused: dict[str, Entry] = {"/proc/7/fd": Directory(errno.EACCES)}
    found = read({**refused, "/proc/7/maps": MAPS % b"/dev/vfio/9"})
    assert found.holders(GROUP.path) == (7,)


def test_many_processes_that_refuse_are_one_entry() -> None:
    unknowns = Unknowns()
    read({f"/proc/{pid}/fd": Directory(errno.EACCES) for pid in range(1, 30)}, unknowns=unknowns)
    (entry,) = unknowns.entries()
    assert (entry.errno, entry.what) == (
        "EACCES",
        "who holds devices: 29 processes cannot be looked into",
    )


def test_a_host_that_lists_no_process_cannot_tell() -> None:
    unknowns = Unknowns()
    found = read({"/proc/stat": b""}, unknowns=unknowns)
    assert found.holders(GROUP.path) is None
    assert [(one.path, one.errno) for one in unknowns.entries()] == [("/proc/*/fd", "ENOENT")]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOENT])
def test_a_list_of_processes_that_fails_is_cannot_tell(number: int) -> None:
    unknowns = Unknowns()
    found = read({"/proc": Failure(number)}, unknowns=unknowns)
    assert found.holders(GROUP.path) is None
    assert [one.path for one in unknowns.entries()] == ["/proc"]


def test_processes_and_descriptors_that_vanish_hold_nothing() -> None:
    unknowns = Unknowns()
    vanished: dict[str, Entry] = {
        "/proc/8": Directory(),
        "/proc/9/fd": Directory(),
        "/proc/10/fd/3": Failure(errno.ENOENT),
        "/proc/11/fd": Failure(errno.ESRCH),
    }
    found = read(process(7), vanished, unknowns=unknowns)
    assert (found.holders(GROUP.path), found.unreadable) == ((), 0)
    assert unknowns.entries() == ()


def test_without_nodes_no_process_is_looked_into() -> None:
    found = read({"/proc": Failure(errno.EIO)}, nodes=())
    assert found.holders(GROUP.path) == ()


def test_a_holder_whose_name_is_gone_is_still_a_holder() -> None:
    found = read({"/proc/7/fd/3": Link("/dev/vfio/9")})
    (holder,) = found.processes
    assert (holder.pid, holder.name, holder.user) == (7, None, None)


def test_a_name_that_is_refused_is_unknown() -> None:
    unknowns = Unknowns()
    refused = {"/proc/7/comm": Failure(errno.EIO), "/proc/7/status": Failure(errno.EACCES)}
    read(process(7, "/dev/vfio/9"), refused, unknowns=unknowns)
    assert [one.path for one in unknowns.entries()] == ["/proc/7/comm", "/proc/7/status"]


@settings(max_examples=80)
@given(st.binary(max_size=200), st.binary(max_size=60), st.binary(max_size=30))
def test_any_content_of_a_process_is_survived(maps: bytes, status: bytes, comm: bytes) -> None:
    found = read(
        process(7, "/dev/vfio/9", ANON, maps=ANON.encode() + b"\n" + maps),
        {"/proc/7/status": b"Uid:" + status, "/proc/7/comm": comm, "/proc/7/fdinfo/4": status},
    )
    assert found.holders(GROUP.path) == (7,)


# -- joined to queues ------------------------------------------------------------------------


def queue_of(*trees: Mapping[str, Entry]) -> Sdmdev:
    (found,) = reading_of(*trees).snapshot().sdmdevs
    return found


MDEV = {**device(PARENT, 1, "x"), **mdev_parent(PARENT), **mdev(UUID, PARENT, 9)}
UACCE = {
    "/sys/class/uacce/hisi_zip-0/dev": b"238:0\n",
    "/sys/class/uacce/hisi_zip-0/device": Link("../../../devices/pci0000:00/0000:01:00.0"),
}
IDXD = {
    "/sys/bus/dsa/devices/wq0.1": Link("../../../devices/pci0000:00/0000:01:00.0/dsa0/wq0.1"),
    "/sys/bus/dsa/devices/dsa!wq0.1/dev": b"237:1\n",
    "/sys/devices/pci0000:00/0000:01:00.0/dsa0/wq0.1/state": b"enabled\n",
}


@pytest.mark.parametrize(
    ("links", "state", "holders"),
    [
        ((), "orphan", ()),
        (("/dev/vfio/9",), "held", (7,)),
        (("/dev/vfio/9", ANON), "started", (7,)),
    ],
)
def test_an_mdev_is_orphan_held_or_started(
    links: tuple[str, ...], state: str, holders: tuple[int, ...]
) -> None:
    found = queue_of(MDEV, process(7, *links))
    assert (found.state, found.holders) == (state, holders)


@pytest.mark.parametrize(("tree", "node"), [(UACCE, "/dev/hisi_zip-0"), (IDXD, "/dev/dsa/wq0.1")])
def test_a_queue_that_is_taken_at_open_is_idle_or_started(
    tree: dict[str, Entry], node: str
) -> None:
    idle, busy = queue_of(tree, process(7)), queue_of(tree, process(7, node))
    assert (idle.state, idle.holders) == ("idle", ())
    assert (busy.state, busy.holders) == ("started", (7,))


@pytest.mark.parametrize("tree", [MDEV, UACCE, IDXD], ids=["mdev", "uacce", "idxd"])
def test_a_queue_whose_holders_cannot_be_told_has_no_state(tree: dict[str, Entry]) -> None:
    found = queue_of(tree, {"/proc/7/fd": Directory(errno.EACCES)})
    assert (found.state, found.holders) == (None, None)
