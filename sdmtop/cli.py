"""The command line: the headless twin of the console. Never imports Textual by itself."""

import argparse
import os
import sys
from collections.abc import Sequence

from sdmtop import __version__
from sdmtop.console import DEFAULT_INTERVAL, console, on_a_terminal
from sdmtop.errors import FAILED, complain

_HOST_HELP = (
    "auto (default: this machine), linux:, linux:/other/root, or capture:DIR_OR_TAR (made by "
    "'sdmtop capture')"
)


def parser() -> argparse.ArgumentParser:
    """The grammar of contract 1, as far as this version goes."""
    common = argparse.ArgumentParser(add_help=False)
    # SUPPRESS: the option may stand before or after the command, and neither undoes the other.
    common.add_argument("--host", metavar="URL", default=argparse.SUPPRESS, help=_HOST_HELP)
    top = argparse.ArgumentParser(
        prog="sdmtop",
        description="Inspector for IOMMU groups, shared-domain mediated devices, PASIDs and "
        "interrupts. Without a command: the console.",
        parents=[common],
    )
    top.add_argument("--version", action="version", version=f"sdmtop {__version__}")
    top.add_argument(
        "--read-only", action="store_true", help="never change the host (so far it never does)"
    )
    top.add_argument(
        "--interval",
        type=_interval,
        metavar="S",
        default=DEFAULT_INTERVAL,
        help="seconds between two readings of the counters (0.1 to 3600; default 1)",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    snapshot = commands.add_parser("snapshot", parents=[common], help="one reading of the host")
    snapshot.add_argument("--format", choices=("json", "tree"), default="tree")
    capture = commands.add_parser(
        "capture", parents=[common], help="freeze the host in a file that --host capture: reads"
    )
    capture.add_argument("file", metavar="FILE", help="FILE.tar.xz, FILE.tar, or a new directory")
    capture.add_argument("--replace", action="store_true", help="overwrite FILE if it is there")
    return top


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit status."""
    try:
        options = parser().parse_args(list(arguments))
    except SystemExit as stop:  # argparse ends the program itself, for --help and for errors.
        return stop.code if isinstance(stop.code, int) else FAILED
    url = getattr(options, "host", "auto")
    if options.command is None and on_a_terminal():
        return console(url, options.interval)
    try:
        if options.command == "capture":
            return _capture(url, options.file, replace=options.replace)
        # Without a terminal, the console is one reading as text.
        return _snapshot(url, getattr(options, "format", "tree"))
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): that is its right, and no traceback's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, ValueError) as error:
        what = options.file if options.command == "capture" else url
        return complain(what, error)
    except KeyboardInterrupt:
        return 130


def _snapshot(url: str, form: str) -> int:
    import gc

    gc.disable()  # One reading, then exit: nothing it makes is garbage before that.
    from sdmtop.backends.base import open_host
    from sdmtop.readers.snapshot import read_snapshot

    snapshot = read_snapshot(open_host(url))
    if form == "json":
        import msgspec

        text = msgspec.json.format(msgspec.json.encode(snapshot), indent=2)
        sys.stdout.buffer.write(text + b"\n")
    else:
        from sdmtop.report import tree_text

        sys.stdout.buffer.write(tree_text(snapshot).encode())
    sys.stdout.buffer.flush()
    return 0


def _capture(url: str, file: str, *, replace: bool) -> int:
    from sdmtop.backends.base import open_host
    from sdmtop.capturing import capture

    report = capture(open_host(url), file, replace=replace)
    print(report.sentence())
    return 0


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 3600 seconds")
    return seconds
