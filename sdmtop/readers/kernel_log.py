"""IOMMU faults, and devices that will not be given back, from the kernel log.

Wordings of the kernel's `intel/dmar.c`, `amd/iommu.c`, `arm-smmu-v3.c`, `arm-smmu.c`,
`virtio-iommu.c` and `vfio`, as seen on kernels 6.1 to 7.3 or read in their sources.
"""

from collections import deque

from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.model import Fault
from sdmtop.readers.sysfs import number
from sdmtop.text import fact

FAULTS_KEPT = 200


def read_faults(host: Host) -> tuple[Fault, ...]:
    """The last `FAULTS_KEPT` faults, oldest first.

    Raises `OSError` where the log cannot be read (for root on most distributions; no log at all
    in a capture).
    """
    return parse(host.kernel_log())


def boot_time(host: Host) -> float | None:
    """When the kernel started, in seconds since the epoch; None where it does not tell.

    Source: `btime` in `/proc/stat`.
    """
    try:
        text = host.read("/proc/stat", 1024 * 1024)
    except OSError:
        return None  # Told as unknown by the reader of the counters.
    start = text.find(b"\nbtime ")
    value = number(text[start + 7 : text.find(b"\n", start + 7)]) if start >= 0 else None
    return None if value is None else float(value)


def parse(records: list[bytes]) -> tuple[Fault, ...]:
    """The faults among records of `/dev/kmsg`; any bytes will do.

    Arm's driver prints an event as numbers, each in a record of its own, and newer ones then in
    words: the numbers are joined to one fault, and the words take their place.
    """
    faults: deque[Fault] = deque(maxlen=FAULTS_KEPT)
    as_numbers = False
    for record in records:
        head, _, rest = record.partition(b";")
        if not as_numbers and not _is_fault(rest):
            continue
        message, *fields = rest.split(b"\n")
        text = _unescaped(message).strip()
        if as_numbers and (value := _event_word(text)) is not None:
            faults.append(_with_word(faults.pop(), value))
            continue
        if as_numbers and _ARM_WORDS in text:
            faults.pop()
        as_numbers = _ARM_NUMBERS in text
        if _is_fault(rest):
            faults.append(_fault(_seconds(head), text, fields))
    return tuple(faults)


_ARM_NUMBERS = b": event 0x"
_ARM_WORDS = b": event: "
_BY_STREAM = (b": Unhandled context fault: ", b": Blocked unknown Stream ID ")
"""What Arm's older units say: they name a stream, of which no file tells whose it is."""

_MARKS = (
    b"] Request device [",
    b"AMD-Vi: Event logged [",
    b" fault from EP ",
    *_BY_STREAM,
    b"Relaying device request to user",
    b"No device request channel registered",
    b"Device is currently in use, task",
)
_PASIDS = 1 << 20


def _is_fault(text: bytes) -> bool:
    if text.startswith(b"arm-smmu-v3 "):
        return _ARM_NUMBERS in text or _ARM_WORDS in text
    return any(mark in text for mark in _MARKS)


def _seconds(head: bytes) -> float:
    """Since boot, from `priority,sequence,microseconds,flags[,...]`; 0 where it is not told."""
    parts = head.split(b",")
    microseconds = number(parts[2]) if len(parts) > 2 else None
    return microseconds / 1_000_000 if microseconds and 0 < microseconds < 1 << 63 else 0.0


def _fault(seconds: float, text: bytes, fields: list[bytes]) -> Fault:
    if b"] Request device [" in text:
        # Kernels before 7 leave out the segment, which is 0000 but on the largest machines.
        device = _pci_address(_after(text, b"Request device [", b"]"))
        pasid = number(_after(text, b" PASID ", b"] "), 16)
    elif b"Event logged [" in text:
        device = _pci_address(_after(text, b" device=", b" ]")) or _reporter(text, fields)
        # A field that is always printed: 0 stands for none.
        pasid = number(_after(text, b" pasid=", b" ]"), 16) or None
    elif text.startswith(b"arm-smmu-v3 "):
        device = _client(_after(text, b" client: ", b" "))
        pasid = number(_after(text, b" ssid: ", b" "), 16) or None
    elif b" fault from EP " in text or any(mark in text for mark in _BY_STREAM):
        device = pasid = None  # Endpoint numbers are the hypervisor's.
    else:
        device, pasid = _reporter(text, fields), None
    if pasid is not None and not 0 <= pasid < _PASIDS:
        pasid = None  # Kernels before 5.14 print -1 for none.
    return Fault(seconds=seconds, device=device, pasid=pasid, text=fact(text))


def _after(text: bytes, key: bytes, ends: bytes) -> bytes:
    """What follows `key`, up to any of the bytes `ends`; empty where there is no key."""
    start = text.find(key)
    if start < 0:
        return b""
    start += len(key)
    stop = min((at for end in ends if (at := text.find(end, start)) >= 0), default=len(text))
    return text[start:stop]


def _pci_address(text: bytes) -> str | None:
    """`0000:01:00.0`, of which the segment may be missing, and each part may begin with 0x."""
    buses, dot, function = text.replace(b"0x", b"").rpartition(b".")
    parts = buses.split(b":")
    if not dot or len(parts) not in (2, 3):
        return None
    numbers = [number(part, 16) for part in (*parts, function)]
    limits = (1 << 16, 1 << 8, 1 << 5, 1 << 3)[-len(numbers) :]
    found = [
        value
        for value, limit in zip(numbers, limits, strict=True)
        if value is not None and 0 <= value < limit
    ]
    if len(found) < len(numbers):
        return None
    segment, bus, slot, number_ = (0, *found) if len(found) == 3 else found
    return f"{segment:04x}:{bus:02x}:{slot:02x}.{number_:x}"


def _client(name: bytes) -> str | None:
    """The device of an Arm event; `(unassigned sid)` is none."""
    return fact(name) if name and not name.startswith(b"(") else None


def _reporter(text: bytes, fields: list[bytes]) -> str | None:
    """The device that a driver speaks of: the record's own field, or `driver device: text`."""
    for field in fields:
        if field.startswith(b" DEVICE=+"):
            return fact(_unescaped(field.partition(b":")[2])) or None
    prefix, colon, _ = text.partition(b": ")
    words = prefix.split()
    return fact(words[-1]) if colon and len(words) == 2 else None


def _event_word(text: bytes) -> int | None:
    """One of the numbers of an Arm event: `arm-smmu-v3 <unit>: <tab>0x...`."""
    word = text.rpartition(b":")[2].strip()
    if not text.startswith(b"arm-smmu-v3 ") or len(word) != 18 or not word.startswith(b"0x"):
        return None
    return number(word, 16)


def _with_word(fault: Fault, word: int) -> Fault:
    """The event with one more number. The first has the substream id, valid if bit 11 is set."""
    first = fault.text.endswith(":")
    pasid = word >> 12 & 0xFFFFF if first and word >> 11 & 1 else fault.pasid
    return replace(fault, pasid=pasid, text=f"{fault.text} {word:#018x}")


def _unescaped(message: bytes) -> bytes:
    r"""The message as it was logged: /dev/kmsg shows what is not printable as ``\xNN``."""
    head, *rest = message.split(b"\\x")
    parts = [head]
    for part in rest:
        try:
            char = bytes.fromhex(part[:2].decode("ascii"))
        except ValueError:
            char = b""
        parts.append(char + part[2:] if char else b"\\x" + part)
    return b"".join(parts)
