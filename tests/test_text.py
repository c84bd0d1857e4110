import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.text import cell, fact, fit, line, original, printable, width

HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "\x1b[31mred",
        "[/foo]",
        "a\u202eb",
        "z\u200dz",
        "\x9b1m",
        "e\u0301",
        "中文",
        "\ue000",
        "\udcff",
    ]
)


@given(st.binary(max_size=200))
def test_a_fact_survives_the_round_trip_whatever_its_bytes(raw: bytes) -> None:
    assert original(fact(raw)) == raw


@given(st.binary(max_size=200))
def test_a_fact_can_be_encoded_as_json(raw: bytes) -> None:
    fact(raw).encode("utf-8")


def test_bytes_that_are_not_utf8_are_shown_escaped() -> None:
    assert fact(b"nvme\xff0") == "nvme\\xff0"


def test_a_literal_backslash_x_is_not_mistaken_for_an_escape() -> None:
    assert fact(b"a\\xff") == "a\\x5cxff"
    assert original("a\\x5cxff") == b"a\\xff"


def test_a_line_has_no_newline() -> None:
    assert line(b" vfio-pci\n") == "vfio-pci"


@given(HOSTILE)
def test_nothing_that_is_not_visible_reaches_the_terminal(text: str) -> None:
    assert printable(text).isprintable()


def test_escape_sequences_bidi_and_zero_width_are_shown_as_escapes() -> None:
    assert printable("\x1b[31m") == "\\x1b[31m"
    assert printable("a\u202eb\u200b") == "a\\u202eb\\u200b"
    assert printable("\U000e0001") == "\\U000e0001"


@pytest.mark.parametrize(
    "blank",
    ["\u034f", "\u115f", "\u1160", "\u17b4", "\u180b", "\u180f", "\u2800", "\u3164", "\ufe00",
     "\ufe0f", "\uffa0", "\U000e0100", "\U000e01ef"],
)  # fmt: skip
def test_a_letter_or_mark_that_shows_as_nothing_is_an_escape(blank: str) -> None:
    assert blank.isprintable()
    assert printable(f"a{blank}") == "a" + ascii(blank)[1:-1]
    assert printable(blank * 30).isascii()


def test_letters_of_any_script_and_their_marks_are_left_as_they_are() -> None:
    for text in ("e\u0301", "中文", "한글", "नमस्ते", "\u28ff", "☃"):
        assert printable(text) == text


@given(HOSTILE, st.integers(min_value=0, max_value=80))
def test_a_cell_takes_exactly_its_cells(text: str, cells: int) -> None:
    assert width(cell(text, cells)) == cells


def test_a_text_that_is_cut_says_so() -> None:
    assert fit("sdmdev_sample", 6) == "sdmde…"
    assert fit("中文字", 4) == "中… "


def test_a_name_of_64_kib_is_cut_without_being_looked_at_whole() -> None:
    assert cell("A" * 65536, 8) == "AAAAAAA…"
