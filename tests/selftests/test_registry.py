"""Which tests there are, and what they apply to."""

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.backends.tree import TreeHost
from sdmtop.errors import UsageError
from sdmtop.model import MdevType, SdmdevParams, Snapshot
from sdmtop.selftests.records import HOST, SelfTest, the_host
from sdmtop.selftests.registry import (
    BENCHMARKS,
    TESTS,
    chosen,
    exists,
    history_of,
    jobs,
    told,
    why_none,
)
from tests.records import device, group, queue, snapshot

GIVEN, BOUND, UUID = "0000:01:00.0", "0000:02:00.0", "5d3de000-0000-4000-8000-000000000001"
BOX = snapshot(
    groups=[group(1, GIVEN), group(2, BOUND)],
    devices=[
        device(GIVEN, group=1, driver="vfio-pci"),
        device(BOUND, group=2, driver="e1000e"),
    ],
    sdmdevs=[queue(UUID, parent=BOUND)],
)


def devices(_host: Host, found: Snapshot) -> list[str]:
    return [one.address for one in found.devices]


def queues(_host: Host, found: Snapshot) -> list[str]:
    return [one.id for one in found.sdmdevs]


CLAIMING = SelfTest("a.claims", str, devices, "", "", "", "", "", claims=True)
LOOKING = SelfTest("a.looks", str, devices, "", "", "", "", "")
QUEUEING = SelfTest("b.queues", str, queues, "", "", "", "", "")
OF_HOST = SelfTest("host.x", str, the_host, "", "", "", "", "")
ALL = (CLAIMING, LOOKING, QUEUEING, OF_HOST)


def made(target: str | None) -> list[tuple[str, str]]:
    return [(job.test.name, job.target) for job in jobs(ALL, TreeHost({}), BOX, target)]


def test_names_are_unique_and_begin_with_their_family() -> None:
    names = [*(test.name for test in TESTS), *(one.name for one in BENCHMARKS)]
    assert len(set(names)) == len(names)
    assert all(name.count(".") == 1 for name in names)


@pytest.mark.parametrize("pattern", ["host", "host.*", "*.numa", "host.numa"])
def test_a_name_a_family_or_a_pattern_chooses(pattern: str) -> None:
    assert "host.numa" in [test.name for test in chosen([pattern])]


def test_several_names_choose_the_tests_of_all_in_their_own_order() -> None:
    names = [test.name for test in chosen(["host.numa", "host.iommu"])]
    assert names == ["host.iommu", "host.numa"]


def test_a_name_that_no_test_has_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match="no test is named 'nothing'"):
        chosen(["host", "nothing"])


def test_without_a_target_no_device_is_taken_from_its_driver_and_the_box_is_left_out() -> None:
    assert made(None) == [
        ("a.looks", GIVEN), ("a.claims", GIVEN), ("a.looks", BOUND), ("b.queues", UUID),
    ]  # fmt: skip


def test_a_device_that_is_named_may_be_taken_and_its_queues_are_its_own() -> None:
    assert made(BOUND) == [("a.looks", BOUND), ("a.claims", BOUND), ("b.queues", UUID)]


def test_a_group_stands_for_its_devices() -> None:
    assert made("group/2") == made(BOUND)


def test_a_queue_is_only_itself() -> None:
    assert made(UUID) == [("b.queues", UUID)]


PARENT = "0000:03:00.0"
SHARING = snapshot(
    groups=[group(3, PARENT), group(4, UUID)],
    devices=[device(PARENT, group=3, driver="hisi_zip", sdmdev=SdmdevParams(1, ()))],
    sdmdevs=[queue(UUID, kind="sdmdev", parent=PARENT, group=4)],
    mdev_types=(MdevType(PARENT, "zlib", "zlib", None, 2, None, (UUID,)),),
)


@pytest.mark.parametrize("target", [UUID, "group/4"])
def test_an_sdmdev_stands_for_the_sdmdev_tests_of_its_parent(target: str) -> None:
    of_queue = jobs(TESTS, TreeHost({}), SHARING, target)
    of_parent = jobs(chosen(["sdmdev"]), TreeHost({}), SHARING, PARENT)
    assert of_queue == of_parent != []
    assert told(SHARING, target) == (
        f"{UUID} is left alone: its parent {PARENT} is tested, on queues made for that",
    )
    targets, names = history_of(SHARING, target, None)
    assert PARENT in targets
    assert names == [test.name for test in chosen(["sdmdev"])]
    assert history_of(SHARING, target, ["sdmdev.job", "vfio.dma"])[1] == ["sdmdev.job"]


def test_a_parent_stands_for_itself_only() -> None:
    assert told(SHARING, PARENT) == ()
    assert history_of(SHARING, PARENT, None) == (frozenset((PARENT, UUID)), None)


def test_a_mediated_device_without_tests_says_what_to_test_instead() -> None:
    host = TreeHost({})
    assert why_none(TESTS, host, BOX, UUID) == (
        f"no test applies to a mediated device itself: test its parent, {BOUND}"
    )
    bare = f"no test applies to it, nor to its parent {BOUND}"
    assert why_none(chosen(["crypto"]), host, BOX, UUID) == bare
    (type_,) = SHARING.mdev_types
    full = replace(SHARING, mdev_types=(replace(type_, available_instances=0),))
    assert jobs(TESTS, host, full, UUID) == []
    assert why_none(BENCHMARKS, host, full, UUID) == (
        f"no benchmark applies: its parent {PARENT} has no queue left for one"
    )
    assert why_none(TESTS, host, BOX, GIVEN) is None


def test_the_box_itself_has_a_name() -> None:
    assert made(HOST) == [("host.x", HOST)]


@pytest.mark.parametrize("target", [HOST, "group/1", GIVEN, UUID])
def test_what_is_there_exists_whether_a_test_applies_or_not(target: str) -> None:
    assert exists(BOX, target)


@pytest.mark.parametrize("target", ["group/9", "0000:09:00.0", ""])
def test_what_is_not_there_does_not(target: str) -> None:
    assert not exists(BOX, target)
    assert made(target) == []
