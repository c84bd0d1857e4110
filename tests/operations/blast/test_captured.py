"""A blast radius told from a capture: as on the host, or unknown, and without its secrets."""

from collections.abc import Sequence
from pathlib import Path

from sdmtop.backends.base import Host, open_host
from sdmtop.backends.capture import CaptureHost
from sdmtop.capturing import capture
from sdmtop.operations.blast import blast_radius
from sdmtop.operations.plan import Verdict
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.blast.box import DISK, NIC, OTHER_NIC, ROOT, Box, of_kind
from tests.operations.blast.test_console import card, keyboard, text_console
from tests.operations.blast.test_disks import SECOND, two_controllers

TREES = Path(__file__).parents[2] / "trees"
USB = "0000:00:05.0"


def captured(box: Box, directory: Path) -> CaptureHost:
    file = str(directory / "box.tar")
    capture(box.host(), file)
    return CaptureHost(file)


def radius(host: Host, *addresses: str) -> tuple[Verdict, ...]:
    return blast_radius(host, read_snapshot(host), addresses)


def known(verdicts: Sequence[Verdict]) -> set[Verdict]:
    return {verdict for verdict in verdicts if verdict.kind in ("refused", "unsafe")}


def busy() -> Box:
    """Disks, cards, a keyboard: what they carry is of many kinds."""
    box = Box()
    box.disk()
    for number in (1, 2, 3, 4, 5):
        box.partition(f"nvme0n1p{number}", f"259:{number}")
    box.mount("259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw")
    box.swap("/dev/nvme0n1p2")
    box.holder("md0", "9:0", "nvme0n1p3", md__level="raid1")
    box.holder("dm-0", "253:0", "md0", dm__name="vg-root", dm__uuid="LVM-x")
    box.mount("253:0 / / rw - ext4 /dev/mapper/vg-root rw")
    box.process(50, "container")
    box.mount("259:4 / /srv rw - ext4 /dev/nvme0n1p4 rw", pid=50)
    box.put("/run/udev/data/b259:5", "E:ID_FS_TYPE=xfs\nE:ID_FS_LABEL=secret\n")
    box.interface("eth0", NIC)
    box.interface("eth1", OTHER_NIC)
    box.upper("bond0", "eth0")
    box.route("bond0")
    path = box.device(USB, "0x0c0330", "xhci_hcd")
    box.put("/proc/bus/input/devices", keyboard(f"{path}/usb1/1-2/input/input5"))
    box.node(f"{path}/usb1/1-1", "189:1", "/dev/bus/usb/001/002")
    box.process(70, "scanner", fd5="/dev/bus/usb/001/002")
    return box


def test_what_is_known_of_a_host_is_known_of_its_capture(tmp_path: Path) -> None:
    box, all_of_them = busy(), (DISK, NIC, OTHER_NIC, USB)
    there, here = radius(box.host(), *all_of_them), radius(captured(box, tmp_path), *all_of_them)
    assert len(known(there)) > 8
    assert known(here) == known(there)


def test_so_is_what_the_console_needs(tmp_path: Path) -> None:
    box = card(boot=True, status="connected")
    text_console(box, "(S) VGA+")
    address = "0000:00:04.0"
    there = radius(box.host(), address)
    assert known(there)
    assert known(radius(captured(box, tmp_path), address)) == known(there)


def test_so_is_what_stands_on_a_disk_or_a_server_without_being_a_holder(tmp_path: Path) -> None:
    box = two_controllers()
    box.put(f"{ROOT}/{SECOND}/nvme/nvme1/nvme0c1n1/ana_state", "inaccessible\n")
    path = box.block("zram0", "/sys/devices/virtual/block/zram0", "253:9")
    box.put(f"{path}/backing_dev", "/dev/nvme0n1\n")
    box.swap("/dev/zram0")
    box.interface("eth0", NIC)
    box.interface("eth1", OTHER_NIC)
    box.upper("bond0", "eth0", "eth1")
    box.put(f"{ROOT}/{OTHER_NIC}/net/eth1/operstate", "down\n")
    box.route("bond0")
    box.mount("0:70 / /srv rw - ceph admin@0e1c.cephfs=/ rw,mon_addr=192.0.2.9:6789")
    path = box.block("etherd!e0.0", "/sys/devices/virtual/block/etherd!e0.0", "152:0")
    box.put(f"{path}/netif", "bond0\n")
    box.mount("152:0 / /var rw - ext4 /dev/etherd/e0.0 rw")
    there = radius(box.host(), DISK, NIC)
    here = radius(captured(box, tmp_path), DISK, NIC)
    assert len(of_kind(there, "refused")) == 3
    assert known(here) == known(there)


def test_no_capture_holds_the_blocks_of_a_disk(tmp_path: Path) -> None:
    box = Box()
    box.disk()
    (sentence,) = of_kind(radius(captured(box, tmp_path), DISK), "unknown")
    assert "/dev/nvme0n1" in sentence


def test_a_capture_that_somebody_else_made_leaves_open_what_it_has_not() -> None:
    host = open_host(f"capture:{TREES}/debian-6.1-intel-plain.tar.xz")
    for device in read_snapshot(host).devices:
        if device.driver in ("nvme", "e1000", "e1000e", "ahci"):
            assert of_kind(radius(host, device.address), "unknown"), device.address


def test_labels_options_and_serial_numbers_stay_where_they_are(tmp_path: Path) -> None:
    box = busy()
    box.put("/run/udev/data/b259:0", "E:ID_SERIAL=secret\nE:ID_PART_TABLE_TYPE=gpt\n")
    box.put(
        "/proc/bus/input/devices",
        f"U: Uniq=secret\nP: Phys=secret\n{box.entries['/proc/bus/input/devices']!s}",
    )
    box.mount("0:70 / /home rw - cifs //nas/home rw,username=secret,addr=192.0.2.9")
    box.process(71, "editor", fd4="/home/user/secret")
    file = tmp_path / "box.tar"
    capture(box.host(), str(file))
    data = file.read_bytes()
    assert b"addr=192.0.2.9" in data
    assert b"secret" not in data
