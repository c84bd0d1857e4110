import errno
from collections.abc import Mapping

import pytest

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.model import MdevType, Sdmdev
from sdmtop.readers.mdev import read_mdev_types, read_mdevs
from sdmtop.readers.sdmdev import parent_paths
from sdmtop.readers.unknowns import Unknowns
from tests.readers.small_host import (
    GROUPS,
    NIC,
    PARENT,
    ROOT,
    UUID,
    device,
    fields,
    mdev,
    mdev_parent,
    reading_of,
)

PATH = f"{ROOT}/{PARENT}/{UUID}"
TYPE = f"{ROOT}/{PARENT}/mdev_supported_types/zip-queue"
SECOND = UUID[:-1] + "2"


def generic(*trees: Mapping[str, Entry]) -> dict[str, Entry]:
    """An mdev whose parent is not in class sdmdev."""
    entries = {**mdev_parent(PARENT), **mdev(UUID, PARENT, 9)}
    for tree in trees:
        entries.update(tree)
    return {path: entry for path, entry in entries.items() if "/sdmdev/" not in path}


def mdevs_of(entries: dict[str, Entry], unknowns: Unknowns | None = None) -> tuple[Sdmdev, ...]:
    host, unknowns = TreeHost(entries), unknowns or Unknowns()
    return read_mdevs(host, unknowns, parent_paths(host, unknowns))


def types_of(entries: dict[str, Entry], unknowns: Unknowns | None = None) -> tuple[MdevType, ...]:
    host, unknowns = TreeHost(entries), unknowns or Unknowns()
    return read_mdev_types(host, unknowns, parent_paths(host, unknowns))


def test_a_type_tells_its_name_interface_and_what_is_left() -> None:
    entries = {**mdev_parent(PARENT), f"{TYPE}/devices/{UUID}": Link(f"../../../{UUID}")}
    (found,) = types_of(entries)
    assert fields(found, "parent", "id", "name") == (PARENT, "zip-queue", "zip")
    assert fields(found, "device_api", "available_instances", "flags") == ("hisi_qm_v2", 7, "0")
    assert found.instances == (UUID,)


def test_types_are_sorted_by_parent_and_by_numbers_in_their_names() -> None:
    entries = {**mdev_parent(PARENT), **mdev_parent(NIC)}
    names = ("q-10", "q-9")
    entries.update({f"{ROOT}/{PARENT}/mdev_supported_types/{name}/name": b"" for name in names})
    found = [(one.parent, one.id) for one in types_of(entries)]
    assert found == [(PARENT, "q-9"), (PARENT, "q-10"), (PARENT, "zip-queue"), (NIC, "zip-queue")]


@pytest.mark.parametrize("text", [b"plenty\n", b"", b"\n", b"-4\n"])
def test_a_count_that_is_no_number_is_unknown(text: bytes) -> None:
    unknowns = Unknowns()
    path = f"{TYPE}/available_instances"
    (found,) = types_of({**mdev_parent(PARENT), path: text}, unknowns)
    assert found.available_instances is None
    assert [(one.path, one.errno) for one in unknowns.entries()] == [(path, "EINVAL")]


def test_a_type_attribute_that_fails_is_unknown_and_the_type_is_kept() -> None:
    unknowns = Unknowns()
    path = f"{TYPE}/available_instances"
    (found,) = types_of({**mdev_parent(PARENT), path: Failure(errno.EIO)}, unknowns)
    assert (found.available_instances, found.name) == (None, "zip")
    assert {(one.path, one.errno) for one in unknowns.entries()} == {(path, "EIO")}


def test_an_mdev_of_a_parent_in_class_sdmdev_is_an_sdmdev() -> None:
    (found,) = mdevs_of({**mdev_parent(PARENT), **mdev(UUID, PARENT, 9)})
    assert fields(found, "id", "kind", "parent", "type", "group") == (
        UUID,
        "sdmdev",
        PARENT,
        "zip-queue",
        9,
    )
    assert fields(found, "state", "holders") == (None, None)


def test_an_mdev_of_any_other_parent_is_a_generic_one() -> None:
    (found,) = mdevs_of(generic())
    assert fields(found, "kind", "parent", "group", "domain_of") == ("mdev", PARENT, 9, None)


def test_an_sdmdev_in_an_emulated_group_shares_no_domain() -> None:
    entries = {**device(PARENT, 1, "x"), **mdev_parent(PARENT), **mdev(UUID, PARENT, 9)}
    (found,) = mdevs_of(entries)
    assert found.domain_of is None


def test_an_sdmdev_in_a_group_that_is_not_emulated_shares_its_parents_domain() -> None:
    entries = {
        **device(PARENT, 1, "x"),
        **mdev_parent(PARENT),
        **mdev(UUID, PARENT, 9, emulated=False),
    }
    (found,) = mdevs_of(entries)
    assert found.domain_of == 1
    assert {one.id: one.shared_by for one in reading_of(entries).snapshot().groups} == {
        1: (UUID,),
        9: (),
    }


def test_a_generic_mdev_shares_no_domain_whatever_its_group_is_named() -> None:
    shared = {**device(PARENT, 1, "x"), **mdev(UUID, PARENT, 9, emulated=False)}
    (found,) = mdevs_of(
        {key: value for key, value in generic(shared).items() if key[-5:] != "/name"}
    )
    assert found.domain_of is None


def test_a_group_whose_name_cannot_be_read_is_not_said_to_share() -> None:
    unknowns = Unknowns()
    entries = {**device(PARENT, 1, "x"), **mdev_parent(PARENT), **mdev(UUID, PARENT, 9)}
    (found,) = mdevs_of({**entries, f"{GROUPS}/9/name": Failure(errno.EIO)}, unknowns)
    assert found.domain_of is None
    assert f"{GROUPS}/9/name" in {one.path for one in unknowns.entries()}


def test_an_sdmdev_whose_parent_is_in_no_group_shares_none() -> None:
    (found,) = mdevs_of({**mdev_parent(PARENT), **mdev(UUID, PARENT, 9, emulated=False)})
    assert found.domain_of is None


def test_an_mdev_whose_removal_waits_for_its_holder_is_still_there() -> None:
    entries = generic()
    # The kernel has taken it off the bus, and its links away; its directory stays.
    for path in (f"/sys/bus/mdev/devices/{UUID}", f"{PATH}/iommu_group", f"{PATH}/subsystem"):
        del entries[path]
    (found,) = mdevs_of(entries)
    assert fields(found, "id", "parent", "group") == (UUID, PARENT, None)
    assert found.params["removal"].startswith("pending")


def test_an_mdev_on_the_bus_is_not_pending_and_not_told_twice() -> None:
    (found,) = mdevs_of(generic())
    assert "removal" not in found.params


def test_other_names_below_a_parent_are_no_mdevs() -> None:
    entries = {f"{ROOT}/{PARENT}/{'x' * 36}": b"", f"{ROOT}/{PARENT}/power/control": b"on\n"}
    assert len(mdevs_of(generic(entries))) == 1


def test_parameters_of_a_queue_are_told_as_they_are() -> None:
    files = {f"{PATH}/params/pid": b"812\n", f"{PATH}/params/pasid": b"5\n"}
    (found,) = mdevs_of(generic(files))
    assert found.params == {"pid": "812", "pasid": "5"}
    assert found.pasid == 5


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL])
def test_a_parameter_that_fails_is_unknown_and_the_others_are_kept(number: int) -> None:
    unknowns = Unknowns()
    path = f"{PATH}/params/pasid"
    (found,) = mdevs_of(generic({f"{PATH}/params/pid": b"8", path: Failure(number)}), unknowns)
    assert (found.params, found.pasid) == ({"pid": "8"}, None)
    assert [(one.path, one.errno) for one in unknowns.entries()] == [
        (path, errno.errorcode[number])
    ]


def test_a_host_without_mdevs_has_none_and_nothing_unknown() -> None:
    unknowns = Unknowns()
    assert mdevs_of({"/sys/x": b""}, unknowns) == ()
    assert types_of({"/sys/x": b""}, unknowns) == ()
    assert unknowns.entries() == ()


@pytest.mark.parametrize("path", ["/sys/bus/mdev/devices", "/sys/class/mdev_bus"])
def test_a_directory_that_cannot_be_listed_is_unknown(path: str) -> None:
    unknowns = Unknowns()
    mdevs_of({path: Directory(errno.EACCES)}, unknowns)
    assert [(one.path, one.errno) for one in unknowns.entries()] == [(path, "EACCES")]


def test_mdevs_are_sorted_by_uuid() -> None:
    found = mdevs_of({**mdev(SECOND, PARENT, 10), **mdev(UUID, PARENT, 9)})
    assert [one.id for one in found] == [UUID, SECOND]
