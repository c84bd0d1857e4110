"""Long lines in a narrow pane: nothing of them is lost, and a path breaks between its names."""

from hypothesis import given
from hypothesis import strategies as st

from sdmtop.tui.told import folded

PATH = "/sys/devices/pci0000:00/0000:00:01.0/0000:03:00.0/driver_override"


def test_a_path_that_is_longer_than_a_line_breaks_where_a_name_ends() -> None:
    assert folded(f"  do    write vfio-pci to {PATH}", 50, 8) == [
        "  do    write vfio-pci to /sys/devices/pci0000:00/",
        "        0000:00:01.0/0000:03:00.0/driver_override",
    ]


def test_a_path_that_has_room_on_a_line_of_its_own_is_whole() -> None:
    assert folded(f"check {PATH[:40]}", 42, 2) == ["check", f"  {PATH[:40]}"]


def test_a_name_that_is_longer_than_a_line_breaks_anywhere() -> None:
    assert folded("a" * 50, 30, 2) == ["a" * 30, "  " + "a" * 20]


@given(st.text(st.sampled_from("ab/ -"), max_size=200), st.integers(20, 60), st.integers(0, 12))
def test_nothing_is_lost_and_no_line_is_too_long(line: str, width: int, indent: int) -> None:
    lines = folded(line, width, indent)
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert max(map(len, lines)) <= width
