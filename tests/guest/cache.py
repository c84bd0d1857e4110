"""What is fetched or built once: below `$XDG_CACHE_HOME/sdmtop/guest`, shared by all checkouts."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def cache() -> Path:
    """The directory of the cache; `SDMTOP_GUEST_CACHE` names another."""
    chosen = os.environ.get("SDMTOP_GUEST_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(chosen) if chosen else Path(base) / "sdmtop" / "guest"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name: str = "lock") -> Iterator[None]:
    """One process at a time fills the cache; another waits for it."""
    with open(cache() / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def filling(place: Path) -> Iterator[Path]:
    """A directory to fill that becomes `place` only when all went well."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".filling-") as work:
        inner = Path(work) / "new"
        inner.mkdir()
        yield inner
        shutil.rmtree(place, ignore_errors=True)
        inner.rename(place)
