"""Stock kernels of the distribution: fetched, unpacked, made ready for `modprobe`."""

import json
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.guest.cache import cache, filling, locked
from tests.guest.failure import GuestError, LackingError
from tests.guest.packages import dependency, find_version, record_of, tool, unpack

SERIES = ("6.1", "6.12")
"""The system's own kernel, and the newer one of its backports."""


class Kernel(NamedTuple):
    """An unpacked kernel: `root` has `boot/` and `lib/modules/`."""

    series: str
    release: str
    version: str
    root: Path

    @property
    def image(self) -> Path:
        """What QEMU boots."""
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """What belongs at `/lib/modules/RELEASE`."""
        return self.root / "lib" / "modules" / self.release

    def with_dependencies(self, *names: str) -> list[Path]:
        """The files of some modules and of what they need, in the order to load them."""
        needs, order = self._needs(), dict[Path, None]()
        for name in names:
            if name in needs:
                order.update(dict.fromkeys((*reversed(needs[name][1:]), needs[name][0])))
            elif name not in self._builtin():
                raise LackingError(f"kernel {self.release} is built without {name}")
        return list(order)

    def _needs(self) -> dict[str, list[Path]]:
        """Module -> its file, then those it needs, as `modules.dep` says."""
        found = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            file, _, needs = line.partition(":")
            files = [self.modules / name for name in (file, *needs.split())]
            found[_module_name(file)] = files
        return found

    def _builtin(self) -> set[str]:
        lines = (self.modules / "modules.builtin").read_text().splitlines()
        return {_module_name(line) for line in lines}


def module_text(file: Path) -> bytes:
    """A module as `insmod` of busybox wants it: not compressed."""
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data


def get_kernel(series: str, *, refresh: bool = False) -> Kernel:
    """The newest kernel of a series; what is in the cache is used unless `refresh` is asked for."""
    with locked():
        note = cache() / f"kernel-{series}.json"
        if refresh or not note.exists():
            meta = find_version("linux-image-amd64", series, refresh=refresh)
            package, version = dependency(meta, r"linux-image-.*-amd64")
            note.write_text(json.dumps({"package": package, "version": version}))
        known = json.loads(note.read_text())
        package, version = known["package"], known["version"]
        release = package.removeprefix("linux-image-")
        root = unpack(package, version)
        kernel = Kernel(series, release, version, root)
        if not (kernel.modules / "modules.dep").exists():
            _depmod(root, release)
        return kernel


def get_headers(kernel: Kernel) -> Path:
    """The directory to build modules against: `linux-headers-*`, `-common` and `linux-kbuild`.

    The packages are made for `/usr/src`; here they stand together in a folder of their own.
    """
    place = cache() / "headers" / kernel.release
    with locked():
        if place.is_dir():
            return place / "usr" / "src" / f"linux-headers-{kernel.release}"
        main = record_of(f"linux-headers-{kernel.release}")
        common, _ = dependency(main, r"linux-headers-.*-common")
        kbuild, _ = dependency(main, r"linux-kbuild-.*")
        parts = (main["Package"], common, kbuild)
        folders = [unpack(part, kernel.version) for part in parts]
        with filling(place) as work:
            for folder in folders:
                shutil.copytree(folder, work, symlinks=True, dirs_exist_ok=True)
            src = work / "usr" / "src"
            # The Makefile includes the common one by its absolute path.
            makefile = src / f"linux-headers-{kernel.release}" / "Makefile"
            makefile.write_text(makefile.read_text().replace("/usr/src/", f"{place}/usr/src/"))
            # With it the build would want pahole, to describe types that nobody asks for.
            (src / f"linux-headers-{kernel.release}" / "vmlinux").unlink(missing_ok=True)
    return place / "usr" / "src" / f"linux-headers-{kernel.release}"


def _module_name(file: str) -> str:
    return Path(file).name.split(".")[0].replace("-", "_")


def _depmod(root: Path, release: str) -> None:
    command = [tool("depmod") or "depmod", "--basedir", str(root), release]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GuestError(f"depmod of {release} failed: {done.stderr.strip()}")
