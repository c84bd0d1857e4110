"""`sdmtop record`: the host over time, in a file that `sdmtop replay` plays."""

import argparse

from sdmtop.errors import complain, put_out
from sdmtop.settings import Settings
from sdmtop.subcommands.options import add_host, add_interval, number_between
from sdmtop.text import fact, printable

MEGABYTE = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, how often, how much and how long."""
    add_host(parser)
    add_interval(parser)
    parser.add_argument(
        "file", metavar="FILE", help="a new file, or a recording, which is then continued"
    )
    parser.add_argument(
        "--max-size",
        type=number_between(1, 1_000_000),
        default=256,
        metavar="MIB",
        help="delete the oldest beyond this size of the file, in MiB (default 256)",
    )
    parser.add_argument(
        "--max-age",
        type=number_between(0.01, 1_000_000),
        default=168,
        metavar="HOURS",
        help="delete what is older (default 168: a week)",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=number_between(0, 1e9),
        metavar="S",
        help="end after so many seconds (default: when interrupted)",
    )


def run(options: argparse.Namespace) -> int:
    """Record until it is told to end; an interrupt is the usual way."""
    from sdmtop.backends.base import open_host
    from sdmtop.recorder import Recorder, record

    host = open_host(options.host)
    try:
        with Recorder(
            options.file,
            most_bytes=int(options.max_size * MEGABYTE),
            most_seconds=options.max_age * 3600,
        ) as recorder:
            record(
                host,
                recorder,
                interval=options.interval or Settings().interval,
                seconds=options.seconds,
            )
            moments = recorder.moments
    except (OSError, ValueError) as error:
        return complain(options.file, error)
    name = printable(fact(options.file))
    return put_out(f"{moments} moments recorded in {name}\n".encode())
