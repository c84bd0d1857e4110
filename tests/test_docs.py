"""Pages that are made from the program are up to date: `make docs` makes them."""

import re
import tomllib

import pytest

from docs.make import HERE, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_program_makes_of_it(name: str) -> None:
    assert (HERE / name).read_text() == PAGES[name]()


def test_every_page_can_be_found_from_the_readme() -> None:
    found, new = set(), {HERE.parent / "README.md"}
    while new:
        page = new.pop()
        found.add(page)
        links = re.findall(r"\]\(([^)#]+\.md)", page.read_text())
        new |= {(page.parent / link).resolve() for link in links} - found
    assert set(HERE.glob("*.md")) <= found


def test_the_rooms_are_the_layers_row_by_row() -> None:
    top = HERE.parent
    contracts = tomllib.loads((top / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(one["layers"] for one in contracts["contracts"] if one["type"] == "layers")
    page = (top / "CONTRIBUTING.md").read_text().partition("## Rooms")[2].partition("\n\n`")[0]
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    rooms = [{name.rstrip("/") for name in re.findall(r"`([^`]+)`", row)} for row in rows]
    assert rooms == [set(layer.split(" | ")) for layer in layers]
