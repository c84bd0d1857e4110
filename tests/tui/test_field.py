"""The line below the field."""

import pytest

from sdmtop.tui.field import pointing


@pytest.mark.parametrize("column", range(0, 80, 9))
def test_a_caret_stands_below_its_column_with_the_sentence_beside_it(column: int) -> None:
    line = pointing("this is wrong", column, 80)
    assert line.index("^") == column
    assert "this is wrong" in line
    assert len(line) <= 80


def test_where_there_is_no_room_for_all_the_sentence_its_end_is_cut() -> None:
    assert pointing("x" * 50, 10, 40).index("^") == 10


def test_text_from_outside_is_made_printable() -> None:
    assert pointing("no field \x1b[31m", 0, 80) == "^ no field \\x1b[31m"
