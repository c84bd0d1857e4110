"""The command line as data, for what is made from it: completions and the manual page."""

import argparse
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["none", "words", "file", "host", "text"]
"""What can stand behind an option: nothing, one of some words, a file, a host, or any text."""

_FILES = ("FILE", "DIR", "A", "B")


class Argument(NamedTuple):
    """An option with its names, or (without any) something that stands by itself.

    What stands by itself is `needed`, or may be left out; of some there may be `many`.
    """

    names: tuple[str, ...]
    metavar: str
    help: str
    kind: Kind
    words: tuple[str, ...] = ()
    needed: bool = True
    many: bool = False


class Command(NamedTuple):
    """A sub-command, or (without a name) the program itself.

    One that has `actions` is followed by them, each as a command of its own: `simulate`, then
    `simulate list`.
    """

    name: str
    help: str
    arguments: tuple[Argument, ...]
    actions: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[Argument, ...]:
        """Those that begin with a dash."""
        return tuple(one for one in self.arguments if one.names)

    @property
    def positionals(self) -> tuple[Argument, ...]:
        """Those that stand by themselves."""
        return tuple(one for one in self.arguments if not one.names)


def commands(parser: argparse.ArgumentParser) -> tuple[Command, ...]:
    """The program itself, then each of its sub-commands, each followed by its actions."""
    return tuple(_commands(parser, "", parser.description or ""))


def _commands(parser: argparse.ArgumentParser, name: str, purpose: str) -> Iterator[Command]:
    inner = {
        one: (action.choices[one], help_ or "")
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for one, help_ in ((choice.dest, choice.help) for choice in action._choices_actions)
    }
    yield Command(name, purpose, tuple(_arguments(parser)), tuple(inner))
    for one, (below, help_) in inner.items():
        yield from _commands(below, f"{name} {one}".strip(), help_)


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
            kind, metavar = "words", metavar if action.metavar else "|".join(words)
        elif metavar == "URL":
            kind = "host"
        elif metavar in _FILES:
            kind = "file"
        help_ = (action.help or "").replace("%%", "%")
        needed = action.nargs not in ("?", "*")
        many = action.nargs in ("+", "*")
        yield Argument(tuple(action.option_strings), metavar, help_, kind, words, needed, many)
