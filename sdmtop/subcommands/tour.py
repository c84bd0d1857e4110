"""`sdmtop tour`: the console on a simulated host, and six steps through it."""

import argparse

from sdmtop.errors import UsageError, complain


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing can be asked."""
    parser.epilog = "In the console: key w."


def run(_options: argparse.Namespace) -> int:
    """Open it; it needs a terminal."""
    from sdmtop.console import console, on_a_terminal
    from sdmtop.tour import HOST

    if not on_a_terminal():
        return complain("tour", UsageError("it needs a terminal"))
    return console(HOST, {}, tour=True)
