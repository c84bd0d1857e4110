"""Makes the pages that come from the program itself: `python -m docs.make`, from the top."""

import sys
from pathlib import Path

from docs.tables import tables_of
from sdmtop.backends.simulator.scenario import Scenario
from sdmtop.commands import COMMANDS, FOCUS_KEYS, SCOPES, Command, key_names
from sdmtop.config import allowed, spelled
from sdmtop.facts import FIELDS
from sdmtop.selftests.registry import TESTS
from sdmtop.settings import OPTIONS, Option

HERE = Path(__file__).parent

_KEYS = """\
# Keys

This page is made from the program by `make docs`. The key `?` shows the keys, and what they do, in
the console; the ids are for [the configuration](config.md).

The footer shows the keys that do something at the moment, under the name of what they do now. A key
in parentheses is one that would do something here, but not now: press it, and the footer says why
not. `ctrl+p` finds commands by their names. What a dialog takes stands on its border or in its last
line: in the journal `u` undoes the selected plan and `f` finishes it, in the dialog of a plan `o`
plans for the targets only.

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
    return f"| {keys} | {command.help} | {SCOPES[command.scope]} | `{command.id}` |"


def _code(keys: list[str]) -> str:
    return " ".join(f"`{key}`" for key in keys)


_QUERY = """\
# The query language

The key `/` shows only lines that answer to a query, with what they hang below:

    driver:vfio-pci group:14 irq/s>100 holder:qemu state:orphan,stuck !domain:DMA "two words"

Terms stand side by side, and all have to be true. `enter` keeps the query that was typed.

| term | finds |
|---|---|
| `text` | lines with this text anywhere, in capitals or not. An address (`02:00.0`) is a text. A device is found by the handlers of its interrupts, too, as pane 4 shows them (`eth0`) |
| `field:value` | lines whose field has a word that begins so: `driver:vfio` |
| `field=value` | lines whose field has just this value: `domain=DMA` leaves out `DMA-FQ` |
| `field>1` `<` `>=` `<=` | fields of numbers; `1.5k` and `2M` are thousands and millions |
| `field:a,b` | one of several values is enough |
| `field:` | any value at all; `field:none` none; `field:?` one that could not be read |
| `!term` | the opposite, of lines that have such a field |
| `"a b"` | quotes keep blanks, commas and colons; `\\"` is a quote inside them |

A group has the fields of the group, a device also those of its group, a queue also those of its
device. `tab` completes fields, and values that there are on this host. What is wrong with a query
stands below it, under a `^` at the place; until it is right, the lines are those of what was right last.

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


_CONFIG = """\
# Configuration

`sdmtop config init` writes a file with every setting, its meaning and its default, where the
configuration belongs: `$XDG_CONFIG_HOME/sdmtop/config.toml`, or `~/.config/sdmtop/config.toml`. Without
a file the defaults hold. What is given on the command line goes before the file.

| call | does |
|---|---|
| `sdmtop config` | shows what holds now |
| `sdmtop config check` | says what is wrong in the file, and on which line; `check FILE` of another file |
| `sdmtop config defaults` | prints a file with every setting, its meaning and its default |
| `sdmtop config init` | writes that file; one that is there stays as it is |
| `sdmtop config schema` | prints the JSON Schema, for editors that complete and check TOML |
| `sdmtop locate` | shows where configuration, journal and saved screens lie; `locate config` only the path |

Files that this program makes:

| path | of root | holds |
|---|---|---|
| `$XDG_CONFIG_HOME/sdmtop/config.toml`, else below `~/.config` | the same | settings and keys |
| `$XDG_STATE_HOME/sdmtop/journal`, else below `~/.local/state` | `/var/lib/sdmtop/journal` | [the journal](operations.md) |
| `$XDG_STATE_HOME/sdmtop/screens/`, the same | `/var/lib/sdmtop/screens/` | screens saved with `S` |
| `$XDG_RUNTIME_DIR/sdmtop/NAME`, else beside the journal | `/run/sdmtop/NAME` | a lock (flock) for each group or device that was worked on, `/` written as `-`. It says who is, or last was, at work there. It stays when the work is done, and is not locked then: it may be deleted while no sdmtop runs |
| `$XDG_RUNTIME_DIR/sdmtop/sim-PID.sock`, else in `sdmtop-UID` among the temporary files | the same | where [a simulator](simulator.md) that runs is told what to do |

A file that is wrong is refused before the screen is taken over, with its line: an unknown setting or
command, a value that cannot be, a key that would do two things at once.

## Settings

| name | sets | default | over ssh | can be |
|---|---|---|---|---|
"""

_CONFIG_KEYS = """
`ssh` is told by `SSH_TTY` in the environment. A choice of columns that was made with `C` in the console
is kept with `w` there.

## Keys

Below `[keys]` stand commands by their ids ([docs/keys.md](keys.md)), each with a key or a list of keys:

```toml
[keys]
sort = "f6"
quit = ["q", "f10"]
suspend = []          # no key at all
```

A key is the character that it gives (`s`, `S`, `/`), or one of `up`, `down`, `left`, `right`, `home`, `end`,
`pgup`, `pgdn`, `insert`, `delete`, `enter`, `esc`, `tab`, `space`, `backspace`, `f1` to `f24`, with `ctrl+`,
`alt+` or `shift+` before it. `keep` and `clear` have the keys of every program, and keep them; `tab` and `shift+tab` go from
pane to pane.
"""


def config_page() -> str:
    """docs/config.md."""
    return _CONFIG + "\n".join(map(_setting, OPTIONS)) + "\n" + _CONFIG_KEYS


def _setting(option: Option) -> str:
    remote = spelled(option.remote) if option.remote != option.default else ""
    cells = (option.name, option.meaning, spelled(option.default), remote, allowed(option))
    return f"| `{cells[0]}` | {' | '.join(cells[1:])} |"


def scenarios_page() -> str:
    """docs/scenarios.md."""
    return _by_hand("scenarios.md") + tables_of(Scenario)


PAGES = {
    "config.md": config_page,
    "keys.md": keys_page,
    "query.md": query_page,
    "doctor.md": doctor_page,
    "selftests.md": selftests_page,
    "scenarios.md": scenarios_page,
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
