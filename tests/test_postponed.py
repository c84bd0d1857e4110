"""Imports that wait for their use."""

import subprocess
import sys

from sdmtop.console import SELDOM_USED


def run(code: str) -> str:
    """What a fresh interpreter prints: modules are imported once in each."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_a_postponed_module_is_read_when_something_of_it_is_used() -> None:
    assert (
        run(
            "import sys\n"
            "from sdmtop.postponed import postponed\n"
            "finders = list(sys.meta_path)\n"
            "with postponed('colorsys'): import colorsys\n"
            "waiting = type(colorsys).__name__\n"
            "value = colorsys.rgb_to_hls(0, 0, 0)\n"
            "print(waiting, type(colorsys).__name__, value, sys.meta_path == finders)"
        )
        == "_LazyModule module (0.0, 0.0, 0.0) True"
    )


def test_a_module_of_which_a_name_is_imported_is_there_at_once() -> None:
    assert (
        run(
            "from sdmtop.postponed import postponed\n"
            "with postponed('colorsys'):\n"
            "    from colorsys import rgb_to_hls\n"
            "print(rgb_to_hls(0, 0, 0))"
        )
        == "(0.0, 0.0, 0.0)"
    )


def test_a_module_that_is_not_there_is_missed_as_always() -> None:
    assert (
        run(
            "from sdmtop.postponed import postponed\n"
            "with postponed('no_such_module'):\n"
            "    try: import no_such_module\n"
            "    except ImportError as error: print(error.name)"
        )
        == "no_such_module"
    )


def test_what_the_console_postpones_is_imported_and_not_used() -> None:
    waiting = run(
        "import sys\n"
        "from sdmtop.console import SELDOM_USED\n"
        "from sdmtop.postponed import postponed\n"
        "with postponed(*SELDOM_USED): import sdmtop.tui.run, sdmtop.sampler\n"
        "print(*(n for n in SELDOM_USED if type(sys.modules.get(n)).__name__ == '_LazyModule'))"
    )
    assert waiting.split() == list(SELDOM_USED)
