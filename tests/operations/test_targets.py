"""What a person may call a device or a queue by."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.errors import NothingToDoError, UsageError
from sdmtop.operations.targets import find_device, meant
from tests.records import device, group, queue, snapshot

if TYPE_CHECKING:
    from sdmtop.backends.tree import Entry

NIC = "0000:02:00.0"
USB = "0000:00:14.0"
CARD = "0000:04:00.0"
ONE = "5d3de000-0000-4000-8000-000000000001"
TWO = "5d3de000-0000-4000-8000-000000000002"
OTHER = "0badc0de-0000-4000-8000-000000000001"

SNAPSHOT = snapshot(
    groups=[group(2, NIC)],
    devices=[device(NIC, group=2), device(USB), device(CARD)],
    sdmdevs=[queue(ONE), queue(TWO), queue(OTHER), queue("hisi_zip-0", kind="uacce")],
)


def place(address: str) -> str:
    return next(one.path for one in SNAPSHOT.devices if one.address == address)


def interface(path: str) -> Link:
    return Link(f"../..{path.removeprefix('/sys')}")


def host(**more: Entry) -> TreeHost:
    return TreeHost(
        {
            "/sys/class/net/eth0": interface(f"{place(NIC)}/net/eth0"),
            "/sys/class/net/eth1": interface(f"{place(CARD)}/virtio4/net/eth1"),
            "/sys/class/net/usb0": interface(f"{place(USB)}/usb1/1-2/1-2:1.0/net/usb0"),
            "/sys/class/net/bond0": interface("/sys/devices/virtual/net/bond0"),
            "/sys/class/net/vmbus0": interface("/sys/devices/LNXSYSTM:00/vmbus_1/net/vmbus0"),
            "/sys/class/net/bonding_masters": "bond0\n",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (NIC, NIC),
        ("02:00.0", NIC),
        ("group/2", "group/2"),
        ("irq/24", "irq/24"),
        ("eth0", NIC),
        ("eth1", CARD),  # Of virtio, the device that VFIO can have.
        (ONE.upper(), ONE),
        ("0BADC0DE", OTHER),
        ("0badc0de-0000", OTHER),
        ("hisi_zip-0", "hisi_zip-0"),
        # What means nothing is not made into something else.
        ("hisi_zip", "hisi_zip"),
        ("0badc0d", "0badc0d"),
        ("eth9", "eth9"),
        ("bonding_masters", "bonding_masters"),
        ("..", ".."),
        ("host", "host"),
    ],
)
def test_a_name_is_the_target_that_a_person_means(name: str, target: str) -> None:
    assert meant(host(), SNAPSHOT, name) == target


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bond0", "a virtual interface"),
        ("usb0", f"1-2:1.0, which is behind {USB}"),
        ("vmbus0", "an interface of vmbus_1$"),
    ],
)
def test_an_interface_that_is_no_devices_says_what_it_is(name: str, why: str) -> None:
    with pytest.raises(NothingToDoError, match=why):
        meant(host(), SNAPSHOT, name)


@pytest.mark.parametrize("name", ["group/7", "hisi_zip-0", ONE])
def test_what_is_there_and_no_device_is_not_called_missing(name: str) -> None:
    with pytest.raises(NothingToDoError, match=f"{name}: that is no device"):
        find_device(SNAPSHOT, name)


def test_of_several_uuids_that_begin_alike_none_is_taken() -> None:
    with pytest.raises(UsageError, match=f"{ONE}, {TWO}"):
        meant(host(), SNAPSHOT, "5d3de000")


def test_an_interface_that_cannot_be_followed_is_not_taken_for_none() -> None:
    refused = host(**{"/sys/class/net/eth0": Failure(errno.EACCES)})
    with pytest.raises(PermissionError):
        meant(refused, SNAPSHOT, "eth0")
