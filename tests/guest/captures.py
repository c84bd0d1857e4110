"""The captured hosts in `tests/trees`, made again by our own program in our own guests."""

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.guest.failure import LackingError
from tests.guest.guest import CHECKOUT, Guest
from tests.guest.initramfs import SHARE
from tests.guest.kernels import FULL, get_kernel
from tests.guest.scenes import make_busy
from tests.guest.topologies import TOPOLOGIES

TREES = CHECKOUT / "tests" / "trees"


class Capture(NamedTuple):
    """A host to freeze: which kernel on which machine, and whether all is in use."""

    series: str
    topology: str
    busy: bool

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return TREES / f"guest-{self.series}-{self.topology}{'-busy' * self.busy}.tar.xz"


CAPTURES = (
    Capture("6.1", "intel", busy=False),
    Capture("6.1", "amd", busy=False),
    Capture("6.12", "intel", busy=True),
    Capture("6.12", "virtio", busy=False),
    Capture("6.12", "none", busy=True),
    Capture(FULL, "intel-scalable", busy=True),
)


def refresh() -> None:
    """Make every archive anew; those that are there stay until theirs is whole."""
    for one in CAPTURES:
        try:
            kernel = get_kernel(one.series)
        except LackingError as lack:
            print(f"{one.file.name} stays as it is: {lack}")
            continue
        with Guest(kernel, TOPOLOGIES[one.topology]) as guest:
            if one.busy:
                make_busy(guest)
            print(capture_in(guest, one.file))


def capture_in(guest: Guest, file: Path) -> str:
    """Freeze a guest; returns what the program says of it."""
    said = guest.sdmtop("capture", f"{SHARE}/{file.name}").text.strip()
    shutil.copyfile(guest.share / file.name, file)
    return said.removeprefix(f"{SHARE}/")
