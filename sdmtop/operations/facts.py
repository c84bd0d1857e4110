"""Facts that can be read again: what a step expects, and what it finds."""

from __future__ import annotations

import errno
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from sdmtop.operations.plan import ANY, Fact, FactKind
from sdmtop.readers.devices import side_that_waits
from sdmtop.readers.sysfs import in_order, is_absent, number_of
from sdmtop.text import fact as as_fact
from sdmtop.text import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdmtop.backends.base import Host
    from sdmtop.operations.kept import Kept

_HEAD = 12
"""Bytes of configuration space that tell vendor, device and class."""


_MOST_CPUS = 8_192
"""CPUs of the largest kernel there is."""

_LONGEST_SET = 4 * _MOST_CPUS
"""Characters of a list that names every other of them."""


class Difference(NamedTuple):
    """A fact that is not as it should be; `found` is what it is, in words."""

    fact: Fact
    found: str


def value_of(host: Host, fact: Fact, kept: Kept | None = None) -> str | None:
    """What the value of this fact is now. Raises `OSError` if that cannot be told."""
    if fact.kind in ("status", "open"):
        return kept.value_of(fact) if kept is not None else None
    try:
        return _READ[fact.kind](host, fact.path)
    except OSError as error:
        if is_absent(error):
            return None
        raise


def now(host: Host, kind: FactKind, path: str) -> Fact:
    """A fact as it is now."""
    unread = Fact(kind, path, None)
    return replace(unread, value=value_of(host, unread))


def difference(host: Host, fact: Fact, kept: Kept | None = None) -> Difference | None:
    """How the fact differs from what is so now; what cannot be read is a difference."""
    if fact.value == ANY:
        return None
    try:
        value = value_of(host, fact, kept)
    except OSError as error:
        return Difference(fact, f"it cannot be read: {error.strerror}")
    return None if value == fact.value else Difference(fact, _say_value(value))


def first_difference(
    host: Host, facts: Iterable[Fact], kept: Kept | None = None
) -> Difference | None:
    """The first of these facts that is not so: nothing after it is read."""
    return next((found for one in facts if (found := difference(host, one, kept))), None)


def differences(host: Host, facts: Iterable[Fact], kept: Kept | None = None) -> list[Difference]:
    """All of these facts that are not so."""
    return [found for one in facts if (found := difference(host, one, kept)) is not None]


def all_hold(host: Host, facts: Iterable[Fact]) -> bool:
    """Whether all of these facts are so."""
    return first_difference(host, facts) is None


def say(fact: Fact) -> str:
    """The fact as an operator reads it."""
    if fact.value == ANY:
        return f"{fact.path} is what the kernel makes it"
    if fact.kind == "count":
        return f"{fact.path}* is there {fact.value} times"
    if fact.kind == "open":
        return f"{fact.path} is {'open' if fact.value else 'closed'}"
    if fact.value is None:
        return f"{fact.path} is not there"
    if fact.kind == "exists":
        return f"{fact.path} is there"
    verb = {"link": "leads to", "names": "holds", "config": "tells"}.get(fact.kind, "is")
    return f"{fact.path} {verb} {_say_value(fact.value)}"


def say_difference(found: Difference) -> str:
    """What is wrong, in a sentence."""
    fact = found.fact
    what = f"{fact.path}*" if fact.kind == "count" else fact.path
    return f"{what}: expected {_say_value(fact.value)}, found {found.found}"


def virtual_functions(host: Host, links: str, count: int) -> list[str]:
    """The addresses of VFs, by the beginning of their links. Raises `OSError`."""
    return [_link(host, f"{links}{number}") for number in range(count)]


def _say_value(value: str | None) -> str:
    if value is None:
        return "nothing"
    return value or "(empty)"


def as_set(text: str) -> str:
    """A list of CPUs in one spelling: `0-3,8`. Raises `ValueError` for what is no such list."""
    if len(text) > _LONGEST_SET:
        raise ValueError(f"{text[:20]!r}... is no list of CPUs")
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        low, high = _number(first), _number(last if dash else first)
        if not 0 <= low <= high < _MOST_CPUS:
            raise ValueError(f"{text!r} is no list of CPUs")
        numbers.update(range(low, high + 1))
    return say_set(numbers)


def say_set(cpus: Iterable[int]) -> str:
    """CPUs in the spelling of `as_set`."""
    runs: list[list[int]] = []
    for number in sorted(cpus):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{low}-{high}" if low < high else str(low) for low, high in runs)


def _number(text: str) -> int:
    """A decimal number as the kernel takes it: `int` takes `1_0`, signs and other digits, too."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _link(host: Host, path: str) -> str:
    return as_fact(posixpath.basename(host.readlink(path)))


def _text(host: Host, path: str) -> str:
    device, _, file = path.rpartition("/")
    if file == "driver_override" and _unbind_waits(host, device):
        # On kernels up to 6.1 the read would wait as long, and this process could not end.
        raise OSError(errno.EBUSY, "an unbind of the device is under way", path)
    return line(host.read(path))


def _unbind_waits(host: Host, device: str) -> bool:
    modalias, driver, group = host.look(device, ("modalias",), ("driver", "iommu_group"))
    return (
        isinstance(driver, OSError)
        and isinstance(modalias, bytes)
        and bool(side_that_waits(host, device, modalias, number_of(group)))
    )


def _cpus(host: Host, path: str) -> str:
    text = _text(host, path)
    try:
        return as_set(text)
    except ValueError:
        return text


def _names(host: Host, path: str) -> str:
    return " ".join(map(as_fact, in_order(host.list(path))))


def _count(host: Host, path: str) -> str:
    directory, _, prefix = path.rpartition("/")
    return str(sum(name.startswith(prefix) for name in host.list(directory)))


def _exists(host: Host, path: str) -> str:
    host.mode(path)
    return "yes"


def _config(host: Host, path: str) -> str:
    head = host.read_at(path, 0, _HEAD)
    vendor, device, class_ = (
        head[first:last][::-1].hex() for first, last in ((0, 2), (2, 4), (9, 12))
    )
    return say_ids(vendor, device, class_)


def say_ids(vendor: str, device: str, class_: str) -> str:
    """What configuration space tells, of hexadecimal digits.

    The class tells a virtual function that answers, whose ids read ffff (SR-IOV 3.4.1), from a
    device that does not: of that all bits are ones.
    """
    return f"{vendor}:{device} class {class_}"


SILENT = say_ids("ffff", "ffff", "ffffff")
"""Of a device that does not answer."""


_READ: dict[str, Callable[[Host, str], str]] = {
    "link": _link,
    "text": _text,
    "cpus": _cpus,
    "names": _names,
    "count": _count,
    "exists": _exists,
    "config": _config,
}
