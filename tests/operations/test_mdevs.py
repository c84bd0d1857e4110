"""What create and remove would do, on captured kernels."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.model import Process, Unknown
from sdmtop.operations.mdevs import plan_create, plan_remove
from sdmtop.operations.plan import Fact, Write
from tests.operations.captured import BUSY, captured, refusals, writes

TYPE = "sdmdev_virtual.0/sdmdev_virtual-fact"
THERE = "5d3de000-0000-4000-8000-000000000003"
NEW = "5d3de000-0000-4000-8000-0000000000aa"
PARENT = "/sys/devices/platform/sdmdev_virtual.0"


def test_a_uuid_is_written_to_create() -> None:
    plan = plan_create(*captured(BUSY), TYPE, NEW)
    (step,) = plan.steps
    path = f"{PARENT}/mdev_supported_types/sdmdev_virtual-fact/create"
    assert step.action == Write(path, NEW)
    assert step.inverse == Write(f"{PARENT}/{NEW}/remove", "1")
    assert Fact("exists", f"/sys/bus/mdev/devices/{NEW}", "yes") in step.after
    assert plan.equivalents == (
        f"mdevctl start --uuid {NEW} --parent sdmdev_virtual.0 --type sdmdev_virtual-fact",
    )
    assert any("not persistent" in note for note in plan.notes)


def test_without_a_uuid_there_is_a_new_one_each_time() -> None:
    first, second = (plan_create(*captured(BUSY), TYPE) for _ in range(2))
    assert writes(first) != writes(second)


def test_a_uuid_is_written_in_the_kernels_spelling() -> None:
    plan = plan_create(*captured(BUSY), TYPE, NEW.upper())
    assert plan == plan_create(*captured(BUSY), TYPE, NEW)


@pytest.mark.parametrize("uuid", ["", "x", NEW[:-1], f"{{{NEW}}}", NEW.replace("-", "")])
def test_what_is_no_uuid(uuid: str) -> None:
    with pytest.raises(UsageError, match="no UUID"):
        plan_create(*captured(BUSY), TYPE, uuid)


def test_what_is_there_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDoError, match="there already"):
        plan_create(*captured(BUSY), TYPE, THERE)


def test_a_uuid_of_another_parent_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"an mdev of 0000:01:00\.0"):
        plan_create(*captured(BUSY), TYPE, "5d3de000-0000-4000-8000-000000000001")


def test_where_no_instance_is_left_nothing_is_made() -> None:
    plan = plan_create(*captured(BUSY), "0000:01:00.0/sdmdev_edu-fact", NEW)
    assert refusals(plan) == ["0000:01:00.0: no instance of sdmdev_edu-fact is left"]


@pytest.mark.parametrize("name", ["", "x", "x/y", "sdmdev_virtual.0", "sdmdev_virtual.0/"])
def test_a_type_that_is_not_there(name: str) -> None:
    with pytest.raises(NothingToDoError):
        plan_create(*captured(BUSY), name)


def test_remove_is_checked_in_both_places_where_an_mdev_shows() -> None:
    plan = plan_remove(*captured(BUSY), [THERE])
    (step,) = plan.steps
    assert step.action == Write(f"{PARENT}/{THERE}/remove", "1")
    assert step.after == (
        Fact("exists", f"/sys/bus/mdev/devices/{THERE}", None),
        Fact("exists", f"{PARENT}/{THERE}", None),
        Fact("link", f"{PARENT}/{THERE}/mdev_type", None),
    )
    assert plan.equivalents == (f"mdevctl stop --uuid {THERE}",)


def test_what_is_held_is_not_removed_and_its_holder_is_named() -> None:
    host, snapshot = captured(BUSY)
    held = tuple(
        replace(one, holders=(4711,)) if one.id == THERE else one for one in snapshot.sdmdevs
    )
    process = Process(pid=4711, name="qemu", user="root", holds=("/dev/vfio/22",))
    plan = plan_remove(host, replace(snapshot, sdmdevs=held, processes=(process,)), [THERE])
    assert refusals(plan) == [f"{THERE}: qemu 4711 holds it"]


def test_where_the_holders_cannot_be_told_the_uuid_has_to_be_typed() -> None:
    host, snapshot = captured(BUSY)
    untold = tuple(
        replace(one, holders=None) if one.id == THERE else one for one in snapshot.sdmdevs
    )
    blind = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds what")
    plan = plan_remove(host, replace(snapshot, sdmdevs=untold, unknown=(blind,)), [THERE])
    assert [verdict.kind for verdict in plan.doubts] == ["unknown"]
    assert plan.phrase == THERE


def test_a_removal_under_way_is_not_begun_again() -> None:
    host, snapshot = captured(BUSY)
    leaving = tuple(
        replace(one, params={"removal": "pending"}) if one.id == THERE else one
        for one in snapshot.sdmdevs
    )
    plan = plan_remove(host, replace(snapshot, sdmdevs=leaving), [THERE])
    assert refusals(plan) == [f"{THERE}: its removal is under way, and waits for its holder"]


def test_several_are_removed_by_one_plan() -> None:
    other = "5d3de000-0000-4000-8000-000000000001"
    plan = plan_remove(*captured(BUSY), [THERE, other, THERE])
    assert writes(plan) == [(f"{THERE}/remove", "1"), (f"{other}/remove", "1")]
    assert plan.targets == (THERE, other)


def test_what_is_not_there_is_nothing_to_do() -> None:
    with pytest.raises(NothingToDoError, match="no such mdev"):
        plan_remove(*captured(BUSY), [NEW])
