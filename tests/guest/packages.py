"""Debian packages through the system's own client: tools installed, kernels only unpacked.

The client is given two more sources, the backports of the system's own suite and of the mirror's
newest release, and a folder of its own for lists; the configuration of the system stays as it is.
"""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.guest.cache import cache, filling, locked
from tests.guest.failure import GuestError, UnavailableError

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "lspci": "pciutils",
    "mdevctl": "mdevctl",
    "driverctl": "driverctl",
    "lsirq": "util-linux-extra",
    "udevadm": "udev",
    "systemd-hwdb": "udev",
    "fuser": "psmisc",
    "sfdisk": "fdisk",
    "mkfs.ext4": "e2fsprogs",
    "mdadm": "mdadm",
    "dmsetup": "dmsetup",
    "ip": "iproute2",
    "gcc": "gcc",
    "make": "make",
}
"""Command -> the package that has it. All run inside the guest but QEMU, gcc and make."""

TOOLS_TO_BUILD = {
    "bc": "bc",
    "bison": "bison",
    "flex": "flex",
    "xz": "xz-utils",
    "/usr/include/libelf.h": "libelf-dev",
}
"""The same for what building a kernel needs besides; a path is a file that must be there."""

_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_TIMEOUT = 600


def tool(name: str) -> str | None:
    """The path of a command, those for root included."""
    return shutil.which(name, path=_PATH)


def install_tools(more: Mapping[str, str] | None = None) -> None:
    """Install what is missing of `TOOLS` and `more`; `UnavailableError` where that cannot be."""
    wanted = {**TOOLS, **(more or {})}
    if _missing(wanted):
        with locked("install-lock"):  # Another worker may be at it, and have them all soon.
            _install(_missing(wanted))


def _missing(wanted: Mapping[str, str]) -> list[str]:
    return sorted({package for name, package in wanted.items() if not _is_there(name)})


def _install(missing: list[str]) -> None:
    if not missing:
        return
    wish = f"apt-get install {' '.join(missing)}"
    if platform.machine() != "x86_64" or shutil.which("apt-get") is None:
        raise UnavailableError(f"needs {', '.join(missing)}; no package client here has them")
    if os.geteuid() != 0:
        raise UnavailableError(f"needs packages that only root can install: {wish}")
    # A system may be installing something of its own at the same time.
    patiently = ["--option", "DPkg::Lock::Timeout=300"]
    command = ["apt-get", *patiently, "install", "--yes", "--no-install-recommends", *missing]
    try:
        _apt(command)
    except GuestError:
        # Lists that are old or not there at all are the usual reason.
        try:
            _apt(["apt-get", "update"])
            _apt(command)
        except GuestError as error:
            raise UnavailableError(f"cannot install {', '.join(missing)}: {error}") from error


def _is_there(name: str) -> bool:
    return os.path.exists(name) if name.startswith("/") else tool(name) is not None


def find_version(package: str, series: str = "", *, refresh: bool) -> dict[str, str]:
    """The control fields of the newest version of a package, or of the newest of a series."""
    records = [] if refresh else _records(package)
    if not any(_is_of(record, series) for record in records):
        _update()
        records = _records(package)
    found = [record for record in records if _is_of(record, series)]
    if not found:
        what = f"{package} {series}".rstrip()
        raise UnavailableError(f"{what} is in no suite of this system's mirror")
    return found[0]  # apt-cache prints the newest first.


def unpack(package: str, version: str) -> Path:
    """The files of a package, downloaded and unpacked once per version."""
    place = cache() / "packages" / f"{package}_{version.replace(':', '%3a')}"
    if not place.is_dir():
        with filling(place) as work:
            _apt(["apt-get", *_options(), "download", f"{package}={version}"], work)
            (archive,) = work.glob("*.deb")
            _run(["dpkg", "-x", archive.name, "."], work)
            archive.unlink()
    return place


def dependency(record: dict[str, str], pattern: str) -> tuple[str, str]:
    """(package, version) of the dependency whose name matches."""
    for entry in record["Depends"].split(","):
        match = re.match(r"([^ (]+)(?: \(= ([^)]+)\))?", entry.strip())
        if match and re.fullmatch(pattern, match[1]):
            return match[1], match[2] or ""
    raise GuestError(f"{record['Package']} depends on no {pattern}")


def record_of(package: str, version: str = "") -> dict[str, str]:
    """The control fields of this version of a package, or where it is not there of the newest."""
    records = _records(package)
    if not records:
        raise UnavailableError(f"{package} is in no suite of this system's mirror")
    return next((record for record in records if record["Version"] == version), records[0])


def _is_of(record: dict[str, str], series: str) -> bool:
    return not series or record["Version"].startswith(f"{series}.")


def _options() -> list[str]:
    """Options that give the client our lists and the backports, beside the system's sources."""
    state = cache() / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    source = state / "sources.list"
    if not source.exists():
        source.write_text(_backports())
    return [
        "--quiet", "--option", f"Dir::Etc::sourcelist={source}",
        "--option", f"Dir::State::lists={state / 'lists'}",
        "--option", f"Dir::Cache={state}",
        "--option", "Acquire::AllowReleaseInfoChange=true",  # `stable` is another one some day.
        "--option", "Acquire::Retries=3", "--option", "Acquire::http::Timeout=60",
        "--option", "APT::Sandbox::User=",  # The cache may be in a home that only we may enter.
    ]  # fmt: skip


def _backports() -> str:
    """Source lines for the backports, beside the main suite that the system has."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    form = "$(CODENAME) $(COMPONENT) $(REPO_URI) $(SIGNED_BY)"
    listed = _run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"])
    for line in listed.splitlines():
        words = line.split()
        if words[:2] == [codename, "main"]:
            key = "/usr/share/keyrings/debian-archive-keyring.gpg"
            suites = (f"{codename}-backports", "stable-backports")
            return "".join(f"deb [signed-by={key}] {words[2]} {suite} main\n" for suite in suites)
    raise UnavailableError("the sources of this system name no main suite of Debian")


def _update() -> None:
    _apt(["apt-get", *_options(), "update"])


def _records(package: str) -> list[dict[str, str]]:
    try:
        text = _run(["apt-cache", *_options()[1:], "show", package])
    except GuestError:
        return []  # Not in the lists, or no lists yet.
    paragraphs = (paragraph for paragraph in text.split("\n\n") if paragraph.strip())
    return [dict(re.findall(r"^([\w-]+): (.*)$", part, re.MULTILINE)) for part in paragraphs]


def _apt(command: list[str], folder: Path | None = None) -> None:
    _run(command, folder, {"DEBIAN_FRONTEND": "noninteractive"})


def _run(command: list[str], folder: Path | None = None, more: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8", **(more or {})},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GuestError(f"{command[0]} {command[-1]} took more than {_TIMEOUT} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
        raise GuestError(f"{command[0]} {command[-1]} failed: {said}")
    return done.stdout
