"""The same with the tools that people know: driverctl, mdevctl, libvirt."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.model import Device
    from sdmtop.operations.plan import Action

from sdmtop.operations.plan import Call, Load, Open, Write


def rebind(device: Device, driver: str) -> Iterator[str]:
    """Give a device another driver."""
    address = quote(device.address)
    yield f"driverctl{of_bus(device)} --nosave set-override {address} {quote(driver)}"
    if device.bus == "pci" and driver == "vfio-pci":
        yield f"virsh nodedev-detach {_libvirt(device.address)} --driver vfio"


def give_back(device: Device) -> Iterator[str]:
    """Give a device back to the kernel's own driver."""
    yield f"driverctl{of_bus(device)} --nosave unset-override {quote(device.address)}"
    if device.bus == "pci":
        yield f"virsh nodedev-reattach {_libvirt(device.address)}"


def of_bus(device: Device) -> str:
    """What driverctl is told of the bus, ` --bus platform`: by itself it looks at PCI only."""
    return "" if device.bus in (None, "pci") else f" --bus {quote(device.bus)}"


def create(uuid: str, parent: str, type_: str) -> str:
    """Make an mdev."""
    return f"mdevctl start --uuid {uuid} --parent {quote(parent)} --type {quote(type_)}"


def remove(uuid: str) -> str:
    """Remove an mdev."""
    return f"mdevctl stop --uuid {quote(uuid)}"


def shell(action: Action | None) -> str | None:
    """The command line that does the same as an action; None where no shell can."""
    if isinstance(action, Write):
        data = action.data.rstrip("\n")
        return (
            f"echo {quote(data)} > {quote(action.path)}" if data else f"echo > {quote(action.path)}"
        )
    return f"modprobe {quote(action.module)}" if isinstance(action, Load) else None


def describe(action: Action) -> str:
    """Exactly what an action does, in one line."""
    match action:
        case Write(path=path, data=data):
            return f"write {_quoted(data)} to {path}"
        case Load(module=module):
            return f"load the module {module}"
        case Open(path=path, node=node):
            return f"open {path} (kept as {node!r})"
        case Call(node=node, request=request, argument=argument):
            return f"{request} on {node!r}" + ("" if argument is None else f", {argument!r}")
    return f"close {action.node!r}"


def _quoted(data: str) -> str:
    return "an empty line" if data == "\n" else f"'{data}'"


def _libvirt(address: str) -> str:
    """Libvirt's name of a PCI device: `pci_0000_01_00_0`."""
    return "pci_" + address.replace(":", "_").replace(".", "_")
