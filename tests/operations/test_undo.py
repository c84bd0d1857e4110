"""Plans made from the journal, on captured kernels and small hosts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sdmtop.backends.tree import Link, TreeHost
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.kept import Kept
from sdmtop.operations.undo import inverted, plan_detach, plan_release
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.box import Box, plan, step
from tests.operations.captured import BUSY, captured, refusals, writes
from tests.readers import small_host
from tests.readers.small_host import DISK, NIC, ROOT


def test_undoing_goes_from_the_last_step_to_the_first() -> None:
    first, second = step("/a", "new"), step("/b", "new")
    back = inverted([first, second])
    assert [one.action for one in back] == [second.inverse, first.inverse]
    assert inverted(back) == [first, second]


def test_a_detach_without_a_memory_has_the_kernel_look_for_a_driver() -> None:
    plan = plan_detach(*captured(BUSY), ["0000:03:00.0"])
    assert writes(plan) == [
        ("vfio-pci/unbind", "0000:03:00.0"),
        ("0000:03:00.0/driver_override", "\n"),
        ("pci/drivers_probe", "0000:03:00.0"),
    ]
    assert any("does not know which driver" in note for note in plan.notes)


@pytest.mark.parametrize(("bus", "told"), [("pci", ""), ("platform", " --bus platform")])
def test_driverctl_is_told_on_which_bus_it_gives_a_device_back(bus: str, told: str) -> None:
    host, snapshot = captured(BUSY)
    devices = tuple(replace(one, bus=bus) for one in snapshot.devices)
    plan = plan_detach(host, replace(snapshot, devices=devices), ["0000:03:00.0"])
    assert plan.equivalents[0] == f"driverctl{told} --nosave unset-override 0000:03:00.0"


def test_what_is_on_its_own_driver_is_not_attached() -> None:
    with pytest.raises(NothingToDoError, match="not attached"):
        plan_detach(*captured(BUSY), ["0000:02:00.0"])


def test_what_is_not_attached_takes_nothing_of_its_group_along() -> None:
    host = TreeHost(small_host.small_host())
    host.put(f"{ROOT}/{DISK}/driver", Link("../../../bus/pci/drivers/vfio-pci"))
    snapshot = read_snapshot(host)
    with pytest.raises(NothingToDoError, match="not attached"):
        plan_detach(host, snapshot, [NIC])
    plan = plan_detach(host, snapshot, [NIC, DISK])
    assert writes(plan)[0] == ("vfio-pci/unbind", DISK)
    assert f"{NIC} stays as it is: it is not attached" in plan.notes


def test_a_queue_that_nobody_holds_is_not_attached() -> None:
    with pytest.raises(NothingToDoError, match="not attached"):
        plan_detach(*captured(BUSY), ["5d3de000-0000-4000-8000-000000000001"])


@pytest.mark.parametrize(("found", "undone"), [("new", ["/a"]), ("foreign", [])])
def test_what_is_released_is_told_by_what_is_kept_and_what_somebody_else_changed_is_left(
    found: str, undone: list[str]
) -> None:
    box = Box({"/a": found})
    kept = Kept(box)
    kept.plans["thing"] = plan(step("/a", "new"), step("/b", "new", subject="other"))
    release = plan_release(box, read_snapshot(box), kept, "thing")
    assert [path for path, _ in writes(release)] == undone
    assert bool(release.notes) == (not undone)
    assert (release.targets, release.locks) == (("thing",), ("group/1",))


def test_what_an_unbind_waits_for_is_refused_and_not_called_detached() -> None:
    host = TreeHost(small_host.small_host())
    host.remove(f"{ROOT}/{NIC}/driver")
    with pytest.raises(RefusedError, match=f"{NIC}: an unbind of it is under way"):
        plan_detach(host, read_snapshot(host), [NIC])


def test_an_unbind_under_way_in_the_group_is_a_refusal_unless_only_the_other_goes() -> None:
    host = TreeHost(small_host.small_host())
    host.remove(f"{ROOT}/{NIC}/driver")
    host.put(f"{ROOT}/{DISK}/driver", Link("../../../bus/pci/drivers/vfio-pci"))
    snapshot = read_snapshot(host)
    assert refusals(plan_detach(host, snapshot, [DISK])) == [f"{NIC}: an unbind of it is under way"]
    assert not refusals(plan_detach(host, snapshot, [DISK], only=True))
