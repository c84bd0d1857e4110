"""The command line: the headless twin of the console. Never imports Textual by itself."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from sdmtop import __version__
from sdmtop.console import DEFAULT_INTERVAL, console, on_a_terminal
from sdmtop.errors import FAILED, UsageError, complain, put_out

_HOST_HELP = (
    "auto (default: this machine), linux:, linux:/other/root, or capture:DIR_OR_TAR (made by "
    "'sdmtop capture')"
)


class _Parser(argparse.ArgumentParser):
    """argparse with the words and the exit statuses of contract 1."""

    def error(self, message: str) -> NoReturn:
        """Have `run` say what is wrong, in one line."""
        raise UsageError(f"{message} (see '{self.prog} --help')")

    def _print_message(self, message: str, _file: object = None) -> None:
        raise SystemExit(put_out(message.encode()))


def parser() -> argparse.ArgumentParser:
    """The grammar of contract 1, as far as this version goes."""
    common = _Parser(add_help=False)
    # SUPPRESS: the option may stand before or after the command, and neither undoes the other.
    common.add_argument("--host", metavar="URL", default=argparse.SUPPRESS, help=_HOST_HELP)
    top = _Parser(
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
    except UsageError as error:
        return complain("command line", error)
    except SystemExit as stop:  # argparse ends the program itself, after --help.
        return stop.code if isinstance(stop.code, int) else FAILED
    url = getattr(options, "host", "auto")
    if options.command is None and on_a_terminal():
        return console(url, options.interval)
    try:
        if options.command == "capture":
            return _capture(url, options.file, replace=options.replace)
        # Without a terminal, the console is one reading as text.
        return _snapshot(url, getattr(options, "format", "tree"))
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

        return put_out(msgspec.json.format(msgspec.json.encode(snapshot), indent=2) + b"\n")
    from sdmtop.report import tree_text

    return put_out(tree_text(snapshot).encode())


def _capture(url: str, file: str, *, replace: bool) -> int:
    from sdmtop.backends.base import open_host
    from sdmtop.capturing import capture

    report = capture(open_host(url), file, replace=replace)
    return put_out(f"{report.sentence()}\n".encode())


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 3600 seconds")
    return seconds
