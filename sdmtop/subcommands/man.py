"""`sdmtop man`: the manual page."""

import argparse

from sdmtop.errors import put_out


def arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing can be asked."""
    parser.epilog = "To read it: sdmtop man | man -l -"


def run(options: argparse.Namespace) -> int:
    """Print it, as the input of man."""
    from sdmtop.grammar import commands
    from sdmtop.manual import page

    return put_out(page(commands(options.grammar())).encode())
