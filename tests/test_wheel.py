"""What an installed wheel brings besides the package."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from sdmtop.cli import parser
from sdmtop.completions import SHELLS
from sdmtop.grammar import commands
from sdmtop.manual import page

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Path below the prefix -> text, of all that is no part of the package."""
    directory = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.partition(".data/data/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if ".data/data/" in name
        }


def test_the_manual_page_and_the_completions_lie_where_a_system_looks_for_them(
    shared: dict[str, str],
) -> None:
    grammar = commands(parser())
    assert shared == {
        "share/man/man1/sdmtop.1": page(grammar),
        "share/bash-completion/completions/sdmtop": SHELLS["bash"](grammar),
        "share/zsh/site-functions/_sdmtop": SHELLS["zsh"](grammar),
        "share/fish/vendor_completions.d/sdmtop.fish": SHELLS["fish"](grammar),
    }


def test_a_wheel_can_be_built_from_the_source_archive(tmp_path: Path) -> None:
    (archive,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"hatch_build.py", "pyproject.toml", "sdmtop/cli.py", "LICENSE"} <= names
