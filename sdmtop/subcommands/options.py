"""Options that several sub-commands have."""

import argparse
from collections.abc import Callable

from sdmtop.console import load_settings
from sdmtop.errors import UsageError, sentence
from sdmtop.places import config_file

_HOST_HELP = (
    "auto (default: this machine), linux:, linux:/other/root, sim: or sim:SCENARIO (a simulated "
    "host), capture:DIR_OR_TAR (made by 'sdmtop capture'); of the console, snapshot and diff also "
    "replay:FILE?at=TIME (made by 'sdmtop record')"
)


def add_host(parser: argparse.ArgumentParser) -> None:
    """`--host`, which may stand before or after the command; `sdmtop.cli` knows its default."""
    # SUPPRESS: what is not given after the command does not undo what was given before it.
    parser.add_argument("--host", metavar="URL", default=argparse.SUPPRESS, help=_HOST_HELP)


def add_read_only(parser: argparse.ArgumentParser, default: bool | str = argparse.SUPPRESS) -> None:
    """`--read-only`, which may stand before or after a command that changes something."""
    parser.add_argument(
        "--read-only",
        action="store_true",
        default=default,
        help="never change the host, whatever is asked",
    )


def why_disarmed(options: argparse.Namespace) -> str | None:
    """Why nothing may be changed, by the command line or the configuration; None: it may.

    Raises `UsageError` for a configuration that is wrong, or cannot be read.
    """
    try:
        return load_settings({"read_only": True} if options.read_only else {}).disarmed
    except (OSError, ValueError) as error:
        raise UsageError(sentence(config_file(), error)) from error


def add_interval(parser: argparse.ArgumentParser, default: str | None = argparse.SUPPRESS) -> None:
    """`--interval`, which may stand before or after the command as well."""
    parser.add_argument(
        "--interval",
        type=number_between(0.1, 3600),
        metavar="S",
        default=default,
        help="seconds between two readings of the counters (0.1 to 3600; default 1, of "
        "the console over ssh 2)",
    )


def number_between(least: float, most: float) -> Callable[[str], float]:
    """A type of option: a number that is in a range."""

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least:g} to {most:g}")
        return value

    return number
