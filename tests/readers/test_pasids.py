import errno
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.model import Pasid, Sdmdev
from sdmtop.readers.intel_debugfs import TABLES, Row, Translation
from sdmtop.readers.pasids import SVA_DRIVER, infer_processes, read_pasids
from sdmtop.readers.unknowns import Unknowns

NOTHING = TreeHost({"/sys/x": b""})


def tables(**live: tuple[int, ...]) -> Translation:
    """Live PASIDs by device of bus 6a: `d1=(22, 500)` is 0000:6a:01.0."""
    rows = {
        f"6a:{int(name[1:]):02x}.0": [
            Row(pasid, 0x1000, 1, "first-level", present=True) for pasid in found
        ]
        for name, found in live.items()
    }
    return Translation({"dmar0": rows}, {}, truncated=False)


def queue(**fields: Any) -> Sdmdev:
    defaults: dict[str, Any] = {
        "id": "5d3de000-0000-4000-8000-000000000001",
        "kind": "sdmdev",
        "parent": "0000:75:00.0",
        "type": None,
        "group": None,
        "state": None,
        "domain_of": None,
        "pasid": None,
        "holders": None,
        "params": {},
    }
    return Sdmdev(**{**defaults, **fields})


def row(pasid: int, device: str, process: int | None = None) -> Pasid:
    return Pasid(pasid=pasid, device=device, process=process, source="x")


def test_the_tables_tell_pasids_without_processes_and_leave_out_zero() -> None:
    found = read_pasids(NOTHING, Unknowns(), tables(d1=(0, 500, 22), d2=(22,)), ())
    assert [(one.pasid, one.device, one.process, one.source) for one in found] == [
        (22, "0000:6a:01.0", None, TABLES),
        (22, "0000:6a:02.0", None, TABLES),
        (500, "0000:6a:01.0", None, TABLES),
    ]


def test_an_sdmdev_whose_driver_tells_both_gives_pasid_and_process() -> None:
    (found,) = read_pasids(NOTHING, Unknowns(), None, [queue(params={"pid": "812", "pasid": "5"})])
    assert (found.pasid, found.process, found.device) == (5, 812, "0000:75:00.0")
    assert found.source.endswith("/params/pasid")


def test_a_process_without_a_pasid_is_no_row() -> None:
    assert read_pasids(NOTHING, Unknowns(), None, [queue(params={"pid": "812"})]) == ()


def test_the_row_that_knows_the_process_replaces_the_one_that_does_not() -> None:
    told = queue(parent="0000:6a:01.0", params={"pid": "812", "pasid": "22"})
    (found,) = read_pasids(NOTHING, Unknowns(), tables(d1=(22,)), [told])
    assert found.process == 812


def test_a_pasid_without_a_process_does_not_replace_the_tables_row() -> None:
    told = queue(parent="0000:6a:01.0", params={"pasid": "22"})
    (found,) = read_pasids(NOTHING, Unknowns(), tables(d1=(22,)), [told])
    assert found.source == TABLES


def test_a_device_of_uio_pci_sva_tells_the_pasid_of_its_user() -> None:
    host = TreeHost(
        {
            f"{SVA_DRIVER}/0000:01:00.0/pasid": b"33\n",
            f"{SVA_DRIVER}/0000:02:00.0/pasid": b"-1\n",
            f"{SVA_DRIVER}/bind": b"",
        }
    )
    unknowns = Unknowns()
    (found,) = read_pasids(host, unknowns, None, ())
    assert (found.pasid, found.device, found.process) == (33, "0000:01:00.0", None)
    assert found.source == f"{SVA_DRIVER}/0000:01:00.0/pasid"
    assert unknowns.entries() == ()


def test_a_pasid_that_cannot_be_read_is_unknown() -> None:
    host = TreeHost(
        {
            f"{SVA_DRIVER}/0000:01:00.0/pasid": Failure(errno.EIO),
            f"{SVA_DRIVER}/0000:02:00.0/pasid": b"many\n",
        }
    )
    unknowns = Unknowns()
    assert read_pasids(host, unknowns, None, ()) == ()
    assert [entry.errno for entry in unknowns.entries()] == ["EIO", "EINVAL"]


def test_open_idxd_queues_are_one_honest_unknown_and_no_row() -> None:
    unknowns = Unknowns()
    queues = [queue(id=f"wq0.{n}", kind="idxd", params={"pids": "7"}) for n in range(3)]
    assert read_pasids(NOTHING, unknowns, None, queues) == ()
    (entry,) = unknowns.entries()
    assert "not with which PASID" in entry.what


def test_an_iommu_that_lists_no_pasids_is_told_once() -> None:
    unknowns = Unknowns()
    host = TreeHost({"/sys/class/iommu/ivhd0/x": b""})
    assert read_pasids(host, unknowns, None, ()) == ()
    assert len(unknowns.entries()) == 1


def test_without_an_iommu_no_pasid_is_missing() -> None:
    unknowns = Unknowns()
    assert read_pasids(NOTHING, unknowns, None, ()) == ()
    assert unknowns.entries() == ()


def test_one_pasid_and_one_holder_belong_together_and_say_inferred() -> None:
    (found,) = infer_processes([row(22, "a")], {"a": frozenset({7})})
    assert (found.process, found.source) == (7, "x (inferred)")


def test_two_pasids_and_two_holders_are_not_joined() -> None:
    rows = (row(22, "a"), row(23, "a"))
    assert infer_processes(rows, {"a": frozenset({7, 8})}) == rows


def test_two_pasids_and_one_holder_are_not_joined() -> None:
    rows = (row(22, "a"), row(23, "a"))
    assert infer_processes(rows, {"a": frozenset({7})}) == rows


def test_one_pasid_on_two_devices_belongs_to_the_one_process_that_holds_both() -> None:
    rows = (row(22, "a"), row(22, "b"), row(23, "b"))
    found = infer_processes(rows, {"a": frozenset({7, 8}), "b": frozenset({7, 9})})
    assert [one.process for one in found] == [7, 7, None]


def test_holders_that_cannot_be_told_conclude_nothing() -> None:
    assert infer_processes([row(22, "a")], {"a": None}) == (row(22, "a"),)
    assert infer_processes([row(22, "a")], {}) == (row(22, "a"),)


def test_a_process_that_was_read_is_not_concluded_again() -> None:
    told = row(22, "a", process=5)
    assert infer_processes([told], {"a": frozenset({7})}) == (told,)


@settings(max_examples=60)
@given(st.text(max_size=12), st.text(max_size=12))
def test_any_parameters_of_an_sdmdev_are_read_without_an_error(pasid: str, pid: str) -> None:
    found = read_pasids(NOTHING, Unknowns(), None, [queue(params={"pasid": pasid, "pid": pid})])
    assert all(one.pasid > 0 for one in found)
