"""More facts about one object, read only while it is looked at."""

from collections.abc import Iterator

from sdmtop.backends.base import Host
from sdmtop.backends.limits import ASLEEP, WAKES
from sdmtop.model import Detail, Device, Snapshot
from sdmtop.readers.config_space import capability_details
from sdmtop.readers.iommu_units import unit_details
from sdmtop.readers.sysfs import word
from sdmtop.text import fact

# file -> what it tells an operator; all read without taking a lock, and without waking the device:
# of one that sleeps, those in WAKES are left alone.
_DEVICE_FILES = {
    "power_state": "D0 is awake; reading the configuration space would wake the others",
    "reset_method": "how the kernel can reset it, in the order of trying",
    "enable": "how many drivers have enabled it",
    "local_cpulist": "CPUs near to it",
    "current_link_speed": "PCIe speed now",
    "current_link_width": "PCIe lanes now",
    "subsystem_vendor": "PCI subsystem vendor id",
    "subsystem_device": "PCI subsystem device id",
    "revision": "PCI revision",
    "msi_bus": "0: MSI is forbidden here and below",
}


def read_details(host: Host, snapshot: Snapshot, key: str) -> tuple[Detail, ...]:
    """The details of the device or group that a TARGET names; empty for any other.

    Raises nothing: what cannot be read is left out here, and is in the snapshot's `unknown`.
    """
    kind, _, rest = key.partition("/")
    if kind == "group":
        members = {
            address
            for group in snapshot.groups
            if str(group.id) == rest
            for address in group.devices
        }
        units = {device.iommu for device in snapshot.devices if device.address in members}
        return _of_units(host, snapshot, units)
    for device in snapshot.devices:
        if device.address == key:
            return (*_of_device(host, device), *_of_units(host, snapshot, {device.iommu}))
    return ()


def _of_units(host: Host, snapshot: Snapshot, names: set[str | None]) -> tuple[Detail, ...]:
    return tuple(
        detail
        for unit in snapshot.iommu_units
        if unit.name in names
        for detail in unit_details(host, unit)
    )


def _of_device(host: Host, device: Device) -> tuple[Detail, ...]:
    try:
        power = word(host.look(device.path, ("power_state",))[0])
        files = [file for file in _DEVICE_FILES if power not in ASLEEP or file not in WAKES]
        answers = host.look(device.path, files)
    except OSError:
        return ()
    found = [
        Detail(name=file, value=value, path=f"{device.path}/{file}", meaning=_DEVICE_FILES[file])
        for file, answer in zip(files, answers, strict=True)
        if (value := word(answer)) is not None
    ]
    found += _interfaces(host, device)
    if device.bus == "pci":
        found += capability_details(host, device.path, power)
    return tuple(found)


def _interfaces(host: Host, device: Device) -> Iterator[Detail]:
    """Its network interfaces, by their names; of virtio they are one level down."""
    try:
        below = host.list(device.path)
    except OSError:
        return
    places = [name if name == "net" else f"{name}/net"
              for name in sorted(below) if name == "net" or name.startswith("virtio")]  # fmt: skip
    for place in places:
        try:
            names = host.list(f"{device.path}/{place}")
        except OSError:
            continue  # Of virtio most are no network cards.
        yield Detail(
            name="interface",
            value=", ".join(map(fact, sorted(names))) or "none",
            path=f"{device.path}/{place}",
            meaning="network interfaces of it; attach takes these names, too",
        )
