"""What independent tools say of the same machine at the same time, field by field.

None of them shares code with sdmtop. Each function runs one tool in the guest and turns what it
printed into the form of the snapshot's JSON.
"""

import functools
import json
import re
import subprocess
from typing import Any

from tests.guest.guest import Guest

Fields = dict[str, Any]


def lines_of(guest: Guest, command: str) -> list[str]:
    """What a line of shell prints; not finding anything is no failure."""
    return guest.run("sh", "-c", command, check=False).text.splitlines()


def members_of_groups(guest: Guest) -> dict[int, list[str]]:
    """`find`: group -> names of its devices, sorted."""
    found: dict[int, list[str]] = {}
    for line in lines_of(guest, "find /sys/kernel/iommu_groups -mindepth 1 -printf '%P\\n'"):
        parts = line.split("/")
        found.setdefault(int(parts[0]), [])
        if len(parts) == 3 and parts[1] == "devices":
            found[int(parts[0])].append(parts[2])
    return {group: sorted(names) for group, names in found.items()}


def files_of_groups(guest: Guest) -> dict[int, dict[str, list[str]]]:
    """`grep`: group -> file -> its lines."""
    found: dict[int, dict[str, list[str]]] = {}
    for line in lines_of(guest, "cd /sys/kernel/iommu_groups && grep -r '' ."):
        path, _, text = line.partition(":")
        _, group, file = path.split("/")
        found.setdefault(int(group), {}).setdefault(file, []).append(text)
    return found


def pci_devices(guest: Guest) -> dict[str, Fields]:
    """`lspci`: address -> class, vendor, device, driver, NUMA node, group."""
    found = {}
    for block in guest.run("lspci", "-D", "-vmm", "-n", "-k").text.split("\n\n"):
        fields = dict(re.findall(r"^(\w+):\t(.*)$", block, re.MULTILINE))
        if fields:
            found[fields["Slot"]] = {
                "vendor": f"0x{fields['Vendor']}",
                "device": f"0x{fields['Device']}",
                "driver": fields.get("Driver"),
                "numa_node": int(fields["NUMANode"]) if "NUMANode" in fields else None,
                "group": int(fields["IOMMUGroup"]) if "IOMMUGroup" in fields else None,
                # Without the programming interface where that is 0.
                "class": f"0x{fields['Class']}{fields.get('ProgIf', '00')}",
            }
    return found


def pci_details(guest: Guest) -> dict[str, Fields]:
    """`lspci -vvv`: address -> SR-IOV, PASID capability, legacy interrupt."""
    found = {}
    for block in guest.run("lspci", "-D", "-vvv").text.split("\n\n"):
        if not block.strip():
            continue
        vfs = re.search(r"Total VFs: (\d+), Number of VFs: (\d+)", block)
        interrupt = re.search(r"routed to IRQ (\d+)", block)
        found[block.split()[0]] = {
            "sriov": {"total": int(vfs[1]), "vfs": int(vfs[2])} if vfs else None,
            "pasid": "Process Address Space ID (PASID)" in block,
            "irq": int(interrupt[1]) if interrupt else None,
        }
    return found


def udev_devices(guest: Guest) -> dict[str, Fields]:
    """`udevadm info`: address -> path, bus, driver, class of every PCI device."""
    found = {}
    text = guest.run("sh", "-c", "udevadm info /sys/bus/pci/devices/*").text
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^E: (\w+)=(.*)$", block, re.MULTILINE))
        if fields:
            found[fields["PCI_SLOT_NAME"]] = {
                "path": f"/sys{fields['DEVPATH']}",
                "bus": fields["SUBSYSTEM"],
                "driver": fields.get("DRIVER"),
                "class": f"0x{int(fields['PCI_CLASS'], 16):06x}",
            }
    return found


def overrides(guest: Guest) -> dict[str, str]:
    """`driverctl`: address -> the driver that is forced on it."""
    lines = guest.run("driverctl", "list-overrides", check=False).text.splitlines()
    words = (line.split() for line in lines)
    return {address: driver for address, driver, *_ in words}


def links(guest: Guest, name: str) -> dict[str, str]:
    """`find`: address -> last part of the link of that name in the device's directory."""
    lines = lines_of(
        guest, f"find /sys/bus/pci/devices/*/ -maxdepth 1 -name {name} -type l -printf '%h %l\\n'"
    )
    found = {}
    for line in lines:
        folder, target = line.split()
        found[folder.rstrip("/").rpartition("/")[2]] = target.rpartition("/")[2]
    return found


def msi_vectors(guest: Guest) -> dict[str, list[int]]:
    """`find`: address -> its MSI interrupts; a device without any is left out."""
    found: dict[str, list[int]] = {}
    lines = lines_of(
        guest, "find /sys/bus/pci/devices/*/msi_irqs -type f -printf '%h %f\\n' 2>/dev/null"
    )
    for line in lines:
        folder, irq = line.split()
        found.setdefault(folder.split("/")[5], []).append(int(irq))
    return {address: sorted(irqs) for address, irqs in found.items()}


def enabled_devices(guest: Guest) -> list[str]:
    """`grep`: the addresses of the devices that somebody has enabled."""
    found = lines_of(guest, "grep -lv '^0' /sys/bus/pci/devices/*/enable")
    return [file.split("/")[5] for file in found]


def iommu_units(guest: Guest) -> dict[str, list[str]]:
    """`find`: IOMMU unit -> devices behind it, sorted."""
    found: dict[str, list[str]] = {}
    for line in lines_of(guest, "find /sys/class/iommu/ -mindepth 1 -printf '%f\\n'"):
        found[line] = sorted(lines_of(guest, f"find /sys/class/iommu/{line}/devices/ -type l "
                                      "-printf '%f\\n'"))  # fmt: skip
    return found


def intel_registers(guest: Guest, unit: str) -> dict[str, str]:
    """`grep`: register -> text."""
    lines = lines_of(guest, f"cd /sys/class/iommu/{unit}/intel-iommu && grep -H '' *")
    return {line.partition(":")[0]: line.partition(":")[2] for line in lines}


def mdev_types(guest: Guest) -> dict[tuple[str, str], Fields]:
    """`mdevctl types`: (parent, type) -> what it says of it."""
    text = guest.run("mdevctl", "types", "--dumpjson").text
    return {
        (parent, id_): {
            "available_instances": fields["available_instances"],
            "device_api": fields["device_api"],
            "name": fields.get("name"),
        }
        for entry in json.loads(text or "[]")
        for parent, types in entry.items()
        for type_ in types
        for id_, fields in type_.items()
    }


def mdevs(guest: Guest) -> dict[str, Fields]:
    """`mdevctl list`: UUID -> its parent and type."""
    text = guest.run("mdevctl", "list", "--dumpjson").text
    return {
        uuid: {"parent": parent, "type": fields["mdev_type"]}
        for entry in json.loads(text or "[]")
        for parent, found in entry.items()
        for mdev in found
        for uuid, fields in mdev.items()
    }


def groups_of_mdevs(guest: Guest) -> dict[str, int]:
    """`find`: UUID -> its group."""
    lines = lines_of(
        guest, "find /sys/bus/mdev/devices/*/iommu_group -maxdepth 0 -printf '%h %l\\n'"
    )
    return {line.split()[0].rpartition("/")[2]: int(line.rpartition("/")[2]) for line in lines}


def sdmdev_parents(guest: Guest) -> dict[str, dict[str, str]]:
    """`grep`: parent -> its `params/`."""
    found: dict[str, dict[str, str]] = {}
    for line in lines_of(guest, "cd /sys/class/sdmdev && grep -H '' */device/params/*"):
        path, _, text = line.rpartition(":")
        parent, _, _, file = path.split("/")
        found.setdefault(parent, {})[file] = text
    return found


def interrupt_totals(guest: Guest) -> dict[str, int]:
    """`lsirq`: interrupt -> how often it came on all CPUs."""
    text = guest.run("lsirq", "--json", "--output", "IRQ,TOTAL").text
    return {row["irq"]: int(row["total"]) for row in json.loads(text)["interrupts"]}


def interrupt_names(guest: Guest) -> dict[str, str]:
    """`lsirq`: interrupt -> chip, number there, trigger and actions, as one text."""
    text = guest.run("lsirq", "--json", "--output", "IRQ,NAME").text
    return {row["irq"]: row["name"] for row in json.loads(text)["interrupts"]}


def interrupt_files(guest: Guest) -> dict[str, dict[str, str]]:
    """`grep`: interrupt -> file of /sys/kernel/irq -> text."""
    found: dict[str, dict[str, str]] = {}
    for line in lines_of(guest, "cd /sys/kernel/irq && grep -r '' ."):
        path, _, text = line.partition(":")
        _, irq, file = path.split("/")
        found.setdefault(irq, {})[file] = text
    return found


def affinities(guest: Guest) -> dict[str, str]:
    """`grep`: interrupt -> CPUs that may take it."""
    lines = lines_of(guest, "cd /proc/irq && grep -H '' */smp_affinity_list")
    return {line.split("/")[0]: line.partition(":")[2] for line in lines}


@functools.cache
def name_in_hwdb(vendor: str, device: str) -> str | None:
    """`systemd-hwdb`: what the database calls a PCI device."""
    alias = f"pci:v{vendor[2:].upper():0>8}d{device[2:].upper():0>8}sv*sd*bc*sc*i*"
    text = subprocess.run(
        ["systemd-hwdb", "query", alias], capture_output=True, text=True, check=True
    ).stdout
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    parts = (fields.get(f"ID_{kind}_FROM_DATABASE", "") for kind in ("VENDOR", "MODEL"))
    return " ".join(parts).strip() or None
