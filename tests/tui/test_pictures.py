"""What the whole screen looks like; `pytest --snapshot-update` on this file renews it."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from sdmtop.backends.base import Host, open_host
from sdmtop.backends.simulator.host import SimulatorHost
from tests.hosts import box, stat
from tests.tui.still import StillSampler, console

TREES = Path(__file__).parents[1] / "trees"


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have it be noon, always."""
    monkeypatch.setattr("sdmtop.tui.app.clock", lambda: "12:00")
    monkeypatch.setattr("sdmtop.tui.panes.clock", lambda _at: "12:00:00")
    monkeypatch.setattr("sdmtop.tui.events.clock", lambda _at: "12:00:00")


def capture(name: str) -> Host:
    return open_host(f"capture:{TREES / name}.tar.xz")


async def with_rates(pilot: Pilot[None]) -> None:
    app: Any = pilot.app
    sampler: StillSampler = app.sampler
    host: Any = sampler.host
    for count in (100, 150, 400, 420, 900):
        host.put("/proc/stat", stat(0, count, 2 * count, 30))
        sampler.tick()
    await pilot.pause()


def test_a_host_with_sdmdevs(snap_compare: Any) -> None:
    app = console(capture("debian-6.12-intel-sdmdev"))
    assert snap_compare(app, terminal_size=(120, 40), press=["down"] * 33)


def test_the_same_at_80x24(snap_compare: Any) -> None:
    app = console(capture("debian-6.12-intel-sdmdev"))
    assert snap_compare(app, terminal_size=(80, 24), press=["down"] * 33)


def test_the_inspector_takes_the_place_of_the_tree_at_80x24(snap_compare: Any) -> None:
    app = console(capture("debian-6.12-intel-sdmdev"))
    assert snap_compare(app, terminal_size=(80, 24), press=["down", "2"])


def test_origins_at_200x50(snap_compare: Any) -> None:
    app = console(capture("debian-6.1-intel-plain"))
    assert snap_compare(app, terminal_size=(200, 50), press=["down", "o"])


def test_a_host_without_an_iommu(snap_compare: Any) -> None:
    assert snap_compare(console(capture("no-iommu")), terminal_size=(120, 40))


def test_rates_and_sparklines(snap_compare: Any) -> None:
    assert snap_compare(console(box()), terminal_size=(120, 40), run_before=with_rates)


def test_less_room_than_the_least(snap_compare: Any) -> None:
    assert snap_compare(console(box()), terminal_size=(38, 9))


async def with_time_passing(pilot: Pilot[None]) -> None:
    app: Any = pilot.app
    host = app.sampler.host
    assert isinstance(host, SimulatorHost)
    for _ in range(20):
        host.step(1)
        app.sampler.tick()
    await pilot.pause()


def test_the_default_scenario_fills_every_pane(snap_compare: Any) -> None:
    app = console(open_host("sim:default?seed=7&at=10"))
    assert snap_compare(app, terminal_size=(140, 44), run_before=with_time_passing)


def test_the_broken_scenario_shows_what_is_broken(snap_compare: Any) -> None:
    async def on_the_stuck_queue(pilot: Pilot[None]) -> None:
        await with_time_passing(pilot)
        await pilot.press(*["down"] * 5)

    app = console(open_host("sim:broken?seed=7&at=10"))
    assert snap_compare(app, terminal_size=(140, 44), run_before=on_the_stuck_queue)


def test_the_menu_of_a_simulated_host(snap_compare: Any) -> None:
    app = console(open_host("sim:broken?seed=7&at=10"))
    assert snap_compare(app, terminal_size=(100, 30), press=["down", "i"])
