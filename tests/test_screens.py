"""Saved screens."""

import stat
from pathlib import Path

import pytest

from sdmtop.screens import portable, save_screen


def test_a_picture_and_a_text_are_written_for_their_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "screens"
    saved = Path(save_screen(str(directory), "<svg/>", ["one  ", "two"], 0.0))
    assert saved.with_suffix(".svg").read_text() == "<svg/>"
    assert saved.with_suffix(".txt").read_text() == "one\ntwo\n"
    assert stat.S_IMODE(saved.with_suffix(".txt").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_two_of_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first, second = (save_screen(str(tmp_path), svg, [svg], 0.0) for svg in ("a", "b"))
    assert second == f"{first}-2"
    assert Path(f"{first}.svg").read_text() == "a"
    assert Path(f"{second}.txt").read_text() == "b\n"


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    first = save_screen(str(tmp_path / "x"), "a", [], 0.0)
    directory, victim = tmp_path / "y", tmp_path / "victim"
    directory.mkdir()
    (directory / f"{Path(first).name}.svg").symlink_to(victim)
    assert save_screen(str(directory), "a", [], 0.0).endswith("-2")
    assert not victim.exists()


def test_where_nothing_can_be_written_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        save_screen(str(tmp_path / "file" / "below"), "a", [], 0.0)


def test_a_picture_fetches_nothing_when_it_is_opened() -> None:
    svg = '<style>@font-face { src: url("https://x/y.woff2"); }\n.a { fill: #fff }</style>'
    assert portable(svg) == "<style>.a { fill: #fff }</style>"


def test_a_saved_picture_keeps_the_blanks_that_its_columns_are_made_of() -> None:
    assert portable('<svg class="a"><text> a</text></svg>').startswith('<svg xml:space="preserve" ')
