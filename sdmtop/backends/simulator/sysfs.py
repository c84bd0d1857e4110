"""/sys: what each subsystem shows of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator import class_devices
from sdmtop.backends.simulator.carried import whole_disks
from sdmtop.backends.simulator.debugfs import debugfs
from sdmtop.backends.simulator.devices import NOT_SET
from sdmtop.backends.simulator.interrupts import as_list
from sdmtop.backends.simulator.kstrtox import boolean
from sdmtop.backends.simulator.mdev import Mdev
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.pci_sysfs import PCI_ATTRIBUTES, PCI_ENTRIES, pci_parts
from sdmtop.backends.simulator.vfs import (
    Attribute,
    Attributes,
    Computed,
    Directory,
    Entries,
    File,
    Fixed,
    Link,
    Listing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.devices import Bus, Device, Driver
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.iommu import Group, Unit
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.mdev import MdevType
    from sdmtop.backends.simulator.vfs import Node


def sysfs(kernel: Kernel) -> Directory:
    """The whole of it."""
    return Directory(
        Fixed(
            devices=_devices(kernel),
            bus=_buses(kernel),
            kernel=Directory(
                Fixed(
                    iommu_groups=Directory(Listing(kernel.iommu.groups, _group)),
                    irq=Directory(Listing(kernel.interrupts.lines, _irq)),
                    debug=debugfs(kernel),
                )
            ),
            module=class_devices.modules(kernel),
            block=Directory(Computed(lambda: whole_disks(kernel))),
            dev=Directory(
                Computed(lambda: {"char": Directory(Fixed(class_devices.characters(kernel)))})
            ),
            **{"class": class_devices.classes(kernel)},
        )
    )


# -- /sys/devices --------------------------------------------------------------------------------


def _devices(kernel: Kernel) -> Directory:
    def root(devices: dict[str, Device]) -> Directory:
        return Directory(Listing(devices, device_directory))

    def others() -> dict[str, Node]:
        return {
            bus.name: root({name: one for name, one in bus.devices.items() if one.parent is None})
            for bus in kernel.buses.values()
            if bus.name not in ("pci", "mdev")
        }

    return Directory(
        Listing(kernel.pci.roots, root),
        Fixed(virtual=class_devices.virtual(kernel, _unit(kernel)), system=_system(kernel)),
        Computed(others),
    )


def _system(kernel: Kernel) -> Directory:
    interrupts, scenario = kernel.interrupts, kernel.scenario
    possible = as_list(tuple(range(interrupts.possible)))

    def cpu(number: int) -> Directory:
        def store(data: bytes) -> None:
            wanted = boolean(data)
            if wanted == (number in interrupts.online):
                return
            interrupts.set_online(number, online=wanted)
            action = "online" if wanted else "offline"
            kernel.uevents.emit(action, "cpu", f"/sys/devices/system/cpu/cpu{number}")

        if not number:
            return Directory()
        return Directory(Fixed(online=File(lambda: f"{int(number in interrupts.online)}\n", store)))

    cpus = {f"cpu{number}": cpu(number) for number in range(interrupts.possible)}
    nodes = {
        f"node{number}": Directory(
            Fixed(
                cpulist=File(lambda number=number: f"{_cpus_of_node(kernel, number)}\n"),  # type: ignore[misc]
                distance=File(
                    lambda number=number: f"{_distances(scenario.numa_nodes, number)}\n"  # type: ignore[misc]
                ),
            )
        )
        for number in range(scenario.numa_nodes)
    }
    return Directory(
        Fixed(
            cpu=Directory(
                Fixed(
                    cpus,
                    online=File(lambda: f"{as_list(interrupts.online)}\n"),
                    possible=File(lambda: f"{possible}\n"),
                    present=File(lambda: f"{possible}\n"),
                )
            ),
            node=Directory(
                Fixed(nodes, online=File(lambda: f"{as_list(tuple(range(len(nodes))))}\n"))
            ),
        )
    )


def _distances(nodes: int, number: int) -> str:
    """How far a node is from each, as firmware tells it of two sockets."""
    return " ".join("10" if node == number else "21" for node in range(nodes))


def _cpus_of_node(kernel: Kernel, node: int) -> str:
    cpus, nodes = kernel.interrupts.possible, kernel.scenario.numa_nodes
    return as_list(tuple(cpu for cpu in range(cpus) if cpu * nodes // cpus == node))


def device_directory(device: Device) -> Directory:
    """The directory of a device of any bus."""
    if isinstance(device, Mdev):
        if device.going is not None:
            # What is left while a removal waits (kernel-abi 4).
            return Directory(Entries(device, {"iommu_group": _group_link}))
        return Directory(Attributes(device, _MDEV_ATTRIBUTES), Entries(device, _MDEV_ENTRIES))
    if not isinstance(device, PciDevice):
        return Directory(Attributes(device, _ATTRIBUTES), Entries(device, _ENTRIES))
    return Directory(
        Attributes(device, PCI_ATTRIBUTES if device.bus.name == "pci" else _NOT_PCI),
        Entries(device, PCI_ENTRIES),
        Entries(device, _ENTRIES),
        *pci_parts(device),
        Listing(device.children, device_directory),
    )


def _driver_link(device: Device) -> Link | None:
    driver = device.linked_driver
    if driver is None:
        return None
    return Link(f"{device.up()}/bus/{device.bus.name}/drivers/{driver.name}")


def _group_link(device: Device) -> Link | None:
    if device.group is None:
        return None
    return Link(f"{device.up()}/kernel/iommu_groups/{device.group.id}")


def _vfio_dev(device: Device) -> Directory | None:
    kernel = device.kernel
    if not kernel.behaviour.vfio_dev:
        return None
    vfio = kernel.vfio.class_device_of(device)
    if vfio is None:
        return None
    return Directory(Fixed({f"vfio{vfio.index}": class_devices.vfio_dev(vfio)}))


_ATTRIBUTES: dict[str, Attribute[Device]] = {
    "uevent": Attribute(lambda device: device.uevent(), mode=0o644),
    "driver_override": Attribute(
        lambda device: f"{device.override or NOT_SET}\n",
        lambda device, data: device.set_override(data),
    ),
    "modalias": Attribute(lambda device: f"{device.bus.name}:{device.name.partition('.')[0]}\n"),
    "numa_node": Attribute(lambda device: f"{device.numa_node}\n"),
}

_NOT_PCI: dict[str, Attribute[PciDevice]] = {
    name: PCI_ATTRIBUTES[name] for name in ("uevent", "driver_override", "numa_node")
}

_ENTRIES: dict[str, Callable[[Device], Node | None]] = {
    "driver": _driver_link,
    "iommu_group": _group_link,
    "subsystem": lambda device: Link(f"{device.up()}/bus/{device.bus.name}"),
    "vfio-dev": _vfio_dev,
}


# -- mediated devices ----------------------------------------------------------------------------


def _mdev_params(mdev: Mdev) -> Directory | None:
    queue = class_devices.queue_of(mdev)
    if queue is None:
        return None
    return Directory(
        Fixed(
            pid=File(lambda: f"{queue.pid}\n"),
            pasid=File(lambda: f"{queue.pasid}\n"),
            pending=File(lambda: f"{queue.pending}\n"),
        )
    )


_MDEV_ATTRIBUTES: dict[str, Attribute[Mdev]] = {
    "uevent": Attribute(lambda mdev: mdev.uevent(), mode=0o644),
    "remove": Attribute(None, lambda mdev, data: mdev.write_remove(data), mode=0o200),
}

_MDEV_ENTRIES: dict[str, Callable[[Mdev], Node | None]] = {
    "driver": _driver_link,
    "iommu_group": _group_link,
    "mdev_type": lambda mdev: Link(f"../mdev_supported_types/{mdev.type.directory}"),
    "subsystem": lambda mdev: Link(f"{mdev.up()}/bus/mdev"),
    "params": _mdev_params,
    "vfio-dev": _vfio_dev,
}


# -- buses ---------------------------------------------------------------------------------------


def _buses(kernel: Kernel) -> Directory:
    def entries() -> dict[str, Node]:
        found: dict[str, Node] = {bus.name: _bus(bus) for bus in kernel.buses.values()}
        if kernel.idxd:
            found["dsa"] = class_devices.dsa_bus(kernel)
        return found

    return Directory(Computed(entries))


def _bus(bus: Bus) -> Directory:
    kernel = bus.kernel
    entries: dict[str, Node] = {
        "devices": Directory(
            Listing(bus.devices, lambda device: Link(f"../../../devices/{device.path}"))
        ),
        "drivers": Directory(Listing(bus.drivers, lambda driver: _driver(bus, driver))),
        "drivers_probe": File(None, bus.write_probe, mode=0o200),
        "drivers_autoprobe": File(lambda: "1\n"),
    }
    if bus is kernel.pci:
        entries["rescan"] = File(None, kernel.pci.write_rescan, mode=0o200)
    return Directory(Fixed(entries))


def _driver(bus: Bus, driver: Driver) -> Directory:
    files: dict[str, Node] = {
        "bind": File(None, lambda data: bus.write_bind(driver, data), mode=0o200),
        "unbind": File(None, lambda data: bus.write_unbind(driver, data), mode=0o200),
        "module": Link(f"../../../../module/{driver.name.replace('-', '_')}"),
    }
    if bus.name == "pci":
        files["new_id"] = File(None, lambda data: bus.write_new_id(driver, data), mode=0o200)
        files["remove_id"] = File(None, lambda data: bus.write_remove_id(driver, data), mode=0o200)
    return Directory(
        Fixed(files),
        Listing(driver.devices_bound, lambda device: Link(f"../../../../devices/{device.path}")),
    )


# -- IOMMU groups and units ----------------------------------------------------------------------

_GROUP: dict[str, Attribute[Group]] = {
    "type": Attribute(
        lambda group: f"{group.type}\n", lambda group, data: group.set_type(data), mode=0o644
    ),
    "reserved_regions": Attribute(lambda group: group.describe_reserved()),
    "name": Attribute(lambda group: f"{group.name}\n", exists=lambda group: group.name is not None),
}


def _group(group: Group) -> Directory:
    return Directory(
        Attributes(group, _GROUP),
        Fixed(
            devices=Directory(
                Listing(group.devices, lambda device: Link(f"../../../../devices/{device.path}"))
            )
        ),
    )


def _unit(kernel: Kernel) -> Callable[[Unit], Directory]:
    def make(unit: Unit) -> Directory:
        def link(device: Device) -> Link:
            return Link(f"../../../../{device.path}")

        return Directory(
            Fixed(
                devices=Directory(Listing(unit.devices, link)),
                subsystem=Link("../../../../class/iommu"),
                **class_devices.unit_attributes(kernel, unit),
            )
        )

    return make


# -- interrupts ----------------------------------------------------------------------------------

_IRQ: dict[str, Attribute[Interrupt]] = {
    "actions": Attribute(lambda line: f"{line.action}\n"),
    "chip_name": Attribute(lambda line: f"{line.chip}\n"),
    "hwirq": Attribute(lambda line: f"{line.hwirq}\n"),
    "name": Attribute(lambda line: f"{line.trigger}\n"),
    "per_cpu_count": Attribute(lambda line: ",".join(map(str, line.per_cpu)) + "\n"),
    "type": Attribute(lambda line: "level\n" if line.trigger == "fasteoi" else "edge\n"),
    "wakeup": Attribute(lambda _: "disabled\n"),
}


def _irq(line: Interrupt) -> Directory:
    return Directory(Attributes(line, _IRQ))


# -- types of mediated devices -------------------------------------------------------------------

_TYPE: dict[str, Attribute[MdevType]] = {
    "name": Attribute(
        lambda type_: _line(type_, type_.spec.name or ""),
        exists=lambda type_: type_.spec.name is not None,
    ),
    "device_api": Attribute(lambda type_: _line(type_, type_.spec.device_api)),
    "available_instances": Attribute(lambda type_: _line(type_, f"{type_.available}")),
    "flags": Attribute(
        lambda type_: _line(type_, type_.spec.flags or "0"),
        exists=lambda type_: type_.spec.flags is not None or not type_.parent.emulated,
    ),
    "description": Attribute(
        lambda type_: _line(type_, type_.spec.description or ""),
        exists=lambda type_: type_.spec.description is not None,
    ),
    "create": Attribute(
        None, lambda type_, data: type_.parent.device.kernel.mdev.create(type_, data), mode=0o200
    ),
}


def type_directory(type_: MdevType) -> Directory:
    """A directory of `mdev_supported_types`."""
    return Directory(
        Attributes(type_, _TYPE),
        Fixed(devices=Directory(Listing(type_.mdevs, lambda mdev: Link(f"../../../{mdev.name}")))),
    )


def _line(type_: MdevType, text: str) -> str:
    """The RFC's functions print no newline."""
    return text if not type_.parent.emulated else f"{text}\n"
