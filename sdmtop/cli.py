"""The command line: the headless twin of the console. Never imports Textual by itself."""

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from sdmtop import __version__
from sdmtop.console import console, conversation, on_a_terminal, settings_given
from sdmtop.errors import FAILED, NothingToDoError, RefusedError, UsageError, complain, put_out
from sdmtop.subcommands.options import add_host, add_interval, add_read_only

COMMANDS = {
    "snapshot": "one reading of the host",
    "capture": "freeze the host in a file that --host capture: reads",
    "doctor": "what is wrong with this box, why it matters, and what to do",
    "selftest": "known-answer tests of devices and queues",
    "record": "the host over time, in a file",
    "replay": "the console on a recording",
    "simulate": "scenarios of simulated hosts, and faults for one that runs",
    "diff": "what changed between two moments, captures or snapshots",
    "config": "settings and keys: show them, check the file, write one to begin with",
    "locate": "where configuration, journal and saved screens lie",
    "attach": "give devices to VFIO or another driver; open and hold queues",
    "detach": "give devices back to the drivers that they had",
    "create": "make a mediated device",
    "remove": "remove mediated devices",
    "domain-type": "change the default domain of a group",
    "affinity": "choose the CPUs that interrupts may come to",
    "reset": "reset a PCI device",
    "sriov": "choose how many virtual functions a device has",
    "undo": "undo what was done, as the journal has it",
    "journal": "what was done, and what became of it",
    "tour": "the console on a simulated host, and six steps through it",
    "completion": "a script that makes a shell complete this command line",
    "man": "the manual page",
}
"""What each sub-command does. The command is a module of its name in `sdmtop.subcommands`."""


class _Subcommand(Protocol):
    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, options: argparse.Namespace) -> int: ...


class _Parser(argparse.ArgumentParser):
    """argparse with the words and the exit statuses of contract 1."""

    def error(self, message: str) -> NoReturn:
        """Have `run` say what is wrong, in one line."""
        raise UsageError(f"{message} (see '{self.prog} --help')")

    def _print_message(self, message: str, _file: object = None) -> None:
        raise SystemExit(put_out(message.encode()))


def parser(complete: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """The grammar of contract 1, as far as this version goes.

    Sub-commands that are not in `complete` are known by name only, and are not imported.
    """
    top = _Parser(
        prog="sdmtop",
        description="Inspector for IOMMU groups, shared-domain mediated devices, PASIDs and "
        "interrupts. Without a command: the console.",
    )
    add_host(top)
    top.add_argument("--version", action="version", version=f"sdmtop {__version__}")
    add_read_only(top, default=False)
    top.add_argument("--ascii", action="store_true", help="draw the console with ASCII only")
    top.add_argument(
        "--no-mouse", action="store_true", help="leave the mouse to the terminal's own selection"
    )
    add_interval(top, None)
    top.add_argument(
        "--plain",
        action="store_true",
        help="the console as a conversation in lines, for a screen reader or a bare terminal",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name in complete:
            _subcommand(name).arguments(command)
    return top


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit status."""
    try:
        options = parser(complete=arguments).parse_args(list(arguments))
    except UsageError as error:
        return complain("command line", error)
    except SystemExit as stop:  # argparse ends the program itself, after --help.
        return stop.code if isinstance(stop.code, int) else FAILED
    options.host = getattr(options, "host", "auto")
    options.grammar = parser  # For the commands that describe the others.
    if options.command is None and not options.plain and on_a_terminal():
        return console(options.host, settings_given(options))
    try:
        if options.command is not None:
            return _subcommand(options.command).run(options)
        if options.plain:
            return conversation(options.host, settings_given(options))
        from sdmtop.subcommands.options import why_disarmed
        from sdmtop.subcommands.snapshot import print_snapshot

        # Without a terminal, the console is one reading as text.
        return print_snapshot(options.host, "tree", why_disarmed(options))
    except (RefusedError, NothingToDoError) as error:
        return complain(options.command or options.host, error)
    except (OSError, ValueError) as error:
        return complain(_place(options.host, error), error)
    except KeyboardInterrupt:
        return 130


def _place(host: str, error: Exception) -> str:
    """The host, with the file that the error is about, unless the host is named by that."""
    path = error.filename if isinstance(error, OSError) else None
    return (
        host if not isinstance(path, str) or path in host else f"{host.removesuffix(':')}: {path}"
    )


def _subcommand(name: str) -> _Subcommand:
    module = name.replace("-", "_")
    return cast(_Subcommand, import_module(f"sdmtop.subcommands.{module}"))
