"""What speaks against a step, by what it does: on machines of which each part is known."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.plan import Step, Write
from sdmtop.operations.preconditions import judge
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


# -- queues of IDXD --


def disable(driver: str, name: str) -> Step:
    """The step that takes back what an attach of a queue has enabled."""
    action = Write(f"/sys/bus/dsa/drivers/{driver}/unbind", name)
    return Step("wq0.0", f"disable {name}", "", action, (), (), None)


def test_a_queue_that_another_process_holds_is_not_disabled_unasked() -> None:
    host = open_host("sim:idxd")
    (verdict,) = judge(host, read_snapshot(host), [disable("user", "wq0.0")])
    assert (verdict.kind, verdict.subject) == ("unsafe", "wq0.0")
    assert verdict.sentence == "spdk_tgt 2801 holds it, and would lose it"


def test_a_device_is_disabled_with_all_its_queues() -> None:
    host = open_host("sim:idxd")
    found = judge(host, read_snapshot(host), [disable("idxd", "dsa0")])
    assert {(one.kind, one.subject, one.sentence) for one in found} == {
        ("unsafe", "wq0.0", "spdk_tgt 2801 holds it, and would lose it"),
        ("unsafe", "wq0.1", "dpdk-testpmd 2950 holds it, and would lose it"),
        ("unsafe", "wq0.2", "it is enabled for the kernel, which would lose it"),
    }


def test_what_we_hold_ourselves_and_what_was_disabled_before_costs_nothing() -> None:
    host = open_host("sim:idxd")
    with closing(host.open("/dev/dsa/wq0.0")):
        snapshot = read_snapshot(host)
    queues = tuple(
        replace(one, holders=tuple(pid for pid in one.holders or () if pid == 4242))
        for one in snapshot.sdmdevs
        if one.id == "wq0.0"
    )
    assert queues[0].holders
    steps = [disable("user", "wq0.0"), disable("idxd", "dsa0")]
    assert judge(host, replace(snapshot, sdmdevs=queues), steps) == ()
    (verdict,) = judge(host, replace(snapshot, sdmdevs=queues), steps[1:])
    assert verdict.sentence == "it is enabled, and would be disabled with dsa0"


def test_a_queue_whose_holders_nobody_sees_is_not_known_to_be_free() -> None:
    host = open_host("sim:idxd")
    snapshot = read_snapshot(host)
    queues = tuple(replace(one, holders=None) for one in snapshot.sdmdevs if one.id == "wq0.0")
    (verdict,) = judge(host, replace(snapshot, sdmdevs=queues), [disable("user", "wq0.0")])
    assert verdict.kind == "unknown"
