"""A guest, frozen by `sdmtop capture`, reads as the live one did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from sdmtop.backends.base import open_host
from sdmtop.readers.snapshot import read_snapshot
from tests.guest.captures import capture_in
from tests.guest.conftest import EVERY_KERNEL, snapshot_of
from tests.guest.scenes import QUEUE, create_queues, holding, load_sdmdev
from tests.guest.topologies import EDU
from tests.guest.witnesses import groups_of_mdevs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guest.conftest import Json
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]


def test_a_capture_of_a_busy_guest_reads_as_the_guest_itself(busy: Guest, tmp_path: Path) -> None:
    live = snapshot_of(busy)
    file = tmp_path / "busy.tar.xz"
    capture_in(busy, file)
    frozen = json.loads(msgspec.json.encode(read_snapshot(open_host(f"capture:{file}"))))
    for kind in ("groups", "mdev_types", "sdmdevs", "processes"):
        assert frozen[kind] == live[kind], kind
    assert [_without_pasid(device) for device in frozen["devices"]] == [
        _without_pasid(device) for device in live["devices"]
    ]
    steady = ("irq", "chip", "hwirq", "trigger", "actions", "device", "shared_by", "affinity")
    assert [[row[name] for name in steady] for row in frozen["interrupts"]] == [
        [row[name] for name in steady] for row in live["interrupts"]
    ]


def test_a_capture_beside_an_unbind_that_waits_waits_for_nothing(guest: Guest) -> None:
    """The unbind holds the device lock, which `uevent` takes on 6.1, and `driver_override`."""
    load_sdmdev(guest)
    create_queues(guest)
    with holding(guest, groups_of_mdevs(guest)[QUEUE], "--device", QUEUE):
        unbind = guest.start("sh", "-c", f"echo {EDU} > /sys/bus/pci/drivers/sdmdev_edu/unbind")
        guest.run(
            "sh", "-c", f"while [ -e /sys/bus/pci/devices/{EDU}/driver ]; do sleep 0.02; done"
        )
        said = guest.sdmtop("capture", "/run/beside").text
        assert unbind.status is None
        guest.run("test", "-e", f"/run/beside/sys/bus/pci/devices/{EDU}/class")
    assert unbind.wait().status == 0
    guest.write("/sys/bus/pci/drivers/sdmdev_edu/bind", EDU)
    assert "no answer" not in said


def _without_pasid(device: Json) -> Json:
    """Whether a device sleeps, so that its configuration space is left alone, may change."""
    return {name: value for name, value in device.items() if name != "pasid"}
