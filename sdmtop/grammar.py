"""The command line as data, for what is made from it: completions and the manual page."""

import argparse
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["none", "words", "file", "host", "text"]
"""What can stand behind an option: nothing, one of some words, a file, a host, or any text."""

_FILES = ("FILE", "DIR", "A", "B")


class Argument(NamedTuple):
    """An option with its names, or (without any) something that stands by itself.

    What stands by itself is `needed`, or may be left out.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    kind: Kind
    words: tuple[str, ...] = ()
    needed: bool = True


class Command(NamedTuple):
    """A sub-command, or (without a name) the program itself."""

    name: str
    help: str
    arguments: tuple[Argument, ...]

    @property
    def options(self) -> tuple[Argument, ...]:
        """Those that begin with a dash."""
        return tuple(one for one in self.arguments if one.names)

    @property
    def positionals(self) -> tuple[Argument, ...]:
        """Those that stand by themselves."""
        return tuple(one for one in self.arguments if not one.names)


def commands(parser: argparse.ArgumentParser) -> tuple[Command, ...]:
    """The program itself, then each of its sub-commands."""
    return tuple(_commands(parser))


def _commands(parser: argparse.ArgumentParser) -> Iterator[Command]:
    yield Command("", parser.description or "", tuple(_arguments(parser)))
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield Command(name, one.description or "", tuple(_arguments(one)))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        words = tuple(map(str, action.choices or ()))
        kind: Kind = "text"
        if action.nargs == 0:
            kind, metavar = "none", ""
        elif words:
            kind, metavar = "words", "|".join(words)
        elif metavar == "URL":
            kind = "host"
        elif metavar in _FILES:
            kind = "file"
        help_ = (action.help or "").replace("%%", "%")
        needed = action.nargs not in ("?", "*")
        yield Argument(tuple(action.option_strings), metavar, help_, kind, words, needed)
