"""The lines of the tree, and their columns."""

from typing import Any

import pytest

from sdmtop.model import Process, Snapshot, Unknown
from sdmtop.outline import NO_DEVICE, columns, heading, middle, render
from sdmtop.report import outline
from tests.records import device, group, queue, snapshot

NIC = "0000:02:00.0"
UUID = "5d3de000-0000-4000-8000-000000000001"
QEMU = Process(pid=42, name="qemu-system-x86", user="root", holds=("/dev/vfio/7",))
BLIND = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds devices")


def cells_of(snap: Snapshot, key: str) -> tuple[str, ...]:
    tree = outline(snap)
    (line,) = [line for line in tree.lines() if line.key == key]
    return tree.cells(line)


def passed_through(**fields: Any) -> Snapshot:
    nic = device(NIC, group=7, driver="vfio-pci")
    return snapshot(groups=[group(7, NIC, owner="vfio", viable=True)], devices=[nic], **fields)


def test_a_group_shows_who_holds_it_with_the_pid_first() -> None:
    assert cells_of(passed_through(processes=[QEMU]), "group/7")[3] == "42 qemu-system-x86"


def test_several_holders_are_the_first_and_how_many_more() -> None:
    other = Process(pid=50, name="dpdk", user="root", holds=("/dev/vfio/7",))
    assert cells_of(passed_through(processes=[QEMU, other]), "group/7")[3] == "42 +1"


def test_a_group_of_vfio_that_nobody_holds_says_so() -> None:
    assert cells_of(passed_through(), "group/7")[3] == "-"


def test_a_group_whose_holder_cannot_be_told_says_so() -> None:
    assert cells_of(passed_through(unknown=[BLIND]), "group/7")[3] == "?"


def test_a_group_of_the_kernel_says_nothing_of_holders() -> None:
    snap = snapshot(groups=[group(7, NIC)], devices=[device(NIC)], unknown=[BLIND])
    assert cells_of(snap, "group/7")[3] == ""


def test_a_device_whose_unbind_waits_is_stuck_and_its_group_is_not_free() -> None:
    nic = device(NIC, group=7)
    waits = Unknown(path=f"{nic.path}/driver", errno="EBUSY", what="driver")
    reason = f"cannot tell the driver of {NIC}"
    undecided = group(7, NIC, owner="free", viable=None, viability_reason=reason)
    snap = snapshot(groups=[undecided], devices=[nic], unknown=[waits])
    assert cells_of(snap, NIC)[1:3] == ("?", "stuck")
    assert cells_of(snap, "group/7")[2] == "?"


def test_a_virtual_function_is_bound_or_unbound_like_any_device() -> None:
    bound = device(NIC, driver="vfio-pci", physfn="0000:02:00.1", name="NIC")
    assert cells_of(snapshot(devices=[bound]), NIC)[2] == "bound"
    assert cells_of(snapshot(devices=[bound]), NIC)[5] == "VF of 02:00.1, NIC"
    assert cells_of(snapshot(devices=[device(NIC, physfn="0000:02:00.1")]), NIC)[2] == "unbound"


def test_a_queue_whose_device_is_not_known_has_a_heading_of_its_own() -> None:
    snap = snapshot(devices=[device(NIC)], sdmdevs=[queue(UUID), queue("wq0.0", parent=None)])
    lines = list(outline(snap).lines())
    assert [line.key for line in lines[2:]] == [NO_DEVICE, UUID, "wq0.0"]
    assert cells_of(snap, NO_DEVICE)[0] == "no known device"


def test_at_120_columns_every_column_has_its_room() -> None:
    name, _, _, holder, rate, what = columns(71, uuids=True, holding=True)
    assert len("    5d3de00…0000001") <= name
    assert len("42 qemu-s…") <= holder
    assert rate >= len("9999M")
    assert what >= 13


def test_a_host_on_which_nothing_can_be_held_has_no_column_for_it() -> None:
    assert columns(71, uuids=False, holding=False)[3] == 0
    assert columns(71, uuids=False, holding=False)[5] >= 24
    assert "HOLDER" not in heading(columns(71, uuids=False, holding=False))


@pytest.mark.parametrize("width", [*range(120), 200, 400])
def test_a_line_is_as_wide_as_it_is_told(width: int) -> None:
    for uuids in (True, False):
        for holding in (True, False):
            line = heading(columns(width, uuids=uuids, holding=holding))
            assert width - 1 <= len(line) <= width


def test_wide_terminals_show_uuids_in_full() -> None:
    assert columns(121, uuids=True, holding=True)[0] == 40


def test_uuids_are_cut_in_the_middle_so_that_they_differ() -> None:
    widths = columns(71, uuids=True, holding=True)
    one, two = (
        render((UUID[:-1] + digit, "", "", "", "", ""), 2, widths).split()[0] for digit in "12"
    )
    assert one != two
    assert middle("abcdefghij", 5) == "ab…ij"
    assert middle("abc", 5) == "abc"


def test_rates_and_their_heading_stand_at_the_right_of_their_column() -> None:
    widths = (16, 11, 8, 0, 7, 20)
    assert render(("a", "b", "c", "", "12", "what"), 0, widths).index("12") == 16 + 11 + 8 + 3 + 5
    assert heading(widths).index("IRQ/S") == 16 + 11 + 8 + 3 + 2
