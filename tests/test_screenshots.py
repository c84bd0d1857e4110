"""The pictures that are checked in are those of today's console: `make screenshots` renews them."""

import asyncio

import pytest

from screenshots.make import HERE, PICTURES, Picture, draw


@pytest.mark.long
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_the_picture_is_what_the_console_looks_like(picture: Picture) -> None:
    assert (HERE / f"{picture.name}.svg").read_text() == asyncio.run(draw(picture))


def test_there_are_no_other_pictures() -> None:
    files = {file.name for file in HERE.iterdir() if file.suffix in (".svg", ".png")}
    assert files == {f"{picture.name}{kind}" for picture in PICTURES for kind in (".svg", ".png")}
