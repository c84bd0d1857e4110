"""Devices that come and go while they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest.conftest import EVERY_KERNEL, snapshot_of
from tests.guest.topologies import HOTPLUG_PORT, PLUGGED

if TYPE_CHECKING:
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]


def test_a_plugged_device_is_there_and_a_pulled_one_is_gone(guest: Guest) -> None:
    guest.plug("edu", id="newcomer", bus="vacant")
    guest.run(
        "sh", "-c", f"until [ -e /sys/bus/pci/devices/{PLUGGED}/iommu_group ]; do sleep 0.02; done"
    )
    snapshot = snapshot_of(guest)
    (device,) = (d for d in snapshot["devices"] if d["address"] == PLUGGED)
    assert device["parent"] == HOTPLUG_PORT
    (group,) = (g for g in snapshot["groups"] if g["id"] == device["group"])
    assert group["devices"] == [PLUGGED]

    guest.pull("newcomer")
    guest.run("sh", "-c", f"while [ -e /sys/bus/pci/devices/{PLUGGED} ]; do sleep 0.02; done")
    snapshot = snapshot_of(guest)
    assert PLUGGED not in {d["address"] for d in snapshot["devices"]}
    assert all(PLUGGED not in g["devices"] for g in snapshot["groups"])


def test_readings_while_a_device_comes_and_goes_are_whole(guest: Guest) -> None:
    """What is pulled under a reading is absent, or there with all its facts, never an error."""
    readings = guest.start("sh", "-c", _READ_UNTIL_TOLD, "sh", guest.program)
    readings.wait_for_output("begun")
    for number in range(3):
        guest.plug("edu", id=f"visitor{number}", bus="vacant")
        guest.run(
            "sh",
            "-c",
            f"until [ -e /sys/bus/pci/devices/{PLUGGED}/iommu_group ]; do sleep 0.02; done",
        )
        guest.pull(f"visitor{number}")
        guest.run("sh", "-c", f"while [ -e /sys/bus/pci/devices/{PLUGGED} ]; do sleep 0.02; done")
    guest.run("touch", "/run/enough")
    done = readings.wait()
    guest.run("rm", "/run/enough")
    assert done.status == 0, done.err
    assert b"Traceback" not in done.err
    assert done.text.count("taken") >= 1


_READ_UNTIL_TOLD = """\
echo begun
until [ -e /run/enough ]; do
  "$1" snapshot --format json > /run/reading.json || exit 1
  grep -q '"schema"' /run/reading.json || exit 2
  echo taken
done
"""
