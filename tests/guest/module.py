"""Our own kernel modules, built once per kernel and source."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.guest.cache import cache, filling, locked
from tests.guest.failure import GuestError
from tests.guest.kernels import Kernel, get_headers

NEEDS = {
    "sdmdev_edu": ("vfio", "vfio_iommu_type1", "mdev"),
    "engines": ("uacce", "dmatest"),
}
"""Module -> modules of the kernel to load before it. Each stands in a folder of its name."""

_TIMEOUT = 300


def module_for(kernel: Kernel, name: str = "sdmdev_edu") -> Path:
    """The `.ko` for a kernel."""
    source = Path(__file__).with_name(name)
    sources = [source / "Kbuild", source / f"{name}.c"]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    place = cache() / "modules" / f"{kernel.release}-{digest}"
    headers = get_headers(kernel)
    with locked():
        if not place.is_dir():
            with filling(place) as work:
                for path in sources:
                    shutil.copy(path, work)
                _build(name, headers, work)
    return place / f"{name}.ko"


def load_commands(kernel: Kernel, name: str = "sdmdev_edu") -> list[list[str]]:
    """What to run in a guest, in this order, for the module to be there."""
    return [["modprobe", "--all", *NEEDS[name]], ["insmod", str(module_for(kernel, name))]]


def _build(name: str, headers: Path, work: Path) -> None:
    command = ["make", "-C", str(headers), f"M={work}", f"-j{os.cpu_count()}", "W=1", "modules"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise GuestError(f"building {name} took more than {_TIMEOUT} s") from error
    if done.returncode != 0:
        log = cache() / f"{name}.log"
        log.write_text(done.stdout + done.stderr)
        raise GuestError(f"{name} does not build against {headers.name}", log)
