import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Failure, Link, TreeHost
from sdmtop.readers.sysfs import (
    follow,
    in_order,
    index,
    is_absent,
    name_of,
    names,
    natural,
    number,
    target,
    word,
)

REFUSED = OSError(errno.EACCES, "refused")


def test_a_link_names_the_path_that_its_text_leads_to() -> None:
    host = TreeHost({"/sys/bus/pci/devices/a": Link("../../../devices/pci0000:00/a")})
    assert target(host, "/sys/bus/pci/devices/a") == "/sys/devices/pci0000:00/a"


@pytest.mark.parametrize(
    ("text", "path"),
    [("../y", "/sys/y"), ("/else", "/else"), ("../../../../..", "/"), ("", "/sys/x")],
)
def test_a_link_never_leads_above_the_root(text: str, path: str) -> None:
    assert follow("/sys/x", text) == path


def test_a_word_is_a_line_without_its_newline_and_an_empty_one_is_none() -> None:
    assert word(b"DMA-FQ\n") == "DMA-FQ"
    assert word(b" \n") is None
    assert word(REFUSED) is None


def test_the_name_of_a_link_is_the_last_part_of_its_target() -> None:
    assert name_of(b"../../drivers/vfio-pci") == "vfio-pci"
    assert name_of(b"plain") == "plain"
    assert name_of(b"../") is None
    assert name_of(REFUSED) is None


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        (b"12\n", 10, 12),
        (b"-1\n", 10, -1),
        ("2a", 16, 42),
        (b"ffffffffffffffff", 16, (1 << 64) - 1),
        (b"10000000000000000", 16, None),
        (b"", 10, None),
        (b"12 13", 10, None),
        (b"9" * 5000, 10, None),
    ],
)
def test_a_number_is_one_of_64_bits_or_none(
    text: bytes | str, base: int, value: int | None
) -> None:
    assert number(text, base) == value


def test_a_number_that_could_not_be_read_is_none() -> None:
    assert number(REFUSED) is None


@pytest.mark.parametrize(("name", "value"), [("0", 0), ("18", 18), ("9" * 18, 10**18 - 1)])
def test_an_index_is_the_number_that_an_entry_is_named_for(name: str, value: int) -> None:
    assert index(name) == value


@pytest.mark.parametrize("name", ["", "x", "018", "-1", "+1", " 1", "1_0", "٣", "9" * 19])
def test_a_name_that_no_kernel_gives_a_number_is_no_index(name: str) -> None:
    assert index(name) is None


def test_a_directory_that_is_absent_has_no_names_and_one_that_fails_raises() -> None:
    host = TreeHost({"/sys/a/b": b"", "/sys/bad": Directory(errno.EACCES), "/x": Failure(5)})
    assert names(host, "/sys/a") == ["b"]
    assert names(host, "/sys/none") == []
    assert names(host, "/sys/a/b") == []
    with pytest.raises(PermissionError):
        names(host, "/sys/bad")


def test_absent_is_told_from_failing() -> None:
    assert is_absent(OSError(errno.ENOENT, ""))
    assert is_absent(OSError(errno.ENOTDIR, ""))
    assert not is_absent(OSError(errno.ENODEV, ""))


def test_names_are_sorted_with_numbers_as_numbers() -> None:
    unsorted = ["wq10", "wq9", "9", "wq", "a", "10"]
    assert in_order(unsorted) == ["9", "10", "a", "wq", "wq9", "wq10"]


def test_pci_addresses_are_sorted_by_their_hexadecimal_fields() -> None:
    unsorted = ["10000:00:00.0", "0000:a0:00.0", "0000:9f:00.0", "0000:0a:1f.7", "0000:0a:02.0"]
    assert in_order(unsorted) == [*reversed(unsorted)]


_ADDRESSES = st.builds(
    "{:04x}:{:02x}:{:02x}.{}".format,
    st.sampled_from([0, 9, 0xA, 0xFFFF, 0x10000]),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)


@given(st.lists(_ADDRESSES, max_size=6))
def test_addresses_that_are_sorted_as_text_come_in_their_order(unsorted: list[str]) -> None:
    assert in_order(unsorted) == sorted(unsorted, key=natural)


@settings(max_examples=100)
@given(st.lists(st.text(max_size=30), max_size=6))
def test_any_names_can_be_sorted(unsorted: list[str]) -> None:
    keys = [natural(name) for name in unsorted]
    assert min(keys, default=None) == next(iter(sorted(keys)), None)
