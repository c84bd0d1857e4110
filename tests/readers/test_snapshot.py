"""The whole reading: captured hosts fact by fact, and trees in which anything may be broken."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import Snapshot
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading
from sdmtop.report import tree_text
from sdmtop.schema import schema_text
from sdmtop.text import fact
from tests.readers.small_host import (
    DISK,
    GROUPS,
    HOLDER,
    NIC,
    PARENT,
    ROOT,
    UUID,
    small_host,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema_text()))
SMALL = small_host()
NO_NAMES = Names((), hwdb=False)
ABSENT = (errno.ENOENT, errno.ENOTDIR)


class WatchedHost(TreeHost):
    """Remembers which accesses failed, with an errno other than "there is no such file"."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.failed: set[tuple[str, int]] = set()
        super().__init__(entries)

    def _enter(self, path: str, *, follow: bool = True) -> Any:
        try:
            return super()._enter(path, follow=follow)
        except OSError as error:
            if error.errno is not None and error.errno not in ABSENT:
                self.failed.add((path, error.errno))
            raise


def read(host: TreeHost) -> Snapshot:
    reading = Reading(host, NO_NAMES)
    reading.read_all()
    return reading.snapshot()


def check(snapshot: Snapshot) -> None:
    """What holds for every snapshot, whatever the host said."""
    encoded = msgspec.json.encode(snapshot)
    VALIDATOR.validate(json.loads(encoded))
    assert msgspec.json.decode(encoded, type=Snapshot) == snapshot
    for line in tree_text(snapshot).split("\n"):
        assert line.isprintable()


BASE = read(TreeHost(SMALL))


# -- any entry may be anything ---------------------------------------------------------------

_PLACES = sorted(
    {
        path[:end]
        for path in SMALL
        for end in range(2, len(path) + 1)
        if path[end : end + 1] in ("", "/")
    }
)
_ERRNOS = (
    errno.EACCES,
    errno.EIO,
    errno.EINVAL,
    errno.ENOENT,
    errno.ENODEV,
    errno.ENXIO,
    errno.ETIMEDOUT,
)
_HOSTILE = (
    b"\x1b]0;owned\x07\x1b[2J",
    b"[bold red]x[/]",
    "\u202egnp.exe\u2066\u200b".encode(),
    b"\xff\xfe\x00\n",
    b"A" * 65536,
    b"9" * 4095,
    b"99999999999999999999\n",
    b"-1\n",
    b"0x10\n",
    b"\n",
    b"",
    b"0-99999999999999999999\n",
    b"CPU0 CPU99999999999999999999999 CPU" + b"9" * 5000 + b"\n 1: 99999999999999999999 1 2\n",
)
_bytes = st.one_of(st.binary(max_size=200), st.sampled_from(_HOSTILE))
_links = st.one_of(
    st.sampled_from(["", ".", "..", "/", "/proc", f"{ROOT}/{DISK}", *_PLACES]),
    st.sampled_from(_HOSTILE[:-3]).map(os.fsdecode),
    st.binary(min_size=1, max_size=20).map(os.fsdecode),
).map(Link)
_broken = st.one_of(
    _bytes,
    st.sampled_from(_ERRNOS).map(Failure),
    _links,
    st.sampled_from([Directory(), Directory(errno.EACCES), None]),
)
_mutations = st.dictionaries(st.sampled_from(_PLACES), _broken, min_size=1, max_size=5)


def mutated(changes: Mapping[str, Entry | None]) -> dict[str, Entry]:
    """The small host with some places replaced, or (None) removed, with all below them."""
    entries = dict(SMALL)
    for place, entry in changes.items():
        if any(place.startswith(f"{other}/") for other in changes):
            continue  # Gone with what is above it.
        for path in [path for path in entries if path == place or path.startswith(f"{place}/")]:
            del entries[path]
        if entry is not None:
            entries[place] = entry
    return entries


@settings(max_examples=250, deadline=None)
@given(_mutations)
def test_a_host_broken_anywhere_gives_a_valid_printable_snapshot(
    changes: dict[str, Entry | None],
) -> None:
    check(read(TreeHost(mutated(changes))))


@settings(max_examples=250, deadline=None)
@given(_mutations)
def test_what_could_not_be_read_is_unknown_with_its_errno(
    changes: dict[str, Entry | None],
) -> None:
    host = WatchedHost(mutated(changes))
    unknown = read(host).unknown
    told = {(entry.path, entry.errno) for entry in unknown}
    of_processes = any(entry.path == "/proc/*/fd" for entry in unknown)
    for path, number in host.failed:
        process = of_processes and path.startswith("/proc/") and path[6].isdigit()
        assert process or (fact(path), errno.errorcode[number]) in told, path


# Record -> where its facts come from. `attached`, `owner` and the like come from everywhere.
_PCI = "/sys/bus/pci/devices"
_FACTS: dict[str, tuple[Callable[[Snapshot], Any], tuple[str, ...]]] = {
    "a device": (
        lambda snapshot: [one for one in snapshot.devices if one.address == DISK],
        (f"{_PCI}/{DISK}", f"{ROOT}/{DISK}"),
    ),
    "a group": (
        lambda snapshot: [
            (one.domain_type, one.reserved_regions, one.devices)
            for one in snapshot.groups
            if one.id == 2
        ],
        (f"{GROUPS}/2", _PCI),
    ),
    "an mdev type": (
        lambda snapshot: snapshot.mdev_types,
        (f"{ROOT}/{PARENT}/mdev_supported_types", "/sys/class/mdev_bus", "/sys/class/sdmdev",
         "/sys/devices/virtual/sdmdev"),
    ),
    "an IOMMU unit": (
        lambda snapshot: snapshot.iommu_units,
        ("/sys/class/iommu", "/sys/devices/virtual/iommu"),
    ),
    "an interrupt": (
        lambda snapshot: [one for one in snapshot.interrupts if one.irq == "41"],
        ("/proc/interrupts", "/proc/irq", f"{_PCI}/{NIC}", f"{ROOT}/{NIC}"),
    ),
    "a process": (
        lambda snapshot: snapshot.processes,
        (f"/proc/{HOLDER}", "/sys/class/vfio"),
    ),
    "an mdev": (
        lambda snapshot: [(one.parent, one.type, one.group) for one in snapshot.sdmdevs],
        (f"/sys/bus/mdev/devices/{UUID}", f"{ROOT}/{PARENT}/{UUID}"),
    ),
}  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(_mutations)
def test_what_was_not_touched_is_still_told(changes: dict[str, Entry | None]) -> None:
    snapshot = read(TreeHost(mutated(changes)))
    for name, (facts, sources) in _FACTS.items():
        if not any(_touches(place, source) for place in changes for source in sources):
            assert facts(snapshot) == facts(BASE), name


def _touches(place: str, source: str) -> bool:
    return place == source or place.startswith(f"{source}/") or source.startswith(f"{place}/")


class VanishingHost(TreeHost):
    """Takes a subtree away at the n-th access."""

    def __init__(self, entries: Mapping[str, Entry], place: str, accesses: int) -> None:
        super().__init__(entries)
        self._place = place
        self._left = accesses

    def _say(self, path: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.remove(self._place)
        super()._say(path)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(_PLACES), st.integers(1, 220))
def test_files_that_vanish_while_they_are_read_are_no_failure(place: str, accesses: int) -> None:
    snapshot = read(VanishingHost(SMALL, place, accesses))
    check(snapshot)
    assert {entry.errno for entry in snapshot.unknown} <= {"ENOENT", "ENOTDIR", "EBUSY"}


@pytest.mark.parametrize("content", _HOSTILE, ids=lambda content: repr(content[:12]))
def test_hostile_content_of_any_one_file_is_survived(content: bytes) -> None:
    for path, entry in SMALL.items():
        if isinstance(entry, bytes | str):
            snapshot = read(TreeHost({**SMALL, path: content}))
            assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot
            assert all(line.isprintable() for line in tree_text(snapshot).split("\n")), path


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL, errno.ETIMEDOUT])
def test_a_failure_of_any_one_place_is_unknown(number: int) -> None:
    for place in _PLACES:
        host = WatchedHost(mutated({place: Failure(number)}))
        unknown = read(host).unknown
        told = {entry.path for entry in unknown if entry.errno == errno.errorcode[number]}
        for path, _ in host.failed:
            process = "/proc/*/fd" in told and path.startswith("/proc/") and path[6].isdigit()
            assert process or path in told, place


def test_the_small_host_is_whole() -> None:
    check(BASE)
    assert BASE.unknown == ()
    for name, (facts, _) in _FACTS.items():
        assert facts(BASE), name


@pytest.mark.parametrize("number", _ERRNOS)
def test_a_host_where_every_file_fails_is_still_a_snapshot(number: int) -> None:
    files = {path: Failure(number) for path, entry in SMALL.items() if isinstance(entry, bytes)}
    snapshot = read(TreeHost({**SMALL, **files}))
    check(snapshot)
    assert [one.address for one in snapshot.devices] == [PARENT, NIC, DISK]
    assert [one.id for one in snapshot.groups] == [1, 2, 9]


def test_an_empty_host_is_an_empty_snapshot() -> None:
    snapshot = read(TreeHost({"/sys": Directory()}))
    check(snapshot)
    assert (snapshot.groups, snapshot.devices, snapshot.interrupts) == ((), (), ())
