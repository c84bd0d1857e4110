"""The configuration file: read, checked, written. docs/config.md is made from here."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sdmtop import keys
from sdmtop.commands import COMMANDS, FIXED, Command, overlapping, with_keys
from sdmtop.errors import UsageError
from sdmtop.settings import OPTIONS, Option, Settings
from sdmtop.toml_lines import Lines
from sdmtop.toml_lines import Path as Place

_OPTIONS = {option.name: option for option in OPTIONS}
_COMMANDS = {command.id: command for command in COMMANDS}
_MOST = 1 << 20
"""Bytes of a file at most: the name may be that of a device, which never ends."""
_MOVING = frozenset({"tab", "shift+tab"})
"""Keys that are Textual's own, but where a text is typed."""


def read(path: str) -> dict[str, Any]:
    """What a file sets: values by the names of `OPTIONS`, and `keys`.

    Raises `UsageError` with the line that is wrong, `OSError` where it cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(_MOST + 1)
    if len(data) > _MOST:
        raise UsageError(f"it has more than {_MOST >> 10} KiB: that is no configuration")
    return parse(data)


def parse(data: bytes) -> dict[str, Any]:
    """What a text sets. Raises `UsageError` with the line that is wrong."""
    try:
        text = data.decode()
        found = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(f"line {line}: this is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_place_first(str(error))) from error
    except RecursionError as error:
        raise UsageError("its lists or tables are nested too deep") from error
    lines = Lines(text)
    chosen = {}
    for name, value in found.items():
        if name == "keys":
            chosen["keys"] = _keys(value, lines)
        else:
            chosen[name] = _value(name, value, lines)
    return chosen


def _place_first(sentence: str) -> str:
    """`line 3, column 5: Invalid value`, of what `tomllib` puts the other way round."""
    why, _, place = sentence.rstrip(")").rpartition(" (at ")
    return f"{place}: {why}"


def _wrong(lines: Lines, place: Place, sentence: str) -> UsageError:
    return UsageError(f"line {lines.of(place)}: {sentence}")


def _value(name: str, value: Any, lines: Lines) -> Any:
    option = _OPTIONS.get(name)
    if option is None:
        raise _wrong(
            lines, (name,), f"there is no setting {name}{_similar(name, [*_OPTIONS, 'keys'])}"
        )
    sentence = _fault(option, value)
    if sentence:
        raise _wrong(lines, (name,), f"{name}: {sentence}")
    return tuple(value) if isinstance(value, list) else value


def _fault(option: Option, value: Any) -> str:
    """What is wrong with a value; empty if nothing is."""
    match option.default:
        case bool():
            return "" if isinstance(value, bool) else "it is either true or false"
        case float():
            low, high = option.bounds
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return (
                ""
                if is_number and low <= value <= high
                else f"it is a number from {low:g} to {high:g}"
            )
        case tuple():
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                return "it is a list of names"
            unknown = [one for one in value if one not in option.words]
            if unknown:
                return f"there is no {unknown[0]}{_similar(unknown[0], option.words)}"
            return "" if len(set(value)) == len(value) else "a name stands there twice"
    return "" if value in option.words else f"it is one of {', '.join(option.words)}"


def _keys(table: Any, lines: Lines) -> dict[str, str]:
    """Keys of commands, by id, in the form of `Command.keys`."""
    if not isinstance(table, dict):
        raise _wrong(lines, ("keys",), 'keys is a table: [keys], and below it lines as sort = "f6"')
    keymap = {}
    for id_, value in table.items():
        place = ("keys", id_)
        command = _COMMANDS.get(id_)
        if command is None:
            raise _wrong(lines, place, f"there is no command {id_}{_similar(id_, _COMMANDS)}")
        if command.id in FIXED:
            raise _wrong(lines, place, f"{id_} has the keys of every program, and keeps them")
        written = [value] if isinstance(value, str) else value
        if not isinstance(written, list) or not all(isinstance(key, str) for key in written):
            raise _wrong(lines, place, f"{id_}: it is a key, or a list of keys")
        if id_ == "quit" and not written:
            raise _wrong(lines, place, "quit: one must be able to leave")
        try:
            keymap[id_] = ",".join(map(keys.named, written))
        except ValueError as error:
            raise _wrong(lines, place, f"{id_}: {error}") from error
        taken = _MOVING.intersection(keymap[id_].split(","))
        if taken and overlapping("console", command.scope):
            raise _wrong(lines, place, f"{id_}: {min(taken)} goes from pane to pane")
    for one, other, key in clashes(with_keys(keymap)):
        here, there = (other, one) if other.id in keymap else (one, other)
        sentence = f"{keys.shown(key)} is the key of {there.id} ({there.help}) already"
        raise _wrong(lines, ("keys", here.id), f"{here.id}: {sentence}")
    return keymap


def clashes(commands: Sequence[Command]) -> Iterator[tuple[Command, Command, str]]:
    """Two commands that are given by the same key at the same time."""
    for index, one in enumerate(commands):
        for other in commands[index + 1 :]:
            if overlapping(one.scope, other.scope):
                for key in one.keys.split(","):
                    if key and key in other.keys.split(","):
                        yield one, other, key


def _similar(name: str, names: Any) -> str:
    close = get_close_matches(name, list(names), 1)
    return f"; do you mean {close[0]}?" if close else ""


# -- writing -----------------------------------------------------------------------------------

_HEAD = """\
# Configuration of sdmtop. `sdmtop config check` says what is wrong in it, and on which line.
# A setting holds once the `# ` before it is taken away.
"""


def defaults() -> str:
    """A file in which every setting stands with its meaning and its default, as a comment."""
    parts = [_HEAD]
    parts += (
        f"\n# {option.meaning}\n# can be: {allowed(option)}\n"
        f"# {option.name} = {spelled(option.default)}{_over_ssh(option)}\n"
        for option in OPTIONS
    )
    parts.append("\n# Keys of commands: one, or a list of them; [] takes them away.\n# [keys]\n")
    parts += (
        f"# {command.id} = {_keys_spelled(command.keys)}  # {command.help}\n"
        for command in COMMANDS
        if command.id not in FIXED
    )
    return "".join(parts)


def effective(chosen: Mapping[str, Any], *, remote: bool) -> str:
    """What holds, as a file."""
    settings = Settings(chosen, remote=remote)
    parts = [f"{option.name} = {spelled(getattr(settings, option.name))}\n" for option in OPTIONS]
    if settings.keys:
        parts.append("\n[keys]\n")
        parts += (f"{id_} = {_keys_spelled(written)}\n" for id_, written in settings.keys.items())
    return "".join(parts)


def with_setting(text: str, name: str, value: Any) -> str:
    """A file in which one setting is another; every other line of it stays as it is."""
    line = f"{name} = {spelled(value)}\n"
    rows = text.splitlines(keepends=True)
    place = Lines(text)
    if name in tomllib.loads(text):
        first = place.of((name,)) - 1
        return "".join((*rows[:first], line, *rows[place.end_of((name,)) :]))
    # Before the first table: what comes after its heading belongs to it.
    at = next((row for row, text_ in enumerate(rows) if text_.lstrip().startswith("[")), len(rows))
    before = "".join(rows[:at])
    gap = "" if before.endswith("\n") or not before else "\n"
    return f"{before}{gap}{line}{''.join(rows[at:])}"


def save(path: str, name: str, value: Any) -> None:
    """Set one thing in the configuration file, which is made where there is none.

    Raises `UsageError` where the file is wrong as it is, `OSError` where it cannot be written.
    """
    file = Path(path)
    text = file.read_text() if file.exists() else ""
    changed = with_setting(text, name, value).encode()
    parse(changed)
    file.parent.mkdir(parents=True, exist_ok=True)
    # All or nothing: a full disk must not take the old file.
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(changed)
    fresh.replace(file)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors that complete and check."""
    properties: dict[str, Any] = {option.name: _schema_of(option) for option in OPTIONS}
    key = {"type": "string"}
    properties["keys"] = {
        "type": "object",
        "description": "keys of commands",
        "additionalProperties": False,
        "properties": {
            command.id: {
                "description": command.help,
                "anyOf": [key, {"type": "array", "items": key}],
            }
            for command in COMMANDS
            if command.id not in FIXED
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sdmtop configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _schema_of(option: Option) -> dict[str, Any]:
    words = {"enum": list(option.words)}
    match option.default:
        case bool():
            kind: dict[str, Any] = {"type": "boolean"}
        case float():
            kind = {"type": "number", "minimum": option.bounds[0], "maximum": option.bounds[1]}
        case tuple():
            kind = {"type": "array", "items": words, "uniqueItems": True}
        case _:
            kind = words
    return {"description": option.meaning, **kind, "default": option.default}


def _over_ssh(option: Option) -> str:
    return f"  # over ssh {spelled(option.remote)}" if option.remote != option.default else ""


def allowed(option: Option) -> str:
    """What can stand there, in words."""
    match option.default:
        case bool():
            return "true, false"
        case float():
            return f"{option.bounds[0]:g} to {option.bounds[1]:g}"
        case tuple():
            return f"a list of {', '.join(option.words)}"
    return ", ".join(option.words)


def spelled(value: Any) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value:g}"


def _keys_spelled(written: str) -> str:
    found = [keys.shown(key) for key in written.split(",") if key]
    return spelled(found[0] if len(found) == 1 else found)
