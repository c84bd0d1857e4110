"""Kernels of the distribution: stock ones, fetched and unpacked, and a full one, built."""

import hashlib
import json
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.guest.build import CONFIG, build
from tests.guest.cache import cache, filling, locked
from tests.guest.failure import GuestError, LackingError
from tests.guest.packages import (
    TOOLS_TO_BUILD,
    dependency,
    find_version,
    install_tools,
    record_of,
    tool,
    unpack,
)

STOCK = ("6.1", "6.12")
"""The system's own kernel, and the newer one of its backports."""

FULL = "full"
"""The newest that the mirror has the source of, with what stock kernels leave out."""

SERIES = (*STOCK, FULL)


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
    """The newest kernel of a series; what is in the cache is used unless `refresh` is asked for.

    Raises `LackingError` for the full one if it has not been built.
    """
    if series == FULL:
        return _get_built()
    with locked():
        package, version = _newest("linux-image-amd64", series, refresh=refresh)
        release = package.removeprefix("linux-image-")
        root = unpack(package, version)
        kernel = Kernel(series, release, version, root)
        if not (kernel.modules / "modules.dep").exists():
            _depmod(root, release)
        return kernel


def build_full(*, refresh: bool = False) -> Kernel:
    """The full kernel, built unless the cache has it: ten minutes, more or less."""
    install_tools(TOOLS_TO_BUILD)
    with locked("build-lock"):  # One of its own: stock kernels boot meanwhile.
        with locked():
            package, version = _newest("linux-source", FULL, refresh=refresh)
            source = unpack(package, version)
        place = _place_of_built(version)
        if not place.is_dir():
            with filling(place) as work:
                build(source / "usr" / "src" / f"{package}.tar.xz", work)
    return _get_built()


def _get_built() -> Kernel:
    note = cache() / f"kernel-{FULL}.json"
    version = json.loads(note.read_text())["version"] if note.exists() else ""
    place = _place_of_built(version)
    if not place.is_dir():
        raise LackingError("the full kernel is not built: `make guest-full` builds it")
    (image,) = (place / "boot").glob("vmlinuz-*")
    return Kernel(FULL, image.name.removeprefix("vmlinuz-"), version, place)


def _place_of_built(version: str) -> Path:
    """Where it is kept: another version or configuration is another kernel."""
    digest = hashlib.sha256(CONFIG.read_bytes()).hexdigest()[:16]
    return cache() / "built" / f"{version.replace(':', '%3a')}-{digest}"


def _newest(meta: str, series: str, *, refresh: bool) -> tuple[str, str]:
    """(package, version) that a meta-package stands for; asked once, then noted in the cache."""
    note = cache() / f"kernel-{series}.json"
    if refresh or not note.exists():
        newest = series == FULL  # Lists that are there already may be of other suites, or old.
        record = find_version(meta, "" if newest else series, refresh=refresh or newest)
        package, version = dependency(record, meta.removesuffix("-amd64") + "-[0-9].*")
        note.write_text(json.dumps({"package": package, "version": version}))
    known = json.loads(note.read_text())
    return known["package"], known["version"]


def get_headers(kernel: Kernel) -> Path:
    """The directory to build modules against.

    Of a stock kernel: `linux-headers-*`, `-common` and `linux-kbuild`. The packages are made for
    `/usr/src`; here they stand together in a folder of their own.
    """
    if kernel.series == FULL:
        return kernel.root / "headers"
    place = cache() / "headers" / kernel.release
    with locked():
        if place.is_dir():
            return place / "usr" / "src" / f"linux-headers-{kernel.release}"
        main = record_of(f"linux-headers-{kernel.release}")
        common, _ = dependency(main, r"linux-headers-.*-common")
        kbuild, _ = dependency(main, r"linux-kbuild-.*")
        folders = [unpack(part, kernel.version) for part in (main["Package"], common)]
        # The tools of a build alone serve every version of a series, and while a suite is being
        # renewed it has those of the next version only.
        tools = record_of(kbuild, kernel.version)
        folders.append(unpack(kbuild, tools["Version"]))
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
