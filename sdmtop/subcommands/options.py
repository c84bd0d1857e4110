"""Options that several sub-commands have."""

import argparse

_HOST_HELP = (
    "auto (default: this machine), linux:, linux:/other/root, or capture:DIR_OR_TAR (made by "
    "'sdmtop capture')"
)


def add_host(parser: argparse.ArgumentParser) -> None:
    """`--host`, which may stand before or after the command; `sdmtop.cli` knows its default."""
    # SUPPRESS: what is not given after the command does not undo what was given before it.
    parser.add_argument("--host", metavar="URL", default=argparse.SUPPRESS, help=_HOST_HELP)
