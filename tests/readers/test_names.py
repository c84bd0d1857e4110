from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.readers.names import Names, class_word, find_in_pci_ids

TABLE = b"""\
# A list of ids
1b36  Red Hat, Inc.
\t0010  QEMU NVM Express Controller
\t\t1af4 1100  A subsystem, no device
# a comment inside a vendor
\t000c  QEMU PCIe Root port
8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
\tffff  \xff\x1b[2J
ffff  Illegal Vendor ID
C 01  Mass storage controller
\t08  Non-Volatile memory controller
"""


@pytest.fixture
def names(tmp_path: Path) -> Names:
    file = tmp_path / "pci.ids"
    file.write_bytes(TABLE)
    return Names([str(tmp_path / "missing"), str(file)], hwdb=False)


def test_a_name_is_the_vendor_and_the_device(names: Names) -> None:
    assert names.device("0x1b36", "0x0010") == "Red Hat, Inc. QEMU NVM Express Controller"


def test_a_comment_does_not_end_a_vendor(names: Names) -> None:
    assert names.device("0x1b36", "0x000c") == "Red Hat, Inc. QEMU PCIe Root port"


def test_a_device_of_another_vendor_is_not_taken(names: Names) -> None:
    assert names.device("0x1b36", "0x10d3") == "Red Hat, Inc."


def test_a_subsystem_is_no_device(names: Names) -> None:
    assert names.device("0x1b36", "0x1af4") == "Red Hat, Inc."


def test_an_unknown_vendor_has_no_name(names: Names) -> None:
    assert names.device("0x1234", "0x0010") is None


def test_a_class_is_no_vendor(names: Names) -> None:
    assert names.device("0x01", "0x08") is None


def test_without_ids_there_is_no_name(names: Names) -> None:
    assert names.device(None, "0x0010") is None
    assert names.device("0x8086", None) is None


def test_bytes_of_a_name_that_are_no_text_are_escaped(names: Names) -> None:
    assert names.device("0x8086", "0xffff") == "Intel Corporation \\xff\x1b[2J"


def test_without_a_database_there_are_no_names_and_no_error(tmp_path: Path) -> None:
    assert Names([str(tmp_path / "missing")], hwdb=False).device("0x8086", "0x10d3") is None


def test_answers_are_remembered(tmp_path: Path) -> None:
    file = tmp_path / "pci.ids"
    file.write_bytes(TABLE)
    names = Names([str(file)], hwdb=False)
    assert names.device("0x8086", "0x10d3") is not None
    file.unlink()
    assert names.device("0x8086", "0x10d3") is not None
    assert names.device("0x1b36", "0x0010") is None


def test_a_vendor_in_a_last_line_without_a_newline_is_whole() -> None:
    assert find_in_pci_ids(b"\n8086  Intel", "8086", "10d3") == "Intel"
    assert find_in_pci_ids(b"\n8086  Intel\n\t10d3  NIC", "8086", "10d3") == "Intel NIC"


@settings(max_examples=80)
@given(st.binary(max_size=200))
def test_any_database_is_read_without_an_error(table: bytes) -> None:
    name = find_in_pci_ids(b"\n8086  " + table, "8086", "10d3")
    assert name is None or name.encode()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("0x010802", "NVMe"),
        ("0x019900", "storage"),
        ("0x0c0330", "USB"),
        ("0x120000", "accelerator"),
        ("0xee0000", "device"),
        ("", "device"),
        (None, "device"),
    ],
)
def test_a_class_has_a_word_for_the_sub_class_or_the_class(code: str | None, words: str) -> None:
    assert class_word(code) == words
