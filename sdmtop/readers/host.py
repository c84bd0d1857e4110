"""The box itself: name, kernel release, CPUs. On the path of the first paint."""

from sdmtop.readers.sysfs import index
from sdmtop.text import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdmtop.backends.base import Host
    from sdmtop.readers.unknowns import Unknowns


def host_facts(host: "Host", unknowns: "Unknowns") -> "dict[str, Any]":
    """The fields of `model.HostInfo` that the host itself tells.

    Sources: `/proc/sys/kernel/{hostname,osrelease}`, `/proc/version` where a capture has only
    that, `/sys/devices/system/cpu/online`.
    """
    cpus = _first_line(host, unknowns, "/sys/devices/system/cpu/online", "online CPUs")
    return {
        "name": _first_line(host, unknowns, "/proc/sys/kernel/hostname", "host name"),
        "kernel": kernel_release(host, unknowns),
        "backend": host.backend,
        "cpus": count_of_list(cpus) if cpus else None,
    }


def kernel_release(host: "Host", unknowns: "Unknowns") -> str | None:
    """`uname -r` of the host."""
    release = _first_line(host, unknowns, "/proc/sys/kernel/osrelease", "kernel release")
    if release is None:
        # "Linux version 6.1.0-56-amd64 (debian-kernel@...) ..."
        words = (_first_line(host, unknowns, "/proc/version", "kernel release") or "").split()
        release = words[2] if len(words) > 2 and words[:2] == ["Linux", "version"] else None
    return release


def count_of_list(text: str) -> int | None:
    """How many numbers a kernel list such as `0-3,8` holds; None if it is no such list."""
    count = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = index(first), index(last if dash else first)
        if low is None or high is None or high < low or high >> 32:
            return None
        count += high - low + 1
    return count


def _first_line(host: "Host", unknowns: "Unknowns", path: str, what: str) -> str | None:
    try:
        return line(host.read(path, 4096).split(b"\n", 1)[0]) or None
    except OSError as error:
        unknowns.note_failure(path, error, what)
        return None
