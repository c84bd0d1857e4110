"""UACCE queues: `/sys/class/uacce` (kernel 5.7 and later).

One entry stands for a device of the class, whose queues are taken at open and given back at
close. Nodes are never polled: on HiSilicon that consumes completions.
"""

import errno

from sdmtop.backends.base import Host
from sdmtop.model import Sdmdev
from sdmtop.readers.sysfs import in_order, name_of, word
from sdmtop.readers.unknowns import Unknowns, names_or_note
from sdmtop.text import fact

CLASS = "/sys/class/uacce"

_PARAMS = (
    "flags",
    "available_instances",
    "region_mmio_size",
    "region_dus_size",
    "isolate",
    "isolate_strategy",
)
_FILES = ("api", "algorithms", *_PARAMS)
# Drivers that register with uacce only if their parameter `uacce_mode` says so.
_MODAL_DRIVERS = ("hisi_zip", "hisi_sec2", "hisi_hpre")


def read_uacce(host: Host, unknowns: Unknowns) -> tuple[Sdmdev, ...]:
    """Every device of class uacce, sorted by name.

    `type` is its `api`; `group`, `state` and `holders` are left to the join with other readers.
    A HiSilicon driver that is loaded in a mode without uacce is noted, since its hardware is
    there and its queues are not.
    """
    found = in_order(names_or_note(host, unknowns, CLASS, "all uacce queues"))
    _note_other_modes(host, unknowns, found)
    queues = (_queue(host, unknowns, name) for name in found)
    return tuple(queue for queue in queues if queue is not None)


def _queue(host: Host, unknowns: Unknowns, name: str) -> Sdmdev | None:
    path = f"{CLASS}/{name}"
    try:
        *answers, device = host.look(path, _FILES, ("device",))
    except OSError as error:
        unknowns.note_failure(path, error, "everything about this uacce queue")
        return None
    params = {}
    for file, answer in zip(_FILES, answers, strict=True):
        if isinstance(answer, OSError) and answer.errno == errno.ENODEV:
            continue  # The driver keeps no such count.
        unknowns.note_failure(f"{path}/{file}", answer, f"{file} of this uacce queue")
        value = word(answer)
        if value is not None and file != "api":
            params[file] = value
    if "algorithms" in params:
        params["algorithms"] = ", ".join(params["algorithms"].split())
    unknowns.note_failure(f"{path}/device", device, "parent of this uacce queue")
    return Sdmdev(
        id=fact(name),
        kind="uacce",
        parent=name_of(device),
        type=word(answers[0]),
        group=None,
        state=None,
        domain_of=None,
        pasid=None,
        holders=None,
        params=params,
    )


def _note_other_modes(host: Host, unknowns: Unknowns, queues: list[str]) -> None:
    for driver in _MODAL_DRIVERS:
        path = f"/sys/module/{driver}/parameters/uacce_mode"
        what = f"uacce queues of {driver}"
        try:
            mode = word(host.read(path))
        except OSError as error:
            unknowns.note_failure(path, error, what)
            continue
        if mode == "0" and not any(name.startswith(f"{driver}-") for name in queues):
            off = OSError(errno.ENODEV, "off")
            unknowns.note(
                path, off, f"{what}: driver loaded with uacce_mode=0, for the kernel only"
            )
