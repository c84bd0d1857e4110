"""Work queues of Intel DSA and IAA: `/sys/bus/dsa/devices` (kernel-abi section 7).

No file read here has a side effect: of `cmd_status` it is the write that clears.
"""

import errno
import posixpath

from sdmtop.backends.base import Host
from sdmtop.model import Sdmdev
from sdmtop.readers.sysfs import ABSENT, in_order, number, target, word
from sdmtop.readers.unknowns import Unknowns, names_or_note
from sdmtop.text import fact

DEVICES = "/sys/bus/dsa/devices"

_QUEUE = (
    "type",
    "mode",
    "name",
    "size",
    "threshold",
    "priority",
    "group_id",
    "state",
    "clients",
    "driver_name",
    "occupancy",
    "cdev_minor",
    "block_on_fault",
    "ats_disable",
    "prs_disable",
)
_DEVICE = {
    "state": "device_state",
    "pasid_enabled": "pasid_enabled",
    "cmd_status": "cmd_status",
    "errors": "errors",
    "clients": "device_clients",
}
# What a queue answers that has no character device, or hardware that keeps no count.
_HAS_NONE = frozenset({*ABSENT, errno.ENXIO, errno.EOPNOTSUPP, errno.ENODEV})

_CMD_STATUS = {
    0x0: "no error",
    0x80000010: "the device is already enabled",
    0x80000020: "the device is not enabled",
    0x80000021: "the queue is already enabled",
    0x80020000: "DMA could not be set up",
    0x80030000: "the queue is in no group",
    0x80040000: "the queue has no name",
    0x80050000: "shared virtual memory is off",
    0x80060000: "a shared queue without a threshold",
    0x80070000: "the portal could not be mapped",
    0x80080000: "the device's resources could not be allocated",
    0x80090000: "the per-CPU reference could not be initialised",
    0x800A0000: "the DMA channel could not be registered",
    0x800B0000: "the character device could not be made",
    0x800C0000: "shared queues are not supported here",
    0x800D0000: "no queue is configured",
    0x800E0000: "the queue has no size",
    0x800F0000: "the queue has no privilege configured",
    0x80100000: "the interrupt could not be set up",
    0x80110000: "a user queue needs an IOMMU with shared virtual addressing",
    0x80120000: "the event log could not be set up",
    0x80200000: "the queue's driver_name names another driver",
}


def read_idxd(host: Host, unknowns: Unknowns) -> tuple[Sdmdev, ...]:
    """Every work queue, configured or not, sorted by name.

    `parent` is the PCI address; `params` has the queue's attributes by their names, of its
    device `device` (`dsa0`), `device_state`, `pasid_enabled`, `cmd_status` (in words), `errors`
    and `device_clients`, and `pids`, the processes that have it open (6.4 and later). Their
    PASIDs are nowhere told. `group`, `state` and `holders` are left to the join.
    """
    entries = names_or_note(host, unknowns, DEVICES, "all IDXD queues")
    queues = in_order(filter(_is_queue, entries))
    devices: dict[str, dict[str, str]] = {}
    found = (_queue(host, unknowns, name, devices) for name in queues)
    return tuple(queue for queue in found if queue is not None)


def command_status(text: str) -> str:
    """The number in `cmd_status`, and what it means."""
    code = number(text, 16)
    if code is None:
        return text
    return f"{text} ({_CMD_STATUS.get(code, 'an error not known here')})"


def is_configured(queue: Sdmdev) -> bool | None:
    """Whether somebody has set up this work queue; None where it does not tell."""
    kind, size = (queue.type or "").partition("/")[0], queue.params.get("size")
    if kind not in ("", "none") or size not in (None, "0"):
        return True
    return False if kind and size else None


def _is_queue(name: str) -> bool:
    device, dot, index = name.removeprefix("wq").partition(".")
    return name.startswith("wq") and bool(dot) and device.isdecimal() and index.isdecimal()


def _queue(
    host: Host, unknowns: Unknowns, name: str, devices: dict[str, dict[str, str]]
) -> Sdmdev | None:
    link = f"{DEVICES}/{name}"
    try:
        path = target(host, link)
        params = _attributes(host, unknowns, path, {file: file for file in _QUEUE})
    except OSError as error:
        unknowns.note_failure(link, error, "everything about this IDXD queue")
        return None
    device = posixpath.dirname(path)
    if device not in devices:
        devices[device] = _device(host, unknowns, device)
    kind, mode = params.pop("type", None), params.pop("mode", None)
    pids = _pids(host, unknowns, path)
    return Sdmdev(
        id=fact(name),
        kind="idxd",
        parent=fact(posixpath.basename(posixpath.dirname(device))) or None,
        type=f"{kind}/{mode}" if kind and mode else kind,
        group=None,
        state=None,
        domain_of=None,
        pasid=None,
        holders=None,
        params={
            **params,
            "device": fact(posixpath.basename(device)),
            **devices[device],
            **({"pids": ",".join(map(str, pids))} if pids else {}),
        },
    )


def _device(host: Host, unknowns: Unknowns, path: str) -> dict[str, str]:
    try:
        found = _attributes(host, unknowns, path, _DEVICE)
    except OSError as error:
        unknowns.note_failure(path, error, "state of this IDXD device")
        return {}
    if "cmd_status" in found:
        found["cmd_status"] = command_status(found["cmd_status"])
    return found


def _attributes(host: Host, unknowns: Unknowns, path: str, files: dict[str, str]) -> dict[str, str]:
    """The attributes that are there, under the names given to them."""
    found = {}
    for file, answer in zip(files, host.look(path, tuple(files)), strict=True):
        if isinstance(answer, OSError) and answer.errno not in _HAS_NONE:
            unknowns.note(f"{path}/{file}", answer, f"{files[file]} of an IDXD queue")
        value = word(answer)
        if value is not None:
            found[files[file]] = value
    return found


def _pids(host: Host, unknowns: Unknowns, path: str) -> tuple[int, ...]:
    """Who has the queue open: `<queue>/dsa!<queue>/file<K>/pid`, one directory for each open."""
    found = set()
    what = "process that has this IDXD queue open"
    for directory in names_or_note(host, unknowns, path, what):
        if "!" not in directory:
            continue
        for opened in names_or_note(host, unknowns, f"{path}/{directory}", what):
            if not opened.startswith("file"):
                continue
            file = f"{path}/{directory}/{opened}/pid"
            try:
                answer: bytes | OSError = host.read(file)
            except OSError as error:
                answer = error
            unknowns.note_failure(file, answer, what)
            pid = number(answer)
            if pid is not None and pid > 0:
                found.add(pid)
            elif isinstance(answer, bytes):
                unknowns.note(file, OSError(errno.EINVAL, "no process id"), what)
    return tuple(sorted(found))
