"""The console: its display, its serial port, the last keyboard, and the operator's own terminal."""

from collections.abc import Iterator

from sdmtop.carried import INPUTS
from sdmtop.model import Record
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.session import SOURCE as SESSION
from sdmtop.operations.blast.session import Session
from sdmtop.operations.blast.survey import Part, Survey
from sdmtop.operations.plan import Verdict, VerdictKind
from sdmtop.readers.sysfs import number
from sdmtop.text import fact, line

CLASSES = frozenset({"graphics", "drm", "tty", "input"})
SOURCE = "console"

_CONSOLES = "/sys/class/tty/console/active"
_REPEATS = 1 << 20  # EV_REP of include/uapi/linux/input-event-codes.h: what types, repeats.
_BY_PROGRAMS = "/sys/devices/virtual/input/"
_BY_PROXY = "/sys/devices/virtual/misc/uhid/"
"""Keyboards that a program passes on, as those of Bluetooth LE (Documentation/hid/uhid.rst)."""

_ISA = "0601"


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """Display, serial port, keyboards; a host bridge to old devices carries all of those."""
    shown = device.is_of_class("03") or survey.parts_of(device, "graphics", "drm")
    if shown:
        yield from _display(survey, device)
    ports = survey.parts_of(device, "tty")
    yield from _ports(survey, device, ports)
    keyboards = [one for one in survey.once(_keyboards) if one.path.startswith(f"{device.path}/")]
    yield from _keys(survey, device, keyboards)
    lines = [port for port in survey.once(_hypervisor_lines) if survey.owner(port.path) is device]
    yield from _hypervisor(survey, device, lines)
    if device.is_of_class(_ISA):
        yield from _old_devices(survey, device)
    if shown or ports or lines or keyboards or survey.parts_of(device, "input"):
        yield from survey.doubts(device, "whether the console needs it", "classes", SOURCE)
    if ports or lines:
        yield from survey.doubts(device, "whether your terminal is on it", SESSION)


# -- display -------------------------------------------------------------------------------------


def _display(survey: Survey, device: Touched) -> Iterator[Verdict]:
    buffers = [part for part in survey.parts_of(device, "graphics") if part.name != "fbcon"]
    is_boot = survey.look(SOURCE, device.path, "boot_vga")[0] == b"1"
    if console := survey.once(_text_console):
        if buffers and "frame buffer" in console:
            sentence = f"the console is shown on {buffers[0].name} ({console})"
            yield device.verdict("refused", sentence, buffers[0].name, console)
        elif is_boot and not buffers and not survey.once(_bound_buffers):
            sentence = f"the console is shown on it ({console}): it is the display of the firmware"
            yield device.verdict("refused", sentence, f"{device.path}/boot_vga", console)
    connected = [part.name for part in survey.parts_of(device, "drm") if _is_lit(survey, part)]
    for output in connected:
        sentence = f"a display is connected to {output}"
        yield device.verdict("unsafe", sentence, output, f"/sys/class/drm/{output}/status")
    has_connectors = bool(survey.parts_of(device, "drm"))
    if not connected and (has_connectors or is_boot):
        known = "nothing connected" if has_connectors else "no connector"
        sentence = f"no display is known to be on it ({known})"
        yield device.verdict("unsafe" if is_boot else "safe", sentence)
    # Without connectors nothing is said of who computes on it.


def _text_console(survey: Survey) -> str | None:
    """Where the kernel shows its virtual terminals; None where nowhere."""
    for part in survey.parts.get("vtconsole", {}).values():
        bound, name = survey.look(SOURCE, part.path, "bind", "name")
        # `(S) dummy device` is what it is when there is no display.
        if bound == b"1" and name and b"dummy" not in name:
            return line(name)
    return None


def _bound_buffers(survey: Survey) -> list[str]:
    """The frame buffers of PCI devices; that of the firmware is of the platform."""
    return [
        part.name
        for part in survey.parts.get("graphics", {}).values()
        if part.name != "fbcon" and "/platform/" not in part.path
    ]


def _is_lit(survey: Survey, part: Part) -> bool:
    """Whether something is connected to a connector, or that is not told."""
    return survey.look(SOURCE, part.path, "status")[0] in (b"connected", b"unknown")


# -- serial ports --------------------------------------------------------------------------------


def _ports(survey: Survey, device: Touched, ports: list[Part]) -> Iterator[Verdict]:
    if not ports:
        return
    consoles = line(survey.read(SOURCE, _CONSOLES)).split()
    terminals = survey.once(Session).terminals
    free = True
    for port in ports:
        if port.name in consoles:
            free = False
            sentence = f"{port.name} is the console of the machine"
            yield device.verdict("refused", sentence, port.name, _CONSOLES)
        if survey.rdev(SOURCE, port.path) in terminals:
            free = False
            sentence = f"{port.name} is your own terminal"
            yield device.verdict("refused", sentence, port.name, "your session")
    if free:
        names = ", ".join(port.name for port in ports)
        yield device.verdict("safe", f"{names}: no console is on it", _CONSOLES)


def _hypervisor(survey: Survey, device: Touched, lines: list[Part]) -> Iterator[Verdict]:
    """Terminals of the hypervisor: hvc0 is below no device, and its number is not the port's."""
    if not lines:
        return
    consoles = line(survey.read(SOURCE, _CONSOLES)).split()
    terminals = survey.once(Session).terminals
    stays = any(survey.owner(port.path) is None for port in survey.once(_hypervisor_lines))
    for name, tty in sorted(survey.parts.get("tty", {}).items()):
        if not name.startswith("hvc"):
            continue
        uses = ["the console of the machine"] if name in consoles else []
        if survey.rdev(SOURCE, tty.path) in terminals:
            uses.append("your own terminal")
        for use in uses:
            sentence = f"{name}, which is {use}, {'may be' if stays else 'is'} behind it"
            kind: VerdictKind = "unknown" if stays else "refused"
            yield device.verdict(kind, sentence, lines[0].name, name)


def _hypervisor_lines(survey: Survey) -> list[Part]:
    """The ports of virtio that may be terminals; debugfs, where it is there, says which are."""
    return [
        port
        for port in survey.parts.get("virtio-ports", {}).values()
        if b"is_console: no" not in _debugged(survey, port)
    ]


def _debugged(survey: Survey, port: Part) -> bytes:
    """What `virtio_console` tells of a port (drivers/char/virtio_console.c)."""
    try:
        return survey.host.read(f"/sys/kernel/debug/virtio-ports/{port.name}")
    except OSError:
        return b""  # Then any of them counts.


def _old_devices(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """The bridge to ISA or LPC: serial ports and keyboards of old are behind it, unseen."""
    consoles = line(survey.read(SOURCE, _CONSOLES)).split()
    tty = survey.parts.get("tty", {})
    old = [name for name in consoles if name in tty and "/pci" not in tty[name].path]
    serial = [name for name in old if name.startswith("ttyS")]
    if serial:
        sentence = f"the console {serial[0]} is a port of old, which is behind this bridge"
        yield device.verdict("refused", sentence, serial[0], _CONSOLES)
    keyboards = survey.once(_keyboards)
    if keyboards and all("/serio" in one.path for one in keyboards):
        name = keyboards[0].name
        sentence = f"the only keyboard ({name}) is behind this bridge"
        yield device.verdict("refused", sentence, name, INPUTS)
    sentence = "the devices of old behind it (clock, serial ports, keyboard) are not listed"
    yield device.verdict("unknown", sentence)
    yield from survey.doubts(device, "whether the console needs it", "classes", SOURCE)


# -- keyboards -----------------------------------------------------------------------------------


class Keyboard(Record, frozen=True):
    """An input device that types: its own name, and its sysfs directory."""

    name: str
    path: str


def parse_keyboards(text: bytes) -> list[Keyboard]:
    """The keyboards in `/proc/bus/input/devices`: a handler `kbd`, and keys that repeat."""
    found = []
    for block in text.split(b"\n\n"):
        fields = dict(_field(row) for row in block.split(b"\n"))
        events = number(fields.get(b"EV", b""), 16) or 0
        path = fields.get(b"Sysfs", b"")
        if b"kbd" in fields.get(b"Handlers", b"").split() and events & _REPEATS and path:
            name = line(fields.get(b"Name", b"").strip(b'"'))
            found.append(Keyboard(name, f"/sys{fact(path)}"))
    return found


def _field(row: bytes) -> tuple[bytes, bytes]:
    key, _, value = row.partition(b": ")[2].partition(b"=")
    return key, value.strip()


def _keyboards(survey: Survey) -> list[Keyboard]:
    """Those that somebody can type on: not what programs type with (uinput: keyd and the like)."""
    found = parse_keyboards(survey.read(SOURCE, INPUTS))
    return [one for one in found if not one.path.startswith(_BY_PROGRAMS)]


def _keys(survey: Survey, device: Touched, keyboards: list[Keyboard]) -> Iterator[Verdict]:
    if not keyboards:
        return
    rest = [one for one in survey.once(_keyboards) if survey.owner(f"{one.path}/") is None]
    shown = [one for one in rest if not one.path.startswith(_BY_PROXY)]
    name = keyboards[0].name
    port = keyboards[0].path.removeprefix(f"{device.path}/")
    if shown:
        sentence = f"the keyboard {name} is behind it; {shown[0].name} is left"
        yield device.verdict("unsafe", sentence, port, name)
    elif rest:
        sentence = (
            f"the keyboard {name} is behind it; {rest[0].name} is left, and what carries that "
            "cannot be told"
        )
        yield device.verdict("unknown", sentence, port, name)
    else:
        sentence = f"the last keyboard ({name}) is behind it"
        yield device.verdict("refused", sentence, port, name)
