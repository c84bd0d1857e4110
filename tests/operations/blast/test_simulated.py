"""The same on simulated hosts: they show what their devices carry as a kernel does."""

import pytest

from sdmtop.backends.base import open_host
from sdmtop.operations.blast import blast_radius
from sdmtop.operations.plan import Verdict
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.blast.box import chain, kinds, of_kind


def radius(scenario: str, *addresses: str) -> tuple[Verdict, ...]:
    host = open_host(f"sim:{scenario}?at=0")
    return blast_radius(host, read_snapshot(host), addresses)


def test_the_disk_with_the_root_is_refused() -> None:
    found = radius("default", "0000:01:00.0")
    assert kinds(found) == {"refused"}
    assert chain(found, "/ is mounted")[1:] == ("nvme0n1", "nvme0n1p2", "/")


def test_the_other_disk_is_free() -> None:
    assert of_kind(radius("default", "0000:04:00.0"), "safe") == ["nvme1n1 holds nothing"]


def test_the_card_with_the_default_route_has_to_be_typed() -> None:
    (sentence,) = of_kind(radius("broken", "0000:02:00.0"), "unsafe")
    assert "the default route" in sentence


def test_queues_of_idxd_that_are_set_up_would_be_lost() -> None:
    found = radius("idxd", "0000:6a:02.0")
    assert of_kind(found, "unsafe") == ["the configuration of its queue wq1.0 goes with it"]


def test_a_reset_may_lose_it_too() -> None:
    host = open_host("sim:idxd?at=0")
    address = "0000:6a:02.0"
    (sentence,) = of_kind(
        blast_radius(host, read_snapshot(host), [address], resets=[address]), "unsafe"
    )
    assert sentence.startswith("the configuration of its queue wq1.0 is lost, unless")


@pytest.mark.parametrize("scenario", ["default", "broken", "edu", "idxd", "uacce", "vgpu"])
def test_no_file_is_missing_that_the_verdicts_rely_on(scenario: str) -> None:
    host = open_host(f"sim:{scenario}?at=0")
    snapshot = read_snapshot(host)
    found = blast_radius(host, snapshot, [device.address for device in snapshot.devices])
    assert not [text for text in of_kind(found, "unknown") if "No such file" in text]
