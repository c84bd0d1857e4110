"""`sdmtop diff`: what changed between two moments."""

import argparse

from sdmtop.errors import NOTHING_TO_DO, complain, put_out

_NAMES = (
    "a recording (RECORDING?at=TIME for a moment that is not its last), the JSON of 'sdmtop "
    "snapshot', a capture, or any --host URL"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which two."""
    parser.add_argument("old", metavar="A", help=_NAMES)
    parser.add_argument("new", metavar="B", help="the same")
    parser.add_argument(
        "--format",
        choices=("json", "text"),
        default="text",
        help="text, or JSON for scripts (default text)",
    )
    parser.epilog = "Exit status: 0 if they differ, 4 if they do not."


def run(options: argparse.Namespace) -> int:
    """Print what is different."""
    import msgspec

    from sdmtop.comparison import compare, lines
    from sdmtop.sources import snapshot_in

    sides = []
    for name in (options.old, options.new):
        try:
            sides.append((name, snapshot_in(name)))
        except (OSError, ValueError) as error:
            return complain(name, error)
    comparison = compare(*sides)
    if options.format == "json":
        status = put_out(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    else:
        status = put_out("".join(f"{line}\n" for line in lines(comparison)).encode())
    return status or (0 if comparison.changes else NOTHING_TO_DO)
