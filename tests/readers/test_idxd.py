import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.readers.idxd import command_status, is_configured, read_idxd
from sdmtop.readers.unknowns import Unknowns

BUS = "/sys/bus/dsa/devices"
DSA = "/sys/devices/pci0000:6a/0000:6a:01.0/dsa0"


def queue(id_: str = "wq0.1", **files: bytes | Link | Failure) -> dict[str, bytes | Link | Failure]:
    contents: dict[str, bytes | Link | Failure] = {"type": b"user\n", "mode": b"shared\n", **files}
    return {
        f"{BUS}/{id_}": Link(f"../../..{DSA.removeprefix('/sys')}/{id_}"),
        **{f"{DSA}/{id_}/{file}": content for file, content in contents.items()},
    }


def test_a_queue_is_told_with_its_function_device_and_kind() -> None:
    host = TreeHost(
        {
            f"{BUS}/dsa0": Link(f"../../..{DSA.removeprefix('/sys')}"),
            f"{BUS}/engine0.0": Link("../x"),
            f"{DSA}/state": b"enabled\n",
            f"{DSA}/pasid_enabled": b"1\n",
            f"{DSA}/cmd_status": b"0x0\n",
            **queue(size=b"16\n", name=b"app1\n", priority=b"10\n", driver_name=b"user\n"),
        }
    )
    unknowns = Unknowns()
    (found,) = read_idxd(host, unknowns)
    assert (found.id, found.kind, found.parent) == ("wq0.1", "idxd", "0000:6a:01.0")
    assert found.type == "user/shared"
    assert (found.group, found.state, found.holders, found.pasid) == (None, None, None, None)
    assert found.params == {
        "size": "16",
        "name": "app1",
        "priority": "10",
        "driver_name": "user",
        "device": "dsa0",
        "device_state": "enabled",
        "pasid_enabled": "1",
        "cmd_status": "0x0 (no error)",
    }
    assert unknowns.entries() == ()


def test_queues_are_sorted_with_numbers_as_numbers() -> None:
    host = TreeHost({**queue("wq0.10"), **queue("wq0.9")})
    assert [found.id for found in read_idxd(host, Unknowns())] == ["wq0.9", "wq0.10"]


def test_who_has_a_queue_open_is_told_by_the_directories_of_its_node() -> None:
    node = f"{DSA}/wq0.1/dsa!wq0.1"
    host = TreeHost({**queue(), f"{node}/file0/pid": b"412\n", f"{node}/file1/pid": b"77\n"})
    (found,) = read_idxd(host, Unknowns())
    assert found.params["pids"] == "77,412"


def test_a_pid_that_is_no_number_is_unknown() -> None:
    unknowns = Unknowns()
    host = TreeHost({**queue(), f"{DSA}/wq0.1/dsa!wq0.1/file0/pid": b"?\n"})
    (found,) = read_idxd(host, unknowns)
    assert "pids" not in found.params
    assert [entry.errno for entry in unknowns.entries()] == ["EINVAL"]


def test_a_queue_without_node_or_count_is_no_failure() -> None:
    unknowns = Unknowns()
    host = TreeHost(
        queue(cdev_minor=Failure(errno.ENXIO), occupancy=Failure(errno.EOPNOTSUPP), size=b"8")
    )
    (found,) = read_idxd(host, unknowns)
    assert found.params == {"size": "8", "device": "dsa0"}
    assert unknowns.entries() == ()


def test_an_attribute_that_fails_is_unknown_and_the_queue_is_kept() -> None:
    unknowns = Unknowns()
    (found,) = read_idxd(TreeHost(queue(mode=Failure(errno.EIO))), unknowns)
    assert found.type == "user"
    assert [entry.path for entry in unknowns.entries()] == [f"{DSA}/wq0.1/mode"]


def test_a_queue_that_went_while_we_read_is_left_out() -> None:
    unknowns = Unknowns()
    assert read_idxd(TreeHost({f"{BUS}/wq3.0": Link("../../../gone/wq3.0")}), unknowns) == ()
    assert unknowns.entries() == ()


def test_no_bus_is_no_queue_and_nothing_unknown() -> None:
    unknowns = Unknowns()
    assert read_idxd(TreeHost({"/sys/x": b""}), unknowns) == ()
    assert unknowns.entries() == ()


def test_a_refusal_of_the_device_is_told_as_a_sentence() -> None:
    assert command_status("0x80110000") == (
        "0x80110000 (a user queue needs an IOMMU with shared virtual addressing)"
    )
    assert command_status("0x80990000").endswith("(an error not known here)")
    assert command_status("what") == "what"


@settings(max_examples=40)
@given(st.binary(max_size=100))
def test_any_attribute_gives_a_queue(text: bytes) -> None:
    files = {**queue(name=text, size=text), f"{DSA}/cmd_status": text}
    (found,) = read_idxd(TreeHost(files), Unknowns())
    assert found.id == "wq0.1"


@pytest.mark.parametrize(
    ("kind", "size", "told"),
    [
        (b"user\n", b"16\n", True),
        (b"none\n", b"8\n", True),
        (b"none\n", b"0\n", False),
        (b"none\n", Failure(errno.EIO), None),
        (Failure(errno.EIO), b"0\n", None),
    ],
)
def test_a_queue_is_set_up_if_it_has_a_type_or_a_size(
    kind: bytes | Failure, size: bytes | Failure, told: bool | None
) -> None:
    (found,) = read_idxd(TreeHost(queue(type=kind, size=size)), Unknowns())
    assert is_configured(found) is told
