"""Makes the pages that come from the program itself: `python -m docs.make`, from the top."""

import sys
from pathlib import Path

from sdmtop.commands import COMMANDS, FOCUS_KEYS, Command, key_names
from sdmtop.facts import FIELDS
from sdmtop.selftests.registry import TESTS

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


_QUERY = """\
# The query language

The key `/` shows only lines that answer to a query, with what they hang below:

    driver:vfio-pci group:14 irq/s>100 holder:qemu state:orphan,stuck !domain:DMA "two words"

Terms stand side by side, and all have to be true. `enter` keeps the query that was typed.

| term | finds |
|---|---|
| `text` | lines with this text anywhere, in capitals or not. An address (`02:00.0`) is a text |
| `field:value` | lines whose field has a word that begins so: `driver:vfio` |
| `field=value` | lines whose field has just this value: `domain=DMA` leaves out `DMA-FQ` |
| `field>1` `<` `>=` `<=` | fields of numbers; `1.5k` and `2M` are thousands and millions |
| `field:a,b` | one of several values is enough |
| `field:` | any value at all; `field:none` none; `field:?` one that could not be read |
| `!term` | the opposite, of lines that have such a field |
| `"a b"` | quotes keep blanks, commas and colons; `\\"` is a quote inside them |

A group has the fields of the group, a device also those of its group, a queue also those of its
device. `tab` completes fields, and values that there are on this host. What is wrong with a query
stands below it, under a `^` at the place; the lines stay as they were until it is right.

| field | is |
|---|---|
"""


def query_page() -> str:
    """docs/query.md."""
    rows = (f"| `{field.name}` | {field.meaning} |" for field in FIELDS.values())
    return _QUERY + "\n".join(rows) + "\n"


_MADE = "<!-- What follows is made by `make docs`. -->\n"


def _by_hand(name: str) -> str:
    """What a person has written at the top of a page."""
    return (HERE / name).read_text().partition(_MADE)[0] + _MADE


def doctor_page() -> str:
    """docs/doctor.md."""
    checks = (
        f"## {test.name.partition('.')[2]}\n\n"
        f"**Checks that** {test.proves}.\n\n"
        f"**Why:** {test.why}.\n\n"
        f"**What to do:** {test.remedy}.\n"
        for test in TESTS
        if test.name.startswith("host.")
    )
    return _by_hand("doctor.md") + "\n" + "\n".join(checks)


def selftests_page() -> str:
    """docs/selftests.md."""
    families: dict[str, list[str]] = {}
    for test in TESTS:
        family, _, _ = test.name.partition(".")
        if family != "host":
            row = (test.proves, test.needs, test.touches, f"{test.takes:g} s", test.why)
            families.setdefault(family, []).append(f"| `{test.name}` | {' | '.join(row)} |")
    page = _by_hand("selftests.md")
    for family, rows in families.items():
        page += f"\n## {family}\n\n| test | proves | needs | touches | takes | fails when |\n"
        page += "|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    return page


PAGES = {
    "keys.md": keys_page,
    "query.md": query_page,
    "doctor.md": doctor_page,
    "selftests.md": selftests_page,
}
"""File in this directory -> what is in it."""


def main() -> int:
    """Make every page; the exit status."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
