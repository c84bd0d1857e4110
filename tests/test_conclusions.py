"""What follows from a snapshot: who holds what, and what is stuck."""

import pytest
from msgspec.structs import replace

from sdmtop.conclusions import blindness, holders, states, untold_drivers
from sdmtop.model import Process, Snapshot, Unknown
from tests.records import device, group, queue, snapshot

NIC = "0000:02:00.0"
DRIVER = f"/sys/devices/pci0000:00/{NIC}/driver"


def held(*what: str) -> Snapshot:
    qemu = Process(pid=42, name="qemu", user="root", holds=what)
    return snapshot(groups=[group(7, NIC)], devices=[device(NIC, group=7)], processes=[qemu])


@pytest.mark.parametrize(
    "what",
    [
        "/dev/vfio/7",
        "/dev/vfio/7 (mmap)",
        "/dev/vfio/noiommu-7",
        f"/dev/vfio/devices/vfio0 {NIC}",
        f"/dev/vfio/devices/vfio0 (mmap) {NIC}",
        f"anon_inode:[vfio-device] {NIC}",
    ],
)
def test_a_group_is_held_through_its_node_or_through_one_of_its_devices(what: str) -> None:
    assert holders(held(what))["group/7"] == (42,)


def test_a_device_is_held_by_who_has_it_open_by_name() -> None:
    assert holders(held(f"anon_inode:[vfio-device] {NIC}"))[NIC] == (42,)
    assert NIC not in holders(held("/dev/vfio/7"))


@pytest.mark.parametrize(
    "what", ["/dev/vfio/vfio", "/dev/iommu", "anon_inode:[vfio-device]", "/dev/hisi_zip-0"]
)
def test_what_names_no_group_and_no_device_holds_neither(what: str) -> None:
    assert holders(held(what)) == {}


def test_processes_that_cannot_be_looked_into_leave_it_open_who_holds_a_thing() -> None:
    refused = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds devices")
    assert blindness(snapshot(unknown=[refused])) is refused
    assert blindness(snapshot()) is None


@pytest.mark.parametrize(("errno", "state"), [("EBUSY", "stuck"), ("EIO", "?")])
def test_a_driver_that_cannot_be_told_is_not_unbound(errno: str, state: str) -> None:
    failure = Unknown(path=DRIVER, errno=errno, what="driver")
    assert states(snapshot(devices=[device(NIC)], unknown=[failure])) == {NIC: state}


def test_a_failure_below_a_device_is_not_its_own() -> None:
    failure = Unknown(path=f"/sys/devices/pci0000:00/{NIC}/x/driver", errno="EIO", what="driver")
    assert states(snapshot(devices=[device(NIC)], unknown=[failure])) == {}


def test_one_of_many_failures_that_are_only_counted_is_named_by_its_group() -> None:
    reason = f"cannot tell the driver of 0000:01:00.0, {NIC}"
    undecided = group(7, NIC, owner="free", viable=None, viability_reason=reason)
    assert states(snapshot(groups=[undecided], devices=[device(NIC)])) == {NIC: "?"}


def test_an_unbind_under_way_is_told_with_whom_it_waits_for() -> None:
    stuck = Unknown(path=DRIVER, errno="EBUSY", what="driver")
    held_group = held("/dev/vfio/7")
    who = {NIC: "an unbind of it is under way, held by qemu 42"}
    assert untold_drivers(replace(held_group, unknown=(stuck,))) == who
    of_queue = held("/dev/vfio/21")
    queues = (queue("one", parent=NIC, holders=(42,)),)
    assert untold_drivers(replace(of_queue, sdmdevs=queues, unknown=(stuck,))) == who
    assert untold_drivers(held_group) == {}


def test_a_driver_that_cannot_be_read_says_nothing_of_an_unbind() -> None:
    failure = Unknown(path=DRIVER, errno="EIO", what="driver")
    found = untold_drivers(snapshot(devices=[device(NIC)], unknown=[failure]))
    assert found == {NIC: "its driver cannot be told"}
