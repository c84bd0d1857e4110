import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.readers.unknowns import Unknowns
from sdmtop.readers.vfio import Node, read_nodes

CDEV = "/sys/class/vfio-dev/vfio0"


def nodes_of(entries: dict[str, Entry], unknowns: Unknowns | None = None) -> tuple[Node, ...]:
    return read_nodes(TreeHost(entries), unknowns or Unknowns())


def test_a_group_has_a_node_with_its_number() -> None:
    assert nodes_of({"/sys/class/vfio/18/dev": b"243:2\n"}) == (
        Node("/dev/vfio/18", "group", 18, None, os.makedev(243, 2)),
    )


def test_the_group_of_a_device_without_an_iommu_has_a_name_of_its_own() -> None:
    (found,) = nodes_of({"/sys/class/vfio/noiommu-3/dev": b"243:3\n"})
    assert (found.path, found.kind, found.group) == ("/dev/vfio/noiommu-3", "noiommu-group", 3)


def test_a_cdev_belongs_to_the_device_that_its_link_leads_through() -> None:
    (found,) = nodes_of(
        {
            CDEV: Link("../../devices/pci0000:00/0000:02:00.1/vfio-dev/vfio0"),
            "/sys/devices/pci0000:00/0000:02:00.1/vfio-dev/vfio0/dev": b"511:0\n",
        }
    )
    assert (found.path, found.kind) == ("/dev/vfio/devices/vfio0", "cdev")
    assert (found.device, found.number) == ("0000:02:00.1", os.makedev(511, 0))


def test_a_kernel_with_the_class_but_without_cdevs_has_none() -> None:
    unknowns = Unknowns()
    assert nodes_of({CDEV: Link("../../devices/x/vfio-dev/vfio0")}, unknowns) == ()
    assert unknowns.entries() == ()


def test_queues_have_nodes_of_their_own() -> None:
    found = nodes_of(
        {
            "/sys/class/uacce/hisi_zip-0/dev": b"238:0\n",
            "/sys/bus/dsa/devices/dsa!wq0.1/dev": b"237:1\n",
            "/sys/bus/dsa/devices/iax!wq1.0/dev": b"236:0\n",
            "/sys/bus/dsa/devices/wq0.1/state": b"enabled\n",
        }
    )
    assert [(node.path, node.kind, node.device) for node in found] == [
        ("/dev/dsa/wq0.1", "idxd", "wq0.1"),
        ("/dev/hisi_zip-0", "uacce", "hisi_zip-0"),
        ("/dev/iax/wq1.0", "idxd", "wq1.0"),
    ]


def test_the_container_and_iommufd_are_nodes() -> None:
    found = nodes_of(
        {"/sys/class/misc/vfio/dev": b"10:196\n", "/sys/class/misc/iommu/dev": b"10:124\n"}
    )
    assert [(node.path, node.kind) for node in found] == [
        ("/dev/iommu", "iommufd"),
        ("/dev/vfio/vfio", "container"),
    ]


def test_a_node_whose_number_fails_is_kept_and_the_number_is_unknown() -> None:
    unknowns = Unknowns()
    (found,) = nodes_of({"/sys/class/vfio/18/dev": Failure(errno.EIO)}, unknowns)
    assert (found.group, found.number) == (18, None)
    assert [(one.path, one.errno) for one in unknowns.entries()] == [
        ("/sys/class/vfio/18/dev", "EIO")
    ]


@pytest.mark.parametrize("text", [b"", b"243", b"x:y\n", b"-1:2\n", b"9" * 30 + b":1\n"])
def test_a_number_of_another_form_is_unknown(text: bytes) -> None:
    unknowns = Unknowns()
    (found,) = nodes_of({"/sys/class/vfio/18/dev": text}, unknowns)
    assert found.number is None
    assert [one.errno for one in unknowns.entries()] == ["EINVAL"]


@pytest.mark.parametrize(
    "directory", ["class/vfio", "class/vfio-dev", "class/uacce", "bus/dsa/devices"]
)
def test_a_class_that_cannot_be_listed_is_unknown(directory: str) -> None:
    unknowns = Unknowns()
    path = f"/sys/{directory}"
    assert nodes_of({path: Directory(errno.EACCES)}, unknowns) == ()
    assert [(one.path, one.errno) for one in unknowns.entries()] == [(path, "EACCES")]


@settings(max_examples=80)
@given(st.binary(max_size=40))
def test_any_number_of_a_node_is_read_without_an_error(text: bytes) -> None:
    (found,) = nodes_of({"/sys/class/vfio/18/dev": text})
    assert found.path == "/dev/vfio/18"
