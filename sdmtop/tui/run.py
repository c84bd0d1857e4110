"""Starts the console on a terminal that shows the first paint already."""

import gc
import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from sdmtop.glance import Glance
from sdmtop.places import state_directory
from sdmtop.settings import Settings
from sdmtop.terminal import Terminal
from sdmtop.tui.app import Console
from sdmtop.tui.driver import ConsoleDriver
from sdmtop.tui.themes import theme_for

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sdmtop.backends.base import Host
    from sdmtop.replay import Replayer
    from sdmtop.sampler import Sampler


def run_console(
    terminal: Terminal,
    sampler: "Sampler | Replayer",
    glance: Glance | None,
    settings: Settings,
    *,
    tour: bool,
) -> int:
    """Run until the operator or a signal ends it; the exit status."""
    # Read before the app is made: Textual takes NO_COLOR out of the environment.
    theme = theme_for(settings.theme, os.environ)
    # Textual and rich would believe these, which are those of another terminal if any.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    ConsoleDriver.terminal = terminal
    console = Console(
        sampler,
        settings=settings,
        glance=glance,
        tour=tour,
        has_journal=sampler.host.backend == "linux"
        and os.path.exists(os.path.join(state_directory(), "journal")),
        force=terminal.abandon,
        driver_class=ConsoleDriver,
        ansi_color=theme.startswith("ansi") or None,
    )
    console.theme = theme
    # What is left of the imports is never garbage, and what a refresh makes seldom is.
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 100)
    # A key that was typed, and a line that is drawn, wait less for the thread that reads.
    sys.setswitchinterval(0.0005)
    with _controlled(sampler.host) as console.greeting:
        console.run(mouse=settings.mouse)
    return console.return_code or 0


def _controlled(host: "Host") -> "AbstractContextManager[str]":
    """Let a simulated host be told what to do from outside, while the console runs."""
    if host.backend != "simulator":
        return nullcontext("")
    from sdmtop.backends.simulator.control import controlled

    return controlled(host)
