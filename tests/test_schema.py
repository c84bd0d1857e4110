import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from sdmtop.backends.base import open_host
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.schema import schema_text

CHECKED_IN = Path(__file__).parents[1] / "docs/snapshot.schema.json"
TREES = sorted((Path(__file__).parent / "trees").glob("*.tar.xz"))

CONTRACT = {
    "iommu_units": "name driver pasid pasid_bits domains_used domains_supported devices",
    "groups": "id domain_type attached owner viable viability_reason reserved_regions devices "
    "shared_by",
    "devices": "address bus path parent group iommu driver driver_override vendor device class "
    "name numa_node irqs pasid sriov physfn sdmdev",
    "mdev_types": "parent id name device_api available_instances flags instances",
    "sdmdevs": "id kind parent type group state domain_of pasid holders params",
    "pasids": "pasid device process source",
    "interrupts": "irq chip hwirq trigger actions per_cpu total device shared_by affinity",
    "processes": "pid name user holds",
    "unknown": "path errno what",
}
"""Contract 2 of design.md, which scripts hold us to."""


def snapshot_of(path: Path) -> Any:
    return json.loads(msgspec.json.encode(read_snapshot(open_host(f"capture:{path}"))))


def test_the_checked_in_schema_is_the_one_of_the_model() -> None:
    assert CHECKED_IN.read_text() == schema_text(), "run 'make schema' and commit the difference"


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_a_snapshot_of_every_captured_host_is_valid(tree: Path) -> None:
    jsonschema.validate(snapshot_of(tree), json.loads(schema_text()))


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_a_snapshot_has_the_keys_of_the_contract_and_no_others(tree: Path) -> None:
    snapshot = snapshot_of(tree)
    assert list(snapshot) == ["schema", "taken_at", "host", *CONTRACT]
    assert list(snapshot["host"]) == ["name", "kernel", "backend", "cpus", "read_only"]
    for name, fields in CONTRACT.items():
        for entry in snapshot[name]:
            assert list(entry) == fields.split()


def test_there_are_captured_hosts_to_test_on() -> None:
    assert len(TREES) >= 4
