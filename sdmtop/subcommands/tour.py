"""`sdmtop tour`: the console on a simulated host, and six steps through it."""

import argparse

from sdmtop.errors import UsageError, complain


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing can be asked."""
    parser.epilog = "In the console: key w."


def run(options: argparse.Namespace) -> int:
    """Open it; it needs a terminal."""
    from sdmtop.console import console, on_a_terminal, settings_given
    from sdmtop.tour import HOST

    if options.plain:
        return complain("tour", UsageError("it goes over the screen, which --plain does without"))
    if not on_a_terminal():
        return complain("tour", UsageError("it needs a terminal"))
    return console(HOST, settings_given(options), tour=True)
