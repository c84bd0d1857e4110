"""`sdmtop config`: what is set, whether the file is right, and a file to begin with."""

import argparse
import json
import os
from pathlib import Path

from sdmtop import config
from sdmtop.errors import FAILED, complain, put_out
from sdmtop.places import config_file
from sdmtop.text import printable

_WHAT = {
    "show": "what holds now",
    "check": "whether a file is right, and what is wrong on which line",
    "defaults": "a file with every setting, its meaning and its default",
    "init": "write that file where the configuration belongs",
    "schema": "the JSON Schema of the file, for editors",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which file."""
    meaning = "; ".join(f"{name}: {what}" for name, what in _WHAT.items())
    parser.add_argument("what", nargs="?", choices=tuple(_WHAT), default="show", help=meaning)
    parser.add_argument("file", nargs="?", metavar="FILE", help="another file than the usual one")


def run(options: argparse.Namespace) -> int:
    """Do it; a file that is wrong is an error with its line."""
    path = options.file or config_file()
    try:
        match options.what:
            case "defaults":
                return put_out(config.defaults().encode())
            case "schema":
                return put_out(json.dumps(config.schema(), indent=2).encode() + b"\n")
            case "init":
                return _write(path)
            case "check":
                config.read(path)
                return put_out(f"{printable(path)}: it is right\n".encode())
        chosen = config.read(path) if options.file or os.path.lexists(path) else {}
        return put_out(config.effective(chosen, remote="SSH_TTY" in os.environ).encode())
    except (OSError, ValueError) as error:
        return complain(path, error)


def _write(path: str) -> int:
    """A file that is there already stays as it is."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x") as fresh:
            fresh.write(config.defaults())
    except FileExistsError as error:
        complain(path, error)
        return FAILED
    except OSError:
        file.unlink(missing_ok=True)  # What is cut short would be in the way of the next attempt.
        raise
    return put_out(os.fsencode(path) + b"\n")
