"""A full kernel that cannot be built says why, and the log tells more."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.guest.build import build
from tests.guest.failure import GuestError, LackingError
from tests.guest.kernels import FULL, get_kernel
from tests.guest.packages import install_tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.guest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to build in, with a cache of its own."""
    install_tools()
    monkeypatch.setenv("SDMTOP_GUEST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def source(place: Path, makefile: str) -> Path:
    """An archive with no more in it than a Makefile."""
    file = place.parent / "Makefile"
    file.write_text(makefile)
    archive = place.parent / "source.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(file, "linux/Makefile")
    return archive


def test_a_line_that_the_configuration_does_not_take_is_named(place: Path) -> None:
    archive = source(place, "allnoconfig:\n\techo CONFIG_OTHER=y > .config\n")
    with pytest.raises(GuestError, match=r"does not take CONFIG_\w+=\S+, .*; see .*full\.config$"):
        build(archive, place)


def test_a_step_that_fails_is_reported_with_its_log(place: Path) -> None:
    archive = source(place, "allnoconfig:\n\techo cc: No space left on device; exit 1\n")
    words = r"^the kernel does not build: cc: No space left on device; see \S+full-build\.log$"
    with pytest.raises(GuestError, match=words):
        build(archive, place)


def test_a_kernel_that_was_never_built_is_a_reason_to_skip(place: Path) -> None:
    assert place.is_dir()
    with pytest.raises(LackingError, match="is not built: `make guest-full` builds it"):
        get_kernel(FULL)
