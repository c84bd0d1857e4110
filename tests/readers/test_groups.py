import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import AttachedDomain, IommuGroup, Snapshot
from sdmtop.readers.groups import (
    group_ids,
    is_bridge,
    is_vfio,
    owner,
    regions,
    uses_dma,
    viability,
)
from sdmtop.readers.holders import ANONYMOUS
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading
from sdmtop.readers.unknowns import Unknowns
from tests import records
from tests.readers.small_host import (
    DISK,
    GROUPS,
    NIC,
    PARENT,
    ROOT,
    UUID,
    device,
    mdev,
    mdev_parent,
    member,
    process,
    reading_of,
    small_host,
)

BLOCKED_TABLES = b"""\
IOMMU dmar0: Root Table Address: 0x5eb000
B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry
01:00.0\t0x0000000000000000:0x0000000002e2a001\t0x0000000000000202:0x0000000002e29001\t-1    \t\
0x0000000000000000:0x0000000000000000:0x0000000000000000
"""


UNKNOWN = AttachedDomain(type=None, evidence="unknown")
UNMANAGED = AttachedDomain(type="unmanaged", evidence="inferred")


def group(snapshot: Snapshot, id_: int) -> IommuGroup:
    (found,) = (one for one in snapshot.groups if one.id == id_)
    return found


def read(*trees: dict[str, Entry], id_: int = 2) -> IommuGroup:
    return group(reading_of(*trees).snapshot(), id_)


# -- who may use it --------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["vfio-pci", "mlx5_vfio_pci", "vfio-platform", "vfio_fsl_mc"])
def test_a_driver_of_vfio_does_not_stand_in_the_way(driver: str) -> None:
    assert is_vfio(driver)
    assert viability({"a": driver}, set(), emulated=False) == (True, None)
    assert owner({"a": driver}) == "vfio"


@pytest.mark.parametrize("driver", ["pcieport", "pci-stub"])
def test_a_driver_that_does_no_dma_leaves_the_group_free_and_viable(driver: str) -> None:
    assert not uses_dma(driver)
    assert viability({"a": driver, "b": None}, set(), emulated=False) == (True, None)
    assert owner({"a": driver, "b": None}) == "free"


def test_one_dma_driver_among_vfio_drivers_makes_the_group_the_kernels() -> None:
    drivers = {"a": "vfio-pci", "b": "e1000e", "c": None}
    assert owner(drivers) == "kernel"
    assert viability(drivers, set(), emulated=False) == (False, "b is bound to e1000e")


def test_every_culprit_is_named() -> None:
    _, reason = viability({"a": "nvme", "b": "e1000e"}, set(), emulated=False)
    assert reason == "a is bound to nvme; b is bound to e1000e"


@pytest.mark.parametrize(
    ("class_", "is_one"),
    [("0x060400", True), ("0x060000", True), ("0x068000", False), ("0x020000", False)],
)
def test_a_bridge_to_something_that_is_not_pci_is_a_device_like_others(
    class_: str, *, is_one: bool
) -> None:
    assert is_bridge(records.device("0000:01:00.0", class_=class_)) is is_one


def test_a_driver_that_cannot_be_told_leaves_viability_open() -> None:
    viable, reason = viability({"a": None, "b": "vfio-pci"}, {"a", "z"}, emulated=False)
    assert (viable, reason) == (None, "cannot tell the driver of a")


def test_a_known_culprit_outweighs_an_unknown_driver() -> None:
    assert viability({"a": None, "b": "nvme"}, {"a"}, emulated=False)[0] is False


def test_a_group_with_a_direct_region_is_not_viable_once_its_drivers_are_gone() -> None:
    viable, reason = viability({"a": "vfio-pci"}, set(), emulated=False, direct="0xbdf83000")
    assert viable is False
    assert reason is not None
    assert "0xbdf83000 is direct" in reason


def test_an_emulated_group_is_viable_and_an_empty_one_is_neither() -> None:
    assert viability({"a": "x"}, set(), emulated=True) == (True, None)
    assert viability({}, set(), emulated=False) == (None, "the group has no device")


def test_a_group_in_a_waiting_unbind_is_neither_viable_nor_not() -> None:
    entries = device(NIC, 2, "vfio-pci")
    del entries[f"{ROOT}/{NIC}/driver"]
    found = read(entries)
    assert (found.viable, found.viability_reason) == (None, f"cannot tell the driver of {NIC}")
    assert found.attached == AttachedDomain(type=None, evidence="unknown")


def test_a_member_that_cannot_be_read_is_not_taken_for_driverless() -> None:
    found = read(device(NIC, 2, "e1000e"), member(2, DISK, f"pci0000:00/{DISK}"))
    assert found.devices == (NIC, DISK)
    gone = read(member(2, DISK, f"pci0000:00/{DISK}"))
    assert (gone.viable, gone.viability_reason) == (None, f"cannot tell the driver of {DISK}")


# -- who is in it ----------------------------------------------------------------------------


def test_groups_are_sorted_as_numbers_and_other_names_are_no_groups() -> None:
    names = ("10", "9", "2", "x", "-1", "02", "٣", "9" * 5000)
    host = TreeHost({f"{GROUPS}/{name}/type": b"DMA\n" for name in names})
    assert group_ids(host, Unknowns()) == [2, 9, 10]


def test_a_group_without_devices_is_kept() -> None:
    found = read({f"{GROUPS}/2/type": b"DMA\n", f"{GROUPS}/2/devices": Directory()})
    assert (found.devices, found.viable) == ((), None)
    assert found.viability_reason == "the group has no device"


def test_a_link_renamed_after_a_name_collision_is_resolved() -> None:
    other = "/sys/devices/platform/bridge"
    found = reading_of(
        {
            **member(2, f"{NIC}.1", f"platform/bridge/{NIC}"),
            f"{other}/{NIC}/subsystem": Link("../../../../bus/pci"),
            f"{other}/{NIC}/uevent": b"",
        }
    ).snapshot()
    assert group(found, 2).devices == (NIC,)
    assert [(one.address, one.path) for one in found.devices] == [(NIC, f"{other}/{NIC}")]


def test_a_platform_device_in_a_group_is_a_device_with_its_driver() -> None:
    path = "/sys/devices/platform/soc/fe900000.dma"
    found = reading_of(
        {
            **member(2, "fe900000.dma", "platform/soc/fe900000.dma"),
            f"{path}/uevent": b"DRIVER=pl330\nOF_NAME=dma\n",
            f"{path}/driver": Link("../../../../bus/platform/drivers/pl330"),
            f"{path}/subsystem": Link("../../../../bus/platform"),
            f"{path}/iommu_group": Link("../../../../kernel/iommu_groups/2"),
        }
    ).snapshot()
    (one,) = found.devices
    assert (one.address, one.bus, one.driver, one.group) == ("fe900000.dma", "platform", "pl330", 2)
    assert (one.parent, one.pasid, one.vendor) == ("soc", None, None)
    assert group(found, 2).viability_reason == "fe900000.dma is bound to pl330"


def test_a_member_link_that_fails_is_unknown_and_the_others_are_kept() -> None:
    link = f"{GROUPS}/2/devices/{NIC}"
    snapshot = reading_of({**device(DISK, 2, None), link: Failure(errno.EIO)}).snapshot()
    assert group(snapshot, 2).devices == (NIC, DISK)
    assert (link, "EIO") in {(one.path, one.errno) for one in snapshot.unknown}


@pytest.mark.parametrize("text", ["/etc", "../../../../../etc", "../../../../bus/mdev", "x"])
def test_a_member_link_that_leads_to_no_device_is_unknown(text: str) -> None:
    link = f"{GROUPS}/9/devices/{UUID}"
    snapshot = reading_of({**device(DISK, 2, None), **member(9, UUID, "x")}, {link: Link(text)})
    found = snapshot.snapshot()
    assert group(found, 9).devices == (UUID,)
    assert group(found, 9).viable is None
    assert (link, "EINVAL") in {(one.path, one.errno) for one in found.unknown}


def test_a_member_link_that_dangles_is_unknown() -> None:
    link = f"{GROUPS}/9/devices/dma"
    found = reading_of(member(9, "dma", "platform/dma")).snapshot()
    assert group(found, 9).devices == ("dma",)
    assert group(found, 9).viability_reason == "cannot tell the driver of dma"
    assert (link, "ENOENT") in {(one.path, one.errno) for one in found.unknown}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL])
@pytest.mark.parametrize("file", ["type", "reserved_regions"])
def test_an_attribute_that_fails_is_unknown_and_the_group_is_kept(file: str, number: int) -> None:
    path = f"{GROUPS}/2/{file}"
    snapshot = reading_of({**device(NIC, 2, None), path: Failure(number)}).snapshot()
    assert (path, errno.errorcode[number]) in {(one.path, one.errno) for one in snapshot.unknown}
    assert group(snapshot, 2).devices == (NIC,)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL])
def test_the_name_of_a_group_without_a_default_domain_can_fail_as_well(number: int) -> None:
    path = f"{GROUPS}/2/name"
    untyped: dict[str, Entry] = {f"{GROUPS}/2/type": b"unknown\n", path: Failure(number)}
    snapshot = reading_of({**device(NIC, 2, None), **untyped}).snapshot()
    assert (path, errno.errorcode[number]) in {(one.path, one.errno) for one in snapshot.unknown}


def test_a_list_of_groups_that_fails_is_unknown() -> None:
    unknowns = Unknowns()
    assert group_ids(TreeHost({GROUPS: Failure(errno.EACCES)}), unknowns) == []
    assert [one.path for one in unknowns.entries()] == [GROUPS]


def test_regions_are_told_as_the_kernel_prints_them() -> None:
    text = b"0x01 0x02 direct-relaxable\n\n0x03 0x04 msi\n"
    assert regions(text) == ((("0x01", "0x02", "direct-relaxable"), ("0x03", "0x04", "msi")), True)
    assert regions(b"") == ((), True)


_LOST = [
    b"broken\n",
    b"0x01 0x02\n",
    b"0xzz 0x02 direct\n",
    b"0x01 2 direct\n",
    b"0x01 0x02 direct x\n",
    b"0x01 0x02 dire",
]


@pytest.mark.parametrize("line", _LOST)
def test_a_region_of_another_form_or_without_an_end_is_lost(line: bytes) -> None:
    assert regions(b"0x03 0x04 msi\n" + line) == ((("0x03", "0x04", "msi"),), False)


@settings(max_examples=80)
@given(st.binary(max_size=200))
def test_any_text_of_regions_is_told_or_lost(text: bytes) -> None:
    found, whole = regions(text)
    assert all(map(all, found))
    lines = [line for line in text.split(b"\n") if line.split()]
    assert whole == (len(found) == len(lines) and text[-1:] in (b"", b"\n"))


@pytest.mark.parametrize("entry", [*_LOST, Failure(errno.EIO)])
def test_a_group_of_which_a_region_is_lost_may_have_a_direct_one(entry: Entry) -> None:
    path = f"{GROUPS}/2/reserved_regions"
    snapshot = reading_of(device(NIC, 2, "vfio-pci"), {path: entry}).snapshot()
    found = group(snapshot, 2)
    assert found.viable is None
    assert found.viability_reason == "cannot tell its reserved regions, of which one may be direct"
    number = "EIO" if isinstance(entry, Failure) else "EINVAL"
    assert (path, number) in {(one.path, one.errno) for one in snapshot.unknown}


def test_what_is_known_to_stand_in_the_way_outweighs_a_region_that_is_lost() -> None:
    path = f"{GROUPS}/2/reserved_regions"
    text = b"0x01 0x02 direct\nbroken\n"
    assert read(device(NIC, 2, "vfio-pci"), {path: text}).viable is False
    assert read(device(NIC, 2, "nvme"), {path: b"broken\n"}).viable is False


def test_a_kernel_that_does_not_tell_regions_leaves_the_group_viable() -> None:
    entries = device(NIC, 2, "vfio-pci")
    del entries[f"{GROUPS}/2/reserved_regions"]
    assert read(entries).viable is True


def test_a_group_with_a_lost_region_that_was_given_away_all_the_same_is_viable() -> None:
    node: dict[str, Entry] = {
        "/sys/class/vfio/2/dev": b"511:2\n",
        f"{GROUPS}/2/reserved_regions": b"broken\n",
    }
    held = process(7, "/dev/vfio/2")
    assert read(device(NIC, 2, "vfio-pci"), node, held).viable is True


def unlinked(driver: str) -> dict[str, Entry]:
    """NIC alone in its group, of which uevent names a driver that has no link any more."""
    entries = device(NIC, 2, driver)
    del entries[f"{ROOT}/{NIC}/driver"]
    return entries


@pytest.mark.parametrize(("driver", "side"), [("vfio-pci", "vfio"), ("nvme", "kernel")])
def test_a_driver_whose_unbind_waits_still_owns_the_group(driver: str, side: str) -> None:
    found = read(unlinked(driver))
    assert (found.owner, found.viable) == (side, None)
    assert found.viability_reason == f"cannot tell the driver of {NIC}"


def test_a_driver_that_cannot_be_read_owns_the_group_if_uevent_names_it() -> None:
    refused: dict[str, Entry] = {f"{ROOT}/{NIC}/driver": Failure(errno.EACCES)}
    assert read(device(NIC, 2, "e1000e"), refused).owner == "kernel"


def test_a_device_that_is_let_go_at_last_owns_nothing() -> None:
    host = TreeHost(unlinked("vfio-pci"))
    reading = Reading(host, Names((), hwdb=False))
    reading.read_all()
    host.put(f"{ROOT}/{NIC}/uevent", b"PCI_CLASS=20000\n")
    reading.read_devices([NIC])
    found = group(reading.snapshot(), 2)
    assert (found.owner, found.viable) == ("free", True)


def test_a_group_without_a_driver_belongs_to_the_process_that_holds_its_node() -> None:
    node: dict[str, Entry] = {"/sys/class/vfio/2/dev": b"511:2\n"}
    assert read(device(NIC, 2, None), node, process(7)).owner == "free"
    assert read(device(NIC, 2, None), node, process(7, "/dev/vfio/2")).owner == "vfio"


def test_the_cdev_of_a_member_is_a_claim_of_the_group() -> None:
    cdev: dict[str, Entry] = {
        "/sys/class/vfio-dev/vfio0": Link(f"../../devices/pci0000:00/{NIC}/vfio-dev/vfio0"),
        f"{ROOT}/{NIC}/vfio-dev/vfio0/dev": b"510:0\n",
    }
    held = read(device(NIC, 2, None), cdev, process(7, "/dev/vfio/devices/vfio0"))
    assert held.owner == "vfio"


@pytest.mark.parametrize(
    ("links", "attached"),
    [
        (("/dev/vfio/devices/vfio0",), UNKNOWN),
        (("/dev/vfio/devices/vfio0", "/dev/iommu"), UNMANAGED),
        (("/dev/iommu",), AttachedDomain(type="DMA", evidence="inferred")),
    ],
)
def test_a_cdev_is_attached_through_an_iommufd_of_its_holder(
    links: tuple[str, ...], attached: AttachedDomain
) -> None:
    nodes: dict[str, Entry] = {
        "/sys/class/vfio-dev/vfio0": Link(f"../../devices/pci0000:00/{NIC}/vfio-dev/vfio0"),
        f"{ROOT}/{NIC}/vfio-dev/vfio0/dev": b"510:0\n",
        "/sys/class/misc/iommu/dev": b"10:126\n",
    }
    assert read(device(NIC, 2, "vfio-pci"), nodes, process(7, *links)).attached == attached


def test_a_real_device_without_an_iommu_is_neither_emulated_nor_viable() -> None:
    named: dict[str, Entry] = {
        f"{GROUPS}/2/name": b"vfio-noiommu\n",
        f"{GROUPS}/2/type": b"unknown\n",
    }
    found = read(small_host(), device(NIC, 2, "vfio-pci"), named)
    assert found.attached == AttachedDomain(type=None, evidence="unknown")
    assert (found.owner, found.viable) == ("vfio", False)
    assert found.viability_reason == "no IOMMU: VFIO's unsafe noiommu mode only"
    assert read(small_host(), named, id_=9).viable is True


# -- what is attached to it ------------------------------------------------------------------


TABLES = "/sys/kernel/debug/iommu/intel/dmar_translation_struct"
TRANSLATED, PASS_THROUGH = "0000000002e29001", "0000000002e29009"


def tables(context: str) -> dict[str, Entry]:
    """What debugfs shows of both devices of group 2, in legacy mode."""
    root = "0x0000000000000000:0x0000000002e2a001"
    rows = [f"02:00.{n}\t{root}\t0x0000000000000202:0x{context}\n" for n in (0, 1)]
    return {TABLES: f"IOMMU dmar0: Root Table Address: 0x5eb000\n{''.join(rows)}".encode()}


def test_under_a_kernel_driver_the_default_domain_is_inferred() -> None:
    found = read(small_host(), {TABLES: Failure(errno.EACCES)})
    assert found.attached == AttachedDomain(type="DMA", evidence="inferred")


def test_under_a_kernel_driver_a_translated_row_is_the_default_domain() -> None:
    found = read(small_host(), tables(TRANSLATED))
    assert found.attached == AttachedDomain(type="DMA", evidence="known")


def test_a_row_of_one_member_alone_makes_nothing_known() -> None:
    one = tables(TRANSLATED)[TABLES]
    assert isinstance(one, bytes)
    found = read(small_host(), {TABLES: one.replace(b"02:00.1", b"02:00.7")})
    assert found.attached == AttachedDomain(type="DMA", evidence="inferred")


def test_a_translated_row_says_no_more_than_the_type_that_cannot_be_true() -> None:
    # A unit without pass-through has an identity domain with a table.
    found = read(small_host(), tables(TRANSLATED), {f"{GROUPS}/2/type": b"identity\n"})
    assert found.attached == AttachedDomain(type="identity", evidence="inferred")


@pytest.mark.parametrize("driver", ["vp-vdpa", "usnic_verbs"])
def test_a_driver_that_attaches_domains_of_its_own_leaves_it_inferred(driver: str) -> None:
    found = read(small_host(), device(NIC, 2, driver), tables(TRANSLATED))
    assert found.attached == AttachedDomain(type="DMA", evidence="inferred")


def test_a_pass_through_row_is_identity_whoever_is_bound() -> None:
    identity = AttachedDomain(type="identity", evidence="known")
    assert read(small_host(), tables(PASS_THROUGH)).attached == identity
    assert read(small_host(), device(NIC, 2, None), tables(PASS_THROUGH)).attached == identity


def test_with_vfio_a_translated_row_may_be_of_either_domain() -> None:
    bound = {**small_host(), **device(NIC, 2, "vfio-pci"), **tables(TRANSLATED)}
    node: dict[str, Entry] = {"/sys/class/vfio/2/dev": b"511:2\n"}
    assert read(bound, node).attached == AttachedDomain(type="DMA", evidence="inferred")
    held = read(bound, node, process(7, "/dev/vfio/2", ANONYMOUS))
    assert held.attached == UNMANAGED


def test_a_group_that_nobody_holds_is_on_its_default_domain() -> None:
    held = {"/sys/class/vfio/2/dev": b"511:2\n", **process(7)}
    found = read(device(NIC, 2, "vfio-pci"), held)
    assert found.attached == AttachedDomain(type="DMA", evidence="inferred")


def test_a_group_of_which_a_process_has_a_device_open_is_on_a_domain_of_its_own() -> None:
    held = {"/sys/class/vfio/2/dev": b"511:2\n", **process(7, "/dev/vfio/2", ANONYMOUS)}
    assert read(device(NIC, 2, "vfio-pci"), held).attached == UNMANAGED


@pytest.mark.parametrize("links", [("/dev/vfio/2",), ("/dev/vfio/2", "/dev/vfio/vfio")])
def test_whoever_has_only_opened_a_group_may_have_attached_nothing(links: tuple[str, ...]) -> None:
    held = {
        "/sys/class/vfio/2/dev": b"511:2\n",
        "/sys/class/misc/vfio/dev": b"10:196\n",
        **process(7, *links),
    }
    found = read(device(NIC, 2, "vfio-pci"), held)
    assert (found.owner, found.attached) == ("vfio", UNKNOWN)


def test_a_group_of_which_nobody_can_tell_the_holders_has_an_unknown_domain() -> None:
    refused: dict[str, Entry] = {
        "/sys/class/vfio/2/dev": b"511:2\n",
        "/proc/7/fd": Directory(errno.EACCES),
    }
    found = read(device(NIC, 2, "vfio-pci"), refused)
    assert found.attached == AttachedDomain(type=None, evidence="unknown")


@pytest.mark.parametrize("driver", [None, "nvme"])
@pytest.mark.parametrize("entry", [Failure(errno.EIO), b"", b"\n"])
def test_a_group_whose_type_cannot_be_read_has_an_unknown_domain(
    entry: Entry, driver: str | None
) -> None:
    path = f"{GROUPS}/2/type"
    snapshot = reading_of(device(NIC, 2, driver), {path: entry}).snapshot()
    found = group(snapshot, 2)
    assert (found.domain_type, found.attached) == (None, UNKNOWN)
    number = "EIO" if isinstance(entry, Failure) else "EINVAL"
    assert (path, number) in {(one.path, one.errno) for one in snapshot.unknown}


def test_a_group_that_the_tables_do_not_list_is_blocked() -> None:
    shown = {TABLES: BLOCKED_TABLES}
    snapshot = reading_of(small_host(), device(NIC, 2, None), shown).snapshot()
    assert group(snapshot, 2).attached == AttachedDomain(type="blocked", evidence="known")
    assert group(snapshot, 1).attached.type == "DMA"


def test_the_group_of_an_mdev_is_emulated() -> None:
    found = read(small_host(), id_=9)
    assert found.attached == AttachedDomain(type="emulated", evidence="known")
    assert (found.domain_type, found.devices) == ("unknown", (UUID,))


def test_a_group_whose_domain_sdmdevs_share_names_them() -> None:
    other = UUID[:-1] + "2"
    snapshot = reading_of(
        device(PARENT, 1, "hisi_zip"),
        mdev_parent(PARENT),
        mdev(other, PARENT, 10, emulated=False),
        mdev(UUID, PARENT, 9, emulated=False),
    ).snapshot()
    assert group(snapshot, 1).shared_by == (UUID, other)
    assert group(snapshot, 9).shared_by == ()
