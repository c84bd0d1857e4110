import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Failure, Link, TreeHost
from sdmtop.model import SdmdevParams
from sdmtop.readers.sdmdev import flag_names, parent_paths, read_sdmdev_parents
from sdmtop.readers.sysfs import number
from sdmtop.readers.unknowns import Unknowns
from tests.readers.small_host import PARENT, ROOT, device, mdev_parent, reading_of

PARAMS = f"{ROOT}/{PARENT}/params"


def test_a_parent_tells_how_its_queues_share() -> None:
    host = TreeHost(mdev_parent(PARENT))
    assert read_sdmdev_parents(host, Unknowns()) == {
        PARENT: SdmdevParams(iommu_type=1, dma_flags=("MULTI_PROC_MAP",))
    }


def test_what_a_parent_tells_is_part_of_the_device() -> None:
    (found,) = reading_of(device(PARENT, 1, "x"), mdev_parent(PARENT)).snapshot().devices
    assert found.sdmdev == SdmdevParams(iommu_type=1, dma_flags=("MULTI_PROC_MAP",))


def test_a_parent_that_tells_nothing_is_still_a_parent() -> None:
    entries = {path: one for path, one in mdev_parent(PARENT).items() if "/params/" not in path}
    unknowns = Unknowns()
    assert read_sdmdev_parents(TreeHost(entries), unknowns) == {
        PARENT: SdmdevParams(iommu_type=None, dma_flags=())
    }
    assert unknowns.entries() == ()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EINVAL])
def test_a_parameter_that_fails_is_unknown(number: int) -> None:
    unknowns = Unknowns()
    host = TreeHost({**mdev_parent(PARENT), f"{PARAMS}/dma_flag": Failure(number)})
    found = read_sdmdev_parents(host, unknowns)
    assert found[PARENT] == SdmdevParams(iommu_type=1, dma_flags=())
    assert [one.errno for one in unknowns.entries()] == [errno.errorcode[number]]


@pytest.mark.parametrize("text", [b"", b"\n", b"zz\n", b"-1\n", b"1 2\n"])
@pytest.mark.parametrize("file", ["iommu_type", "dma_flag"])
def test_a_parameter_of_another_form_is_unknown(file: str, text: bytes) -> None:
    unknowns = Unknowns()
    host = TreeHost({**mdev_parent(PARENT), f"{PARAMS}/{file}": text})
    found = read_sdmdev_parents(host, unknowns)[PARENT]
    told = {"iommu_type": found.iommu_type, "dma_flag": found.dma_flags}
    assert told[file] == (None if file == "iommu_type" else ())
    path = f"/sys/class/sdmdev/{PARENT}/device/params/{file}"
    assert [(one.path, one.errno) for one in unknowns.entries()] == [(path, "EINVAL")]


@given(st.binary(max_size=30))
def test_whatever_the_flags_say_is_told_or_unknown(text: bytes) -> None:
    unknowns = Unknowns()
    host = TreeHost({**mdev_parent(PARENT), f"{PARAMS}/dma_flag": text})
    found = read_sdmdev_parents(host, unknowns)[PARENT]
    assert bool(unknowns.entries()) == (not found.dma_flags and number(text) != 0)


def test_a_kernel_without_the_class_has_no_parents() -> None:
    unknowns = Unknowns()
    assert read_sdmdev_parents(TreeHost({"/sys/x": b""}), unknowns) == {}
    assert unknowns.entries() == ()


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0, ()),
        (1, ("SINGLE_PROC_MAP",)),
        (6, ("MULTI_PROC_MAP", "SVM")),
        (31, ("SINGLE_PROC_MAP", "MULTI_PROC_MAP", "SVM", "SVM_NO_FAULT", "PHY")),
        (32, ("bit 5",)),
        (-1, ()),
    ],
)
def test_flags_are_spelled_as_the_rfc_does(flags: int, names: tuple[str, ...]) -> None:
    assert flag_names(flags) == names


@given(st.integers(0, 2**64 - 1))
def test_every_bit_of_the_flags_has_a_name(flags: int) -> None:
    assert len(flag_names(flags)) == flags.bit_count()


def test_parents_of_any_bus_are_found_through_their_classes() -> None:
    entries = {
        **mdev_parent(PARENT),
        "/sys/class/mdev_bus/mtty": Link("../../devices/virtual/mtty/mtty"),
        "/sys/class/uacce/hisi_zip-0": Link("../../devices/platform/zip.0/uacce/hisi_zip-0"),
        "/sys/devices/platform/zip.0/uacce/hisi_zip-0/device": Link("../../../zip.0"),
    }
    assert parent_paths(TreeHost(entries), Unknowns()) == {
        PARENT: f"{ROOT}/{PARENT}",
        "mtty": "/sys/devices/virtual/mtty/mtty",
        "zip.0": "/sys/devices/platform/zip.0",
    }


def test_a_class_that_cannot_be_listed_is_unknown() -> None:
    unknowns = Unknowns()
    host = TreeHost(
        {
            "/sys/class/sdmdev": Directory(errno.EACCES),
        }
    )
    assert parent_paths(host, unknowns) == {}
    assert [(one.path, one.errno) for one in unknowns.entries()] == [
        ("/sys/class/sdmdev", "EACCES")
    ]


def test_a_link_that_fails_is_unknown_and_one_that_vanished_is_not() -> None:
    unknowns = Unknowns()
    device_link = f"/sys/devices/virtual/sdmdev/{PARENT}/device"
    entries = {
        "/sys/class/mdev_bus/b": Failure(errno.EIO),
        "/sys/class/sdmdev/c": Link("../../devices/gone"),
        **mdev_parent(PARENT),
        device_link: Failure(errno.EACCES),
    }
    assert parent_paths(TreeHost(entries), unknowns) == {PARENT: f"{ROOT}/{PARENT}"}
    assert [(one.path, one.errno) for one in unknowns.entries()] == [
        ("/sys/class/mdev_bus/b", "EIO"),
        (device_link, "EACCES"),
    ]
