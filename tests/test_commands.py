"""The registry of commands, without a console."""

from typing import get_args

import pytest
from msgspec.structs import replace

from sdmtop.commands import (
    COMMANDS,
    Command,
    Now,
    Scope,
    footer,
    help_lines,
    key_names,
    with_keys,
)
from sdmtop.model import MdevType
from tests.records import device, group, interrupt, queue, snapshot


def shown(now: Now, width: int = 200) -> str:
    return "".join(hint.text for hint in footer(width, now))


def test_every_command_has_an_id_of_its_own_a_key_a_title_and_a_line_of_help() -> None:
    assert len({command.id for command in COMMANDS}) == len(COMMANDS)
    for command in COMMANDS:
        assert command.keys
        assert command.title
        assert command.help


@pytest.mark.parametrize("scope", get_args(Scope))
def test_no_key_does_two_things(scope: Scope) -> None:
    """The field and the pages have keys of their own; the rest works at the same time."""
    apart = ("field", "columns")
    together = [scope] if scope in apart else [s for s in get_args(Scope) if s not in apart]
    keys = [key for c in COMMANDS if c.scope in together for key in c.keys.split(",")]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("now", "there", "absent"),
    [
        (Now(), ["? Help", "q Quit"], ["Fold", "esc", "Tree"]),
        (Now(foldable=True), ["enter Fold"], []),
        (Now(foldable=True, pane="events"), ["1 Tree"], ["Fold"]),
        (Now(pane="interrupts"), ["s Sort rate"], []),
        (Now(typing=True, foldable=True), ["enter Keep", "esc Clear"], ["Quit", "Fold", "Help"]),
        (Now(filtered=True), ["esc Clear", "q Quit"], []),
        (Now(page="help", foldable=True), ["esc Close"], ["Quit", "Fold"]),
        (Now(paused=True), ["p Go on"], ["Pause"]),
        (Now(origins=True), ["o Meaning"], ["Origin"]),
        (Now(alone=True), ["2 Inspector"], ["Zoom"]),
        (Now(alone=True, zoomed=True), ["z Back"], []),
    ],
)
def test_the_footer_shows_the_keys_that_work_now(
    now: Now, there: list[str], absent: list[str]
) -> None:
    text = shown(now)
    assert [word for word in there if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_a_pane_that_is_alone_has_the_way_to_the_others_first() -> None:
    assert shown(Now(alone=True)).startswith(" 2 Inspector  ? Help ")
    assert shown(Now(alone=True, pane="events")).startswith(" 1 Tree  ? Help ")
    assert shown(Now()).startswith(" ? Help ")


@pytest.mark.parametrize("width", range(0, 120, 7))
def test_the_footer_fits(width: int) -> None:
    assert len(shown(Now(filtered=True, foldable=True), width)) <= width


def test_what_cannot_be_done_now_comes_last_in_the_footer_and_in_parentheses() -> None:
    attach = Command("attach", "a", "attach", "Attach", "give the device to VFIO",
                     lambda _now: "Attach", lambda now: now.refusal)  # fmt: skip
    quit_ = next(command for command in COMMANDS if command.id == "quit")
    refused = Now(refusal="not root")
    assert footer(40, refused, (attach, quit_)) == [
        (" q Quit ", True, "q"),
        (" (a Attach)", False, "a"),
    ]
    assert footer(40, Now(), (attach, quit_)) == [
        (" a Attach ", True, "a"),
        (" q Quit ", True, "q"),
    ]
    assert ("a", "give the device to VFIO (not now: not root)") in help_lines(refused, (attach,))


def test_help_has_every_key() -> None:
    lines = help_lines(Now())
    assert ("q ctrl+c", "leave the console") in lines
    assert {key_names(command) for command in COMMANDS} <= {keys for keys, _ in lines}


def test_the_keys_of_a_command_can_be_others() -> None:
    commands = {command.id: command for command in with_keys({"sort": "f6,s"})}
    assert key_names(commands["sort"]) == "f6 s"
    assert key_names(commands["quit"]) == "q ctrl+c"


def test_where_there_is_no_room_the_way_back_stays_and_what_only_looks_on_goes() -> None:
    text = shown(Now(pane="interrupts", mapped=True, zoomed=True), 75)
    assert "z Back" in text
    assert "1 Tree" in text
    assert "m Numbers" not in text


NIC = "0000:02:00.0"
SNAPSHOT = snapshot(groups=[group(7, NIC)], devices=[device(NIC, group=7)])


def reason(id_: str, now: Now) -> str | None:
    return next(command for command in COMMANDS if command.id == id_).why_not(now)


def test_what_is_for_one_thing_is_for_what_is_selected_whatever_is_marked() -> None:
    now = Now(target=NIC, snapshot=SNAPSHOT, marked=("some queue",))
    assert reason("reset", now) is None
    assert reason("attach_to", now) == "some queue is no device or group"


def test_an_affinity_is_for_the_selected_device_or_in_their_pane_for_an_interrupt() -> None:
    now = Now(target=NIC, snapshot=SNAPSHOT)
    assert reason("affinity", now) == f"{NIC} has no interrupts"
    there = now._replace(
        pane="interrupts",
        interrupt="irq/24",
        snapshot=snapshot(interrupts=[interrupt("24"), interrupt("NMI")]),
    )
    assert reason("affinity", there) is None
    assert reason("affinity", there._replace(interrupt="irq/NMI")) is not None
    assert reason("affinity", there._replace(interrupt=None)) is not None
    assert reason("affinity", there._replace(refusal="not root")) == "not root"


def test_what_is_created_is_of_the_selected_parent_whatever_is_marked() -> None:
    type_ = MdevType(parent=NIC, id="t", name=None, device_api=None, available_instances=1,
                     flags=None, instances=())  # fmt: skip
    now = Now(target=NIC, snapshot=replace(SNAPSHOT, mdev_types=(type_,)), marked=("group/7",))
    assert reason("create", now) is None
    assert "c Create " in shown(now)


def test_a_queue_that_others_hold_is_not_offered_to_be_detached() -> None:
    held = snapshot(sdmdevs=[queue("held", holders=(7,))])
    now = Now(target="held", snapshot=held)
    assert "Detach" not in shown(now)
    assert reason("detach", now) == "process 7 holds it until it lets go"
    ours = now._replace(kept=("held",))
    assert " d Detach " in shown(ours)
    assert reason("detach", ours) is None
    assert reason("detach", ours._replace(replay=True)) == "a recording cannot be changed"


def test_what_is_certainly_not_attached_is_not_offered_to_be_detached() -> None:
    vfio = "0000:03:00.0"
    devices = [device(NIC, driver="e1000e"), device(vfio, driver="vfio-pci")]
    now = Now(target=NIC, snapshot=snapshot(devices=devices))
    assert reason("detach", now) is None  # Nobody has looked into the journal yet.
    known = now._replace(attached=frozenset())
    assert reason("detach", known) == f"{NIC} is not attached"
    assert "Detach" not in shown(known)
    assert reason("detach", now._replace(attached=frozenset((NIC,)))) is None
    # Of several the plan gives back those that are.
    assert reason("detach", known._replace(marked=(NIC, vfio))) is None
    assert reason("detach", known._replace(marked=(NIC,))) == f"{NIC} is not attached"
