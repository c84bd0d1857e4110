import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.comparison import compare, lines
from sdmtop.model import Snapshot, Unknown
from tests.records import device, group, queue, snapshot

NIC = "0000:00:01.0"


def told(old: Snapshot, new: Snapshot) -> list[str]:
    """The lines below the two that say what is compared."""
    return list(lines(compare(("a", old), ("b", new))))[2:]


def test_it_says_first_what_is_compared() -> None:
    found = list(lines(compare(("a.tar", snapshot()), ("b.tar", snapshot()))))
    assert found == [
        "--- a.tar: box, Linux 6.12.0, 2026-01-01T00:00:00.000Z",
        "+++ b.tar: box, Linux 6.12.0, 2026-01-01T00:00:00.000Z",
    ]


def test_a_value_that_changed_stands_there_with_the_old_one() -> None:
    old = snapshot(devices=[device(NIC, driver="e1000")], groups=[group(1, NIC)])
    new = snapshot(devices=[device(NIC, driver=None)], groups=[group(1, NIC, viable=True)])
    assert told(old, new) == [
        "~ group 1: viable no -> yes",
        f"~ device {NIC}: driver e1000 -> none",
    ]


def test_what_could_not_be_told_is_not_said_to_be_nothing() -> None:
    busy = Unknown(path=f"/sys/devices/pci0000:00/{NIC}/driver", errno="EBUSY", what="driver")
    old = snapshot(
        devices=[device(NIC, driver="e1000")],
        groups=[group(1, NIC)],
        sdmdevs=[queue("q", holders=(7,))],
    )
    new = snapshot(
        devices=[device(NIC, driver=None)],
        groups=[group(1, NIC, viable=None)],
        sdmdevs=[queue("q", holders=None)],
        unknown=(busy,),
    )
    assert told(old, new)[:-1] == [
        "~ group 1: viable no -> unknown",
        f"~ device {NIC}: driver e1000 -> unknown",
        "~ queue q: holders 7 -> unknown",
    ]
    assert f"~ device {NIC}: driver unknown -> e1000" in told(new, old)


def test_what_came_and_went_says_what_it_was() -> None:
    old = snapshot(devices=[device(NIC, driver="e1000")])
    new = snapshot(sdmdevs=[queue("q", type="fact")])
    assert told(old, new) == [f"- device {NIC} (e1000)", "+ queue q (fact)"]


def test_of_a_list_only_the_difference_is_told() -> None:
    old = snapshot(groups=[group(1, "a", "b", "c")], sdmdevs=[queue("q", params={"x": "1"})])
    new = snapshot(groups=[group(1, "b", "c", "d")], sdmdevs=[queue("q", params={"y": "2"})])
    assert told(old, new) == [
        "~ group 1: devices -a +d",
        "~ queue q: params x 1 -> none, y none -> 2",
    ]


def test_a_class_is_named_as_in_the_json() -> None:
    old, new = snapshot(devices=[device(NIC)]), snapshot(devices=[device(NIC, class_="0x030000")])
    assert told(old, new) == [f"~ device {NIC}: class 0x020000 -> 0x030000"]
    text = msgspec.json.encode(compare(("a", old), ("b", new)))
    assert json.loads(text)["changes"][0]["field"] == "class"


@given(st.text(), st.text())
def test_no_name_reaches_the_terminal_as_it_is(one: str, other: str) -> None:
    for line in lines(
        compare((one, snapshot(devices=[device(one, driver=other)])), (other, snapshot()))
    ):
        assert line.isprintable()


def test_as_json_it_has_both_sides_and_every_change() -> None:
    old, new = snapshot(), snapshot(devices=[device(NIC)])
    found = json.loads(msgspec.json.encode(compare(("a", old), ("b", new))))
    assert found["schema"] == "sdmtop.diff/1"
    assert found["from"]["name"], found["to"]["name"] == ("a", "b")
    (change,) = found["changes"]
    assert (change["kind"], change["part"], change["key"]) == ("added", "devices", NIC)
    assert change["new"]["address"] == NIC
