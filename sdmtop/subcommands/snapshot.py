"""`sdmtop snapshot`: one reading of the host."""

import argparse

from sdmtop.errors import put_out
from sdmtop.subcommands.options import add_host, add_read_only, why_disarmed


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked."""
    add_host(parser)
    add_read_only(parser)
    parser.add_argument(
        "--format",
        choices=("json", "tree"),
        default="tree",
        help="the tree as text, or all of it as JSON (default tree)",
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    return print_snapshot(options.host, options.format, why_disarmed(options))


def print_snapshot(url: str, form: str, disarmed: str | None = None) -> int:
    """Print one reading of the host as `json` or as a `tree`; the exit status."""
    import gc

    gc.disable()  # One reading, then exit: nothing it makes is garbage before that.
    from sdmtop.sources import snapshot_of

    snapshot = snapshot_of(url, disarmed)
    if form == "json":
        import msgspec

        return put_out(msgspec.json.format(msgspec.json.encode(snapshot), indent=2) + b"\n")
    from sdmtop.report import tree_text

    return put_out(tree_text(snapshot, recorded=url.startswith("replay:")).encode())
