"""The running kernel is changed by child processes, handles and memory."""

import errno
import os
import signal
from pathlib import Path

import pytest

from sdmtop.backends.doing import EventFd, Modprobe, begin_write, memory, open_node
from sdmtop.backends.linux import LinuxHost
from sdmtop.backends.tree import TreeHost


def test_a_write_arrives_whole(tmp_path: Path) -> None:
    file = tmp_path / "bind"
    file.touch()
    write = begin_write(str(file), b"0000:01:00.0\n\x00\xff")
    assert write.wait(20)
    write.result()
    assert file.read_bytes() == b"0000:01:00.0\n\x00\xff"


def test_a_write_creates_no_file(tmp_path: Path) -> None:
    write = begin_write(str(tmp_path / "none"), b"1")
    assert write.wait(20)
    with pytest.raises(FileNotFoundError) as caught:
        write.result()
    assert caught.value.filename == str(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_the_errno_of_the_kernel_comes_through() -> None:
    write = begin_write("/proc/self/oom_score_adj", b"word")
    assert write.wait(20)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        write.result()
    assert caught.value.errno == errno.EINVAL


def test_a_write_that_does_not_return_is_left_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    write = begin_write(str(fifo), b"late")
    assert not write.wait(0.05)
    with pytest.raises(OSError, match="progress") as caught:
        write.result()
    assert caught.value.errno == errno.EINPROGRESS
    assert fifo.read_bytes() == b"late"
    assert write.wait(20)
    write.result()


def test_the_child_is_out_of_reach_of_the_terminal(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    write = begin_write(str(fifo), b"x")
    assert write.pid is not None
    assert os.getsid(write.pid) == write.pid != os.getsid(0)
    assert fifo.read_bytes() == b"x"
    assert write.wait(20)


def test_a_child_that_somebody_killed_has_not_written(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    write = begin_write(str(fifo), b"x")
    assert write.pid is not None
    os.kill(write.pid, signal.SIGKILL)
    assert write.wait(20)
    with pytest.raises(InterruptedError):
        write.result()


def test_a_module_that_cannot_be_loaded_is_an_error() -> None:
    load = Modprobe("no-such-module", ["false"])
    assert load.wait(20)
    with pytest.raises(FileNotFoundError):
        load.result()


def test_memory_is_zeroed_and_has_an_address() -> None:
    pages = memory(8192)
    assert bytes(pages.view) == bytes(8192)
    assert pages.address % 4096 == 0
    pages.view[:4] = b"abcd"
    with open("/proc/self/mem", "rb") as own:
        own.seek(pages.address)
        assert own.read(4) == b"abcd"
    pages.close()


def test_a_node_is_read_written_and_closed() -> None:
    node = open_node("/dev/zero")
    assert node.read_at(0, 3) == bytes(3)
    assert node.write_at(0, b"abc") == 3
    node.close()
    node.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        node.read_at(0, 1)


def test_a_signal_counts_until_it_is_taken() -> None:
    event = EventFd()
    assert event.wait(0) == 0
    os.eventfd_write(event.number, 2)
    os.eventfd_write(event.number, 3)
    assert event.wait(1) == 5
    assert event.wait(0) == 0
    event.close()


def test_another_root_and_a_capture_refuse_to_be_changed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for host in (LinuxHost(str(tmp_path)), TreeHost({"/file": ""})):
        assert "only read" in (host.refusal() or "")
        with pytest.raises(OSError, match="only read") as caught:
            host.write("/file", b"1")
        assert caught.value.errno == errno.EROFS
        with pytest.raises(OSError, match="only read"):
            host.open("/file")
        with pytest.raises(OSError, match="only read"):
            host.load_module("vfio-pci")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_host_that_was_disarmed_is_not_changed(tmp_path: Path) -> None:
    host = LinuxHost()
    host.disarmed = "not today"
    assert host.refusal() == "not today"
    with pytest.raises(OSError, match="not today") as caught:
        host.write(str(tmp_path / "file"), b"1")
    assert caught.value.errno == errno.EROFS
    assert not (tmp_path / "file").exists()
