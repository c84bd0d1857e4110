import errno

from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.readers.uacce import read_uacce
from sdmtop.readers.unknowns import Unknowns

CLASS = "/sys/class/uacce"
MODE = "/sys/module/hisi_zip/parameters/uacce_mode"


def queue(
    name: str = "hisi_zip-0", **files: bytes | Link | Failure
) -> dict[str, bytes | Link | Failure]:
    return {
        f"{CLASS}/{name}/api": b"hisi_qm_v2\n",
        f"{CLASS}/{name}/device": Link("../../../0000:75:00.0"),
        **{f"{CLASS}/{name}/{file}": content for file, content in files.items()},
    }


def test_a_queue_is_told_with_its_parent_interface_and_numbers() -> None:
    files = queue(
        flags=b"1\n",
        available_instances=b"1024\n",
        algorithms=b"zlib\ngzip\n",
        region_mmio_size=b"65536\n",
        isolate=b"0\n",
        isolate_strategy=b"20\n",
    )
    unknowns = Unknowns()
    (found,) = read_uacce(TreeHost(files), unknowns)
    assert (found.id, found.kind, found.parent) == ("hisi_zip-0", "uacce", "0000:75:00.0")
    assert found.type == "hisi_qm_v2"
    assert (found.group, found.state, found.holders, found.pasid) == (None, None, None, None)
    assert found.params == {
        "flags": "1",
        "available_instances": "1024",
        "algorithms": "zlib, gzip",
        "region_mmio_size": "65536",
        "isolate": "0",
        "isolate_strategy": "20",
    }
    assert unknowns.entries() == ()


def test_queues_are_sorted_with_numbers_as_numbers() -> None:
    host = TreeHost({**queue("hisi_zip-10"), **queue("hisi_zip-9")})
    assert [found.id for found in read_uacce(host, Unknowns())] == ["hisi_zip-9", "hisi_zip-10"]


def test_a_driver_without_a_count_of_instances_is_no_failure() -> None:
    unknowns = Unknowns()
    host = TreeHost(queue(available_instances=Failure(errno.ENODEV), flags=b"1"))
    (found,) = read_uacce(host, unknowns)
    assert found.params == {"flags": "1"}
    assert unknowns.entries() == ()


def test_an_attribute_that_fails_is_unknown_and_the_queue_is_kept() -> None:
    unknowns = Unknowns()
    (found,) = read_uacce(TreeHost(queue(flags=Failure(errno.EIO), isolate=b"1")), unknowns)
    assert found.params == {"isolate": "1"}
    assert [entry.errno for entry in unknowns.entries()] == ["EIO"]


def test_no_class_is_no_queue_and_nothing_unknown() -> None:
    unknowns = Unknowns()
    assert read_uacce(TreeHost({"/sys/x": b""}), unknowns) == ()
    assert unknowns.entries() == ()


def test_a_class_that_cannot_be_listed_is_unknown() -> None:
    unknowns = Unknowns()
    assert read_uacce(TreeHost({CLASS: Failure(errno.EACCES)}), unknowns) == ()
    assert [entry.path for entry in unknowns.entries()] == [CLASS]


def test_a_driver_in_a_mode_without_uacce_is_told_in_words() -> None:
    unknowns = Unknowns()
    assert read_uacce(TreeHost({MODE: b"0\n"}), unknowns) == ()
    (entry,) = unknowns.entries()
    assert (entry.path, entry.errno) == (MODE, "ENODEV")
    assert "uacce_mode=0" in entry.what


def test_a_driver_that_registered_with_uacce_is_not_complained_of() -> None:
    unknowns = Unknowns()
    assert len(read_uacce(TreeHost({MODE: b"1\n", **queue()}), unknowns)) == 1
    assert unknowns.entries() == ()


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_attribute_gives_a_queue(text: bytes) -> None:
    host = TreeHost(queue(flags=text, algorithms=text, available_instances=text))
    (found,) = read_uacce(host, Unknowns())
    assert found.id == "hisi_zip-0"
    found.params.get("algorithms", "").encode()
