"""`sdmtop locate`: where our files lie."""

import argparse
import os

from sdmtop import places
from sdmtop.errors import put_out
from sdmtop.text import printable

PLACES = {
    "config": (places.config_file, "settings and keys; without it the defaults hold"),
    "state": (places.state_directory, "the journal of operations, which undo reads"),
    "screens": (places.screens_directory, "screens that were saved"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which."""
    parser.add_argument("what", nargs="?", choices=tuple(PLACES), help="print only this path")


def run(options: argparse.Namespace) -> int:
    """Print every path, what is there, and whether it is; or one path, for scripts."""
    if options.what is not None:
        return put_out(os.fsencode(PLACES[options.what][0]()) + b"\n")
    lines = []
    for name, (place, meaning) in PLACES.items():
        path = place()
        there = "" if os.path.lexists(path) else " (not there)"
        lines.append(f"{name:<8} {printable(path)}{there}: {meaning}\n")
    return put_out("".join(lines).encode())
