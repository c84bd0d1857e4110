from msgspec.structs import replace

from sdmtop.differences import Change, changes, share
from sdmtop.model import Interrupt, Snapshot, Unknown
from tests.records import device, group, queue, snapshot

NIC = "0000:00:01.0"


def told(old: Snapshot, new: Snapshot) -> list[tuple[str, str, str, str | None]]:
    return [(one.kind, one.part, one.key, one.field) for one in changes(old, new)]


def test_equal_snapshots_have_no_changes_whenever_they_were_taken() -> None:
    old = snapshot(groups=[group(1)], devices=[device(NIC)], sdmdevs=[queue("q")])
    new = snapshot(groups=[group(1)], devices=[device(NIC)], sdmdevs=[queue("q")])
    assert told(old, replace(new, taken_at="later")) == []


def test_every_field_that_changed_is_told_with_its_old_and_its_new_value() -> None:
    old = snapshot(devices=[device(NIC, driver="e1000", numa_node=0)])
    new = snapshot(devices=[device(NIC, driver=None, numa_node=1)])
    assert list(changes(old, new)) == [
        Change(kind="changed", part="devices", key=NIC, field="driver", old="e1000", new=None),
        Change(kind="changed", part="devices", key=NIC, field="numa_node", old=0, new=1),
    ]


def test_what_came_and_what_went_is_told_with_all_that_is_known_of_it() -> None:
    old, new = snapshot(groups=[group(1)]), snapshot(groups=[group(2)])
    assert list(changes(old, new)) == [
        Change(kind="removed", part="groups", key="group/1", old=group(1)),
        Change(kind="added", part="groups", key="group/2", new=group(2)),
    ]


def test_another_host_is_a_change_of_the_host() -> None:
    old = snapshot()
    new = replace(old, host=replace(old.host, kernel="6.13.0"))
    assert told(old, new) == [("changed", "host", "", "kernel")]


def test_another_way_to_look_at_a_host_is_no_change_of_it() -> None:
    old = snapshot()
    new = replace(old, host=replace(old.host, backend="linux", read_only=False))
    assert told(old, new) == []


def test_a_reason_why_something_is_unknown_that_changes_is_one_change() -> None:
    old = snapshot(unknown=[Unknown(path="/x", errno="EACCES", what="y")])
    new = snapshot(unknown=[Unknown(path="/x", errno="EIO", what="y")])
    assert told(old, new) == [("changed", "unknown", "/x y", "errno")]


def test_interrupts_that_come_are_no_change() -> None:
    def row(total: int, affinity: str) -> Interrupt:
        return Interrupt(
            irq="5",
            chip=None,
            hwirq=None,
            trigger=None,
            actions=(),
            per_cpu=(total,),
            total=total,
            device=None,
            shared_by=(),
            affinity=affinity,
        )

    old = snapshot(interrupts=[row(1, "0")])
    assert told(old, snapshot(interrupts=[row(9, "0")])) == []
    assert told(old, snapshot(interrupts=[row(9, "1")])) == [
        ("changed", "interrupts", "5", "affinity")
    ]


def test_equal_records_of_two_snapshots_become_the_same_ones() -> None:
    old = snapshot(groups=[group(1), group(2)], devices=[device(NIC)])
    new = snapshot(groups=[group(1), group(2, owner="vfio")], devices=[device(NIC)])
    both = share(old, new)
    assert both == new
    assert both.groups[0] is old.groups[0]
    assert both.groups[1] is new.groups[1]
    assert both.devices is old.devices
