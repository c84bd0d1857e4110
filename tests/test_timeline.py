from msgspec.structs import replace

from sdmtop.model import AttachedDomain, Process, Unknown
from sdmtop.timeline import REMEMBERED, Timeline, differences, say
from tests.records import device, group, queue, snapshot


def texts(old: object, new: object) -> list[str]:
    return [happening.text for happening in differences(old, new, 0.0)]  # type: ignore[arg-type]


def test_the_same_snapshot_has_no_differences() -> None:
    now = snapshot(groups=[group(1)], devices=[device("0000:00:01.0")])
    assert texts(now, now) == []
    assert texts(now, replace(now, taken_at="later")) == []


def test_a_device_that_appears_and_one_that_goes_are_told() -> None:
    old = snapshot(devices=[device("0000:00:01.0")])
    new = snapshot(devices=[device("0000:00:02.0")])
    assert texts(old, new) == ["0000:00:01.0 is gone", "0000:00:02.0 appeared"]


def test_a_driver_that_changes_is_told_with_both_names() -> None:
    old = snapshot(devices=[device("0000:00:01.0", driver="e1000")])
    new = snapshot(devices=[device("0000:00:01.0", driver=None)])
    assert texts(old, new) == ["0000:00:01.0: driver e1000 -> none"]


def test_a_domain_type_that_changes_is_told() -> None:
    old, new = snapshot(groups=[group(7)]), snapshot(groups=[group(7, domain_type="identity")])
    assert texts(old, new) == ["group 7: domain type DMA -> identity"]


def test_what_can_no_longer_be_told_is_unknown_and_not_none() -> None:
    known = AttachedDomain(type="DMA", evidence="known")
    unknown = AttachedDomain(type=None, evidence="unknown")
    old = snapshot(groups=[group(3, viable=True, attached=known)])
    new = snapshot(groups=[group(3, viable=None, attached=unknown)])
    assert texts(old, new) == [
        "group 3: attached domain DMA (known) -> unknown",
        "group 3: viable yes -> unknown",
    ]


def test_a_driver_that_can_no_longer_be_told_is_unknown_and_not_none() -> None:
    old = snapshot(devices=[bound := device("0000:00:01.0", driver="vfio-pci")])
    unread = Unknown(path=f"{bound.path}/driver", errno="EBUSY", what="driver: an unbind waits")
    new = snapshot(devices=[replace(bound, driver=None)], unknown=[unread])
    assert texts(old, new) == ["0000:00:01.0: driver vfio-pci -> unknown"]
    assert texts(new, old) == ["0000:00:01.0: driver unknown -> vfio-pci"]
    freed = snapshot(devices=[replace(bound, driver=None)])
    assert texts(new, freed) == ["0000:00:01.0: driver unknown -> none"]


def test_a_new_holder_and_one_that_lets_go_are_told_by_name() -> None:
    qemu = Process(pid=812, name="qemu", user="root", holds=("/dev/vfio/21",))
    free = snapshot(sdmdevs=[queue("q", state="orphan")])
    held = snapshot(sdmdevs=[queue("q", state="held", holders=(812,))], processes=[qemu])
    assert texts(free, held) == ["q: state orphan -> held", "q: now held by qemu 812"]
    assert texts(held, free) == ["q: state held -> orphan", "q: let go by qemu 812"]


def test_several_values_are_told_as_words() -> None:
    assert say(("/dev/vfio/28", "/dev/vfio/vfio")) == "/dev/vfio/28 /dev/vfio/vfio"
    assert say(()) == "none"


def test_the_timeline_is_bounded_and_keeps_the_newest() -> None:
    timeline = Timeline()
    for number in range(REMEMBERED + 10):
        timeline.add("changed", None, str(number))
    kept = timeline.all()
    assert len(kept) == REMEMBERED
    assert kept[-1].text == str(REMEMBERED + 9)
