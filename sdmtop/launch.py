"""The first lines of the program: the console and `--version` without the parser of options.

`main` recognises the plain call of the console (options only) by itself; every other call goes to
`sdmtop.cli`. On the path of the first paint.
"""

import sys

from sdmtop import __version__
from sdmtop.console import FLAGS, console, on_a_terminal
from sdmtop.settings import LEAST_INTERVAL, MOST_INTERVAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def main() -> int:
    """Run the program; returns its exit status (contract 1)."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from sdmtop.errors import put_out

        return put_out(f"sdmtop {__version__}\n".encode())
    options = console_options(arguments)
    if options is not None and on_a_terminal():
        return console(*options)
    from sdmtop.cli import run

    return run(arguments)


def console_options(arguments: "Sequence[str]") -> "tuple[str, dict[str, Any]] | None":
    """(host URL, settings that are given) of a plain console call, else None.

    None also for anything doubtful: `sdmtop.cli` knows how to say what is wrong with it.
    """
    url = "auto"
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in FLAGS and not equals:
            setting, value_given = FLAGS[name]
            given[setting] = value_given
            continue
        if name not in ("--host", "--interval"):
            return None
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if name == "--host":
            url = value
        else:
            try:
                given["interval"] = float(value)
            except ValueError:
                return None
            if not LEAST_INTERVAL <= given["interval"] <= MOST_INTERVAL:
                return None
    return url, given
