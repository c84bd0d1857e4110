"""The console on simulated hosts: what is shown without being told, and the menu of faults."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from sdmtop.backends.base import open_host
from sdmtop.backends.simulator.control import perform
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.commands import COMMANDS, Now
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.tui.simulation import choices
from tests.hosts import box
from tests.tui.still import StillSampler, console, until
from tests.tui.test_console import go_to, sampler_of, text_of

Scene = Callable[[Pilot[None], SimulatorHost], Awaitable[None]]


def simulated(url: str) -> SimulatorHost:
    host = open_host(url)
    assert isinstance(host, SimulatorHost)
    return host


def play(scene: Scene, url: str, size: tuple[int, int] = (140, 70)) -> None:
    """Run a scene on a console of this host, whose time stands still until the scene says so."""

    async def run() -> None:
        host = simulated(url)
        async with console(host).run_test(size=size) as pilot:
            await pilot.pause()
            await scene(pilot, host)

    asyncio.run(run())


async def live(pilot: Pilot[None], host: SimulatorHost, seconds: int) -> None:
    """Let time pass on the host and in the console alike, with its events."""
    sampler: StillSampler = sampler_of(pilot)
    events = host.events()
    assert events is not None
    for _ in range(seconds):
        host.step(1)
        sampler.now += 1
        if sampler.collector.tick(sampler.now, events.drain(), sampler._focus):
            sampler._publish(sampler.collector.sample())
        await pilot.pause()
    events.close()


def test_the_badge_says_that_it_is_simulated() -> None:
    async def scene(pilot: Pilot[None], _host: SimulatorHost) -> None:
        assert "[SIM]" in text_of(pilot, "header")
        assert "d06" in text_of(pilot, "header")

    play(scene, "sim:default?at=10")


def test_the_default_fills_every_pane_by_itself() -> None:
    async def scene(pilot: Pilot[None], host: SimulatorHost) -> None:
        await live(pilot, host, 30)
        tree = text_of(pilot, "tree")
        for word in ("hisi_zip", "started", "orphan", "held", "shared by", "zipd", "vfio"):
            assert word in tree
        assert "domain type" in text_of(pilot, "inspector")
        pasids = text_of(pilot, "pasids")
        assert "1812" in pasids
        interrupts = text_of(pilot, "interrupts")
        assert any(bar in interrupts for bar in "▃▄▅▆▇█")
        assert "let go by" in text_of(pilot, "events")

    play(scene, "sim:default?at=1")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        # Queues that nobody has any more.
        ("0badc0de-0000-4000-8000-000000000001", ("orphan", "no process holds it")),
        # A queue that does no work: its process waits for more than it can be given.
        ("57ac0000-0000-4000-8000-000000000001", ("started", "pending  ")),
        # The storm.
        ("0000:02:00.0", ("180k",)),
        # A group that is not viable, and why.
        ("group/2", ("because         0000:03:00.1 is bound to igb",)),
        # An unbind that waits, and for whom.
        ("0000:04:00.0", ("stuck", "2210 qemu", "blocked until released by user")),
        # Firmware's own region.
        ("group/4", ("direct",)),
        # DMA that misses.
        ("0000:07:00.0", ("[07:00.0] fault addr",)),
    ],
)
def test_the_broken_host_shows_each_fault_where_it_is(target: str, words: tuple[str, ...]) -> None:
    async def scene(pilot: Pilot[None], host: SimulatorHost) -> None:
        await live(pilot, host, 20)
        await go_to(pilot, target)
        panes = ("tree", "inspector", "interrupts", "events")
        shown = "\n".join(text_of(pilot, pane) for pane in panes)
        for word in words:
            assert word in shown

    play(scene, "sim:broken?at=1", size=(200, 80))


def titles(url: str, target: str | None, rate: float = 0.0) -> list[str]:
    return [choice.title for choice in choices(read_snapshot(open_host(url)), target, rate)]


def test_the_menu_offers_what_can_happen_to_the_selection() -> None:
    queue = titles("sim:broken?at=5", "57ac0000-0000-4000-8000-000000000001")
    assert any("does no work" in title for title in queue)
    assert any("its holder 1666 is killed" in title for title in queue)
    device = titles("sim:broken?at=5", "0000:02:00.0")
    assert any("storm" in title for title in device)
    assert any("unbind hangs" in title for title in device)
    assert not any("queues stall" in title for title in device)


def test_the_menu_offers_the_time_whatever_is_selected() -> None:
    for target in ("group/0", None):
        still, moving = titles("sim:edu", target), titles("sim:edu", target, 1.0)
        assert "let time pass" in still
        assert "let time stand still" not in still
        assert "let time stand still" in moving
        assert "let 10 s pass now" in still


def test_every_fault_that_is_offered_can_happen() -> None:
    snapshot = read_snapshot(simulated("sim:broken?at=5"))
    for target in ("57ac0000-0000-4000-8000-000000000001", "0000:02:00.0", "0000:01:00.0"):
        for choice in choices(snapshot, target, 0.0):
            assert perform(simulated("sim:broken?at=5"), choice.request)


def test_a_choice_is_carried_out_and_said() -> None:
    async def scene(pilot: Pilot[None], host: SimulatorHost) -> None:
        await go_to(pilot, "0000:02:00.0")
        await pilot.press("i")
        menu = pilot.app.screen.query_one(OptionList)
        lines = [str(menu.get_option_at_index(at).prompt) for at in range(menu.option_count)]
        before = host.now()
        menu.highlighted = lines.index("let 10 s pass now")
        await pilot.press("enter")
        said = f"at {before + 10:.1f} s, standing still"
        await until(pilot, lambda: said in text_of(pilot, "footer"))
        assert host.now() == before + 10
        assert len(pilot.app.screen_stack) == 1

    play(scene, "sim:broken?at=5")


def test_closing_the_menu_does_nothing() -> None:
    async def scene(pilot: Pilot[None], host: SimulatorHost) -> None:
        await pilot.press("i", "escape")
        await pilot.pause()
        assert (len(pilot.app.screen_stack), host.now()) == (1, 5.0)

    play(scene, "sim:broken?at=5")


def test_what_has_gone_meanwhile_is_said() -> None:
    async def scene(pilot: Pilot[None], host: SimulatorHost) -> None:
        await go_to(pilot, "0000:02:00.0")
        await pilot.press("i")
        host.write("/sys/bus/pci/devices/0000:02:00.0/remove", b"1").result()
        await pilot.press("enter")
        said = "there is no device 0000:02:00.0"
        await until(pilot, lambda: said in text_of(pilot, "footer"))

    play(scene, "sim:broken?at=5")


def test_a_host_that_is_not_simulated_says_so() -> None:
    (command,) = (command for command in COMMANDS if command.id == "simulate")
    now = Now(snapshot=read_snapshot(box()))
    assert command.why_not(now) == "only a simulated host can do that: sdmtop --host sim:"
    assert command.word(now) == ""
    simulated_now = Now(snapshot=read_snapshot(open_host("sim:edu")))
    assert command.why_not(simulated_now) is None
    # What was recorded of one cannot be told anything any more.
    assert command.why_not(simulated_now._replace(replay=True)) is not None


def test_the_first_word_to_the_operator_is_the_greeting() -> None:
    async def run() -> None:
        app = console(open_host("sim:edu"))
        app.greeting = "nobody can reach this console"
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            assert "nobody can reach this console" in text_of(pilot, "footer")

    asyncio.run(run())
