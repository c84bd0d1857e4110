"""`sdmtop capture`: the host, frozen in a file."""

import argparse

from sdmtop.errors import complain, put_out
from sdmtop.subcommands.options import add_host


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and whether over what is there."""
    add_host(parser)
    parser.add_argument("file", metavar="FILE", help="FILE.tar.xz, FILE.tar, or a new directory")
    parser.add_argument("--replace", action="store_true", help="overwrite FILE if it is there")


def run(options: argparse.Namespace) -> int:
    """Write the file, and say what is in it."""
    from sdmtop.backends.base import open_host
    from sdmtop.capturing import capture

    host = open_host(options.host)
    try:
        report = capture(host, options.file, replace=options.replace)
    except (OSError, ValueError) as error:
        return complain(options.file, error)
    return put_out(f"{report.sentence()}\n".encode())
