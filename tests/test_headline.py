"""What the first lines of the screen say."""

import pytest

from sdmtop.headline import is_without_iommu, no_iommu_help


@pytest.mark.parametrize("size", [(40, 10), (60, 19), (80, 24), (120, 40), (78, 20), (77, 40)])
def test_the_help_without_an_iommu_fits_and_offers_the_simulator(size: tuple[int, int]) -> None:
    lines = no_iommu_help(*size)
    assert all(len(line) + 1 <= min(size[0], 79) for line in lines)
    assert "No IOMMU is active" in lines[0]
    assert "--host sim:" in lines[-1]
    assert len(lines) == (4 if size[1] >= 20 and size[0] >= 79 else 1)


def test_an_iommu_is_told_by_its_units_or_by_its_groups() -> None:
    assert is_without_iommu([], [])
    assert not is_without_iommu(["dmar0"], [])
    assert not is_without_iommu([], [1])
