"""Numbers and flags, as the kernel's own parsers take and refuse them."""

import errno

import pytest

from sdmtop.backends.simulator.kstrtox import boolean, unsigned
from tests.backends.simulator.machines import NVME, PCI, guest, refused, write


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"0", 0),
        (b"1\n", 1),
        (b"+1", 1),
        (b"01", 1),
        (b"010", 8),
        (b"0x1", 1),
        (b"0XfF\n", 255),
        (b"1\0garbage", 1),
        (b"18446744073709551615", (1 << 64) - 1),
    ],
)
def test_a_number_that_the_kernel_takes(data: bytes, value: int) -> None:
    assert unsigned(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b" 1",
        b"1 ",
        b"1\n\n",
        b"-1",
        b"+-1",
        b"0x",
        b"08",
        b"1_0",
        b"\xb2",
        b"18446744073709551616",
    ],
)
def test_a_number_that_the_kernel_refuses(data: bytes) -> None:
    with refused(errno.EINVAL, "is no number"):
        unsigned(data)


@pytest.mark.parametrize("data", [b"1", b"y", b"Yes\n", b"on", b"ON", b"true", b"1garbage"])
def test_a_flag_is_on(data: bytes) -> None:
    assert boolean(data)


@pytest.mark.parametrize("data", [b"0", b"n", b"No\n", b"off", b"OFF", b"false", b"00"])
def test_a_flag_is_off(data: bytes) -> None:
    assert not boolean(data)


@pytest.mark.parametrize("data", [b"2", b" 1", b"o", b"x", b"\n", b"-1"])
def test_what_is_no_flag_is_refused(data: bytes) -> None:
    with refused(errno.EINVAL, "is neither on nor off"):
        boolean(data)


@pytest.mark.parametrize("name", ["reset", "remove", "sriov_numvfs"])
def test_the_files_of_a_device_take_such_numbers(name: str) -> None:
    host = guest()
    for data in (" 1", "1_0", "x"):
        with refused(errno.EINVAL):
            write(host, f"{PCI}/{NVME}/{name}", data)
    write(host, f"{PCI}/{NVME}/{name}", "0x1\n")
