"""The tour, and the simulator that a box without an IOMMU offers."""

from textual.pilot import Pilot

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.tour import HOST, STEPS
from tests.hosts import NIC
from tests.tui.still import screen_lines
from tests.tui.test_console import app_of, go_to, play, text_of, tree_of


def nothing() -> TreeHost:
    """A box without an IOMMU."""
    host = open_host("capture:tests/trees/no-iommu.tar.xz")
    assert isinstance(host, TreeHost)
    return host


async def shown(pilot: Pilot[None], badge: str) -> None:
    """Wait until a host of this kind is on the screen."""
    for _ in range(1000):
        await pilot.pause(0.01)
        if badge in text_of(pilot, "header") and app_of(pilot).sample is not None:
            return
    raise AssertionError(text_of(pilot, "header"))


def test_a_box_with_nothing_to_show_offers_the_simulator_with_one_key() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "key w" in text_of(pilot, "help-3")
        assert "w Tour" in text_of(pilot, "footer")
        await pilot.press("w")
        await shown(pilot, "[SIM]")
        assert "Tour 1 of 6" in text_of(pilot, "tour")
        assert tree_of(pilot).cursor == STEPS[0].target

    play(scene, nothing())


def test_the_tour_has_six_steps_that_can_be_taken_in_both_directions() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await shown(pilot, "[SIM]")
        seen = []
        for _ in range(7):
            seen.append(tree_of(pilot).cursor)
            await pilot.press("n")
            await pilot.pause()
        assert seen == [step.target for step in (*STEPS, STEPS[-1])]
        await pilot.press("b")
        await pilot.pause()
        assert "Tour 5 of 6" in text_of(pilot, "tour")

    play(scene, nothing())


def test_it_can_be_left_at_any_time_and_leads_back_to_where_it_began() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("w")
        await shown(pilot, "[SIM]")
        await pilot.press("n", "w")
        await shown(pilot, "[CAPTURE]")
        assert pilot.app.query_one("#tour").display is False
        assert NIC in tree_of(pilot).keys
        await pilot.press("n")
        await pilot.pause()
        assert "there is no tour" in text_of(pilot, "footer")

    play(scene)


async def at_home(pilot: Pilot[None], url: str) -> None:
    """Wait until the host of this URL is on the screen."""
    for _ in range(1000):
        await pilot.pause(0.01)
        if app_of(pilot).sampler.host.url == url and app_of(pilot).sample is not None:
            return
    raise AssertionError(app_of(pilot).sampler.host.url)


def test_from_another_simulated_host_it_goes_to_its_own_and_back() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await at_home(pilot, HOST)
        await pilot.press("n")
        assert tree_of(pilot).cursor == STEPS[1].target
        await pilot.press("w")
        await at_home(pilot, "sim:broken")

    play(scene, open_host("sim:broken"))


def test_who_is_on_its_host_already_stays_there() -> None:
    host = open_host("sim:")

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await pilot.pause()
        assert app_of(pilot).sampler.host is host
        assert "Tour 1 of 6" in text_of(pilot, "tour")

    play(scene, host)


def test_on_the_least_screen_the_tour_leaves_room_for_what_it_shows() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("w")
        await pilot.pause()
        for step in STEPS:
            lines = screen_lines(pilot.app)
            assert lines[0].startswith(" sdmtop")
            assert step.title.split()[0] in " ".join(lines)
            assert any(line.endswith("…") for line in lines)
            assert "Help" in lines[-1] or "q Quit" in lines[-1]
            assert tree_of(pilot).size.height >= 2
            await pilot.press("n")
            await pilot.pause()

    play(scene, open_host(HOST), size=(40, 10))
