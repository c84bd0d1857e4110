"""PCI extended capabilities, from the device's configuration space.

There is no sysfs attribute that says whether PASID, ATS or PRI is enabled: only control bits
beyond the first 256 bytes do, which the kernel shows to root alone, and which must not be read
from a device that sleeps, because that wakes it.
"""

import errno

from sdmtop.backends.base import Host
from sdmtop.backends.limits import ASLEEP
from sdmtop.model import Detail, DevicePasid, Record
from sdmtop.readers.unknowns import Unknowns

_FIRST = 0x100
_MAX_HOPS = 64
# An ordinary user gets 64 bytes, 128 of a CardBus bridge; root never less than 256.
_BEYOND_ORDINARY = 128

_ACS = 0x0D
_ATS = 0x0F
_SRIOV = 0x10
_PRI = 0x13
_PASID = 0x1B

_WHAT = "PASID, ATS, PRI and ACS capability"


class Bits(Record, frozen=True, kw_only=True):
    """An extended capability: its capability word and its control (and status) word.

    Of PRI, which has no capability word, `capability` is the control word and `control` the
    status word. Of SR-IOV the capability word has 32 bits, of all others 16.
    """

    capability: int
    control: int


class Capabilities(Record, frozen=True, kw_only=True):
    """What a device's extended configuration space says.

    `pasid` is None where it could not be read, and says `capable=False` where the device has no
    such capability. Of the others, None is either; `readable` tells which.
    """

    readable: bool
    pasid: DevicePasid | None
    pasid_bits: Bits | None
    ats: Bits | None
    pri: Bits | None
    acs: Bits | None
    sriov: Bits | None


_UNREAD = Capabilities(
    readable=False, pasid=None, pasid_bits=None, ats=None, pri=None, acs=None, sriov=None
)


def read_capabilities(
    host: Host, path: str, power_state: str | None, unknowns: Unknowns
) -> Capabilities:
    """The capabilities of the PCI device whose sysfs directory is `path`.

    `power_state` is the attribute of that name: a device in D1, D2 or D3 is left asleep. A VF
    has no PASID and PRI capability of its own: ask with the directory of its PF (`physfn`).
    Source: `config`, eight bytes for each capability.
    """
    config = f"{path}/config"
    if power_state in ASLEEP:
        asleep = OSError(errno.EAGAIN, "asleep")
        unknowns.note(config, asleep, f"{_WHAT}: it sleeps ({power_state}), a read would wake it")
        return _UNREAD
    try:
        found, whole = _walk(host, config, unknowns)
    except OSError as error:
        unknowns.note_failure(config, error, _WHAT)
        return _UNREAD
    pasid = found.get(_PASID)
    return Capabilities(
        readable=whole,
        pasid=_device_pasid(pasid) if pasid or whole else None,
        pasid_bits=pasid,
        ats=found.get(_ATS),
        pri=found.get(_PRI),
        acs=found.get(_ACS),
        sriov=found.get(_SRIOV),
    )


def _walk(host: Host, config: str, unknowns: Unknowns) -> tuple[dict[int, Bits], bool]:
    """The capabilities known here, by id, and whether the list was followed to its end."""
    found: dict[int, Bits] = {}
    offset = _FIRST
    seen: set[int] = set()
    while offset not in seen and len(seen) < _MAX_HOPS:
        seen.add(offset)
        raw = host.read_at(config, offset, 8)
        if offset == _FIRST and not raw:
            return found, _is_short(host, config, unknowns)
        header = int.from_bytes(raw[:4], "little")
        if len(raw) < 4 or header == 0xFFFF_FFFF:
            gone = OSError(errno.EIO, "no answer")
            unknowns.note(config, gone, f"{_WHAT}: the device does not answer")
            return found, False
        id_ = header & 0xFFFF
        if id_ in _KNOWN and len(raw) == 8 and id_ not in found:
            found[id_] = _bits(host, config, offset, id_, raw)
        offset = header >> 20 & 0xFFC
        if not offset:
            return found, True
        if offset < _FIRST:
            break
    broken = OSError(errno.EINVAL, "broken list")
    unknowns.note(config, broken, f"{_WHAT}: the list of capabilities is broken")
    return found, False


_KNOWN = frozenset({_ACS, _ATS, _SRIOV, _PRI, _PASID})


def _is_short(host: Host, config: str, unknowns: Unknowns) -> bool:
    """Nothing at 0x100: True for a conventional device, False (noted) if we may not see it."""
    if host.read_at(config, _BEYOND_ORDINARY, 1):
        return True
    refused = OSError(errno.EACCES, "short read")
    unknowns.note(config, refused, f"{_WHAT}: shown to root only")
    return False


def _bits(host: Host, config: str, offset: int, id_: int, raw: bytes) -> Bits:
    if id_ == _SRIOV:
        control = host.read_at(config, offset + 8, 2)
        return Bits(
            capability=int.from_bytes(raw[4:], "little"), control=int.from_bytes(control, "little")
        )
    return Bits(
        capability=int.from_bytes(raw[4:6], "little"), control=int.from_bytes(raw[6:], "little")
    )


_NOT_CAPABLE = DevicePasid(capable=False, enabled=False, max=None)


def _device_pasid(bits: Bits | None) -> DevicePasid:
    if bits is None:
        return _NOT_CAPABLE
    width = bits.capability >> 8 & 0x1F
    return DevicePasid(capable=True, enabled=bool(bits.control & 1), max=1 << width)


# -- for the inspector -----------------------------------------------------------------------

_ACS_BITS = (
    (0x01, "source validation", "A request with a forged source is stopped at the port"),
    (0x02, "translation blocking", "Requests that claim to be translated already are stopped"),
    (0x04, "request redirect", "Peer requests go up through the IOMMU"),
    (0x08, "completion redirect", "Peer completions go up through the IOMMU"),
    (0x10, "upstream forwarding", "Requests that come back to the port go up as well"),
    (0x20, "egress control", "Peers can be allowed one by one"),
    (0x40, "direct translated P2P", "Translated requests may go straight to a peer"),
)


def capability_details(host: Host, path: str, power_state: str | None) -> tuple[Detail, ...]:
    """Every bit of these capabilities that tells an operator something.

    Arguments as those of `read_capabilities`. What could not be read is one entry with `?`, whose
    meaning is the reason.
    """
    unknowns = Unknowns()
    found = read_capabilities(host, path, power_state, unknowns)
    words = [
        *_pasid_details(found.pasid_bits),
        *_ats_details(found.ats),
        *_pri_details(found.pri),
        *_acs_details(found.acs),
        *_sriov_details(found.sriov),
    ]
    if found.readable and not words:
        words.append((_ALL, "none of these", "No PASID, ATS, PRI, ACS or SR-IOV"))
    words += [(_ALL, f"? ({entry.errno})", entry.what) for entry in unknowns.entries()]
    return tuple(
        Detail(name=name, value=value, path=f"{path}/config", meaning=meaning)
        for name, value, meaning in words
    )


_ALL = "Extended capabilities"
_Words = tuple[str, str, str]


def _yes(bit: int) -> str:
    return "yes" if bit else "no"


def _pasid_details(bits: Bits | None) -> list[_Words]:
    if bits is None:
        return []
    able, on = bits.capability, bits.control
    return [
        ("PASID enabled", _yes(on & 1), "Whether a driver has switched PASIDs on"),
        ("PASID width", f"{able >> 8 & 0x1F}-bit", "How many address spaces it can tell apart"),
        ("PASID execute", _able_on(able & 2, on & 2), "It may ask for permission to execute"),
        ("PASID privileged", _able_on(able & 4, on & 4), "It may make privileged requests"),
    ]


def _able_on(able: int, on: int) -> str:
    if not able:
        return "not supported"
    return "enabled" if on else "supported, off"


def _ats_details(bits: Bits | None) -> list[_Words]:
    if bits is None:
        return []
    unit = bits.control & 0x1F
    return [
        ("ATS enabled", _yes(bits.control & 0x8000), "Whether it caches translations itself"),
        ("ATS smallest unit (STU)", f"{4096 << unit} bytes", "The least that it asks to translate"),
        ("ATS queue depth", str(bits.capability & 0x1F or 32),
         "Invalidations that it takes before it holds up the bus"),
        ("ATS page aligned", _yes(bits.capability & 0x20), "It only asks for aligned addresses"),
    ]  # fmt: skip


def _pri_details(bits: Bits | None) -> list[_Words]:
    if bits is None:
        return []
    control, status = bits.capability, bits.control
    return [
        ("PRI enabled", _yes(control & 1), "Whether it may ask for pages that are not there"),
        ("PRI stopped", _yes(status & 0x100), "yes: it has no page request outstanding"),
        ("PRI response failure", _yes(status & 1), "yes: it was refused a page and has given up"),
        ("PRI unexpected response", _yes(status & 2), "yes: it got an answer it had not asked for"),
        ("PRI needs PASID", _yes(status & 0x8000), "Answers to it carry the PASID"),
    ]


def _acs_details(bits: Bits | None) -> list[_Words]:
    if bits is None:
        return []
    return [
        (f"ACS {name}", _able_on(bits.capability & mask, bits.control & mask), meaning)
        for mask, name, meaning in _ACS_BITS
    ]


def _sriov_details(bits: Bits | None) -> list[_Words]:
    if bits is None:
        return []
    return [
        ("SR-IOV VFs enabled", _yes(bits.control & 1), "Whether its virtual functions exist"),
        ("SR-IOV VF memory", _yes(bits.control & 8), "Whether their registers answer"),
        ("SR-IOV ARI", _yes(bits.control & 0x10), "More than 8 functions on one device number"),
    ]
