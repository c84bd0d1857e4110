"""What goes with a device, parts of the machine, queues, and everything else behind a device."""

import errno

import pytest

from sdmtop.backends.tree import Directory, Failure, Link
from tests.operations.blast.box import DISK, GROUPS, ROOT, Box, chain, kinds, of_kind

PF, VF, BRIDGE = "0000:00:02.0", "0000:00:02.1", "0000:00:03.0"
CARD, SOUND = "0000:00:04.0", "0000:00:04.1"
UUID = "5d3de000-0000-4000-8000-000000000001"


@pytest.fixture
def box() -> Box:
    return Box()


# -- nothing and the unknown ---------------------------------------------------------------------


def test_a_device_without_a_driver_is_safe(box: Box) -> None:
    box.device(PF, driver=None)
    (verdict,) = box.radius(PF)
    assert (verdict.kind, verdict.subject) == ("safe", PF)


def test_a_device_whose_unbind_waits_is_not_safe(box: Box) -> None:
    path = box.device(PF, driver=None)
    box.put(f"{path}/modalias", "pci:v00008086d000010D3sv00000000sd00000000bc02sc00i00\n")
    box.put(f"{path}/enable", "1\n")
    box.put("/sys/class/vfio/2/dev", "240:2\n")
    box.process(70, "qemu", fd9="/dev/vfio/2")
    (verdict,) = box.radius(PF)
    assert (verdict.kind, verdict.sentence) == (
        "unknown",
        "cannot tell who uses it: an unbind of it is under way, held by qemu 70",
    )


def test_a_driver_that_tells_nothing_is_unknown(box: Box) -> None:
    box.device(PF, "0x118000", "mystery")
    assert of_kind(box.radius(PF), "unknown") == [
        "sdmtop cannot tell who uses what mystery does with it"
    ]


def test_a_device_that_is_not_there_is_unknown(box: Box) -> None:
    (verdict,) = box.radius(PF)
    assert (verdict.kind, verdict.subject) == ("unknown", PF)


def test_the_worst_comes_first(box: Box) -> None:
    box.disk()
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    box.device(PF, driver=None)
    assert [verdict.kind for verdict in box.radius(PF, DISK)] == ["refused", "safe"]


def test_nothing_of_the_host_leaves_all_open(box: Box) -> None:
    box.device(PF)
    for path in [path for path in box.entries if path.startswith(("/sys/class", "/proc"))]:
        del box.entries[path]
    assert "safe" not in kinds(box.radius(PF, backend="capture"))


# -- what goes with it ---------------------------------------------------------------------------


def test_virtual_functions_go_with_the_physical_one(box: Box) -> None:
    path = box.device(PF, driver="igb")
    box.put(f"{path}/sriov_totalvfs", "2\n")
    box.put(f"{path}/virtfn0", Link(f"../{VF}"))
    box.device(VF, driver="vfio-pci")
    box.put(f"{ROOT}/{VF}/physfn", Link(f"../{PF}"))
    box.put("/sys/class/vfio/2/dev", "240:2\n")
    box.process(70, "qemu", fd9="/dev/vfio/2")
    found = box.radius(PF)
    assert chain(found, "its group is held") == (PF, VF, "/dev/vfio/2", "qemu (process 70)")


def test_what_is_behind_a_bridge_goes_with_it(box: Box) -> None:
    bridge = box.device(BRIDGE, "0x060400", "pcieport")
    path = box.device(DISK, "0x010802", "nvme")
    inner = f"{bridge}/{DISK}"
    for entry in [entry for entry in box.entries if entry.startswith(path)]:
        box.put(inner + entry[len(path) :], box.entries.pop(entry))
    box.put(f"/sys/bus/pci/devices/{DISK}", Link(f"../../..{inner[4:]}"))
    box.put(f"{GROUPS}/1/devices/{DISK}", Link(f"../../../..{inner[4:]}"))
    box.block("nvme0n1", f"{inner}/nvme/nvme0/nvme0n1", "259:0")
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    found = box.radius(BRIDGE)
    assert chain(found, "/ is mounted") == (BRIDGE, DISK, "nvme0n1", "/")
    assert of_kind(found, "unsafe") == [f"{DISK} is behind this bridge"]


def linked(box: Box, *, status: str, early: str = "0") -> None:
    """The sound of a display adapter, which the kernel ties to it."""
    path = box.device(CARD, "0x030000", "nouveau")
    box.device(SOUND, "0x040300", "snd_hda_intel")
    box.part("sound", "card1", f"{ROOT}/{SOUND}/sound/card1")
    link = f"/sys/devices/virtual/devlink/pci:{CARD}--pci:{SOUND}"
    box.put(f"{path}/consumer:pci:{SOUND}", Link(f"../../..{link[4:]}"))
    box.put(f"{link}/status", f"{status}\n")
    box.put(f"{link}/sync_state_only", f"{early}\n")
    box.put(f"{link}/consumer", Link(f"../../../pci0000:00/{SOUND}"))


def test_a_consumer_is_unbound_before_its_supplier(box: Box) -> None:
    linked(box, status="active")
    assert {verdict.subject for verdict in box.radius(CARD)} == {CARD, SOUND}


@pytest.mark.parametrize(("status", "early"), [("not tracked", "0"), ("active", "1")])
def test_a_link_that_is_not_tracked_unbinds_nobody(box: Box, status: str, early: str) -> None:
    linked(box, status=status, early=early)
    assert {verdict.subject for verdict in box.radius(CARD)} == {CARD}


def test_consumers_that_cannot_be_told_leave_it_open(box: Box) -> None:
    linked(box, status="active")
    path = f"/sys/devices/virtual/devlink/pci:{CARD}--pci:{SOUND}/status"
    box.put(path, Failure(errno.EIO))
    assert any("what else goes with it" in text for text in of_kind(box.radius(CARD), "unknown"))


# -- the machine itself --------------------------------------------------------------------------


def test_an_iommu_is_refused(box: Box) -> None:
    path = box.device(PF, "0x080600", None)
    box.part("iommu", "ivhd0", f"{path}/iommu/ivhd0")
    assert of_kind(box.radius(PF), "refused") == ["it is the IOMMU ivhd0"]


def test_the_root_of_a_bus_is_refused(box: Box) -> None:
    box.device(PF, "0x060000", None)
    assert kinds(box.radius(PF)) == {"refused"}


def test_an_empty_port_is_safe(box: Box) -> None:
    box.device(BRIDGE, "0x060400", "pcieport")
    assert of_kind(box.radius(BRIDGE), "safe") == ["nothing is behind this bridge"]


# -- queues and virtual machines -----------------------------------------------------------------


def queue(box: Box, *holders: int) -> None:
    """An mdev of a parent, and its group."""
    path = box.device(PF, "0x120000", "edu")
    box.put(f"/sys/class/mdev_bus/{PF}", Link(f"../..{path[4:]}"))
    box.put(f"{path}/mdev_supported_types/edu-fact/available_instances", "1\n")
    mdev = f"{path}/{UUID}"
    box.put(f"/sys/bus/mdev/devices/{UUID}", Link(f"../../..{mdev[4:]}"))
    box.put(f"{mdev}/mdev_type", Link("../mdev_supported_types/edu-fact"))
    box.put(f"{mdev}/iommu_group", Link(f"../../../..{GROUPS[4:]}/40"))
    box.put(f"{mdev}/subsystem", Link("../../../../bus/mdev"))
    box.put(f"{GROUPS}/40/devices/{UUID}", Link(f"../../../..{mdev[4:]}"))
    box.put(f"{GROUPS}/40/name", "vfio-noiommu\n")
    box.put(f"{GROUPS}/40/type", "unknown\n")
    box.put("/sys/class/vfio/40/dev", "240:40\n")
    for pid in holders:
        box.process(pid, "user", fd7="/dev/vfio/40")


def test_a_queue_that_is_held_is_lost_with_its_parent(box: Box) -> None:
    queue(box, 70)
    assert of_kind(box.radius(PF), "unsafe") == [f"its queue {UUID} is held by user (process 70)"]


def test_a_queue_that_nobody_holds_goes_too_and_that_is_said(box: Box) -> None:
    queue(box)
    assert of_kind(box.radius(PF), "unsafe") == [
        f"its queue {UUID}, which nobody holds, goes with it"
    ]


def test_a_reset_removes_no_queue_but_its_state(box: Box) -> None:
    queue(box)
    assert of_kind(box.radius(PF, resets=[PF]), "unsafe") == [
        f"the state of its queue {UUID}, which nobody holds, is lost"
    ]


def test_a_queue_whose_holder_cannot_be_told_is_unknown(box: Box) -> None:
    queue(box, 70)
    box.put("/proc/70/fd", Directory(errno.EACCES))
    del box.entries["/proc/70/fd/7"]
    assert of_kind(box.radius(PF), "unknown")[0] == f"cannot tell who holds its queue {UUID}"


def vfio(box: Box) -> None:
    box.device(PF, driver="vfio-pci")
    box.put("/sys/class/vfio/2/dev", "240:2\n")


def test_a_device_that_waits_on_vfio_is_safe(box: Box) -> None:
    vfio(box)
    assert of_kind(box.radius(PF), "safe") == ["it is on vfio-pci, and nobody holds its group"]


def test_a_group_that_a_process_holds_has_to_be_typed(box: Box) -> None:
    vfio(box)
    box.process(70, "qemu", fd9="/dev/vfio/2")
    assert of_kind(box.radius(PF), "unsafe") == ["its group is held by qemu (process 70)"]


def test_holders_that_cannot_be_told_leave_it_open(box: Box) -> None:
    vfio(box)
    box.process(70, "qemu")
    box.put("/proc/70/fd", Directory(errno.EACCES))
    assert of_kind(box.radius(PF), "unknown") == [
        "cannot tell who holds devices: 1 processes cannot be looked into"
    ]


def test_a_mapping_that_could_be_of_any_device_of_vfio_leaves_it_open(box: Box) -> None:
    vfio(box)
    box.process(70, "qemu")
    box.put("/proc/70/maps", "7f00-7f01 r--s 0000 00:0f 9 anon_inode:[vfio-device]\n")
    assert of_kind(box.radius(PF), "unknown") == [
        "cannot tell who holds devices: the kernel does not say which one process 70 has mapped"
    ]


# -- other classes, and the kernel's own users ---------------------------------------------------


def test_a_sound_card_is_in_use_while_it_is_open(box: Box) -> None:
    path = box.device(SOUND, "0x040300", "snd_hda_intel")
    box.part("sound", "pcmC0D0p", f"{path}/sound/card0/pcmC0D0p")
    assert kinds(box.radius(SOUND)) == {"safe"}
    box.node(f"{path}/sound/card0/pcmC0D0p", "116:2", "/dev/snd/pcmC0D0p")
    box.process(70, "pipewire", fd9="/dev/snd/pcmC0D0p")
    assert of_kind(box.radius(SOUND), "unsafe") == [
        "/dev/snd/pcmC0D0p is open in pipewire (process 70)"
    ]


def test_a_mapping_without_a_descriptor_counts(box: Box) -> None:
    path = box.device(SOUND, "0x040300", "snd_hda_intel")
    box.node(f"{path}/sound/card0/pcmC0D0p", "116:2", "/dev/snd/pcmC0D0p")
    box.process(70, "player")
    box.put("/proc/70/maps", "7f00-7f01 rw-s 00000000 00:06 99    /dev/snd/pcmC0D0p\n")
    assert of_kind(box.radius(SOUND), "unsafe") == [
        "/dev/snd/pcmC0D0p is open in player (process 70)"
    ]


def test_a_usb_device_is_in_use_through_its_node(box: Box) -> None:
    path = box.device(PF, "0x0c0330", "xhci_hcd")
    box.node(f"{path}/usb1/1-1", "189:1", "/dev/bus/usb/001/002")
    assert kinds(box.radius(PF)) == {"safe"}
    box.process(70, "scanner", fd5="/dev/bus/usb/001/002")
    assert kinds(box.radius(PF)) == {"unsafe"}


def test_nodes_that_cannot_be_listed_leave_it_open(box: Box) -> None:
    box.device(PF, driver="vfio-pci")
    box.put("/sys/dev/char", Directory(errno.EIO))
    assert any("whether it has nodes" in text for text in of_kind(box.radius(PF), "unknown"))


def test_a_class_that_nobody_knows_is_unknown(box: Box) -> None:
    path = box.device(PF, "0x118000", "odd")
    box.part("quantum", "qubit0", f"{path}/quantum/qubit0")
    assert of_kind(box.radius(PF), "unknown") == [
        "qubit0 of class quantum: sdmtop cannot tell who uses it"
    ]


@pytest.mark.parametrize(
    ("state", "kind"), [("active", "unsafe"), ("inactive", "safe"), (None, "unknown")]
)
def test_an_active_watchdog_may_reset_the_machine(box: Box, state: str, kind: str) -> None:
    path = box.device(PF, "0x088000", "iTCO_wdt")
    files = {"state": state} if state else {}
    box.part("watchdog", "watchdog0", f"{path}/watchdog/watchdog0", **files)
    assert kinds(box.radius(PF)) == {kind}


@pytest.mark.parametrize(("users", "kind"), [("2", "unsafe"), ("0", "safe"), (None, "unknown")])
def test_a_dma_channel_that_the_kernel_uses(box: Box, users: str, kind: str) -> None:
    path = box.device(PF, "0x088000", "ioatdma")
    files = {"in_use": users} if users else {}
    box.part("dma", "dma0chan0", f"{path}/dma/dma0chan0", **files)
    assert kinds(box.radius(PF)) == {kind}


def crypto(box: Box, users: int) -> None:
    box.device(PF, "0x108000", "ccp")
    box.put("/sys/module/ccp/holders/ccp_crypto", Link("../../ccp_crypto"))
    box.put(
        "/proc/crypto",
        "name         : aes\ndriver       : aes-ccp\nmodule       : ccp_crypto\n"
        f"refcnt       : {users}\n\n"
        "name         : md5\ndriver       : md5-generic\nmodule       : kernel\nrefcnt : 9\n",
    )


def test_an_algorithm_that_the_kernel_uses_has_to_be_typed(box: Box) -> None:
    crypto(box, 3)
    found = box.radius(PF)
    assert of_kind(found, "unsafe") == ["aes-ccp has 2 users in the kernel"]
    assert chain(found, "aes-ccp") == (PF, "ccp", "aes-ccp", "/proc/crypto")


def test_algorithms_at_rest_are_safe(box: Box) -> None:
    crypto(box, 1)
    assert of_kind(box.radius(PF), "safe") == ["1 crypto algorithms, none in use"]


def test_algorithms_that_cannot_be_read_leave_it_open(box: Box) -> None:
    crypto(box, 1)
    box.put("/proc/crypto", Failure(errno.EIO))
    assert "unknown" in kinds(box.radius(PF))


# -- shares of the hypervisor --------------------------------------------------------------------


def share(box: Box, driver: str, tag: str | None = None) -> None:
    path = box.device(PF, "0x000200", "virtio-pci")
    box.put("/sys/bus/virtio/devices/virtio3", Link(f"../../..{path[4:]}/virtio3"))
    box.put(f"{path}/virtio3/driver", Link(f"/sys/bus/virtio/drivers/{driver}"))
    if tag:
        box.put(f"{path}/virtio3/mount_tag", f"{tag}\0")


def test_a_root_that_the_hypervisor_shares_is_refused(box: Box) -> None:
    share(box, "9pnet_virtio", "root")
    box.mount("0:30 / /lower rw - 9p root rw,trans=virtio")
    box.mount("0:31 / / rw - overlay overlay rw,lowerdir=/lower")
    found = box.radius(PF)
    assert chain(found, "(overlay)") == (PF, "virtio3", "9p root", "/lower", "overlay", "/")
    assert "refused" in kinds(found)


def test_another_share_is_not_this_device(box: Box) -> None:
    share(box, "9pnet_virtio", "data")
    box.mount("0:30 / / rw - 9p root rw,trans=virtio")
    assert of_kind(box.radius(PF), "safe") == ["nothing is mounted from data"]


def test_a_share_may_be_below_a_root_whose_layers_nobody_shows(box: Box) -> None:
    share(box, "9pnet_virtio", "data")
    box.mount("0:31 / / rw - overlay overlay rw,lowerdir=/gone")
    assert of_kind(box.radius(PF), "refused") == [
        "data may be below the root, an overlay of which not all layers can be seen"
    ]


def test_virtiofs_does_not_tell_which_device_it_is(box: Box) -> None:
    share(box, "virtiofs")
    box.mount("0:30 / / rw - virtiofs rootfs rw")
    assert of_kind(box.radius(PF), "refused") == ["/ is mounted from it (virtiofs)"]
