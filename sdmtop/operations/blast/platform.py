"""Parts of the machine itself: IOMMUs, the root of a bus, bridges."""

from collections.abc import Iterator

from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict

_HOST_BRIDGE = "0600"
_PCI_BRIDGE = "0604"


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """Whether the device is one that others stand on."""
    units = [*survey.parts_of(device, "iommu")]
    units += [part for part in survey.parts.get("iommu", {}).values() if part.path == device.path]
    for unit in units:
        yield device.verdict("refused", f"it is the IOMMU {unit.name}", unit.name)
    if device.is_of_class(_HOST_BRIDGE):
        sentence = "it is the root of its bus, and no device like others"
        yield device.verdict("refused", sentence)
    below = [other for other in survey.touched if other.path.startswith(f"{device.path}/")]
    if device.is_of_class(_PCI_BRIDGE):
        names = [other.address for other in below]
        if names:
            sentence = f"{', '.join(names)} is behind this bridge"
            yield device.verdict("unsafe", sentence, *names)
        else:
            yield device.verdict("safe", "nothing is behind this bridge")
