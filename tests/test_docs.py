"""Pages that are made from the program are up to date: `make docs` makes them."""

import pytest

from docs.make import HERE, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_program_makes_of_it(name: str) -> None:
    assert (HERE / name).read_text() == PAGES[name]()
