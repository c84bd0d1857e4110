"""The simulator as a host: URLs, time, files, and a first job on a device."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import ScenarioError
from sdmtop.errors import UsageError
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.vfio import MSI
from tests.backends.simulator.machines import (
    EDU,
    PCI,
    driver_of,
    guest,
    hold,
    refused,
    text,
    to_vfio,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

SCENARIOS = ["broken", "default", "edu", "empty", "idxd", "no-pasid", "uacce", "vgpu"]


def snapshot_of(url: str) -> bytes:
    return msgspec.json.encode(read_snapshot(open_host(url)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_moment_of_the_same_scenario_is_the_same_byte_for_byte(name: str) -> None:
    url = f"sim:{name}?seed=7&at=30"
    assert snapshot_of(url) == snapshot_of(url)


def test_sim_alone_is_the_default_scenario_at_its_beginning() -> None:
    host = open_host("sim:")
    assert (host.url, host.backend) == ("sim:", "simulator")
    assert host.read("/proc/sys/kernel/hostname") == b"d06\n"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sim:nothing", "there are .*default"),
        ("sim:default?when=3", "no such option"),
        ("sim:default?at=soon", "no number"),
        ("sim:default?at=-1", "no number"),
        ("sim:default?seed=x", "no seed"),
    ],
)
def test_a_url_that_makes_no_sense_is_a_mistake_in_a_sentence(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_host(url)


def test_time_stands_still_until_it_is_stepped_or_slept() -> None:
    host = guest()
    assert host.now() == 0
    host.step(2.5)
    host.sleep(0.5)
    assert host.now() == 3.0


def test_time_that_runs_is_as_fast_as_it_was_asked_to_be() -> None:
    host = guest()
    host.run(1000)
    host.sleep(5)
    assert host.now() >= 5
    host.run(0)
    stopped = host.now()
    assert host.now() == stopped


def test_a_waiting_thread_does_not_keep_others_out() -> None:
    host = guest()
    host.run(1)
    signal = host.signal()
    waiting = threading.Thread(target=signal.wait, args=(0.3,))
    waiting.start()
    assert host.read("/proc/sys/kernel/hostname") == b"guest\n"
    assert waiting.is_alive()
    waiting.join()


def test_paths_fail_as_in_the_kernel() -> None:
    host = guest()
    for path, number in {
        "/sys/nothing": errno.ENOENT,
        "/sys/bus/pci": errno.EISDIR,
        f"{PCI}/{EDU}/vendor/x": errno.ENOTDIR,
        f"{PCI}/{EDU}/remove": errno.EACCES,
        f"{PCI}/{EDU}/sriov_numvfs": errno.EPERM,
        "/dev/vfio/vfio": errno.ENXIO,
    }.items():
        with refused(number):
            host.read(path)
    with refused(errno.EACCES):
        write(host, f"{PCI}/{EDU}/vendor", "1")
    with refused(errno.EINVAL):
        host.readlink(f"{PCI}/{EDU}/vendor")


def test_links_lead_where_sysfs_says_that_they_lead() -> None:
    host = guest()
    for directory in (f"{PCI}/{EDU}", "/sys/class/iommu/dmar0", "/sys/class/sdmdev/0000:01:00.0"):
        links = 0
        for name in host.list(directory):
            try:
                host.readlink(f"{directory}/{name}")
            except OSError:
                continue
            links += 1
            assert host.mode(f"{directory}/{name}/.") & 0o040000
        assert links


def test_edu_computes_and_interrupts_through_vfio() -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    bar = device.region(0)
    assert bar.size == 1 << 20

    def register(offset: int) -> int:
        return int.from_bytes(device.handle.read_at(bar.offset + offset, 4), "little")

    assert register(0) == 0x0100_00ED
    device.handle.write_at(bar.offset + 4, struct.pack("<I", 0x1234_5678))
    assert register(4) == 0xEDCB_A987
    signal = host.signal()
    device.signal_irqs(MSI, [signal])
    device.handle.write_at(bar.offset + 0x20, struct.pack("<I", 0x80))
    device.handle.write_at(bar.offset + 8, struct.pack("<I", 12))
    assert signal.wait(1) == 1
    assert register(8) == 479_001_600


def test_a_mapped_bar_follows_at_the_next_call() -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    bar = device.handle.map(device.region(0).offset, 1 << 20)
    words = bar.view.cast("I")
    words[1] = 0x1234_5678
    host.sleep(0)
    assert (words[0], words[1]) == (0x0100_00ED, 0xEDCB_A987)


def test_dma_goes_both_ways_and_outside_of_the_mapping_it_faults() -> None:
    host = guest()
    container, _, device = hold(host, EDU)
    memory = host.memory(8192)
    container.map(memory, 0x10_0000)
    memory.view[:8] = b"a DMA of"
    bar = device.region(0).offset

    def transfer(source: int, target: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, target), (0x90, 8), (0x98, command)):
            device.handle.write_at(bar + offset, struct.pack("<Q", value))
        host.sleep(0.2)

    transfer(0x10_0000, 0x4_0000, 1)
    transfer(0x4_0000, 0x10_1000, 3)
    assert bytes(memory.view[4096:4104]) == b"a DMA of"
    transfer(0x90_0000, 0x4_0000, 1)
    assert (
        b"DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x900000 "
        b"[fault reason 0x06] PTE Read access is not set"
    ) in host.kernel_log()[-1]


def test_uevents_tell_what_a_kernel_tells() -> None:
    host = guest()
    events = host.events()
    assert events is not None
    to_vfio(host, EDU)
    told = [(event.action, event.subsystem) for event in events.drain()]
    assert told == [
        ("change", "pci"),
        ("unbind", "pci"),
        ("add", "vfio"),
        ("add", "vfio-dev"),
        ("bind", "pci"),
    ]
    assert events.drain() == []
    events.close()


def test_closing_gives_back_all_that_was_held() -> None:
    host = guest()
    _, group, _ = hold(host, EDU)
    number = text(host, f"/sys/bus/pci/devices/{EDU}/iommu_group/type")
    host.close()
    assert number == "DMA"
    assert SimulatorHost is type(host)
    with refused(errno.EBADF):
        group.status()
    assert driver_of(host, EDU) == "vfio-pci"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'title = "a"\ncpus = 0\n', r":2: cpus: expected int >= 1"),
        (b'title = "a"\r\ncpus = 0\r\n', r":2: cpus: expected int >= 1"),
        (b'title = "a"\n\n\xff', r":3: it is no text in UTF-8"),
        pytest.param(b"#" * ((1 << 24) + 1), r": a scenario has 16 MiB at most", id="large"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_with_its_line(
    data: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(data)
    with pytest.raises(ScenarioError, match=f"^{file}{message}"):
        open_host(f"sim:{file}")


def test_a_pipe_is_no_scenario(tmp_path: Path) -> None:
    pipe = tmp_path / "mine.toml"
    os.mkfifo(pipe)
    with pytest.raises(ScenarioError, match="it is no file of text"):
        open_host(f"sim:{pipe}")


def test_a_file_of_ones_own_is_a_scenario(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\nhostname = "mine"\n')
    assert open_host(f"sim:{file}").read("/proc/sys/kernel/hostname") == b"mine\n"
