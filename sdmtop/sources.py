"""One Snapshot, from whatever a person names: a host, a moment of a recording, a file."""

import os

import msgspec
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.model import Snapshot
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot, rfc3339

_SQLITE = b"SQLite format 3\0"


def snapshot_of(url: str, disarmed: str | None = None) -> Snapshot:
    """One reading of a host, or a recorded one (`replay:FILE?at=TIME`; without a time the last).

    `disarmed` says why we may not change the host, if that is so. What hangs is unknown. Raises
    `UsageError`, `OSError` or `ValueError` (a sentence) where there is no reading.
    """
    if not url.startswith("replay:"):
        host = open_host(url)
        host.disarmed = disarmed
        return patiently(host, read_snapshot, host)
    from sdmtop.recording import Recording, split_url

    path, when = split_url(url)
    recording = Recording(path)
    try:
        sample = recording.sample(recording.number(when) if when else recording.last)
        snapshot = sample.snapshot
        # Not when something in it changed last: it was still so then. And it cannot be changed now.
        return replace(
            snapshot, taken_at=rfc3339(sample.at), host=replace(snapshot.host, read_only=True)
        )
    finally:
        recording.close()


def snapshot_in(name: str) -> Snapshot:
    """The Snapshot in a file of any kind that this program writes, or of the host of a URL.

    A recording, perhaps with `?at=TIME` behind its name, the JSON of `sdmtop snapshot`, or a
    capture. A name that is both a file and a URL is the file. Raises as `snapshot_of`.
    """
    path = name if os.path.exists(name) else name.rpartition("?at=")[0]
    if not path or not os.path.exists(path):
        return snapshot_of(name)
    if os.path.isdir(path):
        return snapshot_of(f"capture:{name}")
    with open(path, "rb") as file:
        head = file.read(len(_SQLITE))
        if head == _SQLITE:
            return snapshot_of(f"replay:{name}")
        if head[:1] == b"{":
            return _decoded(head + file.read())
    return snapshot_of(f"capture:{name}")


def _decoded(text: bytes) -> Snapshot:
    try:
        return msgspec.json.decode(text, type=Snapshot)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"no snapshot: {error}") from error
