"""The scenarios that are shipped: all can be read, and hold what their descriptions promise."""

from collections import Counter
from pathlib import Path

import pytest

import sdmtop.backends.simulator.scenario
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import Scenario, read_scenario
from sdmtop.readers.snapshot import read_snapshot

FILES = Path(sdmtop.backends.simulator.scenario.__file__).parent / "scenarios"
NAMES = ("broken", "default", "edu", "empty", "idxd", "large", "no-pasid", "uacce", "vgpu")


def shipped(name: str) -> Scenario:
    file = FILES / f"{name}.toml"
    return read_scenario(file.read_text(encoding="utf-8"), file.name)


def test_these_are_shipped() -> None:
    assert tuple(sorted(file.stem for file in FILES.glob("*.toml"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_says_in_a_line_what_it_shows(name: str) -> None:
    title = shipped(name).title
    assert 20 < len(title) <= 90
    assert "\n" not in title


def test_the_default_is_a_board_like_the_d06() -> None:
    scenario = shipped("default")
    kinds = Counter(device.accelerator for device in scenario.devices)
    assert (kinds["zip"], kinds["sec"], kinds["hpre"]) == (2, 2, 1)
    groups = Counter(device.group for device in scenario.devices if device.group is not None)
    assert groups["legacy"] == 4  # A bridge, and three devices behind it.
    drivers = {device.driver for device in scenario.devices}
    assert {"hns3", "nvme", "vfio-pci"} <= drivers


def test_large_has_4096_groups_and_65536_queues() -> None:
    scenario = shipped("large")
    assert len(scenario.devices) == 4096
    assert all(device.group is None and device.unit for device in scenario.devices)
    assert sum(device.queues for device in scenario.devices) == 65536


def test_empty_has_no_iommu() -> None:
    assert shipped("empty").units == ()


def test_the_example_of_the_documentation_lives_as_it_says() -> None:
    page = Path(__file__).parents[3] / "docs/scenarios.md"
    example = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    host = SimulatorHost(read_scenario(example, "scenarios.md"))
    for seconds, programs in ((4, 0), (6, 1), (10, 0), (50, 1)):
        host.step(seconds)
        assert len(read_snapshot(host).processes) == programs
