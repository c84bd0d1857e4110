"""Disks: what stands on them, down to mount points and swap, and what is refused."""

import errno
import os

import pytest

from sdmtop.backends.tree import Directory, Failure, Link
from tests.operations.blast.box import DISK, ROOT, Box, chain, kinds, of_kind

OVER_PCI = (DISK, "nvme0n1")


@pytest.fixture
def box() -> Box:
    box = Box()
    box.disk()
    return box


def test_a_disk_that_holds_nothing_is_safe(box: Box) -> None:
    (verdict,) = box.radius(DISK)
    assert (verdict.kind, verdict.sentence) == ("safe", "nvme0n1 holds nothing")
    assert verdict.evidence == (*OVER_PCI, "/dev/nvme0n1")


def test_a_controller_without_a_disk_is_safe() -> None:
    box = Box()
    box.device(DISK, "0x010601", "ahci")
    assert of_kind(box.radius(DISK), "safe") == ["no disk is behind it"]


@pytest.mark.parametrize(
    "point",
    ["/", "/usr", "/etc", "/var", "/boot", "/boot/efi", "/nix", "/nix/store", "/gnu/store",
     "/usr/lib", "/var/lib"],
)  # fmt: skip
def test_what_the_machine_stands_on_is_refused(box: Box, point: str) -> None:
    box.partition("nvme0n1p1", "259:1")
    box.mount(f"259:1 / {point} rw - ext4 /dev/nvme0n1p1 rw")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == [f"{point} is mounted from it (ext4)"]
    assert chain(found, "is mounted") == (*OVER_PCI, "nvme0n1p1", point)


def test_another_mount_has_to_be_typed(box: Box) -> None:
    box.mount("259:0 / /data rw - xfs /dev/nvme0n1 rw")
    assert of_kind(box.radius(DISK), "unsafe") == ["/data is mounted from it (xfs)"]


def test_mounts_of_one_file_system_are_one_verdict(box: Box) -> None:
    for number in range(5):
        box.mount(f"259:0 /{number} /data{number} rw - xfs /dev/nvme0n1 rw")
    (sentence,) = of_kind(box.radius(DISK), "unsafe")
    assert sentence == "/data0, /data1, /data2 and 2 more are mounted from it (xfs)"


def test_a_mount_in_any_namespace_counts(box: Box) -> None:
    box.process(50, "container")
    box.mount("0:9 / / rw - overlay overlay rw", pid=50)
    box.mount("259:0 / /srv rw - ext4 /dev/nvme0n1 rw", pid=50)
    assert of_kind(box.radius(DISK), "unsafe") == [
        "/srv is mounted from it (ext4), for process 50 among others"
    ]


def test_the_root_of_a_container_is_refused(box: Box) -> None:
    box.process(50, "container")
    box.mount("259:0 /ct1 / rw - ext4 /dev/nvme0n1 rw", pid=50)
    assert kinds(box.radius(DISK)) == {"refused"}


def test_the_etc_of_a_container_is_not_that_of_the_machine(box: Box) -> None:
    box.process(50, "container")
    box.mount("0:9 / / rw - overlay overlay rw", pid=50)
    box.mount("259:0 /etc /etc rw - ext4 /dev/nvme0n1 rw", pid=50)
    assert kinds(box.radius(DISK)) == {"unsafe"}


def test_a_namespace_that_is_refused_to_us_leaves_it_open(box: Box) -> None:
    box.process(50, "container")
    box.put("/proc/50/mountinfo", Failure(errno.EACCES))
    assert of_kind(box.radius(DISK), "unknown") == [
        "cannot tell what its disks carry: /proc/50/mountinfo: Permission denied (EACCES)"
    ]


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL, errno.ENOENT])
def test_a_process_that_has_ended_is_no_doubt(box: Box, number: int) -> None:
    box.process(50, "gone")
    box.put("/proc/50/mountinfo", Failure(number))
    assert kinds(box.radius(DISK)) == {"safe"}


def test_blanks_in_a_mount_point_are_read(box: Box) -> None:
    box.mount(r"259:0 / /my\040data rw - xfs /dev/nvme0n1 rw")
    assert of_kind(box.radius(DISK), "unsafe") == ["/my data is mounted from it (xfs)"]


# -- holders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "files", "label"),
    [
        ("md0", {"md__level": "raid1"}, "md0 (raid1)"),
        ("dm-0", {"dm__name": "vg-lv", "dm__uuid": "LVM-abc"}, "dm-0 (LVM vg-lv)"),
        ("dm-0", {"dm__name": "luks", "dm__uuid": "CRYPT-LUKS2-x"}, "dm-0 (crypt luks)"),
        ("dm-0", {"dm__name": "mpatha", "dm__uuid": "mpath-3600"}, "dm-0 (multipath mpatha)"),
        ("bcache0", {}, "bcache0"),
    ],
)
def test_a_holder_is_refused_even_if_nothing_is_on_it(
    box: Box, name: str, files: dict[str, str], label: str
) -> None:
    box.holder(name, "9:0", "nvme0n1", **files)
    found = box.radius(DISK)
    assert of_kind(found, "refused") == [f"{label} is built on nvme0n1"]
    assert chain(found, "is built") == (*OVER_PCI, label)


def test_the_chain_goes_through_all_holders(box: Box) -> None:
    box.partition("nvme0n1p2", "259:2")
    box.holder("md0", "9:0", "nvme0n1p2", md__level="raid1")
    box.holder("dm-0", "253:0", "md0", dm__name="vg-data", dm__uuid="LVM-x")
    box.mount("253:0 / /data rw - ext4 /dev/mapper/vg-data rw")
    found = box.radius(DISK)
    assert kinds(found) == {"refused"}
    assert chain(found, "/data is mounted") == (
        *OVER_PCI, "nvme0n1p2", "md0 (raid1)", "dm-0 (LVM vg-data)", "/data",
    )  # fmt: skip


def test_holders_that_cannot_be_listed_leave_it_open(box: Box) -> None:
    box.put(f"{ROOT}/{DISK}/nvme/nvme0/nvme0n1/holders", Directory(errno.EIO))
    assert "unknown" in kinds(box.radius(DISK))


# -- swap ----------------------------------------------------------------------------------------


def zram(box: Box, backing: str) -> None:
    path = box.block("zram0", "/sys/devices/virtual/block/zram0", "253:9")
    box.put(f"{path}/backing_dev", f"{backing}\n")


def test_swap_in_memory_that_is_written_out_to_a_disk_is_refused(box: Box) -> None:
    zram(box, "/dev/nvme0n1")
    box.swap("/dev/zram0")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["zram0 is swapped to"]
    assert chain(found, "swapped") == (*OVER_PCI, "zram0", "swap")


def test_a_zram_that_nobody_uses_is_a_holder(box: Box) -> None:
    zram(box, "/dev/nvme0n1")
    assert of_kind(box.radius(DISK), "refused") == ["zram0 is built on nvme0n1"]


def test_a_zram_without_a_disk_says_nothing_of_one(box: Box) -> None:
    zram(box, "none")
    box.swap("/dev/zram0")
    assert kinds(box.radius(DISK)) == {"safe"}


def test_a_zram_on_what_is_not_known_may_be_on_any_disk(box: Box) -> None:
    zram(box, "/dev/gone")
    assert "unknown" in kinds(box.radius(DISK))


def test_swap_is_refused(box: Box) -> None:
    box.partition("nvme0n1p3", "259:3")
    box.swap("/dev/nvme0n1p3")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["nvme0n1p3 is swapped to"]
    assert chain(found, "swapped") == (*OVER_PCI, "nvme0n1p3", "swap")


def test_swap_on_a_file_of_the_disk_is_refused(box: Box) -> None:
    box.mount("259:0 / /data rw - ext4 /dev/nvme0n1 rw")
    box.swap("/data/swapfile")
    assert of_kind(box.radius(DISK), "refused") == ["/data/swapfile is swapped to"]


def test_swap_elsewhere_is_nothing_to_it(box: Box) -> None:
    box.swap("/dev/ram0")
    assert kinds(box.radius(DISK)) == {"safe"}


def test_swap_on_what_is_not_known_leaves_it_open(box: Box) -> None:
    box.swap("/dev/strange")
    assert of_kind(box.radius(DISK), "unknown") == [
        "cannot tell what its disks carry: /dev/strange in /proc/swaps is no known disk"
    ]


@pytest.mark.parametrize("path", ["/proc/swaps", "/proc/1/mountinfo", "/sys/class/block"])
def test_what_cannot_be_read_leaves_it_open(path: str) -> None:
    box = Box()
    box.disk()
    for entry in [entry for entry in box.entries if entry.startswith(path)]:
        del box.entries[entry]
    if path == "/proc/1/mountinfo":
        del box.entries["/proc/self"]
    box.put(path, Failure(errno.EIO))
    assert "unknown" in kinds(box.radius(DISK))


# -- file systems of several devices, and those out of sight -------------------------------------


def test_btrfs_is_found_by_each_of_its_devices() -> None:
    box = Box()
    box.disk("sda", "8:0")
    box.block("sdb", "/sys/devices/platform/sdb", "8:16")
    for name in ("sda", "sdb"):
        box.put(f"/sys/fs/btrfs/1234/devices/{name}", Link(f"/sys/class/block/{name}"))
    box.mount("0:44 / / rw - btrfs /dev/sdb rw,subvol=/root")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["/ is mounted from it (btrfs)"]
    assert chain(found, "is mounted") == (DISK, "sda", "/")


def test_a_log_on_the_disk_is_part_of_the_file_system(box: Box) -> None:
    box.block("sdb", "/sys/devices/platform/sdb", "8:16")
    box.mount("8:16 / /data rw - xfs /dev/sdb rw,logdev=/dev/nvme0n1")
    assert of_kind(box.radius(DISK), "unsafe") == ["/data is mounted from it (xfs)"]


@pytest.mark.parametrize("type_", ["ext4", "xfs", "f2fs"])
def test_a_file_system_that_no_namespace_shows_is_in_use_all_the_same(box: Box, type_: str) -> None:
    box.put(f"/sys/fs/{type_}/nvme0n1", Directory())
    assert of_kind(box.radius(DISK), "unsafe") == [f"nvme0n1 ({type_}) is mounted out of sight"]


BELOW_ROOT = "may be below the root, an overlay of which not all layers can be seen"


def test_out_of_sight_it_may_be_below_a_root_that_is_an_overlay(box: Box) -> None:
    box.mount("0:50 / / rw - overlay overlay rw,lowerdir=/gone")
    box.put("/sys/fs/ext4/nvme0n1", Directory())
    assert of_kind(box.radius(DISK), "refused") == [f"nvme0n1 (ext4) {BELOW_ROOT}"]


def test_so_may_what_nobody_tells_to_be_mounted() -> None:
    box = Box()
    box.disk(data=b"hsqs" + bytes(4092))
    box.mount("0:50 / / rw - overlay overlay rw,lowerdir=/gone")
    assert of_kind(box.radius(DISK), "refused") == [f"nvme0n1 holds squashfs, which {BELOW_ROOT}"]


def test_an_overlay_all_of_whose_layers_are_seen_hides_nothing(box: Box) -> None:
    box.mount("0:51 / /run rw - tmpfs tmpfs rw")
    box.mount("0:50 / / rw - overlay overlay rw,lowerdir=/run/low,upperdir=/run/up")
    box.put("/sys/fs/ext4/nvme0n1", Directory())
    assert kinds(box.radius(DISK)) == {"unsafe"}


def test_layers_of_an_overlay_lead_to_where_it_is_mounted(box: Box) -> None:
    box.mount("259:0 / /run/medium rw - ext4 /dev/nvme0n1 rw")
    box.mount(
        "0:50 / / rw - overlay overlay rw,lowerdir=/run/none:/run/medium/low,upperdir=/run/up"
    )
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["/ is mounted from it (overlay)"]
    assert chain(found, "(overlay)") == (*OVER_PCI, "/run/medium", "overlay", "/")


def test_a_loop_on_a_file_leads_to_what_is_mounted_from_it(box: Box) -> None:
    box.mount("259:0 / /run/medium rw - iso9660 /dev/nvme0n1 rw")
    loop = box.block("loop0", "/sys/devices/virtual/block/loop0", "7:0")
    box.put(f"{loop}/loop/backing_file", "/run/medium/root.squashfs\n")
    box.mount("7:0 / / ro - squashfs /dev/loop0 ro")
    found = box.radius(DISK)
    assert chain(found, "(squashfs)") == (
        *OVER_PCI, "/run/medium", "/run/medium/root.squashfs", "loop0", "/",
    )  # fmt: skip
    assert "refused" in kinds(found)


def test_a_loop_on_the_node_itself_leads_on_too(box: Box) -> None:
    loop = box.block("loop0", "/sys/devices/virtual/block/loop0", "7:0")
    box.put(f"{loop}/loop/backing_file", "/dev/nvme0n1\n")
    box.mount("7:0 / /mnt rw - ext4 /dev/loop0 rw")
    assert chain(box.radius(DISK), "/mnt is mounted") == (*OVER_PCI, "loop0", "/mnt")


def test_what_sdmtop_itself_needs_is_refused(box: Box) -> None:
    box.mount("259:0 / /srv rw - ext4 /dev/nvme0n1 rw")
    found = box.radius(DISK, own=("/srv/sdmtop/journal", "/usr/lib"))
    assert of_kind(found, "refused") == ["sdmtop itself needs /srv/sdmtop/journal"]


# -- ZFS -----------------------------------------------------------------------------------------


def zfs_label(pool: str) -> bytes:
    def pair(key: bytes, text: bytes) -> bytes:
        return (
            len(key).to_bytes(4, "big") + key + b"\0\0\0\x09\0\0\0\x01"
            + len(text).to_bytes(4, "big") + text
        )  # fmt: skip

    names = pair(b"version", b"x") + pair(b"name", pool.encode()) + b"pool_guid"
    return bytes(16 * 1024) + b"\x01\x01\0\0" + names + bytes(64 * 1024)


def test_an_imported_pool_is_refused() -> None:
    box = Box()
    box.disk(data=zfs_label("tank"))
    box.put("/proc/spl/kstat/zfs/tank/state", "ONLINE\n")
    box.put("/proc/spl/kstat/zfs/arcstats", "")
    box.mount("0:60 / /tank rw - zfs tank/home rw")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["nvme0n1 is in an imported ZFS pool"]
    assert chain(found, "ZFS") == (*OVER_PCI, "pool tank", "/tank")


def test_a_pool_that_is_not_imported_is_data_that_nobody_uses() -> None:
    box = Box()
    box.disk(data=zfs_label("tank"))
    box.put("/proc/spl/kstat/zfs/other/state", "ONLINE\n")
    assert of_kind(box.radius(DISK), "unsafe") == [
        "nvme0n1 holds zfs_member, which nobody uses now"
    ]


# -- what is on a disk that nobody uses ----------------------------------------------------------


def test_data_that_nobody_uses_has_to_be_typed() -> None:
    box = Box()
    box.disk(data=b"XFSB" + bytes(4096))
    assert of_kind(box.radius(DISK), "unsafe") == ["nvme0n1 holds xfs, which nobody uses now"]


def test_data_of_no_known_kind_is_unknown() -> None:
    box = Box()
    box.disk(data=b"my own database" + bytes(4096))
    assert of_kind(box.radius(DISK), "unknown") == [
        "nvme0n1 holds data of a kind unknown to sdmtop"
    ]


def test_a_disk_that_may_not_be_read_is_unknown(box: Box) -> None:
    box.put("/dev/nvme0n1", Failure(errno.EACCES))
    assert of_kind(box.radius(DISK), "unknown") == [
        "cannot tell what its disks carry: /dev/nvme0n1: Permission denied (EACCES)"
    ]


def test_udev_is_the_second_source(box: Box) -> None:
    box.put("/dev/nvme0n1", Failure(errno.EACCES))
    box.put("/run/udev/data/b259:0", "I:77\nE:ID_FS_TYPE=ntfs\nE:ID_FS_LABEL=secret\n")
    found = box.radius(DISK)
    assert of_kind(found, "unsafe") == ["nvme0n1 holds ntfs, which nobody uses now"]
    assert chain(found, "ntfs")[-1] == "/run/udev/data/b259:0"


def test_udev_knows_kinds_that_we_do_not() -> None:
    box = Box()
    box.disk(data=b"something" + bytes(4096))
    box.put("/run/udev/data/b259:0", "E:ID_FS_TYPE=reiserfs\n")
    assert of_kind(box.radius(DISK), "unsafe") == ["nvme0n1 holds reiserfs, which nobody uses now"]


def test_a_sleeping_disk_is_not_woken(box: Box) -> None:
    box.put(f"{ROOT}/{DISK}/nvme/nvme0/nvme0n1/device/power/runtime_status", "suspended\n")
    assert of_kind(box.radius(DISK), "unknown") == [
        "cannot tell what its disks carry: /dev/nvme0n1 sleeps, and is not woken for this"
    ]


def test_the_node_of_another_device_is_not_read(box: Box) -> None:
    box.put("/dev/nvme0n1", box.entries["/dev/ram0"])
    assert of_kind(box.radius(DISK), "unknown")


def test_a_drive_without_a_medium_holds_nothing(box: Box) -> None:
    box.put(f"{ROOT}/{DISK}/nvme/nvme0/nvme0n1/size", "0\n")
    assert kinds(box.radius(DISK)) == {"safe"}


# -- who has it open -----------------------------------------------------------------------------


def test_a_disk_that_is_open_is_in_use(box: Box) -> None:
    box.process(70, "qemu", fd11="/dev/nvme0n1")
    found = box.radius(DISK)
    assert of_kind(found, "unsafe") == ["/dev/nvme0n1 is open in qemu (process 70)"]
    assert chain(found, "is open") == (DISK, "nvme0n1", "/dev/nvme0n1", "qemu (process 70)")


def test_a_node_is_known_by_its_number_in_a_container_too(box: Box) -> None:
    box.process(70, "qemu")
    box.put("/proc/70/fd/4", Link("/dev/disk", os.makedev(259, 0)))
    assert of_kind(box.radius(DISK), "unsafe") == ["/dev/disk is open in qemu (process 70)"]


def test_processes_that_cannot_be_looked_into_leave_it_open(box: Box) -> None:
    box.process(70, "qemu")
    box.put("/proc/70/fd", Directory(errno.EACCES))
    assert of_kind(box.radius(DISK), "unknown") == [
        "cannot tell who has its nodes open: 1 processes cannot be looked into (Permission denied)"
    ]


def test_out_of_time_the_rest_is_unknown(box: Box) -> None:
    found = box.radius(DISK, enough=lambda: True)
    assert any("out of time" in sentence for sentence in of_kind(found, "unknown"))


# -- NVMe multipath ------------------------------------------------------------------------------

SUBSYSTEM = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
SECOND = "0000:00:04.0"


def two_controllers() -> Box:
    """One disk behind two NVMe controllers, and mounted as the root."""
    box = Box()
    box.part("nvme-subsystem", "nvme-subsys0", SUBSYSTEM)
    for index, address in enumerate((DISK, SECOND)):
        path = box.device(address, "0x010802", "nvme")
        controller = box.part("nvme", f"nvme{index}", f"{path}/nvme/nvme{index}", state="live")
        hidden = f"nvme0c{index}n1"
        box.part("block", hidden, f"{controller}/{hidden}", hidden="1", size="8")
        box.put(f"{SUBSYSTEM}/nvme{index}", Link(f"/sys/class/nvme/nvme{index}"))
    box.block("nvme0n1", f"{SUBSYSTEM}/nvme0n1", "259:0")
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    return box


def test_one_of_two_paths_may_go_when_it_is_typed() -> None:
    found = two_controllers().radius(DISK)
    assert of_kind(found, "unsafe") == ["nvme0n1 loses a path; nvme1 still leads to it"]
    assert "refused" not in kinds(found)


def test_the_last_path_carries_all_that_the_disk_does() -> None:
    box = two_controllers()
    box.put(f"{ROOT}/{SECOND}/nvme/nvme1/state", "connecting\n")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["/ is mounted from it (ext4)"]
    assert chain(found, "is mounted") == (DISK, "nvme0", "nvme-subsys0", "nvme0n1", "/")


@pytest.mark.parametrize("state", ["inaccessible", "persistent-loss", "change"])
def test_a_live_controller_that_does_not_reach_the_disk_is_no_path(state: str) -> None:
    box = two_controllers()
    box.put(f"{ROOT}/{SECOND}/nvme/nvme1/nvme0c1n1/ana_state", f"{state}\n")
    assert of_kind(box.radius(DISK), "refused") == ["/ is mounted from it (ext4)"]


@pytest.mark.parametrize("state", ["optimized", "non-optimized"])
def test_a_slower_path_is_one(state: str) -> None:
    box = two_controllers()
    box.put(f"{ROOT}/{SECOND}/nvme/nvme1/nvme0c1n1/ana_state", f"{state}\n")
    assert "refused" not in kinds(box.radius(DISK))


FABRIC = "/sys/devices/virtual/nvme-fabrics/ctl"
ADAPTERS = {DISK: "0x10000090fa000001", SECOND: "0x10000090fa000002"}


def over_fibre_channel(*adapters: str, port: str = "") -> Box:
    """The root on an NVMe disk that is reached by these adapters, or by a port of none."""
    box = Box()
    box.part("nvme-subsystem", "nvme-subsys0", SUBSYSTEM)
    for index, (address, name) in enumerate(ADAPTERS.items()):
        path = box.device(address, "0x0c0400", "lpfc")
        box.part(
            "fc_host", f"host{index}", f"{path}/host{index}/fc_host/host{index}",
            node_name="0x20000090fa000000", port_name=name,
        )  # fmt: skip
        if address in adapters:
            box.part(
                "nvme", f"nvme{index}", f"{FABRIC}/nvme{index}", transport="fc", state="live",
                address="traddr=nn-0x2:pn-0x3,"
                f"host_traddr=nn-0x20000090fa000000:pn-{port or name}",
            )  # fmt: skip
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    return box


def test_a_disk_over_fibre_channel_is_behind_the_port_that_leads_to_it() -> None:
    box = over_fibre_channel(DISK)
    box.block("nvme0n1", f"{FABRIC}/nvme0/nvme0n1", "259:0")
    found = box.radius(DISK)
    assert of_kind(found, "refused") == ["/ is mounted from it (ext4)"]
    assert chain(found, "is mounted") == (DISK, "nvme0", "nvme0n1", "/")
    assert kinds(box.radius(SECOND)) == {"safe"}


def test_one_of_two_ports_to_it_may_go_but_not_both() -> None:
    box = over_fibre_channel(DISK, SECOND)
    for index in range(2):
        hidden = f"nvme0c{index}n1"
        place = f"{FABRIC}/nvme{index}/{hidden}"
        box.part("block", hidden, place, hidden="1", size="8")
        box.put(f"{SUBSYSTEM}/nvme{index}", Link(f"/sys/class/nvme/nvme{index}"))
    box.block("nvme0n1", f"{SUBSYSTEM}/nvme0n1", "259:0")
    assert of_kind(box.radius(DISK), "unsafe") == ["nvme0n1 loses a path; nvme1 still leads to it"]
    assert len(of_kind(box.radius(DISK, SECOND), "refused")) == 2


def test_a_disk_over_a_port_that_is_not_known_may_be_behind_any() -> None:
    box = over_fibre_channel(DISK, port="0x99")
    box.block("nvme0n1", f"{FABRIC}/nvme0/nvme0n1", "259:0")
    for address in (DISK, SECOND):
        assert of_kind(box.radius(address), "unknown") == [
            "cannot tell what its disks carry: the port that leads to nvme0 is not known"
        ]


def test_both_paths_at_once_are_the_last() -> None:
    found = two_controllers().radius(DISK, SECOND)
    assert len(of_kind(found, "refused")) == 2
