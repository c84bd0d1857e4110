"""The console: its display, its serial port, keyboards, the operator's own terminal."""

import errno

import pytest

from sdmtop.backends.tree import Failure, Node
from tests.operations.blast.box import SDMTOP, SHELL, Box, chain, kinds, of_kind, rdev

CARD, USB, SERIAL, LPC = "0000:00:04.0", "0000:00:05.0", "0000:00:06.0", "0000:00:1f.0"


def card(*, boot: bool = False, status: str = "disconnected") -> Box:
    """A display adapter with one connector."""
    box = Box()
    path = box.device(CARD, "0x030000", "i915")
    box.put(f"{path}/boot_vga", f"{boot:d}\n")
    box.part("drm", "card0", f"{path}/drm/card0")
    box.part("drm", "card0-HDMI-A-1", f"{path}/drm/card0/card0-HDMI-A-1", status=status)
    return box


def text_console(box: Box, name: str) -> None:
    """Where the kernel shows its virtual terminals."""
    box.part("vtconsole", "vtcon0", "/sys/devices/virtual/vtconsole/vtcon0", bind="1", name=name)


def frame_buffer(box: Box, path: str) -> None:
    box.part("graphics", "fbcon", "/sys/devices/virtual/graphics/fbcon")
    box.part("graphics", "fb0", f"{path}/graphics/fb0")


def keyboard(path: str, name: str = "Keys", events: str = "120013") -> str:
    """A block of `/proc/bus/input/devices`."""
    return (
        f'I: Bus=0003 Vendor=0000\nN: Name="{name}"\nS: Sysfs={path.removeprefix("/sys")}\n'
        f"H: Handlers=sysrq kbd event3 leds \nB: EV={events}\n\n"
    )


# -- display -------------------------------------------------------------------------------------


def test_a_card_with_nothing_connected_is_safe() -> None:
    assert of_kind(card().radius(CARD), "safe") == [
        "no display is known to be on it (nothing connected)"
    ]


GPU_FACTS = f"/proc/driver/nvidia/gpus/{CARD}/information"


def computing() -> Box:
    """A GPU without a connector, whose nodes sysfs does not list; a program computes on it."""
    box = Box()
    box.device(CARD, "0x030200", "nvidia")
    for name, minor in (("nvidia1", 1), ("nvidiactl", 255)):
        box.put(f"/dev/{name}", Node(rdev(f"195:{minor}")))
    box.process(60, "python3", fd3="/dev/nvidiactl", fd4="/dev/nvidia1")
    return box


def test_a_gpu_on_which_somebody_computes_has_to_be_typed() -> None:
    box = computing()
    box.put(GPU_FACTS, "Model: \t\t A10\nDevice Minor: \t 1\n")
    assert {verdict.kind: verdict.sentence for verdict in box.radius(CARD)} == {
        "unsafe": "/dev/nvidia1 is open in python3 (process 60)"
    }


def test_the_node_of_another_gpu_says_nothing_of_this_one() -> None:
    box = computing()
    box.put(GPU_FACTS, "Device Minor: \t 0\n")
    assert kinds(box.radius(CARD)) == {"safe"}


@pytest.mark.parametrize("text", [None, "Model: A10\n", "Device Minor: x\n"])
def test_a_gpu_whose_node_is_not_told_is_not_known_to_be_free(text: str | None) -> None:
    box = computing()
    if text is not None:
        box.put(GPU_FACTS, text)
    assert kinds(box.radius(CARD)) == {"unknown"}


def test_nor_is_one_with_connectors() -> None:
    box = card()
    box.device(CARD, "0x030000", "nvidia")
    assert "unknown" in kinds(box.radius(CARD))


def test_a_card_without_a_connector_is_no_card_that_nobody_uses() -> None:
    box = Box()
    box.device(CARD, "0x030200", "mystery")
    assert of_kind(box.radius(CARD), "unknown") == [
        "sdmtop cannot tell who uses what mystery does with it"
    ]


def test_the_card_that_shows_the_console_is_refused() -> None:
    box = card()
    text_console(box, "(M) frame buffer device")
    frame_buffer(box, box.device(CARD, "0x030000", "i915"))
    found = box.radius(CARD)
    assert of_kind(found, "refused") == ["the console is shown on fb0 ((M) frame buffer device)"]


@pytest.mark.parametrize("firmware", [True, False])
def test_the_console_of_the_firmware_is_on_the_card_that_it_has_started(firmware: bool) -> None:
    box = card(boot=True)
    text_console(box, "(S) VGA+")
    if firmware:
        frame_buffer(box, "/sys/devices/platform/simple-framebuffer.0")
    assert of_kind(box.radius(CARD), "refused")


def test_a_card_of_which_the_console_was_taken_has_to_be_typed() -> None:
    box = card(boot=True)
    text_console(box, "(S) dummy device")
    assert kinds(box.radius(CARD)) == {"unsafe"}


def test_the_card_beside_the_one_with_the_console_is_free() -> None:
    box = card()
    text_console(box, "(M) frame buffer device")
    frame_buffer(box, box.device("0000:00:07.0", "0x030000", "ast"))
    assert kinds(box.radius(CARD)) == {"safe"}


def test_a_connected_display_has_to_be_typed() -> None:
    found = card(status="connected").radius(CARD)
    assert of_kind(found, "unsafe") == ["a display is connected to card0-HDMI-A-1"]
    assert chain(found, "connected")[-1] == "/sys/class/drm/card0-HDMI-A-1/status"


def test_a_console_that_cannot_be_told_leaves_it_open() -> None:
    box = card()
    path = box.part("vtconsole", "vtcon0", "/sys/devices/virtual/vtconsole/vtcon0")
    box.put(f"{path}/bind", Failure(errno.EIO))
    assert "unknown" in kinds(box.radius(CARD))


# -- serial ports --------------------------------------------------------------------------------


def port(box: Box) -> None:
    path = box.device(SERIAL, "0x070002", "serial")
    box.part("tty", "ttyS4", f"{path}/tty/ttyS4", dev="4:68")
    box.node(f"{path}/tty/ttyS4", "4:68", "/dev/ttyS4")


@pytest.fixture
def serial() -> Box:
    box = Box()
    port(box)
    return box


def test_a_serial_port_that_nobody_needs_is_safe(serial: Box) -> None:
    assert of_kind(serial.radius(SERIAL), "safe") == ["ttyS4: no console is on it"]


def test_the_port_of_the_console_is_refused(serial: Box) -> None:
    serial.put("/sys/class/tty/console/active", "tty0 ttyS4\n")
    assert of_kind(serial.radius(SERIAL), "refused") == ["ttyS4 is the console of the machine"]


@pytest.mark.parametrize("process", [SDMTOP, SHELL])
def test_our_own_terminal_is_refused(serial: Box, process: int) -> None:
    serial.process(process, "bash", parent=SHELL if process == SDMTOP else 1, terminal="4:68")
    assert of_kind(serial.radius(SERIAL), "refused") == ["ttyS4 is your own terminal"]


def test_a_port_that_somebody_has_open_has_to_be_typed(serial: Box) -> None:
    serial.process(60, "getty", fd0="/dev/ttyS4")
    assert of_kind(serial.radius(SERIAL), "unsafe") == ["/dev/ttyS4 is open in getty (process 60)"]


def test_consoles_that_cannot_be_read_leave_it_open(serial: Box) -> None:
    serial.put("/sys/class/tty/console/active", Failure(errno.EIO))
    assert "unknown" in kinds(serial.radius(SERIAL))


# -- terminals of the hypervisor -----------------------------------------------------------------


def hypervisor(box: Box, address: str, port: str) -> None:
    """A virtio console: its port, and a terminal that is below no device."""
    path = box.device(address, "0x078000", "virtio-pci")
    box.part("virtio-ports", port, f"{path}/virtio0/virtio-ports/{port}")
    box.part("tty", "hvc0", "/sys/devices/virtual/tty/hvc0", dev="229:0")
    box.part("tty", "hvc1", "/sys/devices/virtual/tty/hvc1", dev="229:1")


def test_the_hypervisors_terminal_is_refused_as_the_console_and_as_ours() -> None:
    box = Box()
    hypervisor(box, SERIAL, "vport0p0")
    box.put("/sys/class/tty/console/active", "tty0 hvc0\n")
    box.process(SHELL, "bash", terminal="229:0")
    found = box.radius(SERIAL)
    assert of_kind(found, "refused") == [
        "hvc0, which is the console of the machine, is behind it",
        "hvc0, which is your own terminal, is behind it",
    ]
    assert chain(found, "the console") == (SERIAL, "vport0p0", "hvc0")


def test_a_port_that_is_no_terminal_is_not_the_console() -> None:
    box = Box()
    hypervisor(box, SERIAL, "vport0p0")
    hypervisor(box, USB, "vport1p0")
    box.put("/sys/class/tty/console/active", "hvc0\n")
    box.put("/sys/kernel/debug/virtio-ports/vport1p0", "name: agent\nis_console: no\n")
    assert of_kind(box.radius(SERIAL), "refused")
    assert not any("hvc0" in verdict.sentence for verdict in box.radius(USB))


def test_of_two_ports_either_may_be_the_console() -> None:
    box = Box()
    hypervisor(box, SERIAL, "vport0p0")
    hypervisor(box, USB, "vport1p0")
    box.put("/sys/class/tty/console/active", "hvc0\n")
    sentence = "hvc0, which is the console of the machine, may be behind it"
    for address in (SERIAL, USB):
        assert sentence in of_kind(box.radius(address), "unknown")
    assert len(of_kind(box.radius(SERIAL, USB), "refused")) == 2


# -- keyboards -----------------------------------------------------------------------------------


@pytest.fixture
def usb() -> Box:
    """A USB controller with a keyboard behind it."""
    box = Box()
    path = box.device(USB, "0x0c0330", "xhci_hcd")
    box.put("/proc/bus/input/devices", keyboard(f"{path}/usb1/1-2/input/input5"))
    return box


def test_the_last_keyboard_is_refused(usb: Box) -> None:
    found = usb.radius(USB)
    assert of_kind(found, "refused") == ["the last keyboard (Keys) is behind it"]
    assert chain(found, "last") == (USB, "usb1/1-2/input/input5", "Keys")


def test_with_another_keyboard_left_it_has_to_be_typed(usb: Box) -> None:
    more = keyboard("/sys/devices/platform/i8042/serio0/input/input3", "Old Keys")
    usb.put("/proc/bus/input/devices", f"{usb.entries['/proc/bus/input/devices']!s}{more}")
    assert of_kind(usb.radius(USB), "unsafe") == [
        "the keyboard Keys is behind it; Old Keys is left"
    ]


def test_a_keyboard_that_a_program_makes_is_none_that_is_left(usb: Box) -> None:
    more = keyboard("/sys/devices/virtual/input/input9", "keyd virtual keyboard", "100003")
    usb.put("/proc/bus/input/devices", f"{usb.entries['/proc/bus/input/devices']!s}{more}")
    assert of_kind(usb.radius(USB), "refused") == ["the last keyboard (Keys) is behind it"]


def test_of_one_that_a_program_passes_on_nobody_knows_the_way(usb: Box) -> None:
    more = keyboard("/sys/devices/virtual/misc/uhid/0005:1.2/input/input9", "Far Keys")
    usb.put("/proc/bus/input/devices", f"{usb.entries['/proc/bus/input/devices']!s}{more}")
    assert of_kind(usb.radius(USB), "unknown") == [
        "the keyboard Keys is behind it; Far Keys is left, and what carries that cannot be told"
    ]


def test_a_power_button_is_no_keyboard(usb: Box) -> None:
    button = keyboard("/sys/devices/LNXSYSTM:00/LNXPWRBN:00/input/input0", "Power", events="3")
    usb.put("/proc/bus/input/devices", f"{usb.entries['/proc/bus/input/devices']!s}{button}")
    assert of_kind(usb.radius(USB), "refused")


def test_a_controller_of_other_usb_devices_is_not_known_to_be_free() -> None:
    box = Box()
    box.device(USB, "0x0c0330", "xhci_hcd")
    assert of_kind(box.radius(USB), "unknown") == [
        "sdmtop cannot tell who uses what xhci_hcd does with it"
    ]


def test_keyboards_that_cannot_be_read_leave_it_open(usb: Box) -> None:
    usb.put("/proc/bus/input/devices", Failure(errno.EACCES))
    usb.part("input", "input5", f"{usb.device(USB, '0x0c0330', 'xhci_hcd')}/usb1/input/input5")
    assert "unknown" in kinds(usb.radius(USB))


# -- the bridge to devices of old ----------------------------------------------------------------


def test_the_console_on_a_port_of_old_is_behind_the_lpc_bridge() -> None:
    box = Box()
    box.device(LPC, "0x060100", "lpc_ich")
    box.part("tty", "ttyS0", "/sys/devices/pnp0/00:04/tty/ttyS0")
    box.put("/sys/class/tty/console/active", "ttyS0\n")
    assert of_kind(box.radius(LPC), "refused") == [
        "the console ttyS0 is a port of old, which is behind this bridge"
    ]


def test_a_keyboard_of_old_is_behind_the_lpc_bridge() -> None:
    box = Box()
    box.device(LPC, "0x060100", "lpc_ich")
    box.put("/proc/bus/input/devices", keyboard("/sys/devices/platform/i8042/serio0/input/input3"))
    assert of_kind(box.radius(LPC), "refused") == ["the only keyboard (Keys) is behind this bridge"]


def test_beside_one_that_a_program_makes_it_is_the_only_one() -> None:
    box = Box()
    box.device(LPC, "0x060100", "lpc_ich")
    old = keyboard("/sys/devices/platform/i8042/serio0/input/input3")
    made = keyboard("/sys/devices/virtual/input/input9", "keyd virtual keyboard", "100003")
    box.put("/proc/bus/input/devices", old + made)
    assert of_kind(box.radius(LPC), "refused") == ["the only keyboard (Keys) is behind this bridge"]


def test_what_else_is_behind_it_is_never_known() -> None:
    box = Box()
    box.device(LPC, "0x060100", "lpc_ich")
    assert kinds(box.radius(LPC)) == {"unknown"}
