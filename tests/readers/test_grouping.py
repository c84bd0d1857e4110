"""Why devices share a group."""

from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.readers.grouping import Reason, grouping_reasons
from sdmtop.readers.snapshot import read_snapshot
from tests.records import device, group, snapshot

if TYPE_CHECKING:
    from sdmtop.model import Device

ROOT = "/sys/devices/pci0000:00"
PORT, BRIDGE = "0000:00:01.0", "0000:01:00.0"
ONE, TWO = "0000:02:00.0", "0000:02:01.0"
ROOT_PORT, DOWNSTREAM, TO_CONVENTIONAL, ENDPOINT = 4, 6, 7, 0


def config(type_: int | None, acs: tuple[int, int] | None = None) -> bytes:
    """Configuration space of a PCI Express device; `acs` is what it can and what is on."""
    space = bytearray(4096)
    if type_ is not None:
        space[0x34], space[0x40], space[0x42] = 0x40, 0x10, type_ << 4
    if acs is not None:
        space[0x100:0x108] = b"\x0d\x00\x01\x00" + b"".join(
            value.to_bytes(2, "little") for value in acs
        )
    return bytes(space)


def reasons(
    configs: dict[str, bytes], paths: dict[str, str], members: tuple[str, ...], power: str = "D0"
) -> tuple[Reason, ...]:
    """Of one group in a box of these devices; those in `configs` but endpoints are bridges."""
    devices: "list[Device]" = []
    entries = {}
    for address, place in paths.items():
        path = f"{ROOT}/{place}"
        class_ = "0x060400" if address in (PORT, BRIDGE) else "0x020000"
        devices.append(device(address, path=path, group=1, class_=class_))
        entries[f"{path}/power_state"] = f"{power}\n".encode()
        if address in configs:
            entries[f"{path}/config"] = configs[address]
    return grouping_reasons(TreeHost(entries), snapshot(devices=devices), group(1, *members))


BEHIND_PORT = {PORT: PORT, ONE: f"{PORT}/{ONE}", TWO: f"{PORT}/{TWO}"}


def test_a_device_alone_needs_no_reason() -> None:
    assert reasons({}, BEHIND_PORT, (ONE,)) == ()


@pytest.mark.parametrize("type_", [TO_CONVENTIONAL, None])
def test_behind_a_bridge_to_conventional_pci_nobody_can_be_told_apart(type_: int | None) -> None:
    (reason,) = reasons({PORT: config(type_)}, BEHIND_PORT, (PORT, ONE, TWO))
    assert reason.by == PORT
    assert "conventional PCI" in reason.words
    assert not reason.mendable


@pytest.mark.parametrize("type_", [ROOT_PORT, DOWNSTREAM])
@pytest.mark.parametrize(
    ("acs", "words"),
    [
        (None, "it has none"),
        ((0x1D, 0x11), "request redirect, completion redirect off"),
        ((0x19, 0x11), "completion redirect off"),
    ],
)
def test_a_port_without_access_control_joins_what_is_below(
    type_: int, acs: tuple[int, int] | None, words: str
) -> None:
    (reason,) = reasons({PORT: config(type_, acs)}, BEHIND_PORT, (ONE, TWO))
    assert reason == Reason(
        words=f"port {PORT} lacks access control (ACS): {words}", by=PORT, mendable=True
    )


@pytest.mark.parametrize("acs", [(0x1D, 0x1D), (0x0D, 0x0D), (0x00, 0x00)])
def test_a_port_is_no_reason_if_all_is_on_that_is_not_hard_wired_to_be(
    acs: tuple[int, int],
) -> None:
    (reason,) = reasons({PORT: config(ROOT_PORT, acs)}, BEHIND_PORT, (ONE, TWO))
    assert reason.by is None


SLOT = {"0000:00:08.0": "0000:00:08.0", "0000:00:08.1": "0000:00:08.1"}


def test_the_functions_of_a_slot_are_together_without_access_control() -> None:
    plain = {address: config(ENDPOINT) for address in SLOT}
    (reason,) = reasons(plain, SLOT, tuple(SLOT))
    assert reason.by == "0000:00:08"
    assert not reason.mendable


def test_of_functions_that_are_hidden_nothing_is_claimed() -> None:
    hidden = {address: config(ENDPOINT)[:64] for address in SLOT}
    for configs in ({}, hidden):
        (reason,) = reasons(configs, SLOT, tuple(SLOT))
        assert reason.by is None


@pytest.mark.parametrize("acs", [(0x0C, 0x0C), (0x00, 0x00)])
def test_functions_that_have_it_are_together_for_another_reason(acs: tuple[int, int]) -> None:
    isolating = {address: config(ENDPOINT, acs) for address in SLOT}
    (reason,) = reasons(isolating, SLOT, tuple(SLOT))
    assert reason.by is None


def test_a_bridge_that_sleeps_is_left_asleep() -> None:
    asleep = reasons({PORT: config(TO_CONVENTIONAL)}, BEHIND_PORT, (PORT, ONE, TWO), "D3cold")
    assert [reason.by for reason in asleep] == [None]


def test_a_list_of_capabilities_without_end_is_no_bridge_of_any_kind() -> None:
    endless = bytearray(config(None))
    endless[0x34], endless[0x40], endless[0x41] = 0x40, 0x01, 0x40
    (reason,) = reasons({PORT: bytes(endless)}, BEHIND_PORT, (PORT, ONE, TWO))
    assert reason.by is None


def test_a_guest_has_a_bridge_and_two_slots() -> None:
    host = open_host("capture:tests/trees/guest-6.1-amd.tar.xz")
    found = read_snapshot(host)
    by = [reason.by for one in found.groups for reason in grouping_reasons(host, found, one)]
    assert by == ["0000:00:08", "0000:00:1f", "0000:05:00.0"]
