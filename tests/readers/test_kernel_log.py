import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends.tree import TreeHost
from sdmtop.model import Fault
from sdmtop.readers.kernel_log import FAULTS_KEPT, parse, read_faults


def record(text: str, *fields: str, usec: int = 13_845_396) -> bytes:
    lines = "".join(f"\n {field}" for field in fields)
    return f"3,812,{usec},-;{text}{lines}\n".encode()


def only(*records: bytes) -> Fault:
    (fault,) = parse(list(records))
    return fault


@pytest.mark.parametrize("device", ["01:00.0", "0000:01:00.0", "0x01:0x00.0"])
def test_a_fault_of_intel_names_its_device_in_every_spelling(device: str) -> None:
    text = (
        f"DMAR: [DMA Write NO_PASID] Request device [{device}] fault addr 0xa00000 "
        "[fault reason 0x05] PTE Write access is not set"
    )
    fault = only(record("DMAR: DRHD: handling fault status reg 2"), record(text))
    assert (fault.device, fault.pasid, fault.seconds) == ("0000:01:00.0", None, 13.845396)
    assert fault.text == text


def test_a_fault_of_intel_names_its_pasid() -> None:
    text = "DMAR: [DMA Read PASID 0x1f] Request device [6a:01.0] fault addr 0x1 [fault reason 0x5b]"
    assert only(record(text)).pasid == 31


def test_older_kernels_print_minus_one_for_no_pasid() -> None:
    text = "DMAR: [DMA Read] Request device [00:02.0] PASID ffffffff fault addr 0"
    assert only(record(text)).pasid is None


@pytest.mark.parametrize(
    ("text", "pasid"),
    [
        ("AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:00.0 domain=0x0d flags=0x0070]", None),
        (
            "AMD-Vi: Event logged [INVALID_PPR_REQUEST device=0000:01:00.0 pasid=0x00021 flags=0]",
            33,
        ),
        ("AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=0000:01:00.0 pasid=0x00000]", None),
        ("nvme 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0000 flags=0x0]", None),
    ],
)
def test_a_fault_of_amd_names_its_device_in_the_event_or_before_it(
    text: str, pasid: int | None
) -> None:
    fault = only(record(text))
    assert (fault.device, fault.pasid) == ("0000:01:00.0", pasid)


def arm(text: str) -> bytes:
    return record(f"arm-smmu-v3 arm-smmu-v3.0.auto: {text}", "DEVICE=+platform:arm-smmu-v3.0.auto")


def test_an_event_of_arm_in_numbers_is_one_fault_with_its_substream() -> None:
    numbers = ("0x0000020000021810", "0x0000020000000000", "0x00000000fffc0000", "0x0")
    fault = only(arm("event 0x10 received:"), *(arm(f"\\x09{number}") for number in numbers))
    assert (fault.device, fault.pasid) == (None, 0x21)
    assert fault.text.endswith("received: 0x0000020000021810 0x0000020000000000 0x00000000fffc0000")


def test_a_substream_that_is_not_marked_valid_is_none() -> None:
    fault = only(arm("event 0x10 received:"), arm("\\x090x0000020000021010"))
    assert fault.pasid is None


def test_an_event_of_arm_in_words_takes_the_place_of_its_numbers() -> None:
    fault = only(
        arm("event 0x10 received:"),
        arm("\\x090x0000020000000010"),
        arm("event: F_TRANSLATION client: 0000:01:00.0 sid: 0x8 ssid: 0x5 iova: 0x0 ipa: 0x0"),
        arm('unpriv data write s1 "Input address caused fault" stag: 0x0'),
    )
    assert (fault.device, fault.pasid) == ("0000:01:00.0", 5)


def test_an_event_of_arm_without_substream_or_client_tells_neither() -> None:
    fault = only(arm("event: C_BAD_STREAMID client: (unassigned sid) sid: 0x8 ssid: 0x0"))
    assert (fault.device, fault.pasid) == (None, None)


@pytest.mark.parametrize(
    "text",
    [
        "arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0xff3cf000, "
        "fsynr=0x300003, cbfrsynra=0x409, cb=10",
        "arm-smmu 15000000.iommu: Blocked unknown Stream ID 0x409; boot with "
        '"arm-smmu.disable_bypass=0" to allow, but this may have security implications',
        "virtio_iommu virtio3: page fault from EP 8 at 0x1000 [read write]",
    ],
)
def test_a_fault_that_names_a_stream_is_nobodys(text: str) -> None:
    fault = only(record(text, "SUBSYSTEM=platform", "DEVICE=+platform:5000000.iommu"))
    assert (fault.device, fault.pasid, fault.text) == (None, None, text)


def test_numbers_that_follow_another_fault_are_not_joined_to_it() -> None:
    relay = record("vfio-pci 0000:01:00.0: Relaying device request to user (#0)")
    assert only(relay, arm("0x0000020000021810")).text.endswith("(#0)")


def test_a_device_that_is_not_given_back_is_named_by_the_records_field() -> None:
    text = "vfio-pci 0000:01:00.0: No device request channel registered, blocked until released"
    assert only(record(text, "SUBSYSTEM=pci", "DEVICE=+pci:0000:01:00.0")).device == "0000:01:00.0"


def test_a_device_that_is_not_given_back_is_named_by_the_text_where_no_field_is() -> None:
    text = 'vfio-pci 0000:02:00.0: Device is currently in use, task "python3" (80) blocked until'
    assert only(record(text)).device == "0000:02:00.0"


@pytest.mark.parametrize("head", [b"3,1," + b"9" * 400 + b",-", b"3,1,-5,-", b"3", b""])
def test_a_time_that_makes_no_sense_is_zero(head: bytes) -> None:
    assert only(head + b";a b: Relaying device request to user (#0)").seconds == 0.0


def test_lines_of_no_concern_are_left_out() -> None:
    texts = (
        "DMAR: [Firmware Bug]: RMRR entry for device 02:00.0 is broken",
        "arm-smmu-v3 arm-smmu-v3.0.auto: option mask 0x0",
        "AMD-Vi: Interrupt remapping enabled",
        "usb 1-1: new device",
    )
    assert parse([record(text) for text in texts]) == ()


def test_only_the_last_faults_are_kept() -> None:
    text = "vfio-pci 0000:01:00.0: Relaying device request to user (#0)"
    faults = parse([record(text, usec=number * 1_000_000) for number in range(300)])
    assert len(faults) == FAULTS_KEPT
    assert (faults[0].seconds, faults[-1].seconds) == (100.0, 299.0)


def test_escapes_of_the_log_are_undone_and_stay_facts() -> None:
    fault = only(record("x\\x5cy\\x1b: Relaying device request to user (#0) \\xzz"))
    assert fault.text == "x\\y\x1b: Relaying device request to user (#0) \\x5cxzz"


def test_a_log_that_cannot_be_read_is_for_the_caller_to_note() -> None:
    class Denied(TreeHost):
        def kernel_log(self) -> list[bytes]:
            raise PermissionError(errno.EPERM, "no", "/dev/kmsg")

    with pytest.raises(PermissionError):
        read_faults(Denied({}))


MARKS = st.sampled_from(
    [
        b"DMAR: [DMA Read PASID 0x] Request device [01:00.0",
        b" AMD-Vi: Event logged [IO_PAGE_FAULT device=",
        b"arm-smmu-v3 a: event 0x10 received:",
        b"arm-smmu-v3 a: \\x090x0000020000021810",
        b"arm-smmu-v3 a: event: ",
        b"Relaying device request to user",
        b"\\x",
        b";",
        b"\n DEVICE=+",
        b"1,2,99999999999999999999999999,-;",
    ]
)


@settings(max_examples=100)
@given(st.lists(st.lists(st.one_of(MARKS, st.binary(max_size=12))).map(b"".join), max_size=8))
def test_any_log_gives_faults_that_can_be_encoded(records: list[bytes]) -> None:
    for fault in parse(records):
        fault.text.encode()
        (fault.device or "").encode()
        assert fault.pasid is None or 0 <= fault.pasid < 1 << 20
