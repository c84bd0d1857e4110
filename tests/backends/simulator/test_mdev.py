"""Mediated devices and sdmdev queues: sdmdev.md sections 3, 4, 7, 8; kernel-abi 4 and 5."""

from __future__ import annotations

import errno
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator.accelerators.rings import Client, Job
from sdmtop.backends.simulator.accelerators.zip import DEFLATE, ZLIB
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.vfio import Container, Device, Group
from tests.backends.simulator.machines import (
    DRIVERS,
    EDU,
    GROUPS,
    PARENT,
    PCI,
    available,
    begin,
    claim,
    create,
    group_of_mdev,
    guest,
    machine,
    parents,
    refused,
    text,
    uuid,
    write,
)

if TYPE_CHECKING:
    from sdmtop.backends.simulator.host import SimulatorHost

VGPU = "0000:00:02.0"
BUS = "/sys/bus/mdev/devices"


def vgpu() -> SimulatorHost:
    """Two types that take from one pool of four."""
    return machine(
        f'title = "t"\n[[unit]]\nname = "dmar0"\n[[device]]\naddress = "{VGPU}"\nunit = "dmar0"\n'
        'driver = "mtty"\ninstances = 4\n'
        'mdev_type = [{ id = "1", name = "Single port serial" }, { id = "2", costs = 2 }]\n'
    )


def types(parent: str = VGPU) -> str:
    return f"{PCI}/{parent}/mdev_supported_types"


# -- section 3: sysfs ------------------------------------------------------------------------------


def test_a_parent_is_in_the_class_under_its_own_name() -> None:
    host = parents()
    assert sorted(host.list("/sys/class/sdmdev")) == ["0000:75:00.0", "0000:76:00.0"]
    parent = f"/sys/class/sdmdev/{PARENT}/device"
    assert text(host, f"{parent}/params/iommu_type") == "1"
    assert text(host, f"{parent}/vendor") == "0x19e5"


@pytest.mark.parametrize(("bits", "flag"), [(0, "1"), (8, "2")])
def test_dma_flag_follows_the_pasids(bits: int, flag: str) -> None:
    host = parents(pasid_bits=bits)
    assert text(host, f"/sys/class/sdmdev/{PARENT}/device/params/dma_flag") == flag


def test_the_attributes_of_a_type_have_no_newline() -> None:
    host = parents()
    type_ = f"{types(PARENT)}/hisi_zip-zlib"
    assert {
        file: host.read(f"{type_}/{file}")
        for file in ("name", "device_api", "available_instances", "flags")
    } == {"name": b"zlib", "device_api": b"hisi_qm_v1", "available_instances": b"4", "flags": b"0"}


# -- section 7: create and remove ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "garbage",
        "5d3de000-0000-4000-8000-00000000000g",
        "{5d3de000-0000-4000-8000-00000000}",
        "5d3de00000000400080000000000000001aa",
        "\n",
        "5d3de000-0000-4000-8000-0000000000011",
    ],
)
def test_create_wants_a_uuid(name: str) -> None:
    host = vgpu()
    with refused(errno.EINVAL, "is no UUID"):
        write(host, f"{types()}/mtty-1/create", name)
    assert host.list(BUS) == []


def test_a_uuid_exists_once_whatever_the_parent_the_type_and_the_letters() -> None:
    host = vgpu()
    name = "abcdef00-0000-4000-8000-00000000abcd"
    write(host, f"{types()}/mtty-1/create", f"{name.upper()}\n")
    assert host.list(BUS) == [name]
    for type_ in ("mtty-1", "mtty-2"):
        with refused(errno.EEXIST):
            write(host, f"{types()}/{type_}/create", name)


@pytest.mark.parametrize(
    ("host", "number"),
    [
        (parents(queues=1), errno.EUSERS),
        (parents(queues=1, kernel="4.19"), errno.EBUSY),
        (guest("4.19"), errno.ENODEV),
        (guest("6.1"), errno.EUSERS),
        (vgpu(), errno.ENOSPC),
    ],
    ids=["core", "QM", "dummy", "core-6.1", "its own"],
)
def test_no_instance_left(host: SimulatorHost, number: int) -> None:
    parent = next(one for one in (PARENT, EDU, VGPU) if one in host.list(PCI))
    type_ = host.list(types(parent))[0]
    create_ = f"{types(parent)}/{type_}/create"
    made = 0
    while text(host, f"{types(parent)}/{type_}/available_instances") != "0":
        made += 1
        write(host, create_, uuid(made))
    with refused(number, "left"):
        write(host, create_, uuid(99))
    assert len(host.list(BUS)) == made


def test_types_share_one_pool() -> None:
    host = vgpu()

    def left() -> tuple[str, str]:
        one, two = (text(host, f"{types()}/mtty-{n}/available_instances") for n in (1, 2))
        return one, two

    assert left() == ("4", "2")
    write(host, f"{types()}/mtty-1/create", uuid(1))
    assert left() == ("3", "1")
    write(host, f"{types()}/mtty-2/create", uuid(2))
    assert left() == ("1", "0")
    write(host, f"{BUS}/{uuid(2)}/remove", "1")
    assert left() == ("3", "1")


def test_remove_takes_a_number_and_zero_means_no() -> None:
    host = vgpu()
    write(host, f"{types()}/mtty-1/create", uuid(1))
    write(host, f"{BUS}/{uuid(1)}/remove", "0x0")
    with refused(errno.EINVAL):
        write(host, f"{BUS}/{uuid(1)}/remove", "x")
    with refused(errno.EINVAL):
        write(host, f"{BUS}/{uuid(1)}/remove", " 1")
    assert host.list(BUS) == [uuid(1)]
    write(host, f"{BUS}/{uuid(1)}/remove", "1")
    assert host.list(BUS) == []
    with refused(errno.ENOENT):
        write(host, f"{BUS}/{uuid(1)}/remove", "1")


def test_an_ordinary_mdevs_group_is_emulated_and_an_sdmdevs_is_not() -> None:
    host = vgpu()
    write(host, f"{types()}/mtty-1/create", uuid(1))
    group = f"{GROUPS}/{group_of_mdev(host, uuid(1))}"
    assert text(host, f"{group}/name") == "vfio-noiommu"
    assert text(host, f"{group}/type") == "unknown"
    assert text(host, f"{group}/reserved_regions") == ""
    with refused(errno.EINVAL):
        write(host, f"{group}/type", "DMA")
    host = parents()
    group = f"{GROUPS}/{group_of_mdev(host, create(host, 1))}"
    assert "name" not in host.list(group)


def test_a_snapshot_says_whose_domain_an_sdmdev_uses() -> None:
    host = parents()
    create(host, 1)
    snapshot = read_snapshot(host)
    (sdmdev,) = snapshot.sdmdevs
    parent = next(device for device in snapshot.devices if device.address == PARENT)
    assert (sdmdev.kind, sdmdev.domain_of, sdmdev.state) == ("sdmdev", parent.group, "orphan")
    (line,) = (line for line in snapshot.interrupts if line.device == PARENT)
    assert line.shared_by == (uuid(1),)


# -- section 8: lifetimes --------------------------------------------------------------------------


def test_from_create_to_remove_every_step_takes_and_gives() -> None:
    host = parents()
    name = create(host, 1)
    assert available(host) == 3
    container, group = claim(host, group_of_mdev(host, name))
    device = group.device(name)
    assert is_started(host)
    assert text(host, f"{BUS}/{name}/params/pid") == "4242"
    device.close()
    assert not is_started(host)
    group.close()
    container.close()
    write(host, f"{BUS}/{name}/remove", "1")
    assert available(host) == 4


def test_an_mdev_outlives_its_process() -> None:
    host = parents()
    name = create(host, 1)
    _, group = claim(host, group_of_mdev(host, name))
    group.device(name)
    host.close()
    assert host.list(BUS) == [name]
    assert available(host) == 3


@pytest.mark.parametrize("opened", ["group", "device"])
def test_a_held_sdmdev_is_removed_when_its_holder_lets_go(opened: str) -> None:
    host = parents()
    name = create(host, 1)
    container, group = claim(host, group_of_mdev(host, name))
    device = group.device(name) if opened == "device" else None
    number = group_of_mdev(host, name)
    removal = begin(host, f"{BUS}/{name}/remove", "1")
    assert not removal.wait(60)
    with refused(errno.EINPROGRESS):
        removal.result()
    assert host.list(BUS) == []
    assert host.list(f"{PCI}/{PARENT}/{name}") == ["iommu_group"]
    assert host.list("/sys/class/vfio") == [number]
    assert available(host) == 3
    with refused(errno.EEXIST):
        create(host, 1)
    if device is not None:
        device.close()
        assert not removal.wait(0)
    group.close()
    container.close()
    assert removal.wait(0)
    removal.result()
    assert available(host) == 4
    assert host.list("/sys/class/vfio") == []


def test_an_ordinary_mdev_whose_group_alone_is_open_is_removed_at_once() -> None:
    host = vgpu()
    write(host, f"{types()}/mtty-1/create", uuid(1))
    _, group = claim(host, group_of_mdev(host, uuid(1)))
    write(host, f"{BUS}/{uuid(1)}/remove", "1")
    with refused(errno.ENODEV):
        group.status()


def test_the_parents_unbind_waits_for_an_open_queue_and_the_others_survive_until_then() -> None:
    host = parents()
    first, second = create(host, 1), create(host, 2)
    _, group = claim(host, group_of_mdev(host, first))
    device = group.device(first)
    type_ = f"{types(PARENT)}/hisi_zip-zlib"
    unbind = begin(host, f"{DRIVERS}/hisi_zip/unbind", PARENT)
    assert not unbind.wait(10)
    assert host.list(BUS) == [second]
    with refused(errno.ENOENT):
        write(host, f"{BUS}/{first}/remove", "1")
    assert text(host, f"{PCI}/{PARENT}/driver_override") == "(null)"
    assert text(host, f"{type_}/available_instances") == "2"
    with refused(errno.ENODEV, "being unregistered"):
        write(host, f"{type_}/create", uuid(3))
    assert PARENT not in host.list("/sys/class/sdmdev")
    assert "DRIVER=hisi_zip" in text(host, f"{PCI}/{PARENT}/uevent")
    device.close()
    group.close()
    assert unbind.wait(0)
    unbind.result()
    assert host.list(BUS) == []
    assert "mdev_supported_types" not in host.list(f"{PCI}/{PARENT}")
    write(host, f"{DRIVERS}/hisi_zip/bind", PARENT)
    assert available(host) == 4


# -- sections 4 and 7: the commands of a queue -----------------------------------------------------


def is_started(host: SimulatorHost, queue: int = 0) -> bool:
    parent = host.kernel.sdmdevs[PARENT].sdmdev
    assert parent is not None
    return queue in parent.queues and parent.queues[queue].is_started


def open_queue(host: SimulatorHost, number: int = 1) -> tuple[Container, Device]:
    name = create(host, number)
    container, group = claim(host, group_of_mdev(host, name))
    return container, group.device(name)


def test_bind_pasid_is_for_the_callers_own() -> None:
    host = parents(pasid_bits=8)
    _, device = open_queue(host)
    assert not is_started(host)
    for pasid in (0, 2, 1 << 20):
        with refused(errno.EINVAL, "belongs to nobody"):
            device.bind_pasid(pasid)
    other = host.kernel.processes.get(1)
    assert other is not None
    theirs = host.kernel.pasids.allocate(other, 8)
    with refused(errno.EINVAL, r"is init \(pid 1\)'s"):
        device.bind_pasid(theirs)
    device.bind_pasid(1)
    assert is_started(host)
    assert text(host, f"{BUS}/{uuid(1)}/params/pasid") == "1"


def test_a_snapshot_joins_a_pasid_to_its_process() -> None:
    host = parents(pasid_bits=8)
    _, device = open_queue(host)
    device.bind_pasid(1)
    snapshot = read_snapshot(host)
    assert [(one.pasid, one.device, one.process) for one in snapshot.pasids] == [(1, PARENT, 4242)]


def test_wait_without_mask_notify_is_enodev() -> None:
    host = parents(quirks='"rfc-v2"')
    _, device = open_queue(host)
    with refused(errno.ENODEV, "mask_notify"):
        device.wait(1)


def test_wait_ends_without_news_when_its_time_is_over() -> None:
    host = parents()
    _, device = open_queue(host)
    before = host.now()
    assert device.wait(250) == 0
    assert host.now() == pytest.approx(before + 0.25)


def test_wait_for_ever_for_nothing_is_found_out_where_time_stands_still() -> None:
    host = parents()
    _, device = open_queue(host)
    with refused(errno.EDEADLK):
        device.wait(0)


def test_an_unknown_command_is_einval() -> None:
    host = parents()
    _, device = open_queue(host)
    with refused(errno.EINVAL):
        device.handle.ioctl(0x5703)


def test_regions_are_a_doorbell_and_rings() -> None:
    host = parents()
    _, device = open_queue(host)
    assert len(device.handle.map(0, 4096).view) == 4096
    rings = device.region(1).size
    assert len(device.handle.map(4096, rings).view) == rings
    for offset, size in ((8192, 4096), (0, 8192), (4096, rings + 4096), (100, 100)):
        with refused(errno.EINVAL):
            device.handle.map(offset, size)


def test_the_doorbell_is_a_queues_own_and_in_the_posted_series_common() -> None:
    for host, common in ((parents(), False), (parents(quirks='"rfc-v2"'), True)):
        _, first = open_queue(host, 1)
        _, second = open_queue(host, 2)
        page, other = first.handle.map(0, 4096).view, second.handle.map(0, 4096).view
        page[4000:4004] = b"ring"
        assert (bytes(other[4000:4004]) == b"ring") is common


def test_a_job_is_done_in_the_shared_domain_and_wakes_on_the_parents_interrupt() -> None:
    host = parents()
    container, device = open_queue(host)
    client = Client(
        device.handle.map(0, 4096).view, device.handle.map(4096, device.region(1).size).view
    )
    memory = host.memory(8192)
    container.map(memory, 0x10_0000)
    memory.view[:4096] = b"sdm!" * 1024
    client.submit(Job(DEFLATE, ZLIB, 0x10_0000, 0x10_1000, 4096, 4096, tag=7))
    client.ring()
    before = text(host, "/proc/stat").split("intr ")[1].split()[0]
    assert device.wait(1000) == 1
    (completion,) = client.completions()
    assert (completion.status, completion.tag) == (0, 7)
    result = memory.view[4096 : 4096 + completion.produced]
    assert zlib.decompress(result) == b"sdm!" * 1024
    after = text(host, "/proc/stat").split("intr ")[1].split()[0]
    assert int(after) == int(before) + 1


def test_one_interrupt_wakes_each_queue_that_has_news_and_no_other() -> None:
    host = guest()
    queues = []
    for number in (1, 2):
        name = create(host, number, EDU)
        _, group = claim(host, group_of_mdev(host, name))
        queues.append(group.device(name))
    busy, idle = queues
    busy.handle.write_at(0, struct.pack("<I", 9))
    assert busy.wait(100) == 1
    assert struct.unpack("<I", busy.handle.read_at(4, 4)) == (362_880,)
    assert idle.wait(10) == 0


def test_the_error_of_start_queue_is_told_and_in_the_posted_series_swallowed() -> None:
    for host, swallowed in ((parents(), False), (parents(quirks='"rfc-v2"'), True)):
        name = create(host, 1)
        parent = host.kernel.sdmdevs[PARENT]
        parent.accelerator().queue(0).start(None)
        _, group = claim(host, group_of_mdev(host, name))
        if swallowed:
            group.device(name)
            continue
        with refused(errno.EINVAL, "has been started"):
            group.device(name)


def test_a_queue_without_hardware_interrupt_is_not_woken() -> None:
    host = parents()
    _, device = open_queue(host)
    (line,) = host.kernel.sdmdevs[PARENT].lines
    line.lost = 1
    memory = device.handle.map(4096, device.region(1).size).view
    client = Client(device.handle.map(0, 4096).view, memory)
    client.submit(Job(DEFLATE, ZLIB, 0, 0, 1, 1))
    client.ring()
    assert device.wait(100) == 0
    assert client.completions()


def test_groups_of_removed_mdevs_are_used_again() -> None:
    host = parents()
    first = group_of_mdev(host, create(host, 1))
    write(host, f"{BUS}/{uuid(1)}/remove", "1")
    assert group_of_mdev(host, create(host, 2)) == first
    Group.open(host, f"/dev/vfio/{first}")
