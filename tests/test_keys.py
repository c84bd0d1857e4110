"""Keys as a person writes them."""

import string

import pytest
from textual.keys import Keys, _character_to_key

from sdmtop import keys
from sdmtop.keys import named, shown


@pytest.mark.parametrize("char", string.punctuation + string.ascii_letters + "é7")
def test_a_character_is_called_as_textual_calls_it(char: str) -> None:
    assert named(char) == _character_to_key(char)
    assert shown(named(char)) == char


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("esc", "escape"),
        ("escape", "escape"),
        ("pgup", "pageup"),
        ("ctrl+l", "ctrl+l"),
        ("ctrl+/", "ctrl+slash"),
        ("ctrl++", "ctrl+plus"),
        ("+", "plus"),
        ("slash", "slash"),
        ("§", "section_sign"),
        ("shift+up", "shift+up"),
        ("ctrl+shift+pgdn", "ctrl+shift+pagedown"),
        ("f12", "f12"),
    ],
)
def test_a_key_is_a_character_or_a_name_with_modifiers(text: str, key: str) -> None:
    assert named(text) == key


@pytest.mark.parametrize(
    "text", ["", " ", "escap", "f25", "hyper+x", "ctrl+", "ctrl+ctrl+x", "+x", "\x1b", "a,b", "ab"]
)
def test_what_is_no_key_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="there is no key"):
        named(text)


def test_a_shifted_letter_is_written_as_the_letter() -> None:
    with pytest.raises(ValueError, match="'A'"):
        named("shift+a")


def test_keys_with_names_are_those_of_textual() -> None:
    theirs = {key.value for key in Keys}
    assert theirs >= keys._SPECIAL - {"space"}
    assert shown("escape") == "esc"
    assert shown("ctrl+question_mark") == "ctrl+?"
