"""Facts are read as they were when the plan was made, and said in words."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.tree import Directory, Entry, Failure, Link, TreeHost
from sdmtop.operations.facts import (
    as_set,
    difference,
    now,
    say,
    say_difference,
    say_set,
    value_of,
)
from sdmtop.operations.plan import ANY, Fact, FactKind

HOST = TreeHost(
    {
        "/d/driver": Link("../bus/drivers/e1000e"),
        "/d/type": "DMA-FQ\n",
        "/d/empty": "\n",
        "/d/affinity": "3,0-1\n",
        "/d/config": b"\x86\x80\xd3\x10\0\0\0\0\1\0\0\2rest",
        "/d/virtfn0": Link("../x"),
        "/d/virtfn1": Link("../y"),
        "/g/devices/0000:00:10.0": Link("x"),
        "/g/devices/0000:00:02.0": Link("x"),
        "/broken": Failure(errno.EIO),
    }
)


@pytest.mark.parametrize(
    ("kind", "path", "value", "said"),
    [
        ("link", "/d/driver", "e1000e", "/d/driver leads to e1000e"),
        ("link", "/d/none", None, "/d/none is not there"),
        ("text", "/d/type", "DMA-FQ", "/d/type is DMA-FQ"),
        ("text", "/d/empty", "", "/d/empty is (empty)"),
        ("cpus", "/d/affinity", "0-1,3", "/d/affinity is 0-1,3"),
        ("names", "/g/devices", "0000:00:02.0 0000:00:10.0",
         "/g/devices holds 0000:00:02.0 0000:00:10.0"),
        ("count", "/d/virtfn", "2", "/d/virtfn* is there 2 times"),
        ("exists", "/d/type", "yes", "/d/type is there"),
        ("exists", "/d/none", None, "/d/none is not there"),
        (
            "config",
            "/d/config",
            "8086:10d3 class 020000",
            "/d/config tells 8086:10d3 class 020000",
        ),
    ],
)  # fmt: skip
def test_each_kind_of_fact(kind: FactKind, path: str, value: str | None, said: str) -> None:
    fact = now(HOST, kind, path)
    assert fact == Fact(kind, path, value)
    assert say(fact) == said
    assert difference(HOST, fact) is None


def test_a_fact_that_is_not_so_says_what_is() -> None:
    found = difference(HOST, Fact("link", "/d/driver", None))
    assert found is not None
    assert say_difference(found) == "/d/driver: expected nothing, found e1000e"


def test_what_the_kernel_chooses_is_never_wrong() -> None:
    assert difference(HOST, Fact("link", "/d/driver", ANY)) is None
    assert say(Fact("link", "/d/driver", ANY)) == "/d/driver is what the kernel makes it"


def test_what_cannot_be_read_is_not_taken_for_absent() -> None:
    with pytest.raises(OSError, match="Input/output"):
        value_of(HOST, Fact("text", "/broken", None))
    found = difference(HOST, Fact("text", "/broken", None))
    assert found is not None
    assert "cannot be read" in say_difference(found)


@given(st.frozensets(st.integers(min_value=0, max_value=300), min_size=1))
def test_a_list_of_cpus_has_one_spelling(numbers: frozenset[int]) -> None:
    text = as_set(",".join(map(str, numbers)))
    assert as_set(text) == text
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    assert found == numbers


@pytest.mark.parametrize(
    "text", ["", "x", "3-1", "-1", "1,,2", "0-99999999", "1_0", "+1", "٣", "1- 2"]
)
def test_what_is_no_list_of_cpus(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        as_set(text)


def test_an_override_is_not_read_while_an_unbind_holds_the_lock_of_the_device() -> None:
    path = "/d/driver_override"
    entries: dict[str, Entry] = {
        "/d/modalias": "pci:v00001234d000011E8sv00001AF4sd00001100bc00sc00i00\n",
        path: "vfio-pci\n",
    }
    assert value_of(TreeHost(entries), Fact("text", path, None)) == "vfio-pci"
    waiting = TreeHost({**entries, "/d/mdev_supported_types": Directory()})
    with pytest.raises(OSError, match="an unbind of the device is under way"):
        value_of(waiting, Fact("text", path, None))


def test_a_set_of_cpus_of_any_size_is_spelled_shortly() -> None:
    assert say_set(range(8192)) == "0-8191"
    assert as_set(say_set(range(0, 8192, 2))) == say_set(range(0, 8192, 2))
