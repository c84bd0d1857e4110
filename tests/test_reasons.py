"""Why a key is dimmed: the sentence, told from the snapshot alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sdmtop.model import MdevType, Process, Snapshot, Sriov, Unknown
from sdmtop.reasons import (
    not_attached,
    not_to_attach,
    not_to_attach_to,
    not_to_create,
    not_to_detach,
    not_to_make_vfs,
    not_to_remove,
    not_to_reset,
    not_to_set_domain_type,
    not_to_steer,
)
from tests.records import device, group, interrupt, queue, snapshot

KERNEL, VFIO, BARE = "0000:00:01.0", "0000:00:02.0", "0000:00:03.0"
FREE, HELD, UACCE = "5d3de000-0000-4000-8000-000000000001", "held", "hisi_zip-0"


def types(left: int | None) -> MdevType:
    return MdevType(parent=KERNEL, id="zip", name=None, device_api=None,
                    available_instances=left, flags=None, instances=())  # fmt: skip


@pytest.fixture
def host() -> Snapshot:
    return snapshot(
        groups=[group(1, KERNEL), group(2, VFIO, viable=True), group(3, BARE, viable=True)],
        devices=[
            device(KERNEL, driver="hisi_zip", group=1),
            device(VFIO, driver="vfio-pci", group=2),
            device(BARE, group=3),
            device("0000:00:1c.0", class_="0x060400", group=4),
        ],
        sdmdevs=[queue(FREE), queue(HELD, holders=(7,)), queue(UACCE, kind="uacce", group=None)],
        processes=[Process(pid=7, name="qemu", user="root", holds=("/dev/vfio/21",))],
        mdev_types=(types(1),),
    )


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (KERNEL, None),
        (BARE, None),
        (VFIO, f"{VFIO} is attached already"),
        ("group/2", "group/2 is attached already"),
        ("group/1", None),
        ("group/4", "group/4 has nothing but bridges, which do not stand in VFIO's way"),
        ("0000:00:1c.0", "0000:00:1c.0 is a bridge"),
        ("group/99", "group/99 is no device, group or queue"),
        (UACCE, None),
        (HELD, "qemu 7 holds it"),
    ],
)
def test_to_attach(host: Snapshot, target: str, reason: str | None) -> None:
    assert not_to_attach(host, target) == reason


def test_what_is_attached_in_a_group_that_is_not_viable_can_be_attached_whole(
    host: Snapshot,
) -> None:
    groups = tuple(replace(one, viable=False) for one in host.groups)
    assert not_to_attach(replace(host, groups=groups), VFIO) is None


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (VFIO, None),
        (BARE, f"{BARE} has no driver"),
        (HELD, "process 7 holds it until it lets go"),
        (FREE, f"{FREE} is held by nobody"),
        ("nothing", "nothing is no device, group or queue"),
    ],
)
def test_to_detach(host: Snapshot, target: str, reason: str | None) -> None:
    assert not_to_detach(host, target) == reason


def test_a_queue_is_detached_by_who_holds_it_or_where_that_cannot_be_told(host: Snapshot) -> None:
    assert not_to_detach(host, HELD, kept=(HELD,)) is None
    untold = tuple(replace(one, holders=None) for one in host.sdmdevs)
    assert not_to_detach(replace(host, sdmdevs=untold), HELD) is None


@pytest.mark.parametrize(
    ("target", "fields", "certain"),
    [
        (KERNEL, {}, True),
        ("group/1", {}, True),
        (VFIO, {}, False),
        ("group/2", {}, False),
        (UACCE, {}, False),
        (KERNEL, {"driver": "igb_uio"}, False),
        (KERNEL, {"driver": "uio_hv_generic"}, False),
        (KERNEL, {"driver": "pci-stub"}, False),
        (KERNEL, {"driver_override": "hisi_zip"}, False),
    ],
)
def test_what_is_certainly_not_attached(
    host: Snapshot, target: str, fields: dict[str, str], certain: bool
) -> None:
    first, *others = host.devices
    host = replace(host, devices=(replace(first, **fields), *others))
    assert not_attached(host, target, ()) == (f"{target} is not attached" if certain else None)


def test_what_the_journal_has_or_what_is_unread_may_be_attached(host: Snapshot) -> None:
    assert not_attached(host, KERNEL, {KERNEL}) is None
    assert not_attached(host, "group/1", {KERNEL}) is None
    path = f"{host.devices[0].path}/driver_override"
    unread = replace(host, unknown=(Unknown(path=path, errno="EACCES", what="override"),))
    assert not_attached(unread, KERNEL, ()) is None


@pytest.mark.parametrize("target", [BARE, "group/3"])
def test_an_unbind_under_way_stands_against_both(host: Snapshot, target: str) -> None:
    path = f"/sys/devices/pci0000:00/{BARE}/driver"
    qemu = Process(pid=7, name="qemu", user="root", holds=("/dev/vfio/3",))
    waits = Unknown(path=path, errno="EBUSY", what="driver: an unbind waits")
    stuck = replace(host, processes=(qemu,), unknown=(waits,))
    reason = f"{BARE}: an unbind of it is under way, held by qemu 7"
    assert not_to_attach(stuck, target) == not_to_detach(stuck, target) == reason
    assert not_to_attach_to(stuck, target) == reason
    devices = tuple(replace(one, sriov=Sriov(total=4, vfs=0)) for one in stuck.devices)
    stuck = replace(stuck, devices=devices)
    assert not_to_reset(stuck, BARE) == not_to_make_vfs(stuck, BARE) == reason


def test_to_attach_to_a_driver(host: Snapshot) -> None:
    assert not_to_attach_to(host, VFIO) is None
    assert not_to_attach_to(host, "group/1") is None
    assert not_to_attach_to(host, UACCE) == f"{UACCE} is a queue: it is opened, and gets no driver"
    assert not_to_attach_to(host, "nothing") == "nothing is no device or group"
    assert not_to_attach_to(host, "0000:00:1c.0") == "0000:00:1c.0 is a bridge"
    assert not_to_attach_to(host, "group/4") == not_to_attach(host, "group/4")


def test_to_make_vfs(host: Snapshot) -> None:
    assert not_to_make_vfs(host, VFIO) == f"{VFIO} is no physical function with SR-IOV"
    assert not_to_make_vfs(host, "group/1") == "group/1 is no physical function with SR-IOV"
    function = replace(host, devices=(device(VFIO, sriov=Sriov(total=4, vfs=0)),))
    assert not_to_make_vfs(function, VFIO) is None


def test_to_reset(host: Snapshot) -> None:
    assert not_to_reset(host, KERNEL) is None
    assert not_to_reset(host, "group/1") == "group/1 is no PCI device"
    platform = replace(host, devices=(device("serial", bus="platform"),))
    assert not_to_reset(platform, "serial") == "serial is no PCI device"


def test_to_steer(host: Snapshot) -> None:
    assert not_to_steer(host, KERNEL) == f"{KERNEL} has no interrupts"
    busy = replace(host, interrupts=(interrupt("24", device=KERNEL),))
    assert not_to_steer(busy, KERNEL) is None
    assert not_to_steer(busy, "irq/24") is None
    assert not_to_steer(busy, "irq/25") == "irq/25 is no interrupt that could come to other CPUs"


def test_to_set_a_domain_type(host: Snapshot) -> None:
    assert not_to_set_domain_type(host, KERNEL) is None
    assert not_to_set_domain_type(host, "group/1") is None
    assert not_to_set_domain_type(host, UACCE) == f"{UACCE} is no group, and no device of one"


def test_to_create(host: Snapshot) -> None:
    assert not_to_create(host, KERNEL) is None
    assert not_to_create(host, VFIO) == f"{VFIO} offers no type of mediated device"
    used_up = replace(host, mdev_types=(types(0),))
    assert not_to_create(used_up, KERNEL) == f"{KERNEL} has no instance left"
    untold = replace(host, mdev_types=(types(None),))
    assert not_to_create(untold, KERNEL) is None


def test_to_remove(host: Snapshot) -> None:
    assert not_to_remove(host, HELD) == "qemu 7 holds it"
    assert not_to_remove(host, UACCE) == f"{UACCE} is no mediated device"
    assert not_to_remove(host, VFIO) == f"{VFIO} is no mediated device"
