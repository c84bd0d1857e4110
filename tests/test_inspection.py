"""The facts of one object, each with its origin and its meaning."""

from typing import Any

import pytest

from sdmtop.collector import Sample
from sdmtop.counters import Counters
from sdmtop.inspection import inspect
from sdmtop.model import Detail, Process, Snapshot, Unknown
from sdmtop.outline import NO_DEVICE
from sdmtop.readers.groups import LOST_REGION
from sdmtop.timeline import Happening, Kind, clock
from tests.records import device, group, queue, snapshot

NIC = "0000:02:00.0"
PORT = "0000:00:01.0"
UUID = "5d3de000-0000-4000-8000-000000000001"
ROOT = "/sys/devices/pci0000:00"
QEMU = Process(pid=42, name="qemu", user="root", holds=("/dev/vfio/7",))
BLIND = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds devices: 9 processes")


def facts(snap: Snapshot, key: str, *happenings: Happening) -> list[Detail]:
    return list(
        inspect(
            Sample(
                snapshot=snap,
                at=0.0,
                counters=Counters(),
                per_cpu={},
                happenings=happenings,
                details=None,
                complete=True,
                read_at={},
            ),
            key,
        )
    )


def fact(snap: Snapshot, key: str, name: str) -> Detail:
    return next(detail for detail in facts(snap, key) if detail.name == name)


def unknowns(snap: Snapshot, key: str) -> list[str]:
    return [detail.path for detail in facts(snap, key) if detail.name == "unknown"]


def passed_through(**fields: Any) -> Snapshot:
    nic = device(NIC, group=7, driver="vfio-pci")
    return snapshot(groups=[group(7, NIC, owner="vfio", viable=True)], devices=[nic], **fields)


def failing(*paths: str, **fields: Any) -> Snapshot:
    entries = [Unknown(path=path, errno="EIO", what="something") for path in paths]
    return snapshot(unknown=entries, **fields)


@pytest.mark.parametrize("key", ["group/7", NIC])
def test_a_group_and_its_devices_say_who_holds_them(key: str) -> None:
    assert fact(passed_through(processes=[QEMU]), key, "holders").value == "qemu 42"


@pytest.mark.parametrize("key", ["group/7", NIC])
def test_what_nobody_holds_says_so(key: str) -> None:
    assert fact(passed_through(), key, "holders").value == "nobody"


@pytest.mark.parametrize("key", ["group/7", NIC])
def test_where_holders_cannot_be_told_the_reason_is_given(key: str) -> None:
    holders = fact(passed_through(unknown=[BLIND]), key, "holders")
    assert (holders.value, holders.meaning) == ("cannot tell (EACCES)", BLIND.what)


def test_a_device_of_a_group_that_is_held_says_that_it_is_the_group() -> None:
    assert "its group 7" in fact(passed_through(processes=[QEMU]), NIC, "holders").meaning


def happening(at: float, kind: Kind, key: str) -> Happening:
    return Happening(at=at, kind=kind, key=key, text=f"{kind} at {at}")


@pytest.mark.parametrize("key", ["group/7", NIC])
def test_a_device_that_faults_and_its_group_say_how_often_and_what_came_last(key: str) -> None:
    other = "0000:02:00.1"
    happenings = (
        happening(10.0, "fault", NIC),
        happening(20.0, "fault", NIC),
        happening(30.0, "changed", NIC),
        happening(40.0, "fault", other),
    )
    (faults,) = [one for one in facts(passed_through(), key, *happenings) if one.name == "faults"]
    assert faults.value == f"2, last {clock(20.0)}: fault at 20.0"
    assert faults.path == "/dev/kmsg"


@pytest.mark.parametrize("key", ["group/7", NIC])
def test_of_a_device_without_faults_none_are_told(key: str) -> None:
    happenings = (happening(10.0, "changed", NIC), happening(20.0, "fault", "0000:02:00.1"))
    assert all(one.name != "faults" for one in facts(passed_through(), key, *happenings))


def test_a_driver_that_cannot_be_told_is_a_question_mark() -> None:
    snap = failing(f"{ROOT}/{NIC}/driver", devices=[device(NIC)])
    assert fact(snap, NIC, "driver").value == "?"
    assert fact(snap, NIC, "state").value == "?"


def test_a_group_of_which_a_driver_cannot_be_told_has_no_owner_that_is_known() -> None:
    reason = f"cannot tell the driver of {NIC}"
    undecided = group(7, NIC, owner="free", viable=None, viability_reason=reason)
    assert fact(snapshot(groups=[undecided]), "group/7", "owner").value == "?"


def test_a_group_of_which_a_region_is_lost_still_has_its_owner() -> None:
    undecided = group(7, NIC, owner="vfio", viable=None, viability_reason=LOST_REGION)
    assert fact(snapshot(groups=[undecided]), "group/7", "owner").value == "vfio"


def test_the_files_of_a_uacce_queue_are_those_of_its_class() -> None:
    params = {"flags": "1", "algorithms": "zlib"}
    zip_ = queue("hisi_zip-0", kind="uacce", type="hisi_qm_v2", state="idle", params=params)
    origins = {detail.name: detail.path for detail in facts(snapshot(sdmdevs=[zip_]), zip_.id)}
    assert origins["flags"] == "/sys/class/uacce/hisi_zip-0/flags"
    assert origins["type"] == "/sys/class/uacce/hisi_zip-0/api"
    assert origins["parent"] == "/sys/class/uacce/hisi_zip-0/device"


def test_the_files_of_an_idxd_queue_are_on_its_bus_and_some_are_its_devices() -> None:
    params = {"size": "8", "state": "enabled", "device": "dsa0", "device_state": "enabled"}
    wq = queue("wq0.0", kind="idxd", state="idle", params=params)
    origins = {detail.name: detail.path for detail in facts(snapshot(sdmdevs=[wq]), "wq0.0")}
    assert origins["size"] == "/sys/bus/dsa/devices/wq0.0/size"
    assert origins["device_state"] == "/sys/bus/dsa/devices/dsa0/state"


def test_the_parameters_of_an_mdev_are_in_its_own_directory() -> None:
    mdev = queue(UUID, params={"pid": "7"})
    path = fact(snapshot(sdmdevs=[mdev]), UUID, "pid").path
    assert path == f"/sys/bus/mdev/devices/{UUID}/params/pid"


@pytest.mark.parametrize(
    ("state", "word"), [("idle", "free"), ("held", "not yet"), ("started", "work"),
                        ("orphan", "no process"), (None, "cannot be told")]
)  # fmt: skip
def test_each_state_of_a_queue_has_its_own_meaning(state: str | None, word: str) -> None:
    assert word in fact(snapshot(sdmdevs=[queue(UUID, state=state)]), UUID, "state").meaning


@pytest.mark.parametrize(
    ("of", "free"),
    [
        (queue("hisi_zip-0", kind="uacce", state="idle"), True),
        (queue("wq0.0", kind="idxd", state="idle", type="user/shared",
               params={"state": "enabled"}), True),
        (queue("wq0.0", kind="idxd", state="idle", type="user/shared",
               params={"state": "disabled"}), False),
        (queue("wq0.0", kind="idxd", state="idle", type="kernel/dedicated",
               params={"state": "enabled"}), False),
        (queue("wq0.0", kind="idxd", state="idle", type="none", params={}), False),
    ],
)  # fmt: skip
def test_only_a_queue_that_has_a_node_is_free_to_be_taken(of: Any, free: bool) -> None:
    meaning = fact(snapshot(sdmdevs=[of]), of.id, "state").meaning
    assert meaning.startswith("no process has it open")
    assert ("free to be taken" in meaning) is free


@pytest.mark.parametrize("kind", ["uacce", "idxd"])
def test_queues_without_a_group_of_their_own_have_their_parents(kind: str) -> None:
    found = fact(snapshot(sdmdevs=[queue("q", kind=kind, state="idle")]), "q", "group")
    assert (found.value, found.meaning) == ("21", "its parent's group")


def test_a_bridge_does_not_show_what_is_unknown_of_the_device_below_it() -> None:
    below = f"{ROOT}/{PORT}/{NIC}"
    snap = failing(
        f"{ROOT}/{PORT}/config",
        f"{below}/config",
        devices=[device(PORT), device(NIC, path=below)],
    )
    assert unknowns(snap, PORT) == [f"{ROOT}/{PORT}/config"]
    assert unknowns(snap, NIC) == [f"{below}/config"]


def test_a_directory_that_fails_is_told_of_its_own_object() -> None:
    snap = failing(f"{ROOT}/{NIC}", "/sys/kernel/iommu_groups/7", devices=[device(NIC)])
    assert unknowns(snap, NIC) == [f"{ROOT}/{NIC}"]
    assert unknowns(snap, "group/7") == ["/sys/kernel/iommu_groups/7"]


@pytest.mark.parametrize(
    ("of", "path"),
    [
        (queue("hisi_zip-0", kind="uacce"), "/sys/class/uacce/hisi_zip-0/flags"),
        (queue("wq0.0", kind="idxd"), "/sys/bus/dsa/devices/wq0.0"),
        (queue("wq0.0", kind="idxd", parent=NIC, params={"device": "dsa0"}),
         f"{ROOT}/{NIC}/dsa0/wq0.0/size"),
        (queue(UUID, parent=NIC), f"{ROOT}/{NIC}/{UUID}/params/pid"),
    ],
)  # fmt: skip
def test_a_queue_shows_what_is_unknown_of_it_and_why_its_holders_are(of: Any, path: str) -> None:
    snap = failing("/proc/*/fd", path, sdmdevs=[of], devices=[device(NIC)])
    assert unknowns(snap, of.id) == ["/proc/*/fd", path]


def test_the_heading_of_queues_without_a_device_is_explained() -> None:
    assert [detail.name for detail in facts(snapshot(), NO_DEVICE)] == ["no device"]
