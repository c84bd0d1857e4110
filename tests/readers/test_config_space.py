import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.model import DevicePasid
from sdmtop.readers.config_space import Capabilities, capability_details, read_capabilities
from sdmtop.readers.unknowns import Unknowns

DEVICE = "/sys/devices/pci0000:00/0000:01:00.0"
CONFIG = f"{DEVICE}/config"


def config(*capabilities: tuple[int, int, bytes]) -> bytes:
    """4096 bytes with (offset, id, what follows the header) chained in their order."""
    space = bytearray(4096)
    for (offset, id_, body), following in zip(
        capabilities, [*capabilities[1:], (0, 0, b"")], strict=True
    ):
        header = id_ | 1 << 16 | following[0] << 20
        space[offset : offset + 4 + len(body)] = header.to_bytes(4, "little") + body
    return bytes(space)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


ALL = config(
    (0x100, 0x01, b"AER: of no interest"),
    (0x150, 0x0D, words(0x1D, 0x1D)),
    (0x180, 0x0F, words(0x20 | 5, 0x8000 | 1)),
    (0x200, 0x10, words(2, 0, 0x9)),
    (0x240, 0x13, words(1, 0x100 | 0x8000)),
    (0x300, 0x1B, words(20 << 8 | 6, 5)),
)


def read(
    data: bytes | Failure, unknowns: Unknowns | None = None, power: str | None = "D0"
) -> Capabilities:
    return read_capabilities(TreeHost({CONFIG: data}), DEVICE, power, unknowns or Unknowns())


def test_the_capabilities_of_a_device_are_found_along_the_list() -> None:
    unknowns = Unknowns()
    found = read(ALL, unknowns)
    assert found.readable
    assert found.pasid == DevicePasid(capable=True, enabled=True, max=1 << 20)
    assert found.ats is not None
    assert (found.ats.capability, found.ats.control) == (0x25, 0x8001)
    assert found.sriov is not None
    assert (found.sriov.capability, found.sriov.control) == (2, 9)
    assert found.pri is not None
    assert found.acs is not None
    assert unknowns.entries() == ()


def test_a_device_with_other_capabilities_only_cannot_do_pasids() -> None:
    found = read(config((0x100, 0x01, b""), (0x140, 0x03, b"")))
    assert (found.readable, found.ats) == (True, None)
    assert found.pasid == DevicePasid(capable=False, enabled=False, max=None)


def test_an_empty_list_is_a_device_without_extended_capabilities() -> None:
    assert read(bytes(4096)).pasid == DevicePasid(capable=False, enabled=False, max=None)


def test_a_conventional_device_read_by_root_has_none() -> None:
    unknowns = Unknowns()
    found = read(bytes(256), unknowns)
    assert found.pasid == DevicePasid(capable=False, enabled=False, max=None)
    assert unknowns.entries() == ()


@pytest.mark.parametrize("size", [64, 128])
def test_what_an_ordinary_user_is_not_shown_is_unknown_and_not_absent(size: int) -> None:
    unknowns = Unknowns()
    found = read(bytes(size), unknowns)
    assert (found.readable, found.pasid) == (False, None)
    assert [(entry.path, entry.errno) for entry in unknowns.entries()] == [(CONFIG, "EACCES")]


def test_one_reason_for_all_devices_has_one_wording() -> None:
    unknowns = Unknowns()
    paths = [f"/sys/devices/d{number}" for number in range(50)]
    host = TreeHost({f"{path}/config": bytes(64) for path in paths})
    for path in paths:
        read_capabilities(host, path, None, unknowns)
    assert len(unknowns.entries()) < 12


@pytest.mark.parametrize("state", ["D1", "D2", "D3hot", "D3cold"])
def test_a_device_that_sleeps_is_not_woken(state: str) -> None:
    unknowns = Unknowns()
    host = TreeHost({CONFIG: ALL})
    assert read_capabilities(host, DEVICE, state, unknowns).pasid is None
    assert host.reading != CONFIG
    (entry,) = unknowns.entries()
    assert state in entry.what


@pytest.mark.parametrize("state", ["D0", "unknown", None])
def test_a_device_that_is_awake_is_read(state: str | None) -> None:
    assert read(ALL, power=state).readable


def test_a_list_that_loops_ends_and_keeps_what_it_had() -> None:
    loop = config((0x100, 0x0F, words(5, 0x8000)), (0x140, 0x01, b""), (0x100, 0, b""))
    space = bytearray(loop)
    space[0x100:0x108] = (0x0F | 1 << 16 | 0x140 << 20).to_bytes(4, "little") + words(5, 0x8000)
    unknowns = Unknowns()
    found = read(bytes(space), unknowns)
    assert found.ats is not None
    assert (found.readable, found.pasid) == (False, None)
    assert [entry.errno for entry in unknowns.entries()] == ["EINVAL"]


def test_a_device_that_has_gone_answers_with_ones_and_is_unknown() -> None:
    unknowns = Unknowns()
    assert read(b"\xff" * 4096, unknowns).pasid is None
    assert [entry.errno for entry in unknowns.entries()] == ["EIO"]


def test_a_refused_read_is_unknown_and_an_absent_file_is_not() -> None:
    unknowns = Unknowns()
    assert read(Failure(errno.EPERM), unknowns).pasid is None
    assert [entry.errno for entry in unknowns.entries()] == ["EPERM"]
    assert read_capabilities(TreeHost({}), DEVICE, None, absent := Unknowns()).pasid is None
    assert absent.entries() == ()


def details(data: bytes) -> dict[str, str]:
    found = capability_details(TreeHost({CONFIG: data}), DEVICE, "D0")
    assert {detail.path for detail in found} == {CONFIG}
    return {detail.name: detail.value for detail in found}


def test_the_inspector_is_told_each_bit_in_words() -> None:
    shown = details(ALL)
    assert shown["PASID enabled"] == "yes"
    assert shown["PASID width"] == "20-bit"
    assert shown["PASID execute"] == "supported, off"
    assert shown["PASID privileged"] == "enabled"
    assert shown["ATS enabled"] == "yes"
    assert shown["ATS smallest unit (STU)"] == "8192 bytes"
    assert shown["ATS queue depth"] == "5"
    assert shown["PRI enabled"] == "yes"
    assert shown["PRI stopped"] == "yes"
    assert shown["ACS source validation"] == "enabled"
    assert shown["ACS translation blocking"] == "not supported"
    assert shown["SR-IOV VFs enabled"] == "yes"


def test_the_inspector_is_told_why_nothing_is_known() -> None:
    (detail,) = capability_details(TreeHost({CONFIG: bytes(64)}), DEVICE, "D0")
    assert (detail.value, "root" in detail.meaning) == ("? (EACCES)", True)


def test_the_inspector_is_told_that_there_is_none() -> None:
    assert list(details(bytes(256)).values()) == ["none of these"]


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.integers(0x40, 0x3FF).map(lambda index: index * 4),
        st.integers(0, 0xFFFF_FFFF),
        max_size=40,
    ),
    st.integers(0, 4096),
)
def test_any_configuration_space_ends_in_an_answer(values: dict[int, int], size: int) -> None:
    space = bytearray(4096)
    for offset, value in values.items():
        space[offset : offset + 4] = value.to_bytes(4, "little")
    unknowns = Unknowns()
    found = read(bytes(space[:size]), unknowns)
    assert found.readable or unknowns.entries()
