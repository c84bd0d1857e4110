import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends import tree
from sdmtop.backends.limits import SIDE_EFFECTS
from sdmtop.backends.tree import Directory, Entry, Failure, Link, Node, TreeHost
from tests.hosts import errno_of

HOST = TreeHost(
    {
        "/sys/bus/pci/devices/a": Link("../../../devices/root/a"),
        "/sys/devices/root/a/vendor": b"0x8086\n",
        "/sys/devices/root/a/driver": Link("../../../bus/pci/drivers/nvme"),
        "/sys/devices/root/a/eio": Failure(errno.EIO),
        "/sys/devices/root/a/power": Failure(errno.EACCES),
        "/sys/bus/pci/drivers/nvme": Directory(),
        "/sys/kernel/debug": Directory(errno.EACCES),
        "/sys/absolute": Link("/sys/bus/pci/devices/a/vendor"),
        "/sys/above": Link("../../../../sys/bus/../bus/pci/devices/a/vendor"),
        "/sys/dangling": Link("nothing/here"),
        "/sys/empty": Link(""),
        "/sys/loop": Link("loop"),
        "/sys/ping": Link("pong"),
        "/sys/pong": Link("ping"),
        "/dev/vfio/8": Node(0x1F408),
        "/proc/7/fd/3": Link("anon_inode:[vfio-device]", 0),
        "/proc/7/fd/4": Link("/dev/vfio/8"),
        "/proc/7/fd/5": Link("/seen/from/a/container", 0x1F408),
    }
)


def test_a_file_is_read_through_the_links_above_it() -> None:
    assert HOST.read("/sys/bus/pci/devices/a/vendor") == b"0x8086\n"
    assert HOST.read("/sys/bus/pci/devices/a/vendor", 3) == b"0x8"
    assert HOST.read_at("/sys/devices/root/a/vendor", 2, 2) == b"80"
    assert HOST.read_at("/sys/devices/root/a/vendor", 99, 2) == b""


def test_links_are_resolved_inside_the_tree_only() -> None:
    assert HOST.read("/sys/absolute") == b"0x8086\n"
    assert HOST.read("/sys/above") == b"0x8086\n"
    outside = TreeHost({"/sys/passwd": Link("../../../../etc/passwd"), "/sys/etc": Link("/etc")})
    assert errno_of(outside.read, "/sys/passwd") == errno.ENOENT
    assert errno_of(outside.list, "/sys/etc") == errno.ENOENT


@pytest.mark.parametrize(
    ("call", "path", "expected"),
    [
        (HOST.read, "/sys/none", errno.ENOENT),
        (HOST.read, "", errno.ENOENT),
        (HOST.read, "/sys/devices/root/a/vendor/x", errno.ENOTDIR),
        (HOST.read, "/sys/devices/root/a/vendor/", errno.ENOTDIR),
        (HOST.read, "/sys/devices", errno.EISDIR),
        (HOST.read, "/sys/dangling", errno.ENOENT),
        (HOST.read, "/sys/empty", errno.ENOENT),
        (HOST.read, "/sys/loop", errno.ELOOP),
        (HOST.read, "/sys/ping/x", errno.ELOOP),
        (HOST.read, "/sys/devices/root/a/eio", errno.EIO),
        (HOST.list, "/sys/devices/root/a/power", errno.EACCES),
        (HOST.read, "/sys/devices/root/a/power/control", errno.EACCES),
        (HOST.list, "/sys/devices/root/a/vendor", errno.ENOTDIR),
        (HOST.list, "/sys/none", errno.ENOENT),
        (HOST.list, "/sys/kernel/debug", errno.EACCES),
        (HOST.read, "/sys/kernel/debug/iommu/intel", errno.EACCES),
        (HOST.readlink, "/sys/devices", errno.EINVAL),
        (HOST.readlink, "/sys/absolute/x", errno.ENOTDIR),
        (HOST.mode, "/sys/none", errno.ENOENT),
    ],
)
def test_errors_are_those_of_the_kernel(
    call: Callable[[str], object], path: str, expected: int
) -> None:
    assert errno_of(call, path) == expected


def test_forty_links_are_followed_and_not_one_more() -> None:
    links = {f"/l{index}": Link(f"l{index - 1}") for index in range(1, 42)}
    host = TreeHost({"/l0": b"end", **links})
    assert host.read("/l40") == b"end"
    assert errno_of(host.read, "/l41") == errno.ELOOP


def test_look_keeps_errors_in_their_place() -> None:
    missing, vendor, eio, driver, none = HOST.look(
        "/sys/bus/pci/devices/a", ("missing", "vendor", "eio"), ("driver", "vendor")
    )
    assert isinstance(missing, FileNotFoundError)
    assert vendor == b"0x8086\n"
    assert isinstance(eio, OSError)
    assert eio.errno == errno.EIO
    assert driver == b"../../../bus/pci/drivers/nvme"
    assert isinstance(none, OSError)
    assert none.errno == errno.EINVAL


def test_look_fails_as_a_whole_only_without_its_directory() -> None:
    assert errno_of(HOST.look, "/sys/none", ("a",)) == errno.ENOENT
    assert errno_of(HOST.look, "/sys/devices/root/a/vendor", ("a",)) == errno.ENOTDIR


def test_kept_files_report_what_has_changed_and_an_error_once() -> None:
    answers: list[bytes] = [b"1", b"1", b"2"]
    host = TreeHost({"/sys/count": lambda: answers.pop(0), "/sys/bad": Failure(errno.EIO)})
    kept = host.keep(["/sys/count", "/sys/bad"])
    first = kept.changed()
    assert first[0] == (0, b"1")
    assert isinstance(first[1][1], OSError)
    assert kept.changed() == []
    assert kept.changed([0]) == [(0, b"2")]


@pytest.mark.parametrize("name", sorted(SIDE_EFFECTS))
def test_what_has_side_effects_is_refused_even_here(name: str) -> None:
    host = TreeHost({f"/sys/{name}": b"x"})
    path = f"/sys/{name}"
    assert errno_of(host.read, path) == errno.EPERM
    assert errno_of(host.read_at, path, 0, 1) == errno.EPERM
    assert errno_of(host.look, "/sys", (name,)) == errno.EPERM
    assert errno_of(host.keep, [path]) == errno.EPERM


def test_a_path_that_hangs_is_refused_until_it_is_let_go() -> None:
    host = TreeHost({"/sys/a": b"a", "/sys/b": b"b"})
    host.avoid = frozenset({"/sys/a"})
    assert errno_of(host.read, "/sys/a") == errno.ETIMEDOUT
    hung, fine = host.look("/sys", ("a", "b"))
    assert isinstance(hung, TimeoutError)
    assert fine == b"b"
    host.avoid = frozenset()
    assert host.read("/sys/a") == b"a"


def test_modes_tell_what_a_path_is() -> None:
    assert stat.S_ISLNK(HOST.mode("/sys/dangling"))
    assert stat.S_ISDIR(HOST.mode("/sys/devices"))
    assert stat.S_ISREG(HOST.mode("/sys/devices/root/a/eio"))
    assert stat.S_ISCHR(HOST.mode("/dev/vfio/8"))


def test_the_number_of_a_descriptor_is_that_of_its_node() -> None:
    assert HOST.device_number("/dev/vfio/8") == 0x1F408
    assert HOST.device_number("/proc/7/fd/3") == 0
    assert HOST.device_number("/proc/7/fd/4") == 0x1F408
    assert HOST.device_number("/proc/7/fd/5") == 0x1F408
    assert errno_of(HOST.device_number, "/dev/none") == errno.ENOENT


def test_records_of_the_log_are_lines_with_what_continues_them() -> None:
    log = b"6,1,0,-;one\n SUBSYSTEM=pci\n DEVICE=+pci:a\n6,2,0,-;two\n"
    records = TreeHost({"/dev/kmsg": log}).kernel_log()
    assert records == [b"6,1,0,-;one\n SUBSYSTEM=pci\n DEVICE=+pci:a\n", b"6,2,0,-;two\n"]
    assert errno_of(TreeHost({}).kernel_log) == errno.ENOENT


def test_what_is_there_can_be_replaced_and_taken_away() -> None:
    host = TreeHost({"/sys/a/b": b"1"})
    host.put("/sys/a/b", Link("c"))
    assert host.readlink("/sys/a/b") == "c"
    host.remove("/sys/a")
    assert host.list("/sys") == []
    host.put("/sys/a/c", "text")
    assert host.read("/sys/a/c") == b"text"
    assert errno_of(host.remove, "/sys/none") == errno.ENOENT


@pytest.mark.parametrize(
    "entries",
    [
        {"/a": b"", "/a/b": b""},
        {"/a": Link("/etc"), "/a/passwd": b""},
        {"/a/b": b"", "/a": b""},
        {"/a/../b": b""},
        {"/a/./b": b""},
        {"/a//b": b""},
        {"a": b""},
        {"/": b""},
        {"": b""},
        {"/a/..": b""},
        {"/a" * 200: b""},
    ],
)
def test_entries_that_contradict_each_other_or_lead_out_are_refused(
    entries: dict[str, Entry],
) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        TreeHost(entries)


def test_a_tree_does_not_grow_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_NODES", 5)
    TreeHost({"/a/b/c/d": b"", "/a/e": b""})
    with pytest.raises(ValueError, match="more than 5 files"):
        TreeHost({"/a/b/c/d": b"", "/a/e/f": b""})


NAMES = st.sampled_from(["a", "b", "c", "é", "\udcff", "[x]"])
PATHS = st.lists(st.one_of(NAMES, st.sampled_from([".", "..", ""])), max_size=6).map("/".join)
LEAVES = st.one_of(
    st.binary(max_size=4),
    st.tuples(st.sampled_from(["", "/", "../../../../"]), PATHS).map(
        lambda pair: Link("".join(pair))
    ),
    st.just(Failure(errno.EIO)),
    st.just(Directory()),
    st.just(Directory(errno.EACCES)),
)


@settings(max_examples=300)
@given(st.dictionaries(PATHS.map("/".__add__), LEAVES, max_size=12), PATHS.map("/".__add__))
def test_any_tree_answers_any_path_with_its_own_bytes_or_an_oserror(
    entries: dict[str, Entry], path: str
) -> None:
    try:
        host = TreeHost(entries)
    except ValueError:
        return
    own = {entry for entry in entries.values() if isinstance(entry, bytes)}
    data = outcome(host.read, path)
    assert data in own or data in errno.errorcode
    for call in (host.list, host.readlink, host.mode, host.device_number):
        outcome(call, path)  # Anything but an OSError fails the test.
    found = outcome(lambda place: host.look(place, ("a", "b"), ("a", "..", "\udcff")), path)
    assert len(found) == 5 if isinstance(found, list) else found in errno.errorcode
    ((index, answer),) = host.keep([path]).changed()
    assert index == 0
    assert isinstance(answer, OSError) or answer in own


@settings(max_examples=200)
@given(links=st.dictionaries(NAMES, PATHS, max_size=6), path=PATHS.filter(bool))
def test_the_walk_goes_where_the_kernel_goes(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, str], path: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    (root / "c").mkdir()
    entries: dict[str, Entry] = {"/c": Directory()}
    # Relative links that stay below the root mean the same to the kernel and to the tree.
    for name, text in links.items():
        if name != "c" and text and ".." not in text and not text.startswith("/"):
            entries[f"/{name}"] = Link(text)
            os.symlink(text, root / name)
    (root / "c" / "f").write_bytes(b"f")
    entries["/c/f"] = b"f"
    if ".." in path:
        path = path.replace("..", "c")
    host = TreeHost(entries)
    for ours, theirs in (
        (host.list, os.listdir),
        (host.readlink, os.readlink),
        (host.read, lambda place: Path(place).read_bytes()),
    ):
        for place in (path, f"{path}/f"):
            assert outcome(ours, f"/{place}") == outcome(theirs, f"{root}/{place}")


def outcome(call: Callable[[str], object], path: str) -> object:
    try:
        found = call(path)
    except OSError as error:
        return error.errno
    return sorted(found, key=repr) if isinstance(found, list) else found
