import json

import pytest

from sdmtop.cli import run

BUSY = "capture:tests/trees/guest-6.12-intel-busy.tar.xz"


def test_what_is_wrong_comes_first_with_why_and_what_to_do(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor", "--host", BUSY]) == 1
    lines = capfd.readouterr().out.splitlines()
    marks = [line[:4] for line in lines if not line.startswith(" ")][:-1]
    assert marks == sorted(marks, key=["FAIL", "pass", "skip"].index)
    first = lines.index(next(line for line in lines if line.startswith("FAIL  orphans")))
    advice = lines[first : first + 10]
    assert any(line.startswith("        why: ") for line in advice)
    assert any(line.startswith("        do:  ") for line in advice)


def test_json_has_the_advice_beside_the_fields_of_a_result(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor", "--host", BUSY, "--format", "json"]) == 1
    results = json.loads(capfd.readouterr().out)["results"]
    assert {result["target"] for result in results} == {"host"}
    assert all(result["why"] and result["remedy"] for result in results)


def test_a_box_with_nothing_wrong_is_done(
    tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path_factory.mktemp("box")
    for path, text in {
        "sys/class/iommu/dmar0/intel-iommu/ecap": "f00f4e\n",
        "sys/kernel/iommu_groups/1/type": "DMA\n",
        "sys/kernel/iommu_groups/1/reserved_regions": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    assert run(["doctor", "--host", f"capture:{root}"]) == 0
    assert "0 failed" in capfd.readouterr().out
