"""The columns of the tree: how wide they are, and what a line of them looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.columns import COLUMNS, DEFAULT, NAME, Columns, middle

UUID = "5d3de000-0000-4000-8000-000000000001"


def usual(*, uuids: bool = True, holding: bool = True) -> Columns:
    return Columns(uuids=uuids, holding=holding)


def test_at_120_columns_every_column_has_its_room() -> None:
    name, _, _, holder, rate, what = usual().widths(71)
    assert len("    5d3de00…0000001") <= name
    assert len("42 qemu-s…") <= holder
    assert rate >= len("9999M")
    assert what >= 13


def test_a_host_on_which_nothing_can_be_held_has_no_column_for_it() -> None:
    columns = usual(uuids=False, holding=False)
    assert "holder" not in columns.names
    assert columns.widths(71)[-1] >= 24
    assert "HOLDER" not in columns.heading(columns.widths(71))


@given(
    st.integers(0, 400),
    st.lists(st.sampled_from([name for name in COLUMNS if name != NAME]), unique=True),
    st.booleans(),
    st.booleans(),
)
def test_a_line_is_never_wider_than_it_is_told(
    width: int, names: list[str], uuids: bool, holding: bool
) -> None:
    columns = Columns(names, uuids=uuids, holding=holding)
    widths = columns.widths(width)
    assert width - 1 <= len(columns.heading(widths)) <= width
    assert len(columns.render([UUID] * len(widths), 2, widths)) <= width
    assert len(columns.heading(widths, order="state", turned=True, note="/x" * 9)) <= width


def test_wide_terminals_show_uuids_in_full() -> None:
    assert usual().widths(121)[0] == 40


def test_without_the_last_column_the_names_take_the_room() -> None:
    assert Columns(("state",), uuids=True, holding=True).widths(100) == (91, 8)


def test_uuids_are_cut_in_the_middle_so_that_they_differ() -> None:
    columns = usual()
    widths = columns.widths(71)
    one, two = (
        columns.render((UUID[:-1] + digit, "", "", "", "", ""), 2, widths).split()[0]
        for digit in "12"
    )
    assert one != two
    assert middle("abcdefghij", 5) == "ab…ij"
    assert middle("abc", 5) == "abc"


def test_rates_and_their_heading_stand_at_the_right_of_their_column() -> None:
    columns = usual(holding=False)
    widths = (16, 11, 8, 7, 20)
    line = columns.render(("a", "b", "c", "12", "what"), 0, widths)
    assert line.index("12") == 16 + 11 + 8 + 3 + 5
    assert columns.heading(widths).index("IRQ/S") == 16 + 11 + 8 + 3 + 2


def test_the_heading_says_what_the_lines_are_sorted_by_and_nothing_moves() -> None:
    columns = usual()
    widths = columns.widths(100)
    plain = columns.heading(widths)
    sorted_ = columns.heading(widths, order="state")
    assert "STATE▴" in sorted_
    assert "STATE▾" in columns.heading(widths, order="state", turned=True)
    assert sorted_.index("HOLDER") == plain.index("HOLDER")
    assert columns.heading(widths, order=NAME) == plain


def test_a_note_takes_the_place_of_the_first_two_headings() -> None:
    columns = usual()
    widths = columns.widths(71)
    heading = columns.heading(widths, note="/driver:vfio-pci and much more than there is room for")
    assert heading.startswith("/driver:vfio-pci and")
    assert heading.index("STATE") == columns.heading(widths).index("STATE")


def test_a_cell_of_a_line_belongs_to_a_column() -> None:
    columns = usual()
    widths = columns.widths(71)
    heading = columns.heading(widths)
    found = [columns.at(heading.index(title), widths) for title in ("GROUP", "STATE", "WHAT")]
    assert found == [NAME, "state", "what"]
    assert columns.at(500, widths) == "what"


def test_every_column_has_a_meaning_and_the_usual_ones_exist() -> None:
    assert all(column.meaning for column in COLUMNS.values())
    assert set(DEFAULT) <= COLUMNS.keys()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_has_room_for_its_heading(name: str) -> None:
    column = COLUMNS[name]
    assert len(column.short) <= max(column.least, 4)
