"""`sdmdev_edu`, our own kernel module, built once per kernel and source."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.guest.cache import cache, filling, locked
from tests.guest.failure import GuestError
from tests.guest.kernels import Kernel, get_headers

NAME = "sdmdev_edu"
SOURCE = Path(__file__).with_name(NAME)
_NEEDS = ("vfio", "vfio_iommu_type1", "mdev")
_TIMEOUT = 300


def module_for(kernel: Kernel) -> Path:
    """The `.ko` for a kernel."""
    sources = [SOURCE / "Kbuild", SOURCE / f"{NAME}.c"]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    place = cache() / "modules" / f"{kernel.release}-{digest}"
    headers = get_headers(kernel)
    with locked():
        if not place.is_dir():
            with filling(place) as work:
                for path in sources:
                    shutil.copy(path, work)
                _build(headers, work)
    return place / f"{NAME}.ko"


def load_commands(kernel: Kernel) -> list[list[str]]:
    """What to run in a guest, in this order, for the module to be there."""
    return [["modprobe", "--all", *_NEEDS], ["insmod", str(module_for(kernel))]]


def _build(headers: Path, work: Path) -> None:
    command = ["make", "-C", str(headers), f"M={work}", f"-j{os.cpu_count()}", "W=1", "modules"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GuestError(f"building {NAME} took more than {_TIMEOUT} s") from error
    if done.returncode != 0:
        log = cache() / f"{NAME}.log"
        log.write_text(done.stdout + done.stderr)
        raise GuestError(f"{NAME} does not build against {headers.name}", log)
