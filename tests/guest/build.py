"""A kernel built from the distribution's source: small, and with what stock kernels leave out.

`full.config` says what is in it. What is kept is what a package of a kernel would hold, and what
modules are built against; source and objects are not.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.guest.cache import cache
from tests.guest.failure import GuestError

CONFIG = Path(__file__).with_name("full.config")
_FAILURE = re.compile(r"\berror\b|No space left|\*\*\*")
_TIMEOUT = 2 * 3600
"""Seconds for the longest step. On two cores that nothing else uses, all take about six minutes."""


def build(archive: Path, place: Path) -> None:
    """Fill `place` with `boot/`, `lib/modules/` and `headers/`; `archive` is a source tarball.

    Raises `GuestError` where a step fails; the log of all steps is kept in the cache.
    """
    source = place / "source"
    source.mkdir()
    log = cache() / "full-build.log"
    log.unlink(missing_ok=True)
    _run(["tar", "xf", str(archive), "--strip-components=1"], source, log)
    _make(source, log, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig")
    refused = ", ".join(_refused(source / ".config"))
    if refused:
        raise GuestError(f"the kernel's configuration does not take {refused}", CONFIG)
    _make(source, log, f"-j{os.cpu_count()}", "bzImage", "modules")
    _make(source, log, f"INSTALL_MOD_PATH={place}", "modules_install")
    headers = "$(srctree)/scripts/package/install-extmod-build"
    _make(source, log, f"KBUILD_RUN_COMMAND={headers} {place / 'headers'}", "run-command")
    release = (source / "include" / "config" / "kernel.release").read_text().strip()
    boot = place / "boot"
    boot.mkdir()
    shutil.copy(source / "arch" / "x86" / "boot" / "bzImage", boot / f"vmlinuz-{release}")
    shutil.copy(source / ".config", boot / f"config-{release}")
    (place / "lib" / "modules" / release / "build").unlink(missing_ok=True)
    shutil.rmtree(source)


def _refused(result: Path) -> Iterator[str]:
    """The lines that were asked for and did not come to be."""
    got = set(result.read_text().splitlines())
    for line in CONFIG.read_text().splitlines():
        if line.startswith("CONFIG_") and line not in got:
            yield line


def _make(source: Path, log: Path, *arguments: str) -> None:
    _run(["nice", "-n19", "make", "--silent", *arguments], source, log)


def _run(command: list[str], folder: Path, log: Path) -> None:
    """One step; nothing of this machine's names is to get into `/proc/version`."""
    names = {"KBUILD_BUILD_USER": "sdmtop", "KBUILD_BUILD_HOST": "guest", "LC_ALL": "C.UTF-8"}
    with open(log, "ab") as output:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, **names},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GuestError(f"building the kernel took more than {_TIMEOUT} s", log) from error
    if done.returncode != 0:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        said = next(filter(_FAILURE.search, lines), (lines or ["nothing was said"])[-1])
        raise GuestError(f"the kernel does not build: {said.strip()}", log)
