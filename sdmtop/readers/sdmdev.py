"""Class `sdmdev` of the 2018 RFC: parents that share their domain and interrupt with queues.

Source: "vfio: add sdmdev support", `/sys/class/sdmdev/<parent>/device/params/`.
"""

from sdmtop.backends.base import Host
from sdmtop.model import SdmdevParams
from sdmtop.readers.sysfs import target
from sdmtop.readers.unknowns import Unknowns, count_or_note, names_or_note

SDMDEV_CLASS = "/sys/class/sdmdev"
MDEV_CLASS = "/sys/class/mdev_bus"
_UACCE_CLASS = "/sys/class/uacce"

_FLAGS = {1: "SINGLE_PROC_MAP", 2: "MULTI_PROC_MAP", 4: "SVM", 8: "SVM_NO_FAULT", 16: "PHY"}
_PARAMS = ("iommu_type", "dma_flag")


def read_sdmdev_parents(host: Host, unknowns: Unknowns) -> dict[str, SdmdevParams]:
    """Parent name -> its `params/`; empty on a kernel without the class."""
    found = {}
    for name in names_or_note(host, unknowns, SDMDEV_CLASS, "sdmdev parents"):
        directory = f"{SDMDEV_CLASS}/{name}/device/params"
        try:
            answers = host.look(directory, _PARAMS)
        except OSError as error:
            unknowns.note_failure(directory, error, "how the queues of this parent share")
            found[name] = SdmdevParams(iommu_type=None, dma_flags=())
            continue
        iommu_type, dma_flag = (
            _param(unknowns, f"{directory}/{file}", answer, f"{file} of this parent")
            for file, answer in zip(_PARAMS, answers, strict=True)
        )
        found[name] = SdmdevParams(iommu_type=iommu_type, dma_flags=flag_names(dma_flag or 0))
    return found


def _param(unknowns: Unknowns, path: str, answer: bytes | OSError, what: str) -> int | None:
    unknowns.note_failure(path, answer, what)
    return count_or_note(unknowns, path, answer, what)


def flag_names(flags: int) -> tuple[str, ...]:
    """The bits of `dma_flag` as the RFC spells them; `bit N` for one that it does not know."""
    bits = (bit for bit in range(flags.bit_length()) if flags >> bit & 1) if flags > 0 else ()
    return tuple(_FLAGS.get(1 << bit, f"bit {bit}") for bit in bits)


def parent_paths(host: Host, unknowns: Unknowns) -> dict[str, str]:
    """Name -> sysfs path of every device that serves queues: sdmdev, mdev and uacce parents.

    They need not be on PCI, nor in a group: a platform device, or `mtty` among the virtual ones.
    """
    found = {}
    for directory, device in (
        (MDEV_CLASS, ""),
        (SDMDEV_CLASS, "/device"),
        (_UACCE_CLASS, "/device"),
    ):
        for name in names_or_note(host, unknowns, directory, "parents of queues"):
            link = f"{directory}/{name}"
            try:
                path = target(host, link)
                if device:
                    link = f"{path}{device}"
                    path = target(host, link)
            except OSError as error:
                unknowns.note_failure(link, error, "parent of queues")
            else:
                found[path[path.rfind("/") + 1 :]] = path
    return found
