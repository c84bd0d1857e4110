import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.readers.intel_debugfs import (
    TABLES,
    TABLES_LIMIT,
    Translation,
    parse,
    read_translation,
)
from sdmtop.readers.unknowns import Unknowns

TREES = Path(__file__).parents[1] / "trees"
UNIT = "/sys/class/iommu/dmar0/devices"
HEADER = (
    b"IOMMU dmar0: Root Table Address: 0x5eb000\n"
    b"B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry\n"
)


def scalable(function: str, pasid: int, v2: int, v1: int, v0: int) -> bytes:
    return (
        f"{function}\t0x00000000005fb001:0x00000000005ee001\t"
        f"0x0000000000000000:0x00000000005ed401\t{pasid:<6}\t"
        f"0x{v2:016x}:0x{v1:016x}:0x{v0:016x}\n"
    ).encode()


def legacy(function: str, high: int, low: int) -> bytes:
    return (
        f"{function}\t0x0000000000000000:0x0000000002e2a001\t"
        f"0x{high:016x}:0x{low:016x}\t-1    \t"
        f"0x{0:016x}:0x{0:016x}:0x{0:016x}\n"
    ).encode()


def host_with(text: bytes, *behind: str) -> TreeHost:
    unit: dict[str, bytes | Link | Failure] = {"/sys/class/iommu/dmar0/uevent": b""}
    links = {f"{UNIT}/{name}": Link("/x") for name in behind}
    return TreeHost({TABLES: text, **unit, **links})


def read(text: bytes, *behind: str) -> Translation:
    translation = read_translation(host_with(text, *behind), Unknowns())
    assert translation is not None
    return translation


def test_the_lab_kernel_shows_what_each_device_goes_through() -> None:
    host = open_host(f"capture:{TREES / 'lab-6.12-intel-debugfs.tar.xz'}")
    unknowns = Unknowns()
    translation = read_translation(host, unknowns)
    assert translation is not None
    assert unknowns.entries() == ()
    assert {translation.requests(address) for address in translation.addresses()} == {"translated"}
    assert len(list(translation.addresses())) == 30
    assert translation.lists("0000:06:03.0") is True


def test_a_scalable_row_tells_table_domain_and_kind() -> None:
    translation = read(HEADER + scalable("00:06.0", 0, 0, 7, 0x86C085), "0000:00:06.0")
    (row,) = translation.rows("0000:00:06.0")
    assert (row.pasid, row.table, row.domain, row.type) == (0, 0x86C000, 7, "second-level")
    assert row.present
    assert translation.live_pasids("0000:00:06.0") == ()


def test_pasids_above_zero_are_live_and_sorted_and_those_not_present_are_not() -> None:
    text = HEADER + b"".join(
        scalable("6a:01.0", pasid, 0x12345000, 3, 0x41 if pasid != 7 else 0x40)
        for pasid in (0, 500, 7, 22)
    )
    assert read(text, "0000:6a:01.0").live_pasids("0000:6a:01.0") == (22, 500)


def test_a_first_level_row_is_named_by_the_page_table_of_the_process() -> None:
    translation = read(HEADER + scalable("00:06.0", 9, 0xABC000, 7, 0x41), "0000:00:06.0")
    (row,) = translation.rows("0000:00:06.0")
    assert (row.table, row.type) == (0xABC000, "first-level")


def test_in_legacy_mode_the_context_entry_itself_is_read() -> None:
    text = HEADER + legacy("04:00.0", 0x1302, 0x2E64005) + legacy("05:00.0", 0x102, 0x9)
    translation = read(text, "0000:04:00.0")
    (row,) = translation.rows("0000:04:00.0")
    assert (row.pasid, row.table, row.domain, row.type) == (None, 0x2E64000, 0x13, "second-level")
    assert [row.type for row in translation.rows("0000:05:00.0")] == ["pass-through"]


def test_kernels_before_scalable_mode_print_three_columns() -> None:
    text = HEADER + b"00:02.0\t0x0:0x2e2a001\t0x0000000000000402:0x0000000002e31001\n"
    (row,) = read(text, "0000:00:02.0").rows("0000:00:02.0")
    assert (row.pasid, row.table, row.domain, row.type) == (None, 0x2E31000, 4, "second-level")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (scalable("00:06.0", 0, 0, 7, 0x86C085), "translated"),
        (scalable("00:06.0", 0, 0xABC000, 7, 0x41), "translated"),
        (scalable("00:06.0", 0, 0, 1, 0x101), "pass-through"),
        (scalable("00:06.0", 0, 0, 1, 0x1C1), None),  # A kind that the specification reserves.
        (scalable("00:06.0", 0, 0, 7, 0x86C084), None),  # Not present.
        (scalable("00:06.0", 9, 0xABC000, 7, 0x41), None),  # Of a process alone.
        (legacy("00:06.0", 0x102, 0x1001), "translated"),
        (legacy("00:06.0", 0x102, 0x9), "pass-through"),
        (b"", "blocked"),
    ],
)
def test_a_row_tells_what_becomes_of_requests_without_pasid(row: bytes, told: str | None) -> None:
    assert read(HEADER + row, "0000:00:06.0").requests("0000:00:06.0") == told


def test_a_device_without_a_row_is_blocked_only_if_its_unit_was_shown() -> None:
    text = HEADER + legacy("00:01.0", 0x102, 0x1001)
    translation = read(text, "0000:00:01.0", "0000:00:02.0")
    assert translation.lists("0000:00:01.0") is True
    assert translation.lists("0000:00:02.0") is False
    assert translation.lists("0000:00:09.0") is None


def test_a_unit_that_does_not_translate_blocks_nothing() -> None:
    translation = read(b"DMA Remapping is not enabled on dmar0\n", "0000:00:01.0")
    assert translation.lists("0000:00:01.0") is None


def test_the_segment_is_that_of_the_devices_behind_the_unit() -> None:
    translation = read(HEADER + legacy("00:01.0", 0x102, 0x1001), "0002:00:01.0")
    assert translation.lists("0002:00:01.0") is True
    assert translation.lists("0000:00:01.0") is None


def test_a_file_cut_short_says_so_and_tells_nothing_of_missing_rows() -> None:
    row = legacy("00:01.0", 0x102, 0x1001)
    host = host_with(HEADER + row + row[:40], "0000:00:01.0", "0000:00:02.0")
    unknowns = Unknowns()
    translation = read_translation(host, unknowns)
    assert translation is not None
    assert translation.lists("0000:00:01.0") is True
    assert translation.lists("0000:00:02.0") is None
    assert [entry.errno for entry in unknowns.entries()] == ["EFBIG"]


def test_no_more_than_the_limit_is_read() -> None:
    text = HEADER + legacy("00:01.0", 0x102, 0x1001) * (TABLES_LIMIT // 100)
    unknowns = Unknowns()
    assert read_translation(host_with(text), unknowns) is not None
    assert unknowns.entries()[0].what.endswith(f"{TABLES_LIMIT} bytes")


def test_lines_of_another_form_are_counted_as_unknown() -> None:
    text = HEADER + b"00:01.0\tnew\tform\nsomething new\n" + legacy("00:02.0", 0x102, 0x1001)
    unknowns = Unknowns()
    translation = read_translation(host_with(text), unknowns)
    assert translation is not None
    assert list(translation.addresses()) == ["0000:00:02.0"]
    (entry,) = unknowns.entries()
    assert (entry.errno, entry.what.count("2 lines")) == ("EINVAL", 1)


@pytest.mark.parametrize(
    ("files", "name", "words"),
    [
        ({"/sys/kernel/debug": Failure(errno.EACCES)}, "EACCES", "root only"),
        ({TABLES: Failure(errno.EACCES)}, "EACCES", "root only"),
        ({TABLES: Failure(errno.EPERM)}, "EPERM", "lockdown"),
        ({TABLES: Failure(errno.EIO)}, "EIO", "could not be read"),
        ({"/sys/kernel/debug/irq/x": b""}, "ENOENT", "without CONFIG_IOMMU_DEBUGFS"),
        ({"/sys/kernel/debug/iommu/x": b""}, "ENOENT", "CONFIG_INTEL_IOMMU_DEBUGFS"),
        ({}, "ENOENT", "no debugfs here"),
    ],
)
def test_why_the_tables_cannot_be_seen_is_told_in_words(
    files: dict[str, bytes | Link | Failure], name: str, words: str
) -> None:
    host = TreeHost({f"{UNIT}/0000:00:01.0": Link("/x"), **files})
    unknowns = Unknowns()
    assert read_translation(host, unknowns) is None
    (entry,) = unknowns.entries()
    assert (entry.path, entry.errno) == (TABLES, name)
    assert words in entry.what


def test_debugfs_that_is_not_mounted_is_told_from_a_kernel_without_it(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/debug").mkdir(parents=True)
    (tmp_path / "sys/class/iommu/dmar0").mkdir(parents=True)
    unknowns = Unknowns()
    assert read_translation(open_host(f"linux:{tmp_path}"), unknowns) is None
    assert "not mounted" in unknowns.entries()[0].what


def test_without_an_intel_unit_nothing_is_missing() -> None:
    unknowns = Unknowns()
    assert read_translation(TreeHost({"/sys/class/iommu/ivhd0/x": b""}), unknowns) is None
    assert unknowns.entries() == ()


LINES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([HEADER, legacy("00:01.0", 0x102, 1), scalable("00:01.0", 5, 1, 2, 0x41)]),
    st.builds(lambda raw: b"00:01.0\t" + raw, st.binary(max_size=60)),
)


@settings(max_examples=100)
@given(st.lists(LINES, max_size=12).map(b"\n".join))
def test_any_text_gives_rows_or_a_count_of_lines_not_understood(text: bytes) -> None:
    units, misread = parse(text)
    rows = sum(len(found) for devices in units.values() for found in devices.values())
    assert rows + misread <= text.count(b"\n")


def test_a_line_that_is_not_understood_may_be_that_of_any_device() -> None:
    unknowns = Unknowns()
    text = HEADER + scalable("00:02.0", 0, 0, 2, 0x1001) + b"00:03.0\tsomething\tnew\n"
    found = read_translation(host_with(text, "0000:00:02.0", "0000:00:03.0"), unknowns)
    assert found is not None
    assert (found.lists("0000:00:02.0"), found.lists("0000:00:03.0")) == (True, None)


@pytest.mark.parametrize("name", ["INT33C2:00", "10000:01:00.0"])
def test_a_device_that_the_rows_know_by_another_name_is_not_missing(name: str) -> None:
    text = HEADER + scalable("00:02.0", 0, 0, 2, 0x1001)
    assert read(text, "0000:00:02.0", name).requests(name) is None
