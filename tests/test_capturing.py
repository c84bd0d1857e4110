import errno
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.base import Host, open_host
from sdmtop.backends.capture import CaptureHost
from sdmtop.backends.linux import LinuxHost
from sdmtop.backends.tree import Directory, Entry, Failure, Link, Node, TreeHost
from sdmtop.capturing import CaptureReport, capture
from sdmtop.readers.kernel_log import read_faults
from sdmtop.readers.snapshot import read_snapshot
from tests.hosts import errno_of

if TYPE_CHECKING:
    from sdmtop.model import Snapshot

TREES = Path(__file__).parent / "trees"
DEVICE = "/sys/devices/pci0000:00/0000:00:01.0"
GROUP = "/sys/kernel/iommu_groups/4"
VFIO = os.makedev(240, 8)
OPEN = "anon_inode:[vfio-device]"

BOX: dict[str, Entry] = {
    "/proc/version": "Linux version 6.12.0-test (x) y\n",
    "/proc/cmdline": "root=/dev/vda intel_iommu=on\n",
    "/proc/interrupts": " CPU0\n 24: 7 IR-PCI-MSI-0000:00:01.0 0-edge dev\n",
    "/proc/irq/24/smp_affinity_list": "0\n",
    "/proc/irq/24/dev": Directory(),
    "/proc/sys/kernel/hostname": "box\n",
    "/proc/meminfo": "secret\n",
    "/sys/kernel/irq/24/per_cpu_count": "7\n",
    "/sys/devices/system/cpu/online": "0\n",
    "/sys/devices/system/node/node0/cpulist": "0\n",
    "/sys/devices/system/node/node0/meminfo": "secret\n",
    "/sys/bus/pci/devices/0000:00:01.0": Link(f"../../..{DEVICE[4:]}"),
    "/sys/bus/pci/drivers/vfio-pci/0000:00:01.0": Link(f"../../../..{DEVICE[4:]}"),
    "/sys/bus/pci/drivers/vfio-pci/bind": Failure(errno.EACCES, stat.S_IFREG | 0o200),
    f"{DEVICE}/modalias": "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00\n",
    f"{DEVICE}/uevent": "DRIVER=vfio-pci\nPCI_CLASS=20000\nPCI_ID=8086:10D3\n",
    f"{DEVICE}/vendor": "0x8086\n",
    f"{DEVICE}/power_state": "D0\n",
    f"{DEVICE}/driver_override": "vfio-pci\n",
    f"{DEVICE}/config": bytes(4096),
    f"{DEVICE}/resource": "0x0\n",
    f"{DEVICE}/resource0": b"registers",
    f"{DEVICE}/rom": b"image",
    f"{DEVICE}/sriov_numvfs": "0\n",
    f"{DEVICE}/broken": Failure(errno.EIO),
    f"{DEVICE}/slow": Failure(errno.ETIMEDOUT),
    f"{DEVICE}/reset": Failure(errno.EACCES, stat.S_IFREG | 0o200),
    f"{DEVICE}/driver": Link("../../../bus/pci/drivers/vfio-pci"),
    f"{DEVICE}/subsystem": Link("../../../bus/pci"),
    f"{DEVICE}/iommu_group": Link(f"../../..{GROUP[4:]}"),
    f"{DEVICE}/power/control": "on\n",
    f"{DEVICE}/msi_irqs/24": "msi\n",
    f"{DEVICE}/net/eth0/uevent": "INTERFACE=eth0\n",
    f"{DEVICE}/net/eth0/address": "52:54:00:12:34:56\n",
    f"{DEVICE}/vfio-dev/vfio0/uevent": "\n",
    f"{DEVICE}/vfio-dev/vfio0/dev": "240:0\n",
    "/sys/class/vfio-dev/vfio0": Link(f"../..{DEVICE[4:]}/vfio-dev/vfio0"),
    "/sys/class/vfio/4": Link("../../devices/virtual/vfio/4"),
    "/sys/devices/virtual/vfio/4/uevent": "\n",
    "/sys/devices/virtual/vfio/4/dev": "240:8\n",
    f"{GROUP}/type": "DMA-FQ\n",
    f"{GROUP}/reserved_regions": "0x00000000fee00000 0x00000000feefffff msi\n",
    f"{GROUP}/devices/0000:00:01.0": Link(f"../../../..{DEVICE[4:]}"),
    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode": "N\n",
    "/sys/module/secret/parameters/key": "secret\n",
    "/dev/vfio/4": Node(VFIO),
    "/dev/kmsg": (
        "3,900,1000000,-;DMAR: [DMA Write NO_PASID] Request device [00:01.0] fault addr 0x0\n"
        " SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n"
        "6,901,1000001,-;sshd: password is hunter2\n"
    ),
    "/proc/1/comm": "init\n",
    "/proc/1/fd/0": Link("/dev/null"),
    "/proc/1/maps": "7f00-7f01 r--p 00000000 00:00 0 /usr/sbin/init\n",
    "/proc/7/comm": "qemu\n",
    "/proc/7/environ": "PASSWORD=secret\n",
    "/proc/7/status": "Name:\tqemu\nState:\tS (sleeping)\nPPid:\t1\nUid:\t107\t107\t107\t107\n",
    "/proc/7/fd/0": Link("/home/user/secret"),
    "/proc/7/fd/9": Link("/dev/vfio/4", VFIO),
    "/proc/7/fd/10": Link(OPEN, 0),
    "/proc/7/fdinfo/10": f"pos: 0\nvfio-device-syspath: {DEVICE}\n",
    "/proc/7/maps": (
        "7f00-7f01 rw-s 00000000 00:0e 1035 " + OPEN + "\n"
        "7f02-7f03 r--p 00000000 00:00 0 /home/user/secret.so\n"
    ),
}


def taken(
    host: Host, directory: Path, name: str = "x.tar.xz", deadline: float = 2.0
) -> tuple[CaptureHost, CaptureReport]:
    file = str(directory / name)
    report = capture(host, file, deadline=deadline)
    return CaptureHost(file), report


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> CaptureHost:
    """The capture of the box."""
    return taken(TreeHost(BOX), tmp_path_factory.mktemp("box"))[0]


def facts(host: Host) -> dict[str, Any]:
    """All that readers see, but for when and where."""
    snapshot: Snapshot = read_snapshot(host)
    found: dict[str, Any] = msgspec.to_builtins(snapshot)
    del found["taken_at"], found["host"]["backend"]
    return found


def contents(host: TreeHost, path: str = "") -> dict[str, object]:
    """Everything in a tree, with the errno of what fails."""
    found: dict[str, object] = {}
    try:
        names = host.list(path or "/")
    except OSError as error:
        return {path: error.errno}
    for name in names:
        inner = f"{path}/{name}"
        mode = host.mode(inner)
        if stat.S_ISDIR(mode):
            found.update({inner: "directory", **contents(host, inner)})
        elif stat.S_ISLNK(mode):
            found[inner] = host.readlink(inner)
        else:
            (found[inner],) = (
                answer.errno if isinstance(answer, OSError) else answer
                for answer in (_read(host, inner),)
            )
    return found


def _read(host: TreeHost, path: str) -> bytes | OSError:
    try:
        return host.read(path, 1 << 24)
    except OSError as error:
        return error


@pytest.mark.long
@pytest.mark.parametrize("tree", sorted(path.name for path in TREES.glob("*.tar.xz")))
@pytest.mark.parametrize("name", ["x.tar.xz", "x.tar", "x"])
def test_readers_see_a_capture_of_a_host_as_they_see_the_host(
    tree: str, name: str, tmp_path: Path
) -> None:
    host = open_host(f"capture:{TREES / tree}")
    again, _ = taken(host, tmp_path, name)
    assert facts(again) == facts(host)


def test_readers_see_holders_faults_and_nodes_in_a_capture(box: CaptureHost) -> None:
    original = TreeHost(BOX)
    assert facts(box) == facts(original)
    assert read_faults(box) == read_faults(original)
    (process,) = read_snapshot(box).processes
    assert (process.pid, process.name, process.user) == (7, "qemu", "107")
    assert "/dev/vfio/4" in process.holds


def test_holders_of_idxd_queues_are_taken(tmp_path: Path) -> None:
    queue = f"{DEVICE}/dsa0/wq0.0"
    rdev = os.makedev(235, 0)
    host = TreeHost(
        BOX
        | {
            "/sys/bus/dsa/devices/wq0.0": Link(f"../../..{queue[4:]}"),
            "/sys/bus/dsa/devices/dsa!wq0.0": Link(f"../../..{queue[4:]}/dsa!wq0.0"),
            f"{queue}/type": "user\n",
            f"{queue}/dsa!wq0.0/dev": "235:0\n",
            "/dev/dsa/wq0.0": Node(rdev),
            "/proc/7/fd/11": Link("/dev/dsa/wq0.0", rdev),
        }
    )
    captured, _ = taken(host, tmp_path)
    (row,) = read_snapshot(captured).sdmdevs
    assert (row.id, row.holders) == ("wq0.0", (7,))


def test_a_capture_of_a_simulated_host_has_its_holders(tmp_path: Path) -> None:
    host = open_host("sim:idxd?at=6")
    snapshot = read_snapshot(taken(host, tmp_path)[0])
    assert {row.id: row.holders for row in snapshot.sdmdevs if row.holders} == {
        "wq0.0": (2000, 2801),
        "wq0.1": (2950,),
    }
    assert "/dev/dsa/wq0.1" in {held for one in snapshot.processes for held in one.holds}


def test_a_capture_of_a_capture_is_the_same_capture(box: CaptureHost, tmp_path: Path) -> None:
    again, _ = taken(box, tmp_path)
    assert contents(again) == contents(box)


@pytest.mark.parametrize("name", ["x.tar.xz", "x.tar", "x"])
def test_a_real_file_system_is_captured_as_a_tree_is(
    name: str, tmp_path: Path, box: CaptureHost
) -> None:
    root = tmp_path / "root"
    for path, entry in BOX.items():
        if path.startswith(("/dev", f"{DEVICE}/slow", f"{DEVICE}/broken")):
            continue
        file = Path(f"{root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Link):
            file.symlink_to(entry.text)
        elif isinstance(entry, Directory):
            file.mkdir(exist_ok=True)
        elif isinstance(entry, Failure):
            file.touch(entry.mode & 0o777)
            file.chmod(entry.mode & 0o777)
        elif isinstance(entry, bytes | str):
            file.write_bytes(entry.encode() if isinstance(entry, str) else entry)
    again, _ = taken(LinuxHost(str(root)), tmp_path, name)
    expected = {
        path: what
        for path, what in contents(box).items()
        if not path.startswith(("/dev", f"{DEVICE}/slow", f"{DEVICE}/broken"))
    }
    assert contents(again) == expected


def test_every_failure_keeps_its_errno(box: CaptureHost) -> None:
    assert errno_of(box.read, f"{DEVICE}/broken") == errno.EIO
    assert errno_of(box.read, f"{DEVICE}/slow") == errno.ETIMEDOUT
    assert errno_of(box.read, f"{DEVICE}/reset") == errno.EACCES
    assert errno_of(box.read, "/sys/bus/pci/drivers/vfio-pci/bind") == errno.EACCES


@pytest.mark.parametrize("name", ["resource0", "rom", "sriov_numvfs", "uevent"])
def test_what_is_not_free_to_read_is_left_alone_and_unknown(box: CaptureHost, name: str) -> None:
    assert name in box.list(DEVICE)
    with pytest.raises(OSError, match=r".") as caught:
        box.read(f"{DEVICE}/{name}")
    assert caught.value.errno in (errno.ENODATA, errno.EPERM)


def test_secrets_stay_where_they_are(box: CaptureHost) -> None:
    text = repr(contents(box))
    assert "secret" not in text
    assert "hunter2" not in text
    assert "52:54:00" not in text
    assert box.read("/proc/7/status") == (
        b"Name:\tqemu\nState:\tS (sleeping)\nUid:\t107\t107\t107\t107\n"
    )
    assert sorted(box.list("/proc/7")) == ["comm", "fd", "fdinfo", "maps", "status"]
    assert sorted(box.list("/proc/7/fd")) == ["10", "9"]


def test_a_device_inside_another_is_there_and_not_entered(box: CaptureHost) -> None:
    assert box.list(f"{DEVICE}/net") == ["eth0"]
    assert errno_of(box.list, f"{DEVICE}/net/eth0") == errno.EACCES
    assert box.read(f"{DEVICE}/vfio-dev/vfio0/dev") == b"240:0\n"


def without(*paths: str, **more: Entry) -> TreeHost:
    entries = {path: entry for path, entry in BOX.items() if path not in paths}
    return TreeHost({**entries, **{f"{DEVICE}/{name}": entry for name, entry in more.items()}})


@pytest.mark.parametrize("state", ["D1", "D2", "D3hot", "D3cold"])
def test_a_device_that_sleeps_is_left_asleep(state: str, tmp_path: Path) -> None:
    def wake() -> bytes:
        pytest.fail("it was woken")

    host = without(power_state=f"{state}\n", config=wake, current_link_speed=wake)
    box, _ = taken(host, tmp_path)
    assert errno_of(box.read, f"{DEVICE}/config") == errno.ENODATA
    assert errno_of(box.read, f"{DEVICE}/current_link_speed") == errno.ENODATA


def test_configuration_space_is_taken_from_a_device_that_is_awake(box: CaptureHost) -> None:
    assert box.read_at(f"{DEVICE}/config", 4090, 100) == bytes(6)


def test_the_lock_of_a_stuck_unbind_is_not_waited_for(tmp_path: Path) -> None:
    def lock() -> bytes:
        pytest.fail("it was waited for")

    host = without(f"{DEVICE}/driver", driver_override=lock, uevent=lock, enable="1\n")
    box, report = taken(host, tmp_path)
    assert errno_of(box.read, f"{DEVICE}/driver_override") == errno.ENODATA
    assert errno_of(box.read, f"{DEVICE}/uevent") == errno.ENODATA
    assert report.hung == ()


def test_the_override_of_a_device_that_is_plainly_unbound_is_taken(tmp_path: Path) -> None:
    box, _ = taken(without(f"{DEVICE}/driver", enable="0\n"), tmp_path)
    assert box.read(f"{DEVICE}/driver_override") == b"vfio-pci\n"


def test_a_read_that_hangs_is_noted_and_the_capture_goes_on(tmp_path: Path) -> None:
    released = threading.Event()

    def hang() -> bytes:
        released.wait(30)
        return b""

    host = without(vendor=hang)
    box, report = taken(host, tmp_path, deadline=0.1)
    released.set()
    assert report.hung == (f"{DEVICE}/vendor",)
    assert "no answer from" in report.sentence()
    assert errno_of(box.read, f"{DEVICE}/vendor") == errno.ETIMEDOUT
    assert box.read(f"{DEVICE}/power/control") == b"on\n"
    assert host.avoid == frozenset()


def test_after_many_hung_reads_the_rest_is_noted_as_unknown(tmp_path: Path) -> None:
    released = threading.Event()

    def hang() -> bytes:
        released.wait(30)
        return b""

    host = without(**{f"z{index}": hang for index in range(12)})
    box, report = taken(host, tmp_path, deadline=0.03)
    released.set()
    assert len(report.hung) == 8
    assert errno_of(box.read, f"{DEVICE}/vendor") == errno.ENODATA
    assert box.read("/proc/version").startswith(b"Linux")


def test_processes_that_cannot_be_looked_into_are_not_free_of_devices(tmp_path: Path) -> None:
    host = without("/proc/7/fd/0", "/proc/7/fd/9", "/proc/7/fd/10")
    host.put("/proc/7/fd", Directory(errno.EACCES))
    box, _ = taken(host, tmp_path)
    assert facts(box)["processes"] == ()
    assert any("cannot be looked into" in entry.what for entry in read_snapshot(box).unknown)


def test_that_nobody_holds_a_device_survives(tmp_path: Path) -> None:
    host = TreeHost({path: entry for path, entry in BOX.items() if "/proc/7/" not in path})
    box, _ = taken(host, tmp_path)
    assert facts(box) == facts(host)
    assert [entry for entry in read_snapshot(box).unknown if "holds" in entry.what] == []
    assert box.list("/proc/1") == ["fd"]


def test_an_empty_host_makes_a_capture(tmp_path: Path) -> None:
    box, report = taken(TreeHost({"/sys/x": b""}), tmp_path)
    assert box.list("/sys") == []
    assert report.files == 0


def test_names_that_are_not_utf_8_survive_with_their_notes(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9\\x41")
    host = TreeHost({**BOX, f"{DEVICE}/{odd}": b"x", f"{DEVICE}/{odd}2": Failure(errno.EIO)})
    box, _ = taken(host, tmp_path)
    assert box.read(f"{DEVICE}/{odd}") == b"x"
    assert errno_of(box.read, f"{DEVICE}/{odd}2") == errno.EIO


def test_the_report_says_what_was_done(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "box\x1b[31m.tar"
    report = capture(TreeHost(BOX), str(file), said.append)
    assert report.size == file.stat().st_size
    assert report.unread == 2
    assert "2 could not be read" in report.sentence()
    assert report.sentence().isprintable()
    assert len(said) > 3


def test_nothing_is_read_for_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    def read() -> bytes:
        pytest.fail("it was read")

    host = TreeHost({"/proc/version": read})
    (tmp_path / "x.tar").touch()
    with pytest.raises(FileExistsError):
        capture(host, str(tmp_path / "x.tar"))
    with pytest.raises(FileNotFoundError):
        capture(host, str(tmp_path / "none" / "x.tar"))
    with pytest.raises(ValueError, match=r"\.tar\.xz"):
        capture(host, str(tmp_path / "x.zip"))


def test_a_capture_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(_what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture(TreeHost(BOX), str(tmp_path / "x.tar"), stop)
    assert list(tmp_path.iterdir()) == []


NAMES = st.sampled_from(["a", "uevent", "config", "driver", "device", "\udcff", "x" * 200, "[/b]"])
LEAVES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(["", "/", "a", "../..", "/sys/devices/a", "../devices/../../..", "device"]).map(
        Link
    ),
    st.sampled_from([errno.EIO, errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENODATA]).map(
        Failure
    ),
    st.sampled_from([None, errno.EACCES, errno.EIO]).map(Directory),
)
ROOTS = st.sampled_from(
    [
        "/sys/bus/pci/devices",
        "/sys/bus/pci/drivers/x",
        "/sys/devices/a",
        "/sys/kernel/iommu_groups/1/devices",
        "/sys/class/uacce",
        "/sys/kernel/debug/iommu/intel",
        "/proc/irq/1",
        "/proc/7/fd",
        "/proc/7",
        "/dev",
    ]
)
PATHS = st.tuples(ROOTS, st.lists(NAMES, min_size=1, max_size=3)).map(
    lambda pair: "/".join([pair[0], *pair[1]])
)


@settings(max_examples=60)
@given(st.dictionaries(PATHS, LEAVES, max_size=15))
def test_any_host_can_be_captured_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, entries: Mapping[str, Entry]
) -> None:
    try:
        host = TreeHost({"/sys/x": b"", **entries})
    except ValueError:
        return
    box, _ = taken(host, tmp_path_factory.mktemp("any"), "x.tar")
    again, _ = taken(box, tmp_path_factory.mktemp("again"), "x.tar")
    assert contents(again) == contents(box)
