"""Directories that the hypervisor shares through a virtio device: 9p and virtiofs."""

from collections.abc import Iterator

from sdmtop.operations.blast.mounts import SOURCE as MOUNTS
from sdmtop.operations.blast.mounts import read_mounts
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.storage import BELOW, Storage
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.sysfs import is_absent
from sdmtop.text import line

SOURCE = "shares"

_BUS = "/sys/bus/virtio/devices"
_DRIVERS = {"9pnet_virtio": "9p", "virtiofs": "virtiofs"}


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """What is mounted from the shares of a device.

    A 9p device tells its tag; which virtiofs device has which tag only newer kernels tell, so
    that one counts for all that are mounted.
    """
    storage = survey.once(Storage)
    for name, path in survey.once(_virtio).items():
        if survey.owner(path) is not device:
            continue
        type_ = _DRIVERS.get(_driver(survey, path))
        if type_ is None:
            yield from survey.doubts(device, "what is mounted from it", SOURCE)
            continue
        tag = line(survey.look(SOURCE, path, "mount_tag")[0] or b"").strip("\0") or None
        losses = [
            loss
            for number, mounts in survey.once(read_mounts).by_number.items()
            if mounts[0].type == type_ and tag in (None, mounts[0].source)
            for loss in storage.losses_of_system(number, (name, f"{type_} {mounts[0].source}"))
        ]
        for loss in losses:
            yield device.verdict(loss.kind, loss.sentence, *loss.chain)
        if storage.hides_root:
            yield device.verdict("refused", f"{tag or type_} {BELOW}", name, type_, "/")
        elif not losses:
            yield device.verdict("safe", f"nothing is mounted from {tag or type_}", name)
        yield from survey.doubts(device, "what is mounted from it", SOURCE, MOUNTS)


def _virtio(survey: Survey) -> dict[str, str]:
    return survey.links(SOURCE, _BUS, optional=True)


def _driver(survey: Survey, path: str) -> str:
    try:
        link = survey.host.readlink(f"{path}/driver")
    except OSError as error:
        if not is_absent(error):
            survey.doubt(SOURCE, f"{path}/driver", error)
        return ""  # None is bound, so nothing can be mounted.
    return link[link.rfind("/") + 1 :]
