import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.limits import SIDE_EFFECTS
from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import Device
from sdmtop.readers.devices import PCI, device_facts, pci_paths
from sdmtop.readers.unknowns import Unknowns
from tests.readers.small_host import BRIDGE, DISK, NIC, ROOT, device, reading_of

PATH = f"{ROOT}/{NIC}"


class CountingHost(TreeHost):
    """Remembers every path that was looked at."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.seen: set[str] = set()
        super().__init__(entries)

    def _say(self, path: str) -> None:
        self.seen.add(path)
        super()._say(path)


def read(entries: dict[str, Entry], address: str = NIC) -> Device:
    (found,) = (one for one in reading_of(entries).snapshot().devices if one.address == address)
    return found


def unknown_of(entries: dict[str, Entry]) -> set[tuple[str, str]]:
    return {(one.path, one.errno) for one in reading_of(entries).snapshot().unknown}


def malformed(entries: dict[str, Entry]) -> set[str]:
    return {path for path, number in unknown_of(entries) if number == "EINVAL"}


def test_a_driver_that_uevent_names_without_a_link_is_an_unbind_that_waits() -> None:
    entries = device(NIC, 2, "vfio-pci", driver_override=b"vfio-pci\n")
    del entries[f"{PATH}/driver"]
    host = CountingHost(entries)
    unknowns = Unknowns()
    facts = device_facts(host, NIC, PATH, unknowns)
    assert (facts["driver"], facts["driver_known"]) == (None, False)
    assert facts["driver_told"] == "vfio-pci"
    driver, override = unknowns.entries()
    assert (driver.path, driver.errno) == (f"{PATH}/driver", "EBUSY")
    assert "waits for a holder" in driver.what
    assert (override.path, override.errno) == (f"{PATH}/driver_override", "EBUSY")


def test_a_link_that_cannot_be_read_is_no_unbind() -> None:
    entries = device(NIC, 2, "e1000e", driver_override=b"e1000e\n")
    entries[f"{PATH}/driver"] = Failure(errno.EIO)
    unknowns = Unknowns()
    facts = device_facts(TreeHost(entries), NIC, PATH, unknowns)
    assert (facts["driver"], facts["driver_known"]) == (None, False)
    assert facts["driver_told"] == facts["driver_override"] == "e1000e"
    assert [(entry.path, entry.errno) for entry in unknowns.entries()] == [
        (f"{PATH}/driver", "EIO")
    ]


MODALIAS = b"pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00\n"


def test_ids_come_from_modalias_and_no_lock_is_taken_for_them() -> None:
    host = CountingHost(device(NIC, 2, None, modalias=MODALIAS))
    facts = device_facts(host, NIC, PATH, Unknowns())
    assert (facts["vendor"], facts["device"], facts["class_"]) == ("0x8086", "0x10d3", "0x020000")
    assert f"{PATH}/uevent" not in host.seen


def test_a_device_still_enabled_whose_group_vfio_still_has_is_an_unbind_that_waits() -> None:
    entries = device(NIC, 2, None, modalias=MODALIAS, enable=b"1\n")
    assert (f"{PATH}/driver", "EBUSY") not in unknown_of(entries)
    host = CountingHost({**entries, "/sys/class/vfio/2": Link("../../devices/virtual/vfio/2")})
    unknowns = Unknowns()
    facts = device_facts(host, NIC, PATH, unknowns)
    assert (facts["driver"], facts["driver_known"]) == (None, False)
    assert facts["driver_told"] == "vfio"
    assert [(entry.path, entry.errno) for entry in unknowns.entries()] == [
        (f"{PATH}/driver", "EBUSY"),
        (f"{PATH}/driver_override", "EBUSY"),
    ]
    assert host.seen.isdisjoint({f"{PATH}/uevent", f"{PATH}/driver_override"})


def test_a_bridge_that_is_enabled_for_others_is_plainly_unbound() -> None:
    bridge = MODALIAS.replace(b"bc02sc00", b"bc06sc04")
    entries = device(NIC, 2, None, modalias=bridge, enable=b"1\n")
    entries["/sys/class/vfio/2"] = Link("../../devices/virtual/vfio/2")
    assert (f"{PATH}/driver", "EBUSY") not in unknown_of(entries)


def test_a_parent_without_a_driver_that_offers_types_is_an_unbind_that_waits() -> None:
    types = {f"{PATH}/mdev_supported_types/edu-fact/name": b"fact\n"}
    entries = device(NIC, 2, None, modalias=MODALIAS) | types
    assert (f"{PATH}/driver", "EBUSY") in unknown_of(entries)


def test_a_device_that_vfio_could_have_but_nobody_enabled_is_plainly_unbound() -> None:
    entries = device(NIC, 2, None, modalias=MODALIAS, enable=b"0\n")
    entries["/sys/class/vfio/2"] = Link("../../devices/virtual/vfio/2")
    assert (f"{PATH}/driver", "EBUSY") not in unknown_of(entries)


def test_of_a_device_in_a_waiting_unbind_no_lock_is_taken() -> None:
    entries = device(NIC, 2, "vfio-pci", driver_override=b"vfio-pci\n")
    del entries[f"{PATH}/driver"]
    host = CountingHost(entries)
    assert device_facts(host, NIC, PATH, Unknowns())["driver_override"] is None
    assert f"{PATH}/driver_override" not in host.seen


@pytest.mark.parametrize("driver", ["e1000e", None])
def test_no_file_whose_reading_has_side_effects_is_opened(driver: str | None) -> None:
    host = CountingHost(device(NIC, 2, driver, sriov_totalvfs=b"4\n", sriov_numvfs=b"0\n"))
    device_facts(host, NIC, PATH, Unknowns())
    assert SIDE_EFFECTS.isdisjoint(path.rpartition("/")[2] for path in host.seen)


def test_an_amd_iommu_is_behind_no_unit_and_nothing_is_unknown() -> None:
    entries = device(NIC, 2, None)
    del entries[f"{PATH}/iommu"]
    entries[f"{PATH}/iommu/ivhd0/uevent"] = b""
    unknowns = Unknowns()
    assert device_facts(TreeHost(entries), NIC, PATH, unknowns)["iommu"] is None
    assert unknowns.entries() == ()


def test_an_unbound_device_has_no_driver_and_nothing_is_unknown() -> None:
    unknowns = Unknowns()
    facts = device_facts(TreeHost(device(NIC, 2, None)), NIC, PATH, unknowns)
    assert (facts["driver"], facts["driver_known"]) == (None, True)
    assert unknowns.entries() == ()


@pytest.mark.parametrize(
    ("text", "override"),
    [(b"vfio-pci\n", "vfio-pci"), (b"(null)\n", None), (b"\n", None), (b"", None)],
)
def test_an_override_is_what_was_written_or_nothing(text: bytes, override: str | None) -> None:
    assert read(device(NIC, 2, None, driver_override=text)).driver_override == override


def test_virtual_functions_are_counted_by_their_links() -> None:
    links: dict[str, Entry] = {f"virtfn{n}": Link(f"../0000:02:10.{n}") for n in range(3)}
    found = read(device(NIC, 2, "e1000e", sriov_totalvfs=b"8\n", **links))
    assert found.sriov is not None
    assert (found.sriov.total, found.sriov.vfs) == (8, 3)


def test_a_device_that_can_have_no_virtual_function_has_no_sriov() -> None:
    entries = device(NIC, 2, "e1000e", sriov_totalvfs=b"0\n")
    assert read(entries).sriov is None
    assert not malformed(entries)


@pytest.mark.parametrize("text", [b"many\n", b"", b"\n", b"-4\n"])
@pytest.mark.parametrize("file", ["sriov_totalvfs", "numa_node", "irq"])
def test_a_number_that_is_none_is_unknown(file: str, text: bytes) -> None:
    entries = device(NIC, 2, "e1000e", **{file: text})
    found = read(entries)
    told = {"sriov_totalvfs": found.sriov, "numa_node": found.numa_node, "irq": found.irqs or None}
    assert told[file] is None
    assert malformed(entries) == {f"{PATH}/{file}"}


def test_a_virtual_function_knows_its_physical_function() -> None:
    assert read(device(NIC, 2, None, physfn=Link("../0000:02:00.0"))).physfn == "0000:02:00.0"


def test_interrupts_are_the_message_vectors_sorted_as_numbers() -> None:
    vectors: dict[str, Entry] = {f"msi_irqs/{irq}": b"msix\n" for irq in (101, 9, 40)}
    assert read(device(NIC, 2, None, **vectors)).irqs == (9, 40, 101)


def test_without_message_vectors_the_interrupt_is_the_legacy_line() -> None:
    assert read(device(NIC, 2, "ehci-pci", irq=b"11\n")).irqs == (11,)
    assert read(device(NIC, 2, "ehci-pci", irq=b"0\n")).irqs == ()


def test_without_a_driver_the_line_of_firmware_is_no_interrupt() -> None:
    assert read(device(NIC, 2, None, irq=b"11\n")).irqs == ()


def test_a_device_whose_unbind_waits_still_has_its_line() -> None:
    types = {f"{PATH}/mdev_supported_types/edu-fact/name": b"fact\n"}
    entries = {**device(NIC, 2, "edu", irq=b"11\n"), **types}
    del entries[f"{PATH}/driver"]
    assert read(entries).irqs == (11,)


@pytest.mark.parametrize(("enable", "irqs"), [(b"0\n", ()), (b"1\n", (11,))])
def test_a_line_is_not_vfios_until_its_user_has_opened_the_device(
    enable: bytes, irqs: tuple[int, ...]
) -> None:
    assert read(device(NIC, 2, "vfio-pci", irq=b"11\n", enable=enable)).irqs == irqs


def test_vectors_that_cannot_be_listed_are_no_line() -> None:
    refused = device(NIC, 2, "e1000e", irq=b"11\n", msi_irqs=Directory(errno.EIO))
    assert read(refused).irqs == ()


def test_a_group_without_an_iommu_has_a_node_too_while_its_unbind_waits() -> None:
    entries = device(NIC, 2, None, modalias=MODALIAS, enable=b"1\n")
    entries["/sys/class/vfio/noiommu-2/dev"] = b"240:0\n"
    assert (f"{PATH}/driver", "EBUSY") in unknown_of(entries)


def test_a_vector_directory_that_cannot_be_listed_is_unknown() -> None:
    entries = device(NIC, 2, None, msi_irqs=Directory(errno.EACCES))
    assert (f"{PATH}/msi_irqs", "EACCES") in unknown_of(entries)


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("/sys/devices/virtual/mtty/mtty", None),
        ("/sys/devices/virtual/mtty/mtty/child", "mtty"),
        ("/sys/devices/platform/sdmdev_virt.0", None),
        ("/sys/devices/platform/soc/d00000.dma", "soc"),
    ],
)
def test_the_class_of_a_virtual_device_is_not_its_parent(path: str, parent: str | None) -> None:
    host = TreeHost({f"{path}/uevent": b""})
    assert device_facts(host, path.rpartition("/")[2], path, Unknowns())["parent"] == parent


def test_no_numa_node_is_none_and_node_zero_is_zero() -> None:
    entries = device(NIC, 2, None, numa_node=b"-1\n")
    assert read(entries).numa_node is None
    assert not malformed(entries)
    assert read(device(NIC, 2, None, numa_node=b"0\n")).numa_node == 0


def test_ids_are_spelled_as_sysfs_does() -> None:
    found = read(device(NIC, 2, None, uevent=b"PCI_CLASS=8\nPCI_ID=8086:A\n"))
    assert (found.vendor, found.device, found.class_) == ("0x8086", "0x000a", "0x000008")


def test_a_uevent_without_ids_gives_none() -> None:
    found = read(device(NIC, 2, None, uevent=b"MODALIAS=x\nPCI_ID=no:numbers\n"))
    assert (found.vendor, found.device, found.class_) == (None, None, None)


def test_a_device_below_a_bridge_has_it_as_parent() -> None:
    path = f"{BRIDGE}/{NIC}"
    host = TreeHost({f"{path}/uevent": b""})
    assert device_facts(host, NIC, path, Unknowns())["parent"] == "0000:00:01.0"
    assert read(device(NIC, 2, None)).parent is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL])
@pytest.mark.parametrize("file", ["uevent", "numa_node", "irq", "driver", "iommu_group"])
def test_an_attribute_that_fails_is_unknown_and_the_device_is_kept(file: str, number: int) -> None:
    entries = {**device(NIC, 2, "e1000e"), f"{PATH}/{file}": Failure(number)}
    assert (f"{PATH}/{file}", errno.errorcode[number]) in unknown_of(entries)
    assert read(entries).numa_node == (None if file == "numa_node" else 0)


def test_a_device_whose_directory_is_gone_is_no_device_and_nothing_is_unknown() -> None:
    unknowns = Unknowns()
    assert device_facts(TreeHost({"/sys/x": b""}), NIC, PATH, unknowns) == {}
    assert unknowns.entries() == ()


def test_a_device_whose_bus_link_fails_is_unknown() -> None:
    entries = {**device(NIC, 2, None), **device(DISK, 2, None), f"{PCI}/{NIC}": Failure(errno.EIO)}
    snapshot = reading_of(entries).snapshot()
    assert [one.address for one in snapshot.devices] == [DISK]
    assert (f"{PCI}/{NIC}", "EIO") in {(one.path, one.errno) for one in snapshot.unknown}


def test_a_bus_that_cannot_be_listed_raises() -> None:
    with pytest.raises(PermissionError):
        list(pci_paths(TreeHost({PCI: Directory(errno.EACCES)})))


def test_a_device_without_a_group_is_kept() -> None:
    entries = device(NIC, 2, "e1000e")
    del entries[f"{PATH}/iommu_group"]
    assert read(entries).group is None


def test_more_interrupts_than_a_number_can_hold_are_no_interrupts() -> None:
    names: dict[str, Entry] = {f"msi_irqs/{name}": b"" for name in ("9" * 5000, "٣", "007", "7")}
    assert read(device(NIC, 2, None, **names)).irqs == (7,)


@settings(max_examples=80)
@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_content_gives_a_device(uevent: bytes, text: bytes) -> None:
    names = ("numa_node", "irq", "power_state", "driver_override", "sriov_totalvfs")
    facts = device_facts(
        TreeHost(device(NIC, 2, None, uevent=uevent, **dict.fromkeys(names, text))),
        NIC,
        PATH,
        Unknowns(),
    )
    assert (facts["address"], facts["group"], facts["iommu"]) == (NIC, 2, "dmar0")
