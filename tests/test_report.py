"""The tree as text."""

import pytest

from sdmtop.report import tree_text
from tests.records import device, group, queue, snapshot

NIC = "0000:02:00.0"
UUID = "5d3de000-0000-4000-8000-00000000000"


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.__stdout__", None)


def test_into_a_pipe_nothing_is_cut() -> None:
    nic = device(NIC, group=1, driver="a_driver_with_a_long_name", name="Some Card " * 8)
    text = tree_text(
        snapshot(
            groups=[group(1, NIC)],
            devices=[nic],
            sdmdevs=[queue(f"{UUID}{number}", parent=NIC) for number in range(6)],
        )
    )
    assert "…" not in text
    assert all(f"    {UUID}{number} " in text for number in range(6))


def test_one_hostile_name_does_not_widen_every_line() -> None:
    text = tree_text(snapshot(devices=[device(NIC, driver="A" * 65536)]))
    assert max(map(len, text.splitlines())) < 400


def test_on_a_terminal_lines_are_as_wide_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = tree_text(snapshot(groups=[group(1, NIC)], devices=[device(NIC, name="x" * 200)]))
    assert max(map(len, text.splitlines())) <= 60


def test_a_group_without_a_unit_is_an_iommu_all_the_same() -> None:
    assert "No IOMMU is active" not in tree_text(snapshot(groups=[group(1, NIC)]))
    assert "No IOMMU is active" in tree_text(snapshot())
