import errno

import pytest

from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.readers.host import count_of_list, host_facts, kernel_release
from sdmtop.readers.unknowns import Unknowns

NAME = "/proc/sys/kernel/hostname"
RELEASE = "/proc/sys/kernel/osrelease"
ONLINE = "/sys/devices/system/cpu/online"


def test_a_host_has_a_name_a_kernel_and_cpus() -> None:
    host = TreeHost({NAME: b"box\n", RELEASE: b"6.12.95\n", ONLINE: b"0-3,8\n"})
    unknowns = Unknowns()
    assert host_facts(host, unknowns) == {
        "name": "box",
        "kernel": "6.12.95",
        "backend": "capture",
        "cpus": 5,
    }
    assert unknowns.entries() == ()


def test_the_release_is_taken_from_the_version_where_a_capture_has_only_that() -> None:
    host = TreeHost({"/proc/version": b"Linux version 6.1.0-56-amd64 (gcc) #1 SMP\n"})
    assert kernel_release(host, Unknowns()) == "6.1.0-56-amd64"


@pytest.mark.parametrize("text", [b"", b"Linux", b"FreeBSD version 14 x", b"Linux version"])
def test_a_version_of_another_form_is_no_release(text: bytes) -> None:
    assert kernel_release(TreeHost({"/proc/version": text}), Unknowns()) is None


def test_what_is_absent_is_none_and_not_unknown() -> None:
    unknowns = Unknowns()
    facts = host_facts(TreeHost({"/sys/x": b""}), unknowns)
    assert (facts["name"], facts["kernel"], facts["cpus"]) == (None, None, None)
    assert unknowns.entries() == ()


@pytest.mark.parametrize("path", [NAME, RELEASE, ONLINE])
def test_what_is_refused_is_unknown(path: str) -> None:
    unknowns = Unknowns()
    host_facts(TreeHost({path: Failure(errno.EACCES)}), unknowns)
    assert [(entry.path, entry.errno) for entry in unknowns.entries()] == [(path, "EACCES")]


@pytest.mark.parametrize(
    ("text", "count"), [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5), ("0-8191", 8192)]
)
def test_a_list_counts_its_numbers(text: str, count: int) -> None:
    assert count_of_list(text) == count


@pytest.mark.parametrize(
    "text", ["", "x", "3-0", "0-", "-1", "0,,1", "0-9999999999999999999999", "9" * 5000, "٣"]
)
def test_what_is_no_list_of_cpus_has_no_count(text: str) -> None:
    assert count_of_list(text) is None
