"""The keys A V P D R: what is asked before an operation can be planned, and what comes of it."""

from typing import cast

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Input, OptionList, Static

from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.collector import Sample
from sdmtop.commands import Now
from sdmtop.counters import Counters
from sdmtop.model import NumaNode, Sriov
from sdmtop.operations.settings import DOMAIN_TYPES
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.tui.app import Console
from sdmtop.tui.asking import AskScreen, affinity, attach_to, domain_type, sriov
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.operations import PlanScreen
from sdmtop.tui.tree import TreePane
from tests.operations.bench import EDU, NIC, PF, SCENARIO, TWIN, UUID
from tests.records import device, group, interrupt, snapshot
from tests.tui.still import until
from tests.tui.test_operations import driver, go, is_over, mark, play, screen_text, shown


@pytest.fixture
def host() -> SimulatorHost:
    return SimulatorHost(read_scenario(SCENARIO, "bench.toml"))


async def ask(pilot: Pilot[None], key: str, target: str) -> None:
    """Press a key on a target, and have the question."""
    assert pilot.app.query_one("#tree", LinesPane).select(target)
    await pilot.pause()
    await pilot.press(key)
    await pilot.pause()
    assert isinstance(pilot.app.screen, AskScreen)


async def planned(pilot: Pilot[None]) -> str:
    """The plan, or why there is none."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
    await until(pilot, lambda: "looking at" not in shown(pilot))
    await pilot.pause()
    return shown(pilot)


def asked(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one(Static).content)


def test_a_driver_is_typed_and_the_plan_gives_it_to_the_device(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "A", EDU)
        assert asked(pilot) == f"Which driver for {EDU}? It need not be one of these."
        assert pilot.app.focused is pilot.app.screen.query_one(Input)
        await pilot.press(*"hisi_zip", "enter")
        assert f"sdmtop attach {EDU} --driver hisi_zip" in await planned(pilot)

    play(host, scene)


def test_several_that_are_marked_get_the_driver(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await mark(pilot, NIC, TWIN)
        await ask(pilot, "A", EDU)
        assert f"{NIC}, {TWIN}?" in asked(pilot)
        await pilot.press(*"nvme", "enter")
        assert f"sdmtop attach {NIC} {TWIN} --driver nvme" in await planned(pilot)

    play(host, scene)


def test_vfs_are_made_and_counted(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "V", PF)
        assert asked(pilot) == f"How many VFs of {PF}? It has 2, and can have 0 to 4."
        await pilot.press("0", "enter")
        await planned(pilot)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        found = {one.address: one for one in read_snapshot(host).devices}
        assert found[PF].sriov == Sriov(total=4, vfs=0)

    play(host, scene)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("many", "not done: 'many' is no number of VFs"),
        ("9", f"not done: {PF} can have 0 to 4 VFs, not 9"),
    ],
)
def test_what_makes_no_sense_is_told_as_it_is(host: SimulatorHost, typed: str, told: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "V", PF)
        await pilot.press(*typed, "enter")
        assert told in await planned(pilot)

    play(host, scene)


def test_an_answer_can_be_chosen_instead(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "D", EDU)
        await pilot.press("down")
        assert pilot.app.focused is pilot.app.screen.query_one(OptionList)
        await pilot.press("enter")
        plan = await planned(pilot)
        assert "sdmtop domain-type group/" in plan
        assert plan.splitlines()[0].endswith(" identity")

    play(host, scene)


def test_affinity_is_for_all_of_a_device_and_in_their_pane_for_one_interrupt(
    host: SimulatorHost,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "P", NIC)
        await pilot.press("1", "enter")
        assert f"sdmtop affinity {NIC} 1" in await planned(pilot)
        await pilot.press("escape", "4", "home")
        await pilot.pause()
        irq = pilot.app.query_one("#interrupts", LinesPane).cursor
        await pilot.press("P")
        await pilot.pause()
        assert f"which CPUs may irq/{irq} come?" in asked(pilot)

    play(host, scene)


def test_a_row_that_is_no_interrupt_of_a_device_says_so(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("4", "end", "P")
        await pilot.pause()
        assert "is no interrupt that could come to other CPUs" in screen_text(pilot)

    play(host, scene)


def test_an_event_of_an_interrupt_is_one_of_its_device(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        (irq,) = [one.irq for one in read_snapshot(host).interrupts if one.device == NIC]
        pilot.app.query_one("#tree", LinesPane).select(EDU)
        await pilot.press("4")
        assert pilot.app.query_one("#interrupts", LinesPane).select(irq)
        await pilot.pause()
        await pilot.press("P", "1", "enter")
        await planned(pilot)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        events = cast(Console, pilot.app).sampler.timeline.all()
        assert [one.key for one in events if one.text.startswith("done: plan 1")] == [NIC]

    play(host, scene)


def test_what_is_for_one_thing_leaves_the_marks(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = await mark(pilot, NIC, TWIN)
        await ask(pilot, "V", PF)
        await pilot.press("1", "enter")
        await planned(pilot)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        await pilot.press("enter")
        await pilot.pause()
        assert cast(TreePane, tree).marked == (NIC, TWIN)

    play(host, scene)


def test_a_reset_asks_nothing(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert pilot.app.query_one("#tree", LinesPane).select(NIC)
        await pilot.pause()
        await pilot.press("R")
        assert f"sdmtop reset {NIC}" in await planned(pilot)

    play(host, scene)


def test_nothing_and_escape_do_nothing(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "A", EDU)
        await pilot.press("space", "enter")
        assert isinstance(pilot.app.screen, AskScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1
        assert driver(host, EDU) is None

    play(host, scene)


def test_what_cannot_be_asked_about_says_why(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        pilot.app.query_one("#tree", LinesPane).select(UUID)
        await pilot.pause()
        for key, why in (("A", "is a queue"), ("V", "no physical function"), ("R", "no PCI")):
            await pilot.press(key)
            await pilot.pause()
            assert why in screen_text(pilot)

    play(host, scene)


@pytest.mark.parametrize("size", [(40, 10), (80, 24)])
def test_there_is_room_for_every_answer(host: SimulatorHost, size: tuple[int, int]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await ask(pilot, "D", EDU)
        text = screen_text(pilot)
        assert [
            word for word in ("Which", "type it", *DOMAIN_TYPES, "esc") if word not in text
        ] == []

    play(host, scene, size)


# -- what is offered ---------------------------------------------------------------------------

SAMPLE = Sample(
    at=0.0,
    snapshot=snapshot(
        groups=[group(7, NIC)],
        devices=[
            device(NIC, driver="e1000e", group=7, numa_node=1, sriov=Sriov(total=4, vfs=2)),
            device("0000:00:1c.0", driver="pcieport", class_="0x060400"),
            device("serial", bus="platform", driver="serial"),
        ],
        interrupts=[interrupt("24", device=NIC)],
    ),
    counters=Counters(),
    per_cpu={},
    happenings=(),
    details=None,
    complete=True,
    read_at={},
    nodes=(
        NumaNode(id=0, cpus=(0, 1), distances=(10, 21)),
        NumaNode(id=1, cpus=(2, 3), distances=(21, 10)),
    ),
)


@pytest.mark.parametrize("target", [NIC, "group/7"])
def test_drivers_of_such_devices_are_offered_those_of_vfio_first(target: str) -> None:
    offered = [one.value for one in attach_to(SAMPLE, Now(target=target)).answers]
    assert offered == ["vfio-pci", "e1000e"]


def test_of_many_targets_a_few_are_named() -> None:
    assert "for a, b, c and 2 more?" in attach_to(SAMPLE, Now(marked=tuple("abcde"))).asks


@pytest.mark.parametrize(
    "now", [Now(target=NIC), Now(pane="interrupts", interrupt="irq/24", target="serial")]
)
def test_cpus_are_offered_by_node_the_nearest_first(now: Now) -> None:
    offered = [tuple(one) for one in affinity(SAMPLE, now).answers]
    assert offered == [("2-3", "node 1, where the device is"), ("0-1", "node 0"), ("0-3", "all")]


def test_all_cpus_are_those_that_there_are() -> None:
    nodes = (NumaNode(id=0, cpus=(0, 2), distances=()), NumaNode(id=1, cpus=(8, 9), distances=()))
    assert affinity(replace(SAMPLE, nodes=nodes), Now(target=NIC)).answers[-1] == ("0,2,8-9", "all")
    assert affinity(replace(SAMPLE, nodes=()), Now(target=NIC)).answers == []


def test_the_question_says_what_is_so_now() -> None:
    assert domain_type(SAMPLE, Now(target="group/7")).asks.endswith("group/7? It is DMA now.")
    assert sriov(SAMPLE, Now(target=NIC)).asks.endswith("It has 2, and can have 0 to 4.")


def test_where_there_can_be_no_vfs_none_are_offered() -> None:
    devices = (device(NIC, sriov=Sriov(total=0, vfs=0)),)
    sample = replace(SAMPLE, snapshot=replace(SAMPLE.snapshot, devices=devices))
    assert sriov(sample, Now(target=NIC)).answers == [("0", "none")]
