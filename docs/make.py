"""Makes the pages that come from the program itself: `python -m docs.make`, from the top."""

import sys
from pathlib import Path

from sdmtop.commands import COMMANDS, FOCUS_KEYS, Command, key_names

HERE = Path(__file__).parent

_WHERE = {
    "console": "everywhere",
    "pane": "in a pane",
    "tree": "in the tree",
    "field": "while a filter is typed",
}

_KEYS = """\
# Keys

This page is made from the program by `make docs`. The key `?` shows the same in the console.

The footer shows the keys that do something at the moment, under the name of what they do now. A key
in parentheses is one that would do something here, but not now: press it, and the footer says why
not. `ctrl+p` finds commands by their names.

| key | does | where | id |
|---|---|---|---|
"""


def keys_page() -> str:
    """docs/keys.md."""
    rows = [f"| {_code(keys.split(', '))} | {what} | everywhere | |" for keys, what in FOCUS_KEYS]
    rows += [_row(command) for command in COMMANDS]
    return _KEYS + "\n".join(rows) + "\n"


def _row(command: Command) -> str:
    keys = _code(key_names(command).split(" "))
    return f"| {keys} | {command.help} | {_WHERE[command.scope]} | `{command.id}` |"


def _code(keys: list[str]) -> str:
    return " ".join(f"`{key}`" for key in keys)


PAGES = {"keys.md": keys_page}
"""File in this directory -> what is in it."""


def main() -> int:
    """Make every page; the exit status."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
