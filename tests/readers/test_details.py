import errno
from collections.abc import Mapping

import pytest

from sdmtop.backends.limits import WAKES
from sdmtop.backends.tree import Entry, Failure, TreeHost
from sdmtop.model import Detail, Snapshot
from sdmtop.readers.details import read_details
from tests.readers.small_host import DISK, NIC, ROOT, device, reading_of, small_host

PATH = f"{ROOT}/{NIC}"


def details_of(key: str, **files: Entry) -> dict[str, Detail]:
    entries = {**small_host(), **device(NIC, 2, "e1000e", **files)}
    snapshot: Snapshot = reading_of(entries).snapshot()
    return {one.name: one for one in read_details(TreeHost(entries), snapshot, key)}


def test_a_device_tells_more_with_the_file_and_the_meaning() -> None:
    found = details_of(NIC, reset_method=b"flr bus\n", revision=b"0x02\n")
    assert found["reset_method"].value == "flr bus"
    assert found["reset_method"].path == f"{PATH}/reset_method"
    assert found["revision"].value == "0x02"
    assert all(one.meaning for one in found.values())


def test_what_is_absent_or_empty_or_fails_is_left_out() -> None:
    found = details_of(NIC, enable=b"\n", revision=Failure(errno.EIO), msi_bus=b"1\n")
    assert "msi_bus" in found
    assert not {"enable", "revision", "reset_method"} & found.keys()


def test_a_device_tells_its_network_interfaces() -> None:
    found = details_of(NIC, **{"net/eth1/mtu": b"1500\n", "net/eth0/mtu": b"1500\n"})
    assert (found["interface"].value, found["interface"].path) == ("eth0, eth1", f"{PATH}/net")


def test_of_a_virtio_device_the_interfaces_are_one_level_down() -> None:
    found = details_of(NIC, **{"virtio2/net/eth0/mtu": b"1500\n"})
    assert (found["interface"].value, found["interface"].path) == ("eth0", f"{PATH}/virtio2/net")


def test_a_device_without_a_network_tells_no_interface() -> None:
    assert "interface" not in details_of(NIC, **{"virtio2/block/vda/size": b"1\n"})


class WatchedHost(TreeHost):
    """Remembers which files were read."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.seen: set[str] = set()
        super().__init__(entries)

    def _say(self, path: str) -> None:
        self.seen.add(path)
        super()._say(path)


@pytest.mark.parametrize(("power", "read"), [("D0", True), ("D3hot", False), ("D3cold", False)])
def test_a_device_that_sleeps_is_not_woken(power: str, read: bool) -> None:
    files = dict.fromkeys(WAKES, b"1\n")
    entries = {**small_host(), **device(NIC, 2, "e1000e", power_state=power + "\n", **files)}
    snapshot = reading_of(entries).snapshot()
    host = WatchedHost(entries)
    found = read_details(host, snapshot, NIC)
    names = {one.name for one in found}
    assert ("current_link_speed" in names, "power_state" in names) == (read, True)
    assert read or not any(path.rpartition("/")[2] in WAKES for path in host.seen)


def test_a_device_tells_what_its_iommu_unit_can_do() -> None:
    assert details_of(NIC)["PASID width (PSS)"].value == "20-bit"


def test_a_group_tells_what_the_unit_of_its_members_can_do() -> None:
    found = details_of("group/2")
    assert found["PASID width (PSS)"].path == "/sys/class/iommu/dmar0/intel-iommu/ecap"
    assert "power_state" not in found


def test_another_target_has_no_details() -> None:
    assert details_of("group/99") == {}
    assert details_of("group/x") == {}
    assert details_of("nothing") == {}


def test_a_device_that_has_gone_meanwhile_has_none_of_its_own() -> None:
    snapshot = reading_of(small_host()).snapshot()
    found = read_details(TreeHost({"/sys/x": b""}), snapshot, DISK)
    assert not [one for one in found if one.path.startswith(ROOT)]
