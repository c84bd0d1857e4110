"""The one registry of commands: keys, footer, palette and help are all made from it."""

from typing import NamedTuple

from textual.binding import Binding


class Command(NamedTuple):
    """Something that an operator can do; `action` is a method `action_...` of the app."""

    id: str
    keys: str
    action: str
    title: str
    help: str
    footer: bool = False


COMMANDS = (
    Command("help", "question_mark", "help", "Help", "show this page", footer=True),
    Command("filter", "slash", "filter", "Filter", "show only lines with a text", footer=True),
    Command("sort", "s", "sort", "Sort",
            "tree: by number, irq/s, driver, state; interrupts: by number, rate", footer=True),
    Command("fold", "enter,space", "fold", "Fold", "fold or unfold the selected line", footer=True),
    Command("pause", "p", "pause", "Pause",
            "freeze what is shown; reading goes on", footer=True),
    Command("origin", "o", "origin", "Origin",
            "where each value was read, instead of what it means", footer=True),
    Command("copy", "y", "copy", "Copy", "copy the selected line's name (OSC 52)"),
    Command("tree", "1", "pane('tree')", "Tree", "go to the tree"),
    Command("inspector", "2", "pane('inspector')", "Inspector", "go to the inspector"),
    Command("pasids", "3", "pane('pasids')", "PASIDs", "go to the PASIDs"),
    Command("interrupts", "4", "pane('interrupts')", "Interrupts", "go to the interrupts"),
    Command("events", "5,e", "pane('events')", "Events", "go to the events"),
    Command("palette", "ctrl+p", "command_palette", "Palette", "find a command by its name"),
    Command("quit", "q,ctrl+c", "leave", "Quit", "leave the console", footer=True),
)  # fmt: skip

MOVES = (
    ("arrows, j k", "move the selection"),
    ("pgup pgdn, home end", "move by a page, to the first or last line"),
    ("tab, shift+tab", "next pane, previous pane"),
    ("esc", "clear the filter, close a page"),
)

_KEY_NAMES = {"question_mark": "?", "slash": "/"}


def bindings() -> list[Binding]:
    """The commands as Textual bindings, each with its id."""
    return [
        Binding(
            command.keys,
            command.action,
            command.title,
            id=command.id,
            show=command.footer,
            # Acts before the next key is looked at: what is typed after `/` belongs to the filter.
            priority=command.id == "filter",
        )
        for command in COMMANDS
    ]


def key_names(command: Command) -> str:
    """The keys as a person reads them: `?`, `e 5`."""
    return " ".join(_KEY_NAMES.get(key, key) for key in command.keys.split(","))


def footer(width: int) -> str:
    """The commands that have a place in the footer, as many as fit."""
    text = ""
    for command in COMMANDS:
        part = f" {key_names(command).split(' ')[0]} {command.title} "
        if command.footer and len(text) + len(part) <= width:
            text += part
    return text


def help_lines() -> list[tuple[str, str]]:
    """(keys, what they do) of everything."""
    return [*MOVES, *((key_names(command), command.help) for command in COMMANDS)]
