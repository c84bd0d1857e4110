import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Entry, Failure, Link, TreeHost
from sdmtop.model import IommuUnit
from sdmtop.readers.iommu_units import (
    extended_features,
    read_iommu_units,
    unit_details,
)
from sdmtop.readers.unknowns import Unknowns

CLASS = "/sys/class/iommu"
TREES = Path(__file__).parents[1] / "trees"


def intel(ecap: bytes, **other: bytes) -> TreeHost:
    files = {"cap": b"d2008c222f0686\n", "ecap": ecap, **other}
    return TreeHost({f"{CLASS}/dmar0/intel-iommu/{name}": text for name, text in files.items()})


def amd(features: bytes, release: bytes) -> TreeHost:
    return TreeHost(
        {
            f"{CLASS}/ivhd0/amd-iommu/features": features,
            "/proc/sys/kernel/osrelease": release,
        }
    )


def only(host: TreeHost, unknowns: Unknowns | None = None) -> IommuUnit:
    (unit,) = read_iommu_units(host, unknowns or Unknowns())
    return unit


def values(host: TreeHost) -> dict[str, str]:
    return {detail.name: detail.value for detail in unit_details(host, only(host))}


def test_a_captured_unit_without_pasids_says_so() -> None:
    host = open_host(f"capture:{TREES / 'debian-6.1-intel-plain.tar.xz'}")
    unknowns = Unknowns()
    (unit,) = read_iommu_units(host, unknowns)
    assert (unit.name, unit.driver, unit.pasid, unit.pasid_bits) == ("dmar0", "intel", False, None)
    assert (unit.domains_used, unit.domains_supported) == (23, 65536)
    assert len(unit.devices) == 27
    assert unit.devices[0] == "0000:00:00.0"
    assert unknowns.entries() == ()


def test_a_host_without_iommu_has_no_unit_and_misses_nothing() -> None:
    unknowns = Unknowns()
    assert read_iommu_units(TreeHost({"/sys/class/net/lo": b""}), unknowns) == ()
    assert unknowns.entries() == ()


def test_intel_pasid_width_is_one_more_than_its_field() -> None:
    unit = only(intel(f"{1 << 40 | 19 << 35:x}\n".encode()))
    assert (unit.pasid, unit.pasid_bits) == (True, 20)


def test_a_width_without_pasids_means_nothing() -> None:
    host = intel(f"{19 << 35:x}\n".encode())
    assert only(host).pasid_bits is None
    assert "PASID width (PSS)" not in values(host)


@pytest.mark.parametrize(
    ("release", "text"),
    [(b"6.1.0-56-amd64", b"0:f29d3\n"), (b"6.12.95+deb12-amd64", b"f29d3:0\n")],
)
def test_the_word_order_of_amd_follows_the_kernel(release: bytes, text: bytes) -> None:
    unit = only(amd(text, release))
    assert (unit.driver, unit.pasid, unit.pasid_bits) == ("amd", True, 1)


def test_where_the_order_is_unknown_the_fuller_word_is_taken_and_marked() -> None:
    host = amd(b"0:f000029d3\n", b"6.6.1")
    assert only(host).pasid_bits == 16
    assert "inferred" in values(host)["PASID width (PASMAX)"]
    assert "inferred" not in values(amd(b"0:f000029d3\n", b"6.1.1"))["PASID width (PASMAX)"]


def test_one_word_is_the_feature_register_itself() -> None:
    assert extended_features(b"29d3\n", None) == (0x29D3, False)


def test_amd_without_guest_translation_has_no_pasids() -> None:
    assert only(amd(b"f00000000:0", b"6.12.1")).pasid is False


def test_arm_and_virtio_export_nothing_so_pasids_are_unknown() -> None:
    host = TreeHost(
        {
            f"{CLASS}/smmu3.0x00000000090500/devices/x": b"",
            f"{CLASS}/0000:00:1e.0/device": Link("../../virtio5"),
            f"{CLASS}/a003e00.virtio_mmio/device": Link("../../virtio7"),
            f"{CLASS}/apple-dart.1/devices/x": b"",
        }
    )
    units = {unit.name: unit for unit in read_iommu_units(host, Unknowns())}
    assert {name: unit.driver for name, unit in units.items()} == {
        "smmu3.0x00000000090500": "arm-smmu-v3",
        "0000:00:1e.0": "virtio",
        "a003e00.virtio_mmio": "virtio",
        "apple-dart.1": "other",
    }
    assert {unit.pasid for unit in units.values()} == {None}
    assert [detail.value for detail in unit_details(host, units["0000:00:1e.0"])] == [
        "not exported"
    ]


def test_a_virtio_unit_is_known_by_its_name_where_it_has_no_device_link() -> None:
    assert only(TreeHost({f"{CLASS}/0000:00:1e.0/devices/x": b""})).driver == "virtio"


@pytest.mark.parametrize("link", ["device", "device/driver"])
def test_a_link_that_may_not_be_read_is_unknown(link: str) -> None:
    path = f"{CLASS}/iommu.0"
    places: dict[str, Entry] = {f"{path}/device": Failure(errno.EACCES)}
    if link == "device/driver":
        places = {
            f"{path}/device": Link("/sys/devices/iommu.0"),
            "/sys/devices/iommu.0/driver": Failure(errno.EACCES),
        }
    unknowns = Unknowns()
    only(TreeHost({f"{path}/devices/none": b"", **places}), unknowns)
    (told,) = [one for one in unknowns.entries() if one.errno == "EACCES"]
    assert told.path == f"{path}/{link}"


def test_devices_are_sorted_with_numbers_as_numbers() -> None:
    names = ("0000:10:00.0", "0000:02:00.0", "0000:0a:00.0")
    host = TreeHost({f"{CLASS}/dmar0/devices/{name}": Link("/x") for name in names})
    assert only(host).devices == ("0000:02:00.0", "0000:0a:00.0", "0000:10:00.0")


def test_a_register_that_fails_is_unknown_and_the_others_are_kept() -> None:
    host = TreeHost(
        {
            f"{CLASS}/dmar0/intel-iommu/ecap": Failure(errno.EIO),
            f"{CLASS}/dmar0/intel-iommu/domains_used": b"8\n",
        }
    )
    unknowns = Unknowns()
    unit = only(host, unknowns)
    assert (unit.pasid, unit.domains_used) == (None, 8)
    assert [(entry.path, entry.errno) for entry in unknowns.entries()] == [
        (f"{CLASS}/dmar0/intel-iommu/ecap", "EIO")
    ]
    assert values(host)["ecap"] == "? (EIO)"


def test_a_register_that_is_no_number_is_unknown() -> None:
    unknowns = Unknowns()
    assert only(intel(b"\x1b[31m"), unknowns).pasid is None
    assert [entry.errno for entry in unknowns.entries()] == ["EINVAL"]
    assert values(intel(b"\x1b[31m"))["ecap"] == "\\x1b[31m"


def test_the_capabilities_of_intel_are_decoded_from_the_lab_kernel() -> None:
    shown = values(intel(b"490080f00f4a\n", cap=b"d2008c22260286\n"))
    assert shown["Domains (ND)"] == "65536"
    assert shown["Caching mode (CM)"] == "yes"
    assert shown["Maximum address width (MGAW)"] == "39-bit"
    assert shown["Guest address widths (SAGAW)"] == "39-bit (3 levels)"
    assert shown["Queued invalidation (QI)"] == "yes"
    assert shown["Device TLB (DT, ATS)"] == "no"
    assert shown["PASID"] == "yes"
    assert shown["PASID width (PSS)"] == "1-bit"
    assert shown["Scalable mode (SMTS)"] == "yes"


def test_the_capabilities_of_amd_are_decoded_from_the_lab_kernel() -> None:
    shown = values(amd(b"29d3:0\n", b"7.0.0"))
    assert shown["Guest translation (GT)"] == "yes"
    assert shown["Host tables (HATS)"] == "6 levels"
    assert shown["PASID width (PASMAX)"] == "1-bit"
    assert shown["Secure nested paging (SNP)"] == "no"


@settings(max_examples=60)
@given(st.binary(max_size=80), st.one_of(st.none(), st.text(max_size=20)))
def test_any_features_and_any_release_are_read_without_an_error(
    text: bytes, release: str | None
) -> None:
    answer = extended_features(text, release)
    assert answer is None or answer[0] == int(answer[0])


@settings(max_examples=60)
@given(st.binary(max_size=80))
def test_any_register_gives_a_unit_and_details_that_can_be_printed(text: bytes) -> None:
    host = intel(text, cap=text, version=text, domains_used=text)
    assert only(host).driver == "intel"
    assert all(detail.value.isprintable() for detail in unit_details(host, only(host)))
