"""What is done to a machine before it is looked at."""

import contextlib
from collections.abc import Iterator

from tests.guest.failure import GuestError
from tests.guest.guest import Guest, Job
from tests.guest.module import load_commands
from tests.guest.topologies import BRIDGED_TESTDEV, EDU, NIC, NVME, TWINS

ACCELERATOR = "soft-0"
"""What `load_engines` makes, with four queues, and its channels for dmatest."""
CHANNELS = ("dma0chan0", "dma0chan1")

FACTORIALS = "sdmdev_edu-fact"
VIRTUAL, PLAIN = "sdmdev_virtual.0", "mdev_plain.0"
QUEUES = {
    "5d3de000-0000-4000-8000-000000000001": (EDU, FACTORIALS),
    "5d3de000-0000-4000-8000-000000000002": (EDU, FACTORIALS),
    "5d3de000-0000-4000-8000-000000000003": (VIRTUAL, "sdmdev_virtual-fact"),
    "5d3de000-0000-4000-8000-000000000004": (PLAIN, "sdmdev_virtual-plain"),
}
"""UUID -> (parent, type): three sdmdevs, the third without hardware, and a plain mdev."""

QUEUE, SECOND_QUEUE, *_ = QUEUES
FIRST_VF = "0000:02:00.1"


def make_busy(guest: Guest) -> None:
    """VFs, vfio-pci, uio, mdevs and sdmdevs, as far as the machine can have them."""
    load_sdmdev(guest)
    create_queues(guest)
    guest.run("modprobe", "--all", "vfio-pci", "uio_pci_generic", "pci-pf-stub")
    if "modprobe.blacklist=nvme" in guest.topology.boot:
        override(guest, NVME, "pci-pf-stub")  # The kernel's driver for PFs that need none.
    guest.write(f"/sys/bus/pci/devices/{NVME}/sriov_numvfs", "2")
    override(guest, TWINS[0], "uio_pci_generic")
    if guest.topology.driver is not None:  # Without an IOMMU, vfio-pci refuses every device.
        override(guest, NIC, "vfio-pci")
        if guest.topology.driver != "virtio":  # That one leaves out what is behind the bridge.
            override(guest, BRIDGED_TESTDEV, "vfio-pci")


def make_idle(guest: Guest) -> None:
    """Without VFs and queues, and every device on its own driver, whoever had it until now."""
    remove_queues(guest)
    guest.write(f"/sys/bus/pci/devices/{NVME}/sriov_numvfs", "0")
    for address in (NIC, TWINS[0], BRIDGED_TESTDEV):
        override_ = f"/sys/bus/pci/devices/{address}/driver_override"
        if guest.run("cat", override_).text != "(null)\n":
            # It complains where no driver wants the device.
            guest.run("driverctl", "--nosave", "unset-override", address, check=False)


def load_sdmdev(guest: Guest) -> None:
    """Parents of class `sdmdev`; done once, however often it is asked for."""
    _load(guest, "sdmdev_edu")


def load_engines(guest: Guest) -> None:
    """An accelerator of class uacce and two DMA channels; only the full kernel can have them."""
    _load(guest, "engines")


def _load(guest: Guest, module: str) -> None:
    if guest.run("test", "-d", f"/sys/module/{module}", check=False).status != 0:
        for command in load_commands(guest.kernel, module):
            guest.run(*command)


def create_queues(guest: Guest) -> None:
    """Those of `QUEUES` that are not there yet."""
    there = guest.run("ls", "/sys/bus/mdev/devices").text.split()
    for uuid, (parent, type_) in QUEUES.items():
        if uuid not in there:
            create = f"/sys/class/mdev_bus/{parent}/mdev_supported_types/{type_}/create"
            guest.write(create, uuid)


def remove_queues(guest: Guest) -> None:
    """All mdevs, whoever made them."""
    for uuid in guest.run("ls", "/sys/bus/mdev/devices").text.split():
        guest.write(f"/sys/bus/mdev/devices/{uuid}/remove", "1")


def override(guest: Guest, address: str, driver: str) -> None:
    """Give a device to another driver, as an operator does; raises if it did not take it."""
    guest.run("driverctl", "--nosave", "set-override", address, driver)
    link = guest.run("readlink", f"/sys/bus/pci/devices/{address}/driver").text.strip()
    if not link.endswith(f"/{driver}"):
        raise GuestError(f"{address} is on {link}, not on {driver}")


def holding(guest: Guest, group: int, *arguments: str) -> contextlib.AbstractContextManager[Job]:
    """A second process that holds a group of VFIO: see `inside/hold.py`."""
    return _running(guest, "hold", str(group), *arguments)


def holding_cdev(
    guest: Guest, node: str, *arguments: str
) -> contextlib.AbstractContextManager[Job]:
    """A second process that holds the node of a device: see `inside/hold_cdev.py`."""
    return _running(guest, "hold_cdev", node, *arguments)


@contextlib.contextmanager
def _running(guest: Guest, module: str, *arguments: str) -> Iterator[Job]:
    job = guest.start_python(f"tests.guest.inside.{module}", *arguments)
    job.wait_for_output("holding")
    try:
        yield job
    finally:
        job.kill()
        job.wait()
