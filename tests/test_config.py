"""The configuration file."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.commands import COMMANDS
from sdmtop.config import clashes, defaults, effective, parse, read, save, schema, with_setting
from sdmtop.errors import UsageError
from sdmtop.settings import OPTIONS, Settings


def refused(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text.encode())
    return str(caught.value)


def test_a_file_sets_what_it_names_and_nothing_else() -> None:
    chosen = parse(b'interval = 5\ncolumns = ["irq/s", "state"]\n[keys]\nsort = ["f6", "s"]\n')
    assert chosen == {"interval": 5, "columns": ("irq/s", "state"), "keys": {"sort": "f6,s"}}
    assert Settings(chosen).columns == ("irq/s", "state")
    assert Settings(chosen).theme == "auto"


def test_over_ssh_other_defaults_hold_and_the_file_goes_before_them() -> None:
    assert (Settings().interval, Settings(remote=True).interval) == (1.0, 2.0)
    assert not Settings(remote=True).animation
    assert Settings({"interval": 0.5}, remote=True).interval == 0.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n\nintervall = 1", "line 3: there is no setting intervall; do you mean interval?"),
        ("interval = 0", "line 1: interval: it is a number from 0.1 to 3600"),
        ("interval = true", "line 1: interval: it is a number from 0.1 to 3600"),
        ("interval = nan", "line 1: interval: it is a number from 0.1 to 3600"),
        ("mouse = 1", "line 1: mouse: it is either true or false"),
        ("theme = 'pink'",
         "line 1: theme: it is one of auto, dark, light, ansi-dark, ansi-light"),
        ("theme = []", "line 1: theme: it is one of auto, dark, light, ansi-dark, ansi-light"),
        ("columns = 1", "line 1: columns: it is a list of names"),
        ("columns = [1]", "line 1: columns: it is a list of names"),
        ("columns = ['stat']", "line 1: columns: there is no stat; do you mean state?"),
        ("columns = ['state', 'state']", "line 1: columns: a name stands there twice"),
        ("keys = 1", 'line 1: keys is a table: [keys], and below it lines as sort = "f6"'),
        ("[keys]\nsrt = 'x'", "line 2: there is no command srt; do you mean sort?"),
        ("[keys]\nsort = 'hyper'", "line 2: sort: there is no key 'hyper'"),
        ("[keys]\nsort = 1", "line 2: sort: it is a key, or a list of keys"),
        ("[keys]\nkeep = 'x'", "line 2: keep has the keys of every program, and keeps them"),
        ("[keys]\nquit = []", "line 2: quit: one must be able to leave"),
        ("[keys]\n\nsort = 'p'",
         "line 3: sort: p is the key of pause (freeze what is shown; reading goes on) already"),
        ("[keys]\norigin = 'f6'\nturn = 'f6'",
         "line 2: origin: f6 is the key of turn (sort the tree the other way round) already"),
        ("[keys]\ndetach = 'shift+tab'", "line 2: detach: shift+tab goes from pane to pane"),
        ("[keys]\nsort = 'ctrl+i'", "line 2: sort: 'ctrl+i': a terminal sends the same for tab"),
        ("[keys]\nsort = 'ctrl+m'", "line 2: sort: 'ctrl+m': a terminal sends the same for enter"),
        ("interval = ", "end of document: Invalid value"),
        ("a = 1\nb 2", "line 2, column 3: Expected '=' after a key in a key/value pair"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(text: str, sentence: str) -> None:
    assert refused(text) == sentence


def test_a_file_that_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(UsageError, match="line 2: this is not UTF-8"):
        parse(b"\n# \xff")


def test_a_file_that_is_nested_without_measure_is_refused_with_a_sentence() -> None:
    with pytest.raises(UsageError, match="nested too deep"):
        parse(b"x = " + b"[" * 5000)


def test_keys_may_change_places_and_be_taken_away() -> None:
    chosen = parse(b'[keys]\nsort = "p"\npause = "s"\nsuspend = []\n')
    assert chosen["keys"] == {"sort": "p", "pause": "s", "suspend": ""}


def test_a_key_that_goes_from_pane_to_pane_may_be_one_of_a_field() -> None:
    assert parse(b"[keys]\ncomplete = ['tab', 'f2']\n")["keys"] == {"complete": "tab,f2"}


def test_the_usual_keys_do_not_clash() -> None:
    assert list(clashes(COMMANDS)) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_refused_with_a_sentence(data: bytes) -> None:
    try:
        parse(data)
    except UsageError as error:
        sentence = str(error)
    else:
        sentence = "right"
    assert sentence


_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.sampled_from([*(option.name for option in OPTIONS), "keys", "x"]), _VALUES)
def test_any_value_is_taken_or_refused(name: str, value: Any) -> None:
    text = f"{name} = {json.dumps(value)}".replace("Infinity", "inf").replace("NaN", "nan")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        assert set(parse(text.encode())) == {name}
    except UsageError as error:
        assert str(error).startswith("line 1: ")  # noqa: PT017 - one of two outcomes


def test_the_file_to_begin_with_changes_nothing_as_it_is_and_is_right_without_its_marks() -> None:
    text = defaults()
    assert parse(text.encode()) == {}
    lines = [
        line.removeprefix("# ") for line in text.splitlines() if " = " in line or "[keys]" in line
    ]
    chosen = parse("\n".join(lines).encode())
    assert {name: chosen[name] for name in Settings.__annotations__ if name != "keys"} == {
        option.name: option.default for option in OPTIONS
    }
    assert chosen["keys"] == {
        command.id: command.keys for command in COMMANDS if command.id in chosen["keys"]
    }


def test_what_holds_is_printed_as_a_file_that_sets_it() -> None:
    chosen = parse(b'theme = "light"\n[keys]\nsort = ["f6", "/"]\nfilter = "f3"\n')
    again = parse(effective(chosen, remote=False).encode())
    assert again["theme"] == "light"
    assert again["keys"] == chosen["keys"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'sort = "state"\n'),
        ("# mine\nmouse = false", '# mine\nmouse = false\nsort = "state"\n'),
        ("[keys]\nsort = 's'\n", "sort = \"state\"\n[keys]\nsort = 's'\n"),
        ("sort = 'name' # why\nmouse = true\n", 'sort = "state"\nmouse = true\n'),
    ],
)
def test_setting_one_thing_leaves_the_other_lines_as_they_are(before: str, after: str) -> None:
    assert with_setting(before, "sort", "state") == after


def test_a_value_of_several_lines_is_replaced_as_a_whole() -> None:
    before = "columns = [\n  'state', # x\n  'holder',\n]\nmouse = true\n"
    assert with_setting(before, "columns", ("what",)) == 'columns = ["what"]\nmouse = true\n'


def test_a_setting_is_saved_where_there_was_no_file_yet(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "config.toml")
    save(path, "columns", ("state",))
    save(path, "sort", "state")
    assert read(path) == {"columns": ("state",), "sort": "state"}


def test_a_file_that_is_wrong_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("interval = 0\n")
    with pytest.raises(UsageError):
        save(str(path), "sort", "state")
    assert path.read_text() == "interval = 0\n"


def test_the_schema_accepts_what_is_right_and_refuses_what_is_not() -> None:
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    check = jsonschema.Draft202012Validator(found)
    assert check.is_valid({"interval": 2, "columns": ["state"], "keys": {"sort": ["f6"]}})
    for wrong in ({"intervall": 1}, {"theme": "pink"}, {"keys": {"srt": "x"}}, {"interval": 0}):
        assert not check.is_valid(wrong)
