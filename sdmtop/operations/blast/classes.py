"""All other class devices behind a device: known to be in use, known not to be, or unknown."""

from collections.abc import Iterator

from sdmtop.operations.blast import console, disks, network, queues
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.survey import Part, Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.sysfs import number

SOURCE = "other classes"

_ELSEWHERE = disks.CLASSES | network.CLASSES | console.CLASSES | queues.CLASSES
"""Classes that have a kind of use of their own."""

_BY_NODE = frozenset(
    {
        "accel", "block", "bsg", "cec", "dvb", "drm_dp_aux_dev", "hidraw", "hwrng", "i2c-dev",
        "infiniband_cm", "infiniband_mad", "infiniband_verbs", "kfd", "lirc", "media", "mei",
        "nvme-generic", "ppdev", "pps", "printer", "ptp", "rtc", "scsi_generic", "scsi_tape",
        "sound", "spidev", "uio", "usbmisc", "video4linux", "watchdog",
    }
)  # fmt: skip
"""Classes whose devices are used through their nodes: `opened` says by whom."""

_BEARING = frozenset(
    {
        "ata_device", "ata_link", "ata_port", "backlight", "bdi", "devlink", "devlink_dev",
        "enclosure", "fc_host", "fc_remote_ports", "fc_transport", "hwmon", "i2c-adapter",
        "ieee80211", "iscsi_host", "leds", "mdio_bus", "mmc_host", "net_dev", "pci_bus", "phy",
        "power_supply", "rfkill", "sas_device", "sas_end_device", "sas_expander", "sas_host",
        "sas_phy", "sas_port", "scsi_device", "scsi_disk", "scsi_host", "spi_host",
        "spi_transport", "thermal", "typec", "usb_role", "wakeup",
    }
)  # fmt: skip
"""Classes of what only bears other devices, or only tells something: nobody is lost with them."""


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """What none of the other kinds knows."""
    for part in survey.parts_of(device):
        if part.class_ == "watchdog":
            yield from _watchdog(survey, device, part)
        elif part.class_ == "dma":
            yield from _dma(survey, device, part)
        elif part.class_ not in _ELSEWHERE | _BY_NODE | _BEARING:
            sentence = f"{part.name} of class {part.class_}: sdmtop cannot tell who uses it"
            yield device.verdict("unknown", sentence, f"/sys/class/{part.class_}/{part.name}")
    yield from survey.doubts(device, "what its other parts are used for", "classes", SOURCE)


def _watchdog(survey: Survey, device: Touched, part: Part) -> Iterator[Verdict]:
    state = survey.look(SOURCE, part.path, "state")[0]
    if state == b"active":
        sentence = f"{part.name} is active: the machine may reset when nobody feeds it"
        yield device.verdict("unsafe", sentence, part.name, f"{part.path}/state")
    elif state is None:
        yield device.verdict("unknown", f"cannot tell whether {part.name} is active", part.name)


def _dma(survey: Survey, device: Touched, part: Part) -> Iterator[Verdict]:
    """A channel of a DMA engine, which the kernel itself may use."""
    users = number(survey.look(SOURCE, part.path, "in_use")[0] or b"")
    if users:
        sentence = f"{part.name} has {users} users in the kernel"
        yield device.verdict("unsafe", sentence, part.name, f"{part.path}/in_use")
    elif users is None:
        yield device.verdict("unknown", f"cannot tell who uses {part.name}", part.name)
