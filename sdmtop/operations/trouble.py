"""Why a step has failed, or where it hangs: what the kernel tells of it, for the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.conclusions import holders
from sdmtop.readers.idxd import DEVICES, command_status
from sdmtop.text import fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot

_SCHEDULER = frozenset({"", "0", "__switch_to", "__schedule", "schedule"})
_MESSAGES = 2
"""Lines of the kernel log that are shown."""


def where_it_hangs(host: Host, snapshot: Snapshot, pid: int | None, subject: str) -> str:
    """Where a write waits, and who could end that, to follow `it does not return`."""
    told = "" if pid is None else f" (process {pid}"
    place = _kernel_place(host, pid)
    if told:
        told += f", in {place})" if place else ")"
    device = next((one for one in snapshot.devices if one.address == subject), None)
    group = f"group/{device.group}" if device is not None else subject
    held = holders(snapshot)
    names = {process.pid: process.name for process in snapshot.processes}
    who = ", ".join(
        f"{names.get(holder) or 'process'} {holder}"
        for holder in held.get(subject) or held.get(group) or ()
    )
    return f"{told}; held by {who}" if who else f"{told}; its holder is not visible"


def what_the_kernel_says(host: Host, subject: str, since: float) -> str:
    """What it has written about a device from a moment on, to follow an error; may be nothing."""
    try:
        said = [*_queue_status(host, subject), *_messages(host, subject, since)]
    except OSError:
        return ""  # Only a hint, and not for everybody to read.
    return "".join(f"; the kernel says: {text}" for text in said)


def _kernel_place(host: Host, pid: int | None) -> str | None:
    """The function of the kernel that a process waits in."""
    for file in ("stack", "wchan"):
        try:
            lines = host.read(f"/proc/{pid}/{file}").splitlines()
        except OSError:
            continue  # For root only, or the process has ended.
        for line in lines:
            place = fact(line).removeprefix("[<0>] ").partition("+")[0]
            if place not in _SCHEDULER:
                return place
    return None


def _queue_status(host: Host, subject: str) -> Iterator[str]:
    """Why IDXD did not enable a queue."""
    if subject.startswith("wq") and "." in subject:
        try:
            yield command_status(fact(host.read(f"{DEVICES}/{subject}/../cmd_status").strip()))
        except OSError:
            return


def _messages(host: Host, subject: str, since: float) -> list[str]:
    """The last lines of the kernel log that name a device: `6,1234,<microseconds>,-;text`."""
    found = []
    for record in host.kernel_log():
        head, _, text = record.partition(b";")
        fields = head.split(b",")
        if len(fields) < 3 or not fields[2].isdigit() or int(fields[2]) / 1e6 < since:
            continue
        if subject.encode() in text:
            found.append(fact(text.splitlines()[0].strip()))
    return found[-_MESSAGES:]
