"""Texts of the kernel and contents of disks: the usual ones, and any bytes at all."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.operations.blast.console import parse_keyboards
from sdmtop.operations.blast.crypto import parse_crypto
from sdmtop.operations.blast.routes import (
    parse_address,
    parse_if_inet6,
    parse_ipv6_route,
    parse_local_ipv4,
    parse_route,
    parse_tcp,
)
from sdmtop.operations.blast.session import parse_stat
from sdmtop.operations.blast.signatures import HEAD, identify, pool_name
from sdmtop.readers.mounts import parse_mountinfo

WORDS = st.sampled_from(
    [b"0", b"1", b"-", b"/", b"eth0", b"01", b"ffffffff", b"0" * 32, b"9" * 40, b"\\040", b"\xff"]
)
TEXTS = st.binary(max_size=300) | st.lists(
    st.lists(WORDS, max_size=12).map(b" ".join), max_size=4
).map(b"\n".join)


@settings(max_examples=200)
@given(TEXTS)
@pytest.mark.parametrize(
    "parse",
    [
        parse_crypto,
        parse_if_inet6,
        parse_ipv6_route,
        parse_keyboards,
        parse_local_ipv4,
        parse_mountinfo,
        parse_route,
        parse_stat,
        lambda text: list(parse_tcp(text)),
        lambda text: identify(text, text),
        pool_name,
    ],
)
def test_any_text_is_read_without_an_error(parse: Callable[[bytes], object], text: bytes) -> None:
    parse(text)


def test_a_line_of_mountinfo() -> None:
    (mount,) = parse_mountinfo(
        rb"36 35 98:0 /mnt1 /my\040mnt rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=x"
    )
    assert (mount.number, mount.point) == ("98:0", "/my mnt")
    assert (mount.type, mount.source, mount.options) == ("ext3", "/dev/root", "rw,errors=x")


@pytest.mark.skipif(sys.byteorder == "big", reason="the text is that of a little-endian machine")
def test_a_line_of_route() -> None:
    head = b"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    (route,) = parse_route(head + b"eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n")
    assert (route.interface, str(route.network), route.metric) == ("eth0", "192.0.2.0/24", 100)


def test_a_route_that_rejects_leads_nowhere() -> None:
    line = b"*\t000200C0\t00000000\t0201\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    assert parse_route(b"Iface\n" + line) == []


def test_a_line_of_ipv6_route() -> None:
    zeros = "0" * 32
    line = f"20010db8{'0' * 24} 20 {zeros} 00 {zeros} 00000100 1 0 00000001     eth0\n"
    (route,) = parse_ipv6_route(line.encode())
    assert (route.interface, str(route.network), route.metric) == ("eth0", "2001:db8::/32", 256)


@pytest.mark.skipif(sys.byteorder == "big", reason="the text is that of a little-endian machine")
def test_an_established_connection() -> None:
    line = (
        b"head\n   1: 010200C0:0016 0771C6C6:D431 01 00000000:00000000 02:0001 0 0 0 18777 2 0 20\n"
        b"   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:0000 0 0 0 1 1 0 100\n"
    )
    (connection,) = parse_tcp(line)
    assert connection.local == IPv4Address("192.0.2.1")
    assert (connection.port, connection.remote, connection.inode) == (
        22, IPv4Address("198.198.113.7"), 18777,
    )  # fmt: skip


@pytest.mark.skipif(sys.byteorder == "big", reason="the text is that of a little-endian machine")
def test_an_ipv4_address_in_a_table_of_ipv6_is_that_address() -> None:
    mapped = "0000000000000000FFFF0000010200C0"
    line = f"head\n 1: {mapped}:0016 {mapped}:D431 01 0:0 0:0 0 0 0 5 1 0\n"
    assert [one.remote for one in parse_tcp(line.encode())] == [IPv4Address("192.0.2.1")]


def test_addresses_as_programs_spell_them() -> None:
    assert parse_address("fe80::1%eth0") == IPv6Address("fe80::1%eth0")
    assert parse_address("::ffff:192.0.2.1") == IPv4Address("192.0.2.1")
    assert parse_address("nas.example") is None


def test_our_own_addresses() -> None:
    text = b"""Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
Local:
     |-- 192.0.2.2
        /32 host LOCAL
"""
    assert parse_local_ipv4(text) == [IPv4Address("192.0.2.2")]


# -- disks ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(0, 40_000), st.integers(1, 255))
def test_one_byte_that_is_not_zero_is_not_nothing(place: int, value: int) -> None:
    head = bytearray(65536)
    head[place] = value
    assert identify(bytes(head), b"") != ""
    assert identify(bytes(65536), bytes(head)) != ""


@pytest.mark.parametrize(
    ("command", "type_"),
    [
        ("mkfs.ext4 -q -F", "ext2/3/4"),
        ("mkswap", "swap"),
        ("mkfs.xfs -q -f", "xfs"),
        ("mkfs.btrfs -q -f", "btrfs"),
        ("mkfs.vfat", "vfat"),
        ("mkfs.f2fs -q -f", "f2fs"),
        ("sfdisk --quiet --label gpt", "partition table"),
        ("sfdisk --quiet --label dos", "partition table"),
    ],
)
def test_what_the_tools_write_is_known(command: str, type_: str, tmp_path: Path) -> None:
    tool, *options = command.split()
    found = shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        pytest.skip(f"{tool} is not installed")
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(512 * 1024 * 1024)
    subprocess.run(
        [found, *options, str(disk)], input=b"2048\n", capture_output=True, check=True, timeout=60
    )
    with disk.open("rb") as stream:
        head = stream.read(HEAD)
    assert identify(head, b"") == type_


@pytest.mark.parametrize("place", [8 * 1024, 64 * 1024, 127 * 1024])
def test_an_old_raid_member_is_known_by_its_end(place: int) -> None:
    tail = bytearray(HEAD)
    tail[HEAD - place : HEAD - place + 4] = b"\xfc\x4e\x2b\xa9"
    assert identify(bytes(HEAD), bytes(tail)) == "linux_raid_member"
