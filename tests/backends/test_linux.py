import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.limits import SIDE_EFFECTS
from sdmtop.backends.linux import LinuxHost
from tests.descriptors import open_files
from tests.hosts import errno_of


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device's directory, `/sys/dev` of the host."""
    made = tmp_path / "sys" / "dev"
    made.mkdir(parents=True)
    (made / "vendor").write_bytes(b"0x8086\n")
    (made / "driver").symlink_to("../bus/pci/drivers/nvme")
    return made


@pytest.fixture
def host(tmp_path: Path, device: Path) -> LinuxHost:
    assert device.is_dir()
    return LinuxHost(str(tmp_path))


def descriptors_below(root: Path) -> int:
    """How many descriptors of this process are open on something below the root."""
    return sum(count for file, count in open_files().items() if file.startswith(str(root)))


def test_files_links_and_directories_are_read_below_the_root(host: LinuxHost) -> None:
    assert host.read("/sys/dev/vendor") == b"0x8086\n"
    assert host.read("/sys/dev/vendor", 2) == b"0x"
    assert host.read_at("/sys/dev/vendor", 2, 2) == b"80"
    assert host.readlink("/sys/dev/driver") == "../bus/pci/drivers/nvme"
    assert sorted(host.list("/sys/dev")) == ["driver", "vendor"]
    assert stat.S_ISLNK(host.mode("/sys/dev/driver"))


def test_errors_carry_the_errno(host: LinuxHost, device: Path) -> None:
    (device / "loop").symlink_to("loop")
    assert errno_of(host.read, "/sys/none") == errno.ENOENT
    assert errno_of(host.read, "/sys/dev/vendor/x") == errno.ENOTDIR
    assert errno_of(host.read, "/sys/dev") == errno.EISDIR
    assert errno_of(host.read, "/sys/dev/loop") == errno.ELOOP
    assert errno_of(host.readlink, "/sys/dev/vendor") == errno.EINVAL
    assert errno_of(host.list, "/sys/dev/vendor") == errno.ENOTDIR
    assert errno_of(host.mode, "/sys/none") == errno.ENOENT
    assert errno_of(host.device_number, "/dev/none") == errno.ENOENT


def test_a_file_of_more_than_a_page_is_read_to_its_end_or_the_limit(
    host: LinuxHost, device: Path
) -> None:
    text = bytes(range(251)) * 10_000
    (device / "long").write_bytes(text)
    assert host.read("/sys/dev/long") == text[: 64 * 1024]
    for limit in (65_537, 1_114_112, 1_114_113, len(text) - 1, len(text), 1 << 26):
        assert host.read("/sys/dev/long", limit) == text[:limit]


def test_a_buffer_grows_with_what_is_read_into_it_and_is_used_again(
    host: LinuxHost, device: Path
) -> None:
    buffer = bytearray()
    for size in (100_000, 3, 4096, 0, 100_001, 9):
        text = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
        (device / "long").write_bytes(text)
        assert host.read_into("/sys/dev/long", buffer, 1 << 26) == size
        assert buffer[:size] == text
        assert host.read_into("/sys/dev/long", buffer, 5000) == min(size, 5000)
    assert len(buffer) < 2 * 100_001
    assert errno_of(host.read_into, "/sys/dev/none", buffer, 10) == errno.ENOENT
    assert descriptors_below(device.parent) == 0


def test_look_keeps_errors_in_their_place(host: LinuxHost) -> None:
    missing, vendor, driver, no_link = host.look(
        "/sys/dev", ("missing", "vendor"), ("driver", "vendor")
    )
    assert isinstance(missing, FileNotFoundError)
    assert vendor == b"0x8086\n"
    assert driver == b"../bus/pci/drivers/nvme"
    assert isinstance(no_link, OSError)
    assert no_link.errno == errno.EINVAL


def test_look_fails_as_a_whole_only_without_its_directory(host: LinuxHost) -> None:
    assert errno_of(host.look, "/sys/none", ("a",)) == errno.ENOENT
    assert errno_of(host.look, "/sys/dev/vendor", ("a",)) == errno.ENOTDIR


def test_reading_leaves_no_descriptor_open(host: LinuxHost, device: Path) -> None:
    host.look("/sys/dev", ("vendor", "missing"), ("driver", "missing"))
    host.read("/sys/dev/vendor")
    host.read_at("/sys/dev/vendor", 0, 1)
    host.list("/sys/dev")
    assert descriptors_below(device.parent) == 0


def test_kept_files_report_only_what_has_changed(host: LinuxHost, device: Path) -> None:
    kept = host.keep(["/sys/dev/vendor", "/sys/dev/late"])
    first = kept.changed()
    assert first[0] == (0, b"0x8086\n")
    assert isinstance(first[1][1], FileNotFoundError)
    assert kept.changed() == []
    (device / "late").write_bytes(b"here")
    assert kept.changed() == [(1, b"here")]
    (device / "vendor").write_bytes(b"0x1234\n")
    assert kept.changed([1]) == []
    assert kept.changed([0]) == [(0, b"0x1234\n")]
    kept.close()


def test_a_kept_file_that_grows_is_read_to_its_end_or_the_limit(
    host: LinuxHost, device: Path
) -> None:
    kept = host.keep(["/sys/dev/vendor", "/sys/dev/vendor"])
    kept.changed()
    for size in (255, 256, 257, 5000, 7):
        (device / "vendor").write_bytes(b"x" * size)
        text = b"x" * min(size, 4096)
        assert kept.changed() == [(0, text), (1, text)]
    kept.close()


def test_a_kept_file_that_is_gone_says_so_once(host: LinuxHost, device: Path) -> None:
    kept = host.keep(["/sys/dev/sub/count"])
    (device / "sub").mkdir()
    (device / "sub" / "count").write_bytes(b"1")
    assert kept.changed() == [(0, b"1")]
    kept.close()
    (device / "sub" / "count").unlink()
    ((_, error),) = kept.changed()
    assert isinstance(error, FileNotFoundError)
    assert kept.changed() == []


def test_kept_files_are_given_back(host: LinuxHost, device: Path) -> None:
    kept = host.keep(["/sys/dev/vendor"] * 10)
    kept.changed()
    assert descriptors_below(device) == 10
    kept.close()
    assert descriptors_below(device) == 0


def test_a_pipe_in_a_foreign_root_does_not_hang(host: LinuxHost, device: Path) -> None:
    os.mkfifo(device / "pipe")
    done = threading.Event()

    def read_all() -> None:
        assert host.read("/sys/dev/pipe") == b""
        assert host.look("/sys/dev", ("pipe",)) == [b""]
        errno_of(host.read_at, "/sys/dev/pipe", 0, 8)
        host.keep(["/sys/dev/pipe"]).changed()
        done.set()

    threading.Thread(target=read_all, daemon=True).start()
    assert done.wait(5)


@pytest.mark.parametrize("name", sorted(SIDE_EFFECTS))
def test_what_has_side_effects_is_never_opened(host: LinuxHost, device: Path, name: str) -> None:
    (device / name).write_bytes(b"x")
    path = f"/sys/dev/{name}"
    assert errno_of(host.read, path) == errno.EPERM
    assert errno_of(host.read_into, path, bytearray(), 1) == errno.EPERM
    assert errno_of(host.read_at, path, 0, 1) == errno.EPERM
    assert errno_of(host.look, "/sys/dev", (name,)) == errno.EPERM
    assert errno_of(host.keep, [path]) == errno.EPERM


def test_names_that_are_not_utf_8_survive(host: LinuxHost, device: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (device / name).write_bytes(b"x")
    (device / "link").symlink_to(name)
    assert name in host.list("/sys/dev")
    assert host.read(f"/sys/dev/{name}") == b"x"
    assert host.readlink("/sys/dev/link") == name
    assert host.look("/sys/dev", (name,), ("link",)) == [b"x", b"caf\xe9"]


def test_a_path_that_hangs_is_refused_until_it_is_let_go(host: LinuxHost) -> None:
    host.avoid = frozenset({"/sys/dev/vendor"})
    assert errno_of(host.read, "/sys/dev/vendor") == errno.ETIMEDOUT
    (hung,) = host.look("/sys/dev", ("vendor",))
    assert isinstance(hung, TimeoutError)
    host.avoid = frozenset()
    assert host.read("/sys/dev/vendor") == b"0x8086\n"


def test_the_read_under_way_is_named(host: LinuxHost) -> None:
    host.look("/sys/dev", ("vendor",))
    assert host.reading == "/sys/dev/vendor"
    host.list("/sys")
    assert host.reading == "/sys"


def test_the_number_of_a_node_is_told_through_a_descriptor() -> None:
    host = LinuxHost()
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        path = f"/proc/{os.getpid()}/fd/{fd}"
        assert host.device_number(path) == os.makedev(1, 3) == host.device_number("/dev/null")
    finally:
        os.close(fd)


def test_the_log_of_a_foreign_root_is_read_and_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kmsg").write_bytes(b"6,1,0,-;hello\n")
    assert LinuxHost(str(tmp_path)).kernel_log() == [b"6,1,0,-;hello\n"]


def test_a_root_without_sys_is_no_host(tmp_path: Path) -> None:
    assert errno_of(open_host, f"linux:{tmp_path}") == errno.ENOENT
    (tmp_path / "sys").mkdir()
    host = open_host(f"linux:{tmp_path}/")
    assert (host.url, host.backend) == (f"linux:{tmp_path}", "linux")
    assert host.events() is None
