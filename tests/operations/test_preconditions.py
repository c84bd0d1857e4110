"""What speaks against a step, by what it does: on machines of which each part is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdmtop.operations.attach import plan_attach
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.blast.box import Box, kinds
from tests.operations.captured import refusals

if TYPE_CHECKING:
    from sdmtop.operations.plan import Plan

ADDRESS = "0000:00:1f.0"


def attached(box: Box, driver: str | None = None) -> Plan:
    """The plan for `ADDRESS`; its driver is loaded."""
    box.put(f"/sys/bus/pci/drivers/{driver or 'vfio-pci'}/bind", "")
    host = box.host()
    return plan_attach(host, read_snapshot(host), [ADDRESS], driver=driver)


# -- devices without a driver --------------------------------------------------------------------


@pytest.mark.parametrize("class_", ["0x060000", "0x060100", "0x060400"])
@pytest.mark.parametrize("driver", [None, "uio_pci_generic"])
def test_a_bridge_without_a_driver_is_refused_as_well(class_: str, driver: str | None) -> None:
    box = Box()
    box.device(ADDRESS, class_, None)
    assert any("it is a bridge" in one for one in refusals(attached(box, driver)))


@pytest.mark.parametrize("driver", [None, "uio_pci_generic"])
def test_the_display_of_the_firmware_needs_no_driver_to_show_the_console(
    driver: str | None,
) -> None:
    box = Box()
    path = box.device(ADDRESS, "0x030000", None)
    box.put(f"{path}/boot_vga", "1\n")
    box.part("vtconsole", "vtcon1", "/sys/devices/virtual/vtconsole/vtcon1",
             bind="1", name="(M) frame buffer device")  # fmt: skip
    box.part("graphics", "fb0", "/sys/devices/platform/simple-framebuffer.0/graphics/fb0")
    assert any("the console is shown on it" in one for one in refusals(attached(box, driver)))


def test_a_usual_device_without_a_driver_is_safe() -> None:
    box = Box()
    box.device(ADDRESS, "0x020000", None)
    assert kinds(attached(box).verdicts) == {"safe"}


def test_a_driver_of_the_kernels_own_takes_nothing_from_a_device_that_has_none() -> None:
    box = Box()
    box.device(ADDRESS, "0x020000", None)
    assert attached(box, "e1000e").verdicts == ()
