import errno
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.collector import POLL, SLOW, SWEEP, Collector, Focus
from sdmtop.readers.intel_debugfs import TABLES, TABLES_LIMIT
from sdmtop.timeline import Timeline
from tests.hosts import GROUPS, NIC, PARENT, UUID, box, plug, stat, unplug

TREES = Path(__file__).parent / "trees"


class Uevent(NamedTuple):
    action: str
    subsystem: str
    path: str


class Watched:
    """A host with a collector that has read everything once, at second 0."""

    def __init__(self) -> None:
        self.host: TreeHost = box()
        self.timeline = Timeline()
        self.collector = Collector(self.host, self.timeline)
        self.collector.read_outline()
        self.collector.read_rest(0.0)
        self.collector.tick(0.0)

    @property
    def texts(self) -> list[str]:
        return [happening.text for happening in self.timeline.all()]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_outline_is_there_before_the_facts_of_devices() -> None:
    collector = Collector(box(), Timeline())
    collector.read_outline()
    sample = collector.sample()
    assert [group.id for group in sample.snapshot.groups] == [1, 2, 21]
    assert sample.snapshot.devices == ()
    assert not sample.complete


def test_after_the_first_round_everything_is_known(watched: Watched) -> None:
    snapshot = watched.collector.sample().snapshot
    assert [device.address for device in snapshot.devices] == [PARENT, NIC]
    assert [queue.id for queue in snapshot.sdmdevs] == [UUID]
    assert snapshot.interrupts[0].device == PARENT
    assert snapshot.interrupts[0].shared_by == (UUID,)


def test_when_nothing_changes_a_tick_says_so(watched: Watched) -> None:
    assert not any(watched.collector.tick(float(second)) for second in range(1, 100))
    assert watched.texts == []


def test_a_rate_falls_to_nothing_when_no_interrupt_comes_any_more(watched: Watched) -> None:
    watched.host.put("/proc/stat", stat(0, 60, 20, 30))
    watched.collector.tick(10.0)
    assert watched.collector.tick(20.0)
    counters = watched.collector.sample().counters
    assert counters.rate(1) == 0.0
    assert counters.history(1, 8) == [5.0, 0.0]


def test_a_look_at_another_object_between_two_beats_adds_no_reading(watched: Watched) -> None:
    watched.host.put("/proc/stat", stat(0, 60, 20, 30))
    watched.collector.answer((), Focus(NIC))
    assert watched.collector.sample().counters.rate(1) is None


def test_counts_that_cannot_be_read_are_unknown(watched: Watched) -> None:
    watched.host.put("/proc/stat", Failure(errno.EACCES))
    watched.collector.tick(10.0)
    unknown = watched.collector.sample().snapshot.unknown
    assert ("/proc/stat", "EACCES") in [(entry.path, entry.errno) for entry in unknown]
    watched.host.put("/proc/stat", stat(0, 60, 20, 30))
    watched.collector.tick(20.0)
    assert "/proc/stat" not in [entry.path for entry in watched.collector.sample().snapshot.unknown]


def test_after_lost_events_every_device_is_read_again(watched: Watched) -> None:
    watched.host.put(f"/sys/devices/pci0000:00/{NIC}/numa_node", "1\n")
    assert watched.collector.tick(1.0, [Uevent("lost", "", "/sys/devices")])
    assert f"{NIC}: NUMA node none -> 1" in watched.texts


def test_domain_types_are_polled_however_large_the_host_is(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.collector._KEPT", 1)
    watched.collector._keep()
    watched.host.put(f"{GROUPS}/2/type", "identity\n")
    assert watched.collector.tick(SLOW)
    assert "group 2: domain type DMA -> identity" in watched.texts


def test_an_interrupt_that_comes_gives_a_rate(watched: Watched) -> None:
    watched.host.put("/proc/stat", stat(0, 60, 20, 30))
    assert watched.collector.tick(10.0)
    counters = watched.collector.sample().counters
    assert counters.rate(1) == 5.0
    assert counters.rate(2) == 0.0


def test_a_device_named_by_a_uevent_is_read_again_at_once(watched: Watched) -> None:
    plug(watched.host, NIC, group=2, driver="vfio-pci")
    event = Uevent("bind", "pci", f"/sys/devices/pci0000:00/{NIC}")
    assert watched.collector.tick(1.0, [event])
    assert f"{NIC}: driver e1000e -> vfio-pci" in watched.texts
    assert "group 2: owner kernel -> vfio" in watched.texts


def test_a_device_that_is_plugged_in_appears_with_its_facts(watched: Watched) -> None:
    plug(watched.host, "0000:00:03.0", group=3, driver="nvme")
    event = Uevent("add", "pci", "/sys/devices/pci0000:00/0000:00:03.0")
    assert watched.collector.tick(1.0, [event])
    assert "0000:00:03.0 appeared" in watched.texts
    assert watched.collector.sample().snapshot.devices[-1].driver == "nvme"


def test_a_device_that_is_pulled_is_gone_and_told(watched: Watched) -> None:
    unplug(watched.host, NIC, group=2)
    event = Uevent("remove", "pci", f"/sys/devices/pci0000:00/{NIC}")
    assert watched.collector.tick(1.0, [event])
    assert f"{NIC} is gone" in watched.texts
    assert "group 2 is gone" in watched.texts


def test_without_events_a_new_device_is_found_by_the_poll(watched: Watched) -> None:
    plug(watched.host, "0000:00:03.0", group=3)
    assert not watched.collector.tick(SLOW / 2)
    assert watched.collector.tick(SLOW)
    assert "0000:00:03.0 appeared" in watched.texts


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        (f"{GROUPS}/2/type", "identity\n", "group 2: domain type DMA -> identity"),
        (
            f"/sys/devices/pci0000:00/{NIC}/driver_override",
            "vfio-pci\n",
            f"{NIC}: driver_override none -> vfio-pci",
        ),
    ],
)
def test_what_sends_no_event_is_polled(
    watched: Watched, path: str, content: str, told: str
) -> None:
    watched.host.put(path, content)
    assert watched.collector.tick(SLOW)
    assert told in watched.texts


def test_the_cpus_of_an_interrupt_are_read_again_when_its_total_has_changed(
    watched: Watched,
) -> None:
    for irq in (1, 2):
        watched.host.put(f"/sys/kernel/irq/{irq}/per_cpu_count", "10,0\n")
    watched.collector.tick(1.0, (), Focus(irqs=(1, 2)))
    for irq in (1, 2):
        watched.host.put(f"/sys/kernel/irq/{irq}/per_cpu_count", "10,50\n")
    watched.host.put("/proc/stat", stat(0, 60, 20, 30))
    watched.collector.tick(2.0, (), Focus(irqs=(1, 2)))
    assert watched.collector.sample().per_cpu == {1: (10, 50), 2: (10, 0)}


def test_without_totals_the_cpus_of_an_interrupt_are_read_each_time(watched: Watched) -> None:
    watched.host.put("/sys/kernel/irq/1/per_cpu_count", "10,0\n")
    watched.collector.tick(1.0, (), Focus(irqs=(1,)))
    watched.host.put("/sys/kernel/irq/1/per_cpu_count", "10,50\n")
    watched.host.put("/proc/stat", Failure(errno.EACCES))
    watched.collector.tick(2.0, (), Focus(irqs=(1,)))
    assert watched.collector.sample().per_cpu == {1: (10, 50)}


def test_the_override_of_a_device_that_is_being_unbound_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading it takes the lock of the device, which an unbind that waits keeps."""
    host, entered = box(), []
    enter = host._enter

    def spy(path: str, *, follow: bool = True) -> Any:
        entered.append(path)
        return enter(path, follow=follow)

    monkeypatch.setattr(host, "_enter", spy)
    place = f"/sys/devices/pci0000:00/{NIC}"
    host.put(f"{place}/driver_override", "vfio-pci\n")
    collector = Collector(host, Timeline())
    collector.read_outline()
    collector.read_rest(0.0)
    collector.tick(SLOW)
    assert f"{place}/driver_override" in entered
    host.remove(f"{place}/driver")
    host.put(f"{place}/enable", "1\n")
    host.put("/sys/class/vfio/2/dev", "240:0\n")
    entered.clear()
    assert collector.tick(2 * SLOW)
    assert not collector.tick(3 * SLOW)
    assert f"{place}/driver_override" not in entered
    (busy,) = (one for one in collector.sample().snapshot.unknown if one.path == f"{place}/driver")
    assert busy.errno == "EBUSY"


def test_a_device_that_its_driver_names_is_not_asked_for_its_driver(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds are asked at every poll; the directories of their drivers are few."""
    place = f"/sys/devices/pci0000:00/{NIC}"
    (driver,) = (
        one.driver for one in watched.collector.sample().snapshot.devices if one.address == NIC
    )
    watched.host.put(f"/sys/bus/pci/drivers/{driver}/{NIC}", Link(place))
    asked: list[str] = []
    readlink = watched.host.readlink

    def spy(path: str) -> str:
        asked.append(path)
        return readlink(path)

    monkeypatch.setattr(watched.host, "readlink", spy)
    watched.collector.tick(SLOW)
    assert f"{place}/driver" not in asked
    watched.host.remove(f"/sys/bus/pci/drivers/{driver}/{NIC}")
    watched.collector.tick(2 * SLOW)
    assert f"{place}/driver" in asked


class Unmapped:
    """The lab's busy host; a device that has been given to VFIO loses its table after a while."""

    def __init__(self) -> None:
        host = open_host(f"capture:{TREES / 'guest-full-intel-scalable-busy.tar.xz'}")
        assert isinstance(host, TreeHost)
        self.host = host
        self.collector = Collector(host, Timeline())
        self.collector.read_outline()
        self.collector.read_rest(0.0)
        assert self.attached == "DMA"
        rows = host.read(TABLES, TABLES_LIMIT).splitlines(keepends=True)
        host.put(TABLES, b"".join(row for row in rows if not row.startswith(b"03:00.0")))

    @property
    def attached(self) -> str | None:
        (group,) = (one for one in self.collector.sample().snapshot.groups if one.id == 15)
        return group.attached.type


def test_a_table_that_is_gone_is_seen_though_nothing_else_has_changed() -> None:
    unmapped = Unmapped()
    assert not unmapped.collector.tick(POLL)
    assert unmapped.collector.tick(SLOW)
    assert unmapped.attached == "blocked"


def test_tables_are_read_again_with_their_holders() -> None:
    unmapped = Unmapped()
    unmapped.host.put("/proc/26/fd/9", Link("/dev/vfio/15"))
    assert unmapped.collector.tick(POLL)
    assert unmapped.attached == "blocked"


def test_tables_are_read_again_with_a_queue_that_came_with_an_event() -> None:
    unmapped = Unmapped()
    unmapped.host.put("/proc/26/fd/9", Link("/dev/vfio/15"))
    event = Uevent("add", "mdev", "/devices/pci0000:00/0000:00:05.0/x")
    assert unmapped.collector.tick(1.0, [event])
    assert unmapped.attached == "blocked"


def test_of_a_capture_there_is_no_rate_on_any_cpu(watched: Watched) -> None:
    watched.host.taken_at = "2001-02-03T04:05:06Z"
    watched.host.put("/sys/kernel/irq/2/per_cpu_count", "0,20\n")
    watched.collector.tick(1.0, focus=Focus(None, (2,)))
    watched.collector.tick(2.0, focus=Focus(None, (2,)))
    sample = watched.collector.sample()
    assert (sample.per_cpu, sample.cpu_rates) == ({2: (0, 20)}, {})


def test_a_change_that_sent_no_event_at_all_is_found_by_the_sweep(watched: Watched) -> None:
    watched.host.put(f"/sys/devices/pci0000:00/{NIC}/numa_node", "1\n")
    ticks = [watched.collector.tick(1.0 + second / 10) for second in range(round(SWEEP))]
    assert any(ticks)
    assert f"{NIC}: NUMA node none -> 1" in watched.texts


def test_a_fault_in_the_kernel_log_becomes_an_event_once(watched: Watched) -> None:
    record = "3,1,5000000,-;DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x900000"
    watched.host.put("/dev/kmsg", f"{record} [fault reason 0x06] PTE Read access is not set\n")
    assert watched.collector.tick(POLL)
    assert watched.collector.tick(2 * POLL) is False
    faults = [happening for happening in watched.timeline.all() if happening.kind == "fault"]
    assert [fault.key for fault in faults] == [NIC]


def test_a_fault_is_told_with_the_time_at_which_it_happened(watched: Watched) -> None:
    record = "3,1,5000000,-;DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x900000"
    watched.host.put("/dev/kmsg", f"{record} [fault reason 0x06] PTE Read access is not set\n")
    watched.host.put("/proc/stat", "cpu 1\nintr 0\nbtime 1000000\nprocesses 5\n")
    watched.collector.tick(POLL)
    assert [one.at for one in watched.timeline.all() if one.kind == "fault"] == [1_000_005.0]


def test_a_collector_that_begins_anew_does_not_tell_a_fault_again(watched: Watched) -> None:
    record = "3,1,5000000,-;DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x900000"
    watched.host.put("/dev/kmsg", f"{record} [fault reason 0x06] PTE Read access is not set\n")
    watched.collector.tick(POLL)
    again = Collector(watched.host, watched.timeline)
    again.read_outline()
    again.read_rest(0.0)
    assert len([one for one in watched.timeline.all() if one.kind == "fault"]) == 1


def test_a_kernel_log_that_cannot_be_read_is_unknown_not_empty(watched: Watched) -> None:
    paths = [entry.path for entry in watched.collector.sample().snapshot.unknown]
    assert "/dev/kmsg" in paths


def test_details_are_read_for_what_is_looked_at(watched: Watched) -> None:
    watched.host.put(f"/sys/devices/pci0000:00/{NIC}/power_state", "D0\n")
    assert watched.collector.tick(1.0, focus=Focus(NIC))
    details = watched.collector.sample().details
    assert details is not None
    assert details[0] == NIC
    assert ("power_state", "D0") in [(detail.name, detail.value) for detail in details[1]]


def test_cpus_are_read_for_the_interrupts_that_are_looked_at(watched: Watched) -> None:
    watched.host.put("/sys/kernel/irq/2/per_cpu_count", "0,20\n")
    assert watched.collector.tick(1.0, focus=Focus(None, (2,)))
    assert watched.collector.sample().per_cpu == {2: (0, 20)}
    assert watched.collector.tick(2.0, focus=Focus(None, (2,)))
    assert watched.collector.sample().cpu_rates == {2: (0, 0)}
    assert not watched.collector.tick(3.0, focus=Focus(None, (2,)))


def test_every_part_says_when_it_was_read(watched: Watched) -> None:
    assert {
        "topology",
        "devices",
        "interrupts",
        "holders",
    } <= watched.collector.sample().read_at.keys()
