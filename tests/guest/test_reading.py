"""The snapshot says what independent tools say, on every kernel and topology, in every scene.

Whatever only root may see, an ordinary user is told to be unknown.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from tests.guest import witnesses

if TYPE_CHECKING:
    from tests.guest.conftest import Json, Sight

pytestmark = pytest.mark.guest


def field(records: dict[str, Json], name: str) -> dict[str, object]:
    return {key: record[name] for key, record in records.items()}


def pci(sight: Sight) -> dict[str, Json]:
    devices = sight.by("devices", "address")
    return {address: device for address, device in devices.items() if device["bus"] == "pci"}


def test_the_host_is_what_uname_and_nproc_say(sight: Sight) -> None:
    guest = sight.guest
    assert sight.snapshot["host"] == {
        "name": guest.run("uname", "-n").text.strip(),
        "kernel": guest.run("uname", "-r").text.strip(),
        "backend": "linux",
        "cpus": int(guest.run("nproc").text),
        "read_only": sight.ordinary,
    }


def test_the_units_are_those_that_find_lists(sight: Sight) -> None:
    units = sight.by("iommu_units", "name")
    found = sight.ask(witnesses.iommu_units)
    assert {name: sorted(unit["devices"]) for name, unit in units.items()} == found
    assert {unit["driver"] for unit in units.values()} == (
        {sight.guest.topology.driver} if found else set()
    )
    assert bool(found) == (sight.guest.topology.driver is not None)


def test_the_domains_of_intel_units_are_what_their_registers_say(sight: Sight) -> None:
    for name, unit in sight.by("iommu_units", "name").items():
        if unit["driver"] == "intel":
            registers = sight.ask(witnesses.intel_registers, name)
            assert unit["domains_supported"] == int(registers["domains_supported"])
            assert unit["domains_used"] == int(registers["domains_used"])
            assert unit["pasid"] is bool(int(registers["ecap"], 16) & 1 << 40)


def test_the_groups_have_the_members_that_find_lists(sight: Sight) -> None:
    groups = sight.by("groups", "id")
    members = {id_: sorted(group["devices"]) for id_, group in groups.items()}
    assert members == sight.ask(witnesses.members_of_groups)


def test_types_and_reserved_regions_are_the_files_of_the_groups(sight: Sight) -> None:
    files = sight.ask(witnesses.files_of_groups)
    for id_, group in sight.by("groups", "id").items():
        assert [group["domain_type"]] == files[id_]["type"]
        regions = [
            f"{region['start']} {region['end']} {region['type']}"
            for region in group["reserved_regions"]
        ]
        assert regions == files[id_].get("reserved_regions", [])


def test_the_groups_of_mdevs_are_emulated(sight: Sight) -> None:
    groups = sight.by("groups", "id")
    for group in sight.ask(witnesses.groups_of_mdevs).values():
        assert groups[group]["attached"] == {"type": "emulated", "evidence": "known"}
        assert groups[group]["viable"] is True


def test_the_pci_devices_are_those_of_lspci(sight: Sight) -> None:
    devices, found = pci(sight), sight.ask(witnesses.pci_devices)
    assert sorted(devices) == sorted(found)
    for name in ("vendor", "device", "class", "driver", "numa_node", "group"):
        assert field(devices, name) == field(found, name), name


def test_paths_and_drivers_are_what_udevadm_says(sight: Sight) -> None:
    devices, found = pci(sight), sight.ask(witnesses.udev_devices)
    for name in ("path", "bus", "driver", "class"):
        assert field(devices, name) == field(found, name), name


def test_the_parent_is_the_device_above_in_the_path(sight: Sight) -> None:
    for device in pci(sight).values():
        above = device["path"].split("/")[-2]
        assert device["parent"] == (None if above.startswith("pci") else above)


def test_names_are_those_of_the_hardware_database(sight: Sight) -> None:
    for device in pci(sight).values():
        name = witnesses.name_in_hwdb(device["vendor"], device["device"])
        assert device["name"] == name, device["address"]


def test_overrides_are_those_of_driverctl(sight: Sight) -> None:
    found = {
        address: device["driver_override"]
        for address, device in pci(sight).items()
        if device["driver_override"] is not None
    }
    assert found == sight.ask(witnesses.overrides)


def test_units_and_physical_functions_are_what_the_links_say(sight: Sight) -> None:
    devices = pci(sight)
    for name in ("iommu", "physfn"):
        found = sight.ask(witnesses.links, name)
        assert field(devices, name) == {address: found.get(address) for address in devices}


def test_virtual_functions_are_those_of_lspci(sight: Sight) -> None:
    assert field(pci(sight), "sriov") == field(sight.ask(witnesses.pci_details), "sriov")


def test_pasid_capabilities_are_those_of_lspci_or_unknown(sight: Sight) -> None:
    unknown = {entry["path"]: entry["errno"] for entry in sight.snapshot["unknown"]}
    found = sight.ask(witnesses.pci_details)
    told = {}
    for address, device in pci(sight).items():
        if device["pasid"] is not None:
            told[address] = device["pasid"]["capable"]
        elif f"{device['path']}/config" in unknown:
            # It slept when it was looked at; lspci has woken it since.
            assert sight.ordinary or unknown[f"{device['path']}/config"] == "EAGAIN"
    assert told == {address: found[address]["pasid"] for address in told}
    assert told or sight.ordinary


def test_interrupts_of_devices_are_what_find_and_lspci_list(sight: Sight) -> None:
    vectors, details = sight.ask(witnesses.msi_vectors), sight.ask(witnesses.pci_details)
    enabled = sight.ask(witnesses.enabled_devices)
    for address, device in pci(sight).items():
        # The line of a device without a driver is firmware's: nobody has asked Linux for it. Nor
        # has VFIO before somebody opens the device.
        asked = device["driver"] and (device["driver"] != "vfio-pci" or address in enabled)
        line = details[address]["irq"] if asked else None
        assert device["irqs"] == vectors.get(address, [line] if line else []), address


def test_mdev_types_are_those_of_mdevctl(sight: Sight) -> None:
    types = {(type_["parent"], type_["id"]): type_ for type_ in sight.snapshot["mdev_types"]}
    found = sight.ask(witnesses.mdev_types)
    assert types.keys() == found.keys()
    for key, fields in found.items():
        assert {name: types[key][name] for name in fields} == fields


def test_mdevs_are_those_of_mdevctl(sight: Sight) -> None:
    queues = sight.by("sdmdevs", "id")
    found = sight.ask(witnesses.mdevs)
    assert {uuid: {"parent": queue["parent"], "type": queue["type"]}
            for uuid, queue in queues.items()} == found  # fmt: skip
    assert field(queues, "group") == sight.ask(witnesses.groups_of_mdevs)


def test_instances_of_types_are_the_mdevs(sight: Sight) -> None:
    listed = {uuid for type_ in sight.snapshot["mdev_types"] for uuid in type_["instances"]}
    assert listed == sight.ask(witnesses.mdevs).keys()


def test_an_mdev_is_an_sdmdev_if_its_parent_is_in_the_class(sight: Sight) -> None:
    parents = sight.ask(witnesses.sdmdev_parents)
    for queue in sight.snapshot["sdmdevs"]:
        assert queue["kind"] == ("sdmdev" if queue["parent"] in parents else "mdev")
        assert queue["domain_of"] is None  # Emulated: the kernel shares no domain.


def test_sdmdev_parents_have_the_params_of_the_class(sight: Sight) -> None:
    found = {
        address: device["sdmdev"]["iommu_type"]
        for address, device in sight.by("devices", "address").items()
        if device["sdmdev"]
    }
    params = sight.ask(witnesses.sdmdev_parents)
    assert found == {parent: int(values["iommu_type"]) for parent, values in params.items()}


def test_queues_that_nobody_holds_are_orphans_or_cannot_be_told(sight: Sight) -> None:
    for queue in sight.snapshot["sdmdevs"]:
        if sight.ordinary:
            assert (queue["holders"], queue["state"]) == (None, None)
        else:
            assert (queue["holders"], queue["state"]) == ([], "orphan")


def test_interrupt_counts_lie_between_those_of_lsirq_before_and_after(sight: Sight) -> None:
    rows = sight.by("interrupts", "irq")
    assert sight.before.keys() & sight.after.keys() <= rows.keys()
    for irq, row in rows.items():
        assert row["total"] == sum(row["per_cpu"])
        if irq in sight.before and irq in sight.after:
            assert sight.before[irq] <= row["total"] <= sight.after[irq], irq


def test_interrupt_rows_read_as_lsirq_prints_them(sight: Sight) -> None:
    names = sight.ask(witnesses.interrupt_names)
    for irq, row in sight.by("interrupts", "irq").items():
        if row["chip"] is None:
            continue  # A summary of the kernel's own, such as NMI.
        where = "-".join(part for part in (row["hwirq"], row["trigger"]) if part)
        words = [row["chip"], where, ", ".join(row["actions"])]
        assert " ".join(words).split() == names[irq].split()


def test_interrupt_facts_are_the_files_of_sysfs(sight: Sight) -> None:
    rows = sight.by("interrupts", "irq")
    for irq, files in sight.ask(witnesses.interrupt_files).items():
        if files.get("actions"):  # A number without an action has no row.
            assert rows[irq]["chip"] == files["chip_name"]
            assert rows[irq]["hwirq"] == files["hwirq"]
            assert ",".join(rows[irq]["actions"]) == files["actions"]


def test_affinities_are_those_of_proc(sight: Sight) -> None:
    found = sight.ask(witnesses.affinities)
    for irq, row in sight.by("interrupts", "irq").items():
        assert row["affinity"] == found.get(irq)


def test_an_interrupt_belongs_to_the_device_that_lists_it(sight: Sight) -> None:
    vectors = sight.ask(witnesses.msi_vectors)
    of_irq = {str(irq): address for address, irqs in vectors.items() for irq in irqs}
    for irq, row in sight.by("interrupts", "irq").items():
        if irq in of_irq:
            assert row["device"] == of_irq[irq]


def test_an_interrupt_is_shared_by_the_sdmdevs_of_its_device(sight: Sight) -> None:
    queues: dict[str, list[str]] = {}
    for uuid, fields in sight.ask(witnesses.mdevs).items():
        if fields["parent"] in sight.ask(witnesses.sdmdev_parents):
            queues.setdefault(fields["parent"], []).append(uuid)
    for row in sight.snapshot["interrupts"]:
        assert row["shared_by"] == sorted(queues.get(row["device"], []))


def test_what_is_unknown_cannot_be_read_by_this_user(sight: Sight) -> None:
    for entry in sight.snapshot["unknown"]:
        if entry["errno"] in ("EACCES", "EPERM"):
            assert sight.ordinary, entry
            done = sight.guest.run("cat", entry["path"], ordinary=True, check=False)
            # Of the configuration space, anybody may read the standard header.
            assert done.status != 0 or len(done.out) <= 64, entry
        else:
            # Not built in, not to be had, or asleep: never a reading that failed.
            assert entry["errno"] in ("ENOENT", "ENOTSUP", "EAGAIN"), entry


def test_an_ordinary_user_is_told_what_stays_hidden(sight: Sight) -> None:
    refused = {
        entry["errno"] for entry in sight.snapshot["unknown"]
    } & {errno.errorcode[errno.EACCES], errno.errorcode[errno.EPERM]}  # fmt: skip
    assert bool(refused) == sight.ordinary
