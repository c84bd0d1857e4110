"""The one registry of commands: keys, footer, palette and help are all made from it."""

from collections.abc import Callable
from typing import NamedTuple

from textual.binding import Binding


class Now(NamedTuple):
    """What decides which keys work: where the operator is, and what is selected.

    `typing` a filter, or reading a `page` above the panes; `pane` has the focus; `foldable` is
    the selected line of the tree; a filter may be kept after it was typed (`filtered`).
    """

    pane: str = "tree"
    typing: bool = False
    page: bool = False
    foldable: bool = False
    filtered: bool = False
    paused: bool = False
    origins: bool = False


def _nowhere(_now: Now) -> str:
    return ""


class Command(NamedTuple):
    """Something that an operator can do; `action` is a method `action_...` of the app.

    `footer` is the word for it in the footer, as things are now; none where the key does nothing,
    or is not worth the room.
    """

    id: str
    keys: str
    action: str
    title: str
    help: str
    footer: Callable[[Now], str] = _nowhere


def _in_panes(word: str) -> Callable[[Now], str]:
    """A key that works in every pane."""
    return lambda now: "" if now.typing or now.page else word


def _fold(now: Now) -> str:
    return "Fold" if now.foldable and now.pane == "tree" and not (now.typing or now.page) else ""


def _escape(now: Now) -> str:
    return "Close" if now.page else "Clear" if now.typing or now.filtered else ""


COMMANDS = (
    Command("keep", "enter", "keep", "Keep the filter", "keep the filter that was typed",
            lambda now: "Keep" if now.typing else ""),
    Command("clear", "escape", "clear", "Clear the filter", "clear the filter, close a page",
            _escape),
    Command("help", "question_mark", "help", "Help", "show this page", _in_panes("Help")),
    Command("filter", "slash", "filter", "Filter", "show only lines with a text",
            _in_panes("Filter")),
    Command("sort", "s", "sort", "Sort",
            "tree: number, irq/s, driver, state; interrupts: number, rate",
            lambda now: _in_panes("Sort rate" if now.pane == "interrupts" else "Sort")(now)),
    Command("fold", "enter,space", "fold", "Fold", "fold or unfold the selected line", _fold),
    Command("pause", "p", "pause", "Pause", "freeze what is shown; reading goes on",
            lambda now: _in_panes("Go on" if now.paused else "Pause")(now)),
    Command("origin", "o", "origin", "Origin",
            "where and when each value was read, instead of what it means",
            lambda now: _in_panes("Meaning" if now.origins else "Origin")(now)),
    Command("copy", "y", "copy", "Copy", "copy the selected line's name (OSC 52)"),
    Command("tree", "1", "pane('tree')", "Tree", "go to the tree",
            lambda now: "" if now.pane == "tree" else _in_panes("Tree")(now)),
    Command("inspector", "2", "pane('inspector')", "Inspector", "go to the inspector"),
    Command("pasids", "3", "pane('pasids')", "PASIDs", "go to the PASIDs"),
    Command("interrupts", "4", "pane('interrupts')", "Interrupts", "go to the interrupts"),
    Command("events", "5,e", "pane('events')", "Events", "go to the events"),
    Command("repaint", "ctrl+l", "repaint", "Repaint", "draw the whole screen again"),
    Command("palette", "ctrl+p", "command_palette", "Palette", "find a command by its name"),
    Command("suspend", "ctrl+z", "suspend_process", "Suspend", "stop; the shell's `fg` goes on"),
    Command("quit", "q,ctrl+c", "leave", "Quit", "leave the console", _in_panes("Quit")),
)  # fmt: skip

MOVES = (
    ("arrows, j k", "move the selection"),
    ("pgup pgdn, ctrl+u ctrl+d", "move by a page, by half a page"),
    ("home g, end G", "move to the first, to the last line"),
    ("left h, right l", "tree: fold or go to the parent; unfold or go to the first child"),
    ("tab, shift+tab", "next pane, previous pane"),
)

_KEY_NAMES = {"question_mark": "?", "slash": "/", "escape": "esc"}
_PASSING = ("fold", "tree")
"""Commands that stand last in the footer: they come and go, and the others stay where they are."""

_TYPED = "keep"
"""The command whose key is the field's own, while a filter is typed."""


def bindings() -> list[Binding]:
    """The commands as Textual bindings, each with its id."""
    return [
        Binding(
            command.keys,
            command.action,
            command.title,
            id=command.id,
            show=False,
            # Acts before the next key is looked at: what is typed after `/` belongs to the filter.
            priority=command.id == "filter",
        )
        for command in COMMANDS
        if command.id != _TYPED
    ]


def key_names(command: Command) -> str:
    """The keys as a person reads them: `?`, `e 5`."""
    return " ".join(_KEY_NAMES.get(key, key) for key in command.keys.split(","))


def footer(width: int, now: Now) -> str:
    """The keys that work now, as many as fit."""
    text = ""
    for command in sorted(COMMANDS, key=lambda command: command.id in _PASSING):
        word = command.footer(now)
        part = f" {key_names(command).split(' ')[0]} {word} "
        if word and len(text) + len(part) <= width:
            text += part
    return text


def help_lines() -> list[tuple[str, str]]:
    """(keys, what they do) of everything."""
    return [*MOVES, *((key_names(command), command.help) for command in COMMANDS)]
