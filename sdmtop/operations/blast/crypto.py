"""Crypto algorithms of a device's driver that something in the kernel uses: `/proc/crypto`."""

from collections.abc import Iterator

from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.sysfs import is_absent, number
from sdmtop.text import fact, line

SOURCE = "crypto"

_AT_REST = 1
"""References that an algorithm has when nobody uses it."""


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """The algorithms in use of the module that drives a device, or of those on top of it.

    `/proc/crypto` does not tell which of several devices of a driver does the work.
    """
    modules = _modules(survey, device)
    algorithms = survey.once(_algorithms)
    known = [pair for module in modules for pair in algorithms.get(module, ())]
    used = {name: users for name, users in known if users > _AT_REST}
    for name, users in sorted(used.items()):
        sentence = f"{name} has {users - _AT_REST} users in the kernel"
        yield device.verdict("unsafe", sentence, *modules[:1], name, "/proc/crypto")
    if known and not used:
        yield device.verdict("safe", f"{len(known)} crypto algorithms, none in use", *modules[:1])
    if device.is_of_class("10", "0b40") and device.driver:
        yield from survey.doubts(device, "who uses its algorithms", SOURCE)


def parse_crypto(text: bytes) -> dict[str, list[tuple[str, int]]]:
    """Module -> driver name and references of each algorithm in `/proc/crypto`."""
    found: dict[str, list[tuple[str, int]]] = {}
    for block in text.split(b"\n\n"):
        rows = (row.partition(b":") for row in block.split(b"\n"))
        fields = {key.strip(): value.strip() for key, _, value in rows}
        users = number(fields.get(b"refcnt", b""))
        if users is not None and (module := fields.get(b"module")):
            found.setdefault(fact(module), []).append((line(fields.get(b"driver", b"")), users))
    return found


def _algorithms(survey: Survey) -> dict[str, list[tuple[str, int]]]:
    return parse_crypto(survey.read(SOURCE, "/proc/crypto"))


def _modules(survey: Survey, device: Touched) -> list[str]:
    """The module of the device's driver, and those that use it."""
    if device.driver is None:
        return []
    try:
        link = survey.host.readlink(f"{device.path}/driver/module")
    except OSError as error:
        if not is_absent(error):
            survey.doubt(SOURCE, f"{device.path}/driver/module", error)
        return []  # Built into the kernel: its algorithms are then the kernel's.
    module = fact(link[link.rfind("/") + 1 :])
    others = survey.names(SOURCE, f"/sys/module/{module}/holders", optional=True)
    return [module, *map(fact, others)]
