"""Why the devices of an IOMMU group are together, as far as configuration space tells.

The kernel's rules (`pci_device_group` of drivers/iommu/iommu.c): behind a bridge to conventional
PCI nobody can tell who has sent a request; a port without access control (ACS) lets its devices
talk to each other past the IOMMU; so do the functions of one slot without it. The kernel also
knows devices that isolate without saying so: what is concluded here is inferred.
"""

from collections.abc import Mapping

from sdmtop.backends.base import Host
from sdmtop.backends.limits import ASLEEP
from sdmtop.lookup import devices_of
from sdmtop.model import Device, IommuGroup, Record, Snapshot
from sdmtop.readers.config_space import Bits, Capabilities, read_capabilities
from sdmtop.readers.sysfs import word
from sdmtop.readers.unknowns import Unknowns

_ACS_NAMES = {0x01: "source validation", 0x04: "request redirect", 0x08: "completion redirect",
              0x10: "upstream forwarding"}  # fmt: skip
"""The controls of ACS that the kernel wants, all of them."""

_BRIDGE = "0x0604"
_EXPRESS = 0x10  # The capability of every PCI Express device.
_TO_CONVENTIONAL = 7
_PORTS = (4, 6)  # A root port, the downstream port of a switch.
_LIST = 0x34
_MOST_CAPABILITIES = 48


class Reason(Record, frozen=True):
    """What keeps some devices of a group together.

    `mendable`: a setting of the firmware or the kernel may part them. `by` is the bridge, port or
    slot that is the cause, None where nothing explains it.
    """

    words: str
    by: str | None
    mendable: bool


def grouping_reasons(host: Host, snapshot: Snapshot, group: IommuGroup) -> tuple[Reason, ...]:
    """The reasons of one group; none for a device alone. Raises nothing.

    Sources: `config` of its members and of the bridges above them, `power_state`.
    """
    devices = devices_of(snapshot)
    members = [devices[address] for address in group.devices if address in devices]
    members = [device for device in members if device.bus == "pci"]
    if len(members) < 2:
        return ()
    found: dict[str, Reason] = {}
    for member in members:
        for bridge in _above(member, devices):
            reason = _of_bridge(host, bridge, members)
            if reason is not None and bridge.address not in found:
                found[bridge.address] = reason
    slots: dict[str, list[Device]] = {}
    for member in members:
        slots.setdefault(member.address.rpartition(".")[0], []).append(member)
    for slot, functions in slots.items():
        isolating = [_isolates(host, one) for one in functions]
        if len(functions) > 1 and True not in isolating and False in isolating:
            words = f"the {len(functions)} functions of slot {slot} have no access control (ACS)"
            found[slot] = Reason(words=words, by=slot, mendable=False)
    return tuple(found.values()) or (
        Reason(
            words="nothing that can be read explains it: configuration space is for root, or the "
            "kernel follows a rule of its own for these devices",
            by=None,
            mendable=False,
        ),
    )


def _above(device: Device, devices: Mapping[str, Device]) -> list[Device]:
    """The bridges between the device and the root of the bus, nearest first."""
    names = reversed(device.path.split("/")[:-1])
    return [devices[name] for name in names if name in devices]


def _of_bridge(host: Host, bridge: Device, members: list[Device]) -> Reason | None:
    """What the bridge has to do with it that several members are one group."""
    below = [one for one in members if f"/{bridge.address}/" in one.path]
    if (bridge.class_ or "")[:6] != _BRIDGE or not below:
        return None
    type_ = _port_type(host, bridge)
    if type_ is None:
        return None
    if type_ not in _PORTS:
        if type_ in (0, _TO_CONVENTIONAL):
            words = (
                f"behind {bridge.address}, a bridge to conventional PCI, nothing tells who has "
                "sent a request"
            )
            return Reason(words=words, by=bridge.address, mendable=False)
        return None
    if bridge not in members and len(below) < 2:
        return None
    missing = _missing_acs(host, bridge)
    if not missing:
        return None
    words = f"port {bridge.address} lacks access control (ACS): {missing}"
    return Reason(words=words, by=bridge.address, mendable=True)


def _port_type(host: Host, bridge: Device) -> int | None:
    """The type in its PCI Express capability; 0 for a bridge that has none; None: cannot tell."""
    try:
        if _sleeps(host, bridge):
            return None
        config = host.read_at(f"{bridge.path}/config", 0, 256)
    except OSError:
        return None  # It is in the snapshot's `unknown`, by the reader of capabilities.
    if len(config) < 256:
        return None
    offset = config[_LIST] & 0xFC
    for _ in range(_MOST_CAPABILITIES):
        if offset < 0x40:
            return 0
        if config[offset] == _EXPRESS:
            return config[offset + 2] >> 4
        offset = config[offset + 1] & 0xFC
    return None


def _missing_acs(host: Host, port: Device) -> str:
    """The controls that are not on, in words; nothing if all are, or it cannot be told."""
    found = _capabilities(host, port)
    if found is None or not found.readable:
        return ""
    if found.acs is None:
        return "it has none"
    off = _off(found.acs)
    return f"{', '.join(off)} off" if off else ""


def _off(acs: Bits) -> list[str]:
    """The controls that are off: one that the capability does not have is hard-wired to be on.

    Source: `pci_acs_flags_enabled` in the kernel's pci.c.
    """
    return [name for bit, name in _ACS_NAMES.items() if acs.capability & bit & ~acs.control]


def _isolates(host: Host, function: Device) -> bool | None:
    """Whether its access control is on; None: it cannot be told."""
    found = _capabilities(host, function)
    if found is None or not (found.acs or found.readable):
        return None
    return found.acs is not None and not _off(found.acs)


def _capabilities(host: Host, device: Device) -> Capabilities | None:
    try:
        power = word(host.look(device.path, ("power_state",))[0])
    except OSError:
        return None
    return read_capabilities(host, device.path, power, Unknowns())


def _sleeps(host: Host, device: Device) -> bool:
    return word(host.look(device.path, ("power_state",))[0]) in ASLEEP
