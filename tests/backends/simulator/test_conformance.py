"""What today's kernels were seen to do: the vectors of kernel-abi.md section 11, one test each."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from sdmtop.readers.snapshot import read_snapshot
from sdmtop.vfio import TYPE1V2, Container, Group, Queue
from tests.backends.simulator.machines import (
    BRIDGE,
    BRIDGED_EDU,
    BRIDGED_NIC,
    BRIDGED_TESTDEV,
    DRIVERS,
    EDU,
    GROUPS,
    NIC,
    NVME,
    PCI,
    begin,
    claim,
    driver_of,
    group_of,
    guest,
    hold,
    machine,
    refused,
    text,
    to_vfio,
    write,
)

if TYPE_CHECKING:
    from sdmtop.backends.base import Handle
    from sdmtop.backends.simulator.host import SimulatorHost

FOUR_PORTS, FOUR_NVME, FOUR_NIC = ("0000:00:08.0", "0000:00:08.1"), "0000:01:00.0", "0000:02:00.0"
WORDS = ("identity", "DMA", "DMA-FQ", "auto")


def four(kernel: str, domain_type: str = "DMA-FQ") -> SimulatorHost:
    """Two ports, a disk and a network card that the IOMMU cannot tell apart."""
    devices = "".join(
        f'[[device]]\naddress = "{address}"\nunit = "dmar0"\ngroup = "four"\ndriver = "{driver}"\n'
        f"vendor = {vendor}\ndevice = {device}\nclass = {class_}\n{more}\n"
        for address, driver, vendor, device, class_, more in (
            (FOUR_PORTS[0], "pcieport", 0x1B36, 0xC, 0x60400, ""),
            (FOUR_PORTS[1], "pcieport", 0x1B36, 0xC, 0x60400, ""),
            (FOUR_NVME, "nvme", 0x1B36, 0x10, 0x10802, f'parent = "{FOUR_PORTS[0]}"'),
            (FOUR_NIC, "e1000e", 0x8086, 0x10D3, 0x20000, f'parent = "{FOUR_PORTS[1]}"'),
        )
    )
    return machine(
        f'title = "four"\nkernel = "{kernel}"\ndomain_type = "{domain_type}"\n'
        f'[[unit]]\nname = "dmar0"\n{devices}'
    )


def set_type(host: SimulatorHost, address: str, word: str) -> None:
    write(host, f"{GROUPS}/{group_of(host, address)}/type", word)


def type_of(host: SimulatorHost, address: str) -> str:
    return text(host, f"{GROUPS}/{group_of(host, address)}/type")


def holding(host: SimulatorHost, how: str) -> Handle:
    """A device that is open, or of which only a mapping is left."""
    container, group, device = hold(host, NVME)
    if how == "descriptor":
        return device.handle
    device.handle.map(0, 4096)
    for node in (device, group, container):
        node.close()
    return device.handle


# -- 1 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["6.12", "7.0"])
def test_a_group_of_four_from_its_drivers_to_a_process_and_back(kernel: str) -> None:
    host = four(kernel)
    with refused(errno.EPERM):
        set_type(host, FOUR_NVME, "identity")
    group = Group.open(host, f"/dev/vfio/{to_vfio(host, FOUR_NVME)}")
    assert group.status() == (False, False)
    container = Container.open(host)
    with refused(errno.EPERM):
        group.set_container(container)
    write(host, f"{DRIVERS}/e1000e/unbind", FOUR_NIC)
    assert group.status() == (True, False)
    group.set_container(container)
    container.set_iommu(TYPE1V2)
    assert [driver_of(host, port) for port in FOUR_PORTS] == ["pcieport", "pcieport"]
    with refused(errno.EINVAL):
        write(host, "/sys/bus/pci/drivers_probe", FOUR_NIC)
    assert driver_of(host, FOUR_NIC) is None
    with refused(errno.EBUSY):
        write(host, f"{DRIVERS}/e1000e/bind", FOUR_NIC)
    with refused(errno.EPERM):
        set_type(host, FOUR_NVME, "identity")
    group.close()
    container.close()
    set_type(host, FOUR_NVME, "identity")
    set_type(host, FOUR_NVME, "auto")
    assert type_of(host, FOUR_NVME) == "DMA-FQ"
    write(host, f"{PCI}/{FOUR_NVME}/driver_override", "\n")
    write(host, f"{DRIVERS}/vfio-pci/unbind", FOUR_NVME)
    for address, driver in ((FOUR_NVME, "nvme"), (FOUR_NIC, "e1000e")):
        write(host, "/sys/bus/pci/drivers_probe", address)
        assert driver_of(host, address) == driver


def test_before_6_12_a_group_of_four_keeps_its_type() -> None:
    host = four("6.1")
    write(host, f"{DRIVERS}/e1000e/unbind", FOUR_NIC)
    write(host, f"{DRIVERS}/nvme/unbind", FOUR_NVME)
    with refused(errno.EINVAL, "more than one device"):
        set_type(host, FOUR_NVME, "identity")


# -- 2 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "busy"), [("6.1", errno.EBUSY), ("6.12", errno.EPERM)])
def test_the_type_of_a_group_with_and_without_a_driver(kernel: str, busy: int) -> None:
    host = guest(kernel)
    assert driver_of(host, NIC) == "e1000e"
    for word, number in (("identity", busy), ("DMA", busy), ("auto", busy), ("bogus", errno.EINVAL),
                         ("dma", errno.EINVAL), ("", errno.EINVAL)):  # fmt: skip
        with refused(number):
            set_type(host, NIC, f"{word}\n")
    set_type(host, NIC, "DMA-FQ")
    assert type_of(host, NIC) == "DMA-FQ"
    for word in ("DMA-FQ", "DMA"):
        with refused(busy):
            set_type(host, NIC, word)
    write(host, f"{DRIVERS}/e1000e/unbind", NIC)
    for word in WORDS:
        set_type(host, NIC, word)
        assert type_of(host, NIC) == ("DMA" if word == "auto" else word)


@pytest.mark.parametrize(("kernel", "refuses"), [("6.1", True), ("6.12", False)])
def test_the_type_with_vfio_pci_bound_and_nothing_open(kernel: str, refuses: bool) -> None:
    host = guest(kernel)
    to_vfio(host, EDU)
    if refuses:
        with refused(errno.EBUSY):
            set_type(host, EDU, "identity")
    else:
        set_type(host, EDU, "identity")
    assert type_of(host, EDU) == ("DMA" if refuses else "identity")


def test_the_type_of_a_claimed_group_can_only_become_lazy() -> None:
    host = guest()
    group = Group.open(host, f"/dev/vfio/{to_vfio(host, EDU)}")
    set_type(host, EDU, "identity")
    set_type(host, EDU, "DMA")
    group.set_container(Container.open(host))
    assert type_of(host, EDU) == "DMA"
    with refused(errno.EPERM, r"held by sdmtop \(pid 4242\) through VFIO"):
        set_type(host, EDU, "identity")
    set_type(host, EDU, "DMA-FQ")


def test_in_2018_the_type_could_only_be_read() -> None:
    host = guest("4.19")
    write(host, f"{PCI}/{EDU}/driver/unbind", EDU)
    with refused(errno.EACCES):
        set_type(host, EDU, "DMA")


# -- 3 and 4 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["descriptor", "mapping"])
def test_an_unbind_waits_for_a_holder_and_meanwhile(how: str) -> None:
    host = guest()
    holding(host, how)
    group = group_of(host, NVME)
    events = host.events()
    assert events is not None
    unbind = begin(host, f"{DRIVERS}/vfio-pci/unbind", NVME)
    assert not unbind.wait(30)
    assert unbind.pid is not None
    assert "S (sleeping)" in text(host, f"/proc/{unbind.pid}/status")
    assert "vfio_unregister_group_dev" in text(host, f"/proc/{unbind.pid}/stack")
    assert driver_of(host, NVME) is None
    assert NVME not in host.list(f"{DRIVERS}/vfio-pci")
    assert "DRIVER=vfio-pci" in text(host, f"{PCI}/{NVME}/uevent")
    assert "vfio-dev" not in host.list(f"{PCI}/{NVME}")
    assert group in host.list("/dev/vfio")
    with refused(errno.EBUSY):
        host.open(f"/dev/vfio/{group}")
    write(host, f"{PCI}/{NVME}/driver_override", "\n")
    write(host, "/sys/bus/pci/drivers_probe", NVME)
    assert driver_of(host, NVME) is None
    with refused(errno.ENODEV):
        write(host, f"{DRIVERS}/vfio-pci/bind", NVME)
    with refused(errno.ENODEV):
        write(host, f"{DRIVERS}/nvme/unbind", NVME)
    reset = begin(host, f"{PCI}/{NVME}/reset", "1")
    assert not reset.wait(30)
    assert [(event.action, event.subsystem) for event in events.drain()] == [("remove", "vfio-dev")]

    host.kernel.signal(unbind.pid)
    assert not unbind.wait(1)
    assert "D (disk sleep)" in text(host, f"/proc/{unbind.pid}/status")
    assert b'Device is currently in use, task "sdmtop"' in host.kernel_log()[-1]

    own = host.kernel.processes.own
    host.close()
    assert not own.files
    assert unbind.wait(0)
    assert reset.wait(0)
    assert [(event.action, event.subsystem) for event in events.drain()] == [
        ("remove", "vfio"),
        ("unbind", "pci"),
    ]
    assert "DRIVER" not in text(host, f"{PCI}/{NVME}/uevent")


@pytest.mark.parametrize("file", ["sriov_numvfs", "sriov_vf_total_msix"])
def test_reading_what_is_behind_the_lock_would_hang(file: str) -> None:
    from sdmtop.backends.simulator.vfs import File, walk

    host = guest()
    holding(host, "descriptor")
    begin(host, f"{DRIVERS}/vfio-pci/unbind", NVME)
    # No reader may open it (limits.py); what would become of one is in the node itself.
    node = walk(host.root, f"{PCI}/{NVME}/{file}")
    assert isinstance(node, File)
    with refused(errno.ETIMEDOUT, "would hang"):
        host.show(node, file)


@pytest.mark.parametrize(("kernel", "hangs"), [("6.1", True), ("6.12", False)])
def test_driver_override_is_behind_the_lock_until_6_1(kernel: str, hangs: bool) -> None:
    host = guest(kernel)
    holding(host, "descriptor")
    begin(host, f"{DRIVERS}/vfio-pci/unbind", NVME)
    path = f"{PCI}/{NVME}/driver_override"
    if hangs:
        with refused(errno.ETIMEDOUT):
            host.read(path)
        assert not begin(host, path, "\n").wait(5)
    else:
        assert text(host, path) == "vfio-pci"
        write(host, path, "\n")


def test_readers_stay_alive_beside_a_stuck_unbind() -> None:
    host = guest()
    holding(host, "descriptor")
    begin(host, f"{DRIVERS}/vfio-pci/unbind", NVME)
    snapshot = read_snapshot(host)
    (entry,) = (one for one in snapshot.unknown if one.path.endswith(f"{NVME}/driver"))
    assert entry.errno == "EBUSY"


def test_a_holder_that_registered_for_requests_is_asked_and_may_let_go() -> None:
    from sdmtop.vfio import REQUEST

    host = guest()
    _, _, device = hold(host, NVME)
    asked = host.signal()
    device.signal_irqs(REQUEST, [asked])
    unbind = begin(host, f"{DRIVERS}/vfio-pci/unbind", NVME)
    assert not unbind.wait(3)
    assert asked.wait(0) == 1
    assert b"Relaying device request to user (#0)" in host.kernel_log()[-1]
    # It is asked again every ten seconds.
    assert asked.wait(10) == 1
    device.close()
    assert unbind.wait(0)


# -- 5 (more in test_mdev) -------------------------------------------------------------------------


def test_uevents_of_an_mdev_with_a_removal_that_waits() -> None:
    host = machine(
        'title = "t"\n[[unit]]\nname = "dmar0"\n[[device]]\naddress = "0000:00:02.0"\n'
        'unit = "dmar0"\ndriver = "mtty"\ninstances = 2\nmdev_type = [{ id = "1" }]\n'
    )
    name = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
    events = host.events()
    assert events is not None

    def told() -> list[tuple[str, str]]:
        return [(event.action, event.subsystem) for event in events.drain()]

    write(host, f"{PCI}/0000:00:02.0/mdev_supported_types/mtty-1/create", name)
    made = [("add", "mdev"), ("add", "vfio"), ("add", "vfio-dev"), ("bind", "mdev")]
    assert told() == made
    group = host.readlink(f"/sys/bus/mdev/devices/{name}/iommu_group").rpartition("/")[2]
    _, opened = claim(host, group)
    device = opened.device(name)
    assert told() == []
    removal = begin(host, f"/sys/bus/mdev/devices/{name}/remove", "1")
    assert not removal.wait(5)
    assert told() == [("remove", "vfio-dev")]
    device.close()
    assert removal.wait(0)
    assert told() == [("remove", "vfio"), ("unbind", "mdev"), ("remove", "mdev")]


# -- 7 ---------------------------------------------------------------------------------------------

UACCE = """
title = "uacce"
[[unit]]
name = "smmu3.0x1"
driver = "arm-smmu-v3"
pasid_bits = 8
[[device]]
address = "0000:79:00.0"
unit = "smmu3.0x1"
driver = "hisi_hpre"
pasid_bits = 8
accelerator = "hpre"
queues = 3
interrupts = { actions = ["hisi_hpre"] }
uacce = { name = "hisi_hpre-0", algorithms = ["rsa", "dh"] }
"""


def test_a_uacce_queue_is_taken_at_open_and_given_back_at_close() -> None:
    host = machine(UACCE)
    left = "/sys/class/uacce/hisi_hpre-0/available_instances"
    queues = []
    for number in range(3):
        queue = Queue.open(host, "/dev/hisi_hpre-0")
        assert text(host, left) == str(2 - number)
        queue.start()
        with refused(errno.EINVAL):
            queue.start()
        queue.put()
        queue.put()
        queue.start()
        assert text(host, left) == str(2 - number)
        with refused(errno.EINVAL):
            queue.handle.ioctl(0x5799)
        queues.append(queue)
    with refused(errno.EBUSY):
        Queue.open(host, "/dev/hisi_hpre-0")
    assert text(host, f"/proc/4242/fdinfo/{queues[0].handle.number}").count("\n") == 1
    queues[1].close()
    assert text(host, left) == "1"
    Queue.open(host, "/dev/hisi_hpre-0")


def test_a_uacce_device_that_comes_back_has_a_number_of_its_own() -> None:
    more = UACCE.partition("[[device]]")[2].replace("hpre-0", "hpre-1").replace("79:00", "7a:00")
    host = machine(f"{UACCE}[[device]]{more}")
    write(host, f"{DRIVERS}/hisi_hpre/unbind", "0000:79:00.0")
    write(host, f"{DRIVERS}/hisi_hpre/bind", "0000:79:00.0")
    numbers = [text(host, f"/sys/class/uacce/hisi_hpre-{one}/dev") for one in (0, 1)]
    assert numbers == ["236:0", "236:1"]
    assert host.device_number("/dev/hisi_hpre-0") != host.device_number("/dev/hisi_hpre-1")


def test_a_uacce_device_whose_driver_goes_answers_enxio() -> None:
    host = machine(UACCE)
    queue = Queue.open(host, "/dev/hisi_hpre-0")
    write(host, f"{DRIVERS}/hisi_hpre/unbind", "0000:79:00.0")
    with refused(errno.ENXIO):
        queue.start()
    with refused(errno.ENXIO):
        queue.handle.map(0, 4096)
    queue.close()
    assert host.list("/sys/class/uacce") == []


def test_a_uacce_queue_whose_driver_goes_stops_and_hinders_no_other() -> None:
    host = machine(UACCE)
    old = Queue.open(host, "/dev/hisi_hpre-0")
    old.start()
    group = host.kernel.find("0000:79:00.0").group
    assert group is not None
    assert [*group.pasids] == [1]
    write(host, f"{DRIVERS}/hisi_hpre/unbind", "0000:79:00.0")
    assert [*group.pasids] == []
    write(host, f"{DRIVERS}/hisi_hpre/bind", "0000:79:00.0")
    new = Queue.open(host, "/dev/hisi_hpre-0")
    new.start()
    old.close()
    with refused(errno.EINVAL, "has been started"):
        new.start()
    assert text(host, "/sys/class/uacce/hisi_hpre-0/available_instances") == "2"


# -- 9 ---------------------------------------------------------------------------------------------


def test_virtual_functions() -> None:
    host = guest()
    numvfs = f"{PCI}/{NVME}/sriov_numvfs"
    for value, number in (("99", errno.ERANGE), ("-1", errno.EINVAL), ("x", errno.EINVAL)):
        with refused(number):
            write(host, numvfs, value)
    write(host, numvfs, "1")
    assert host.readlink(f"{PCI}/{NVME}/virtfn0") == "../0000:02:00.1"
    assert host.readlink(f"{PCI}/0000:02:00.1/physfn") == f"../{NVME}"
    assert group_of(host, "0000:02:00.1") not in ("", group_of(host, NVME))
    with refused(errno.EBUSY):
        write(host, numvfs, "2")
    write(host, numvfs, "1")
    write(host, numvfs, "0")
    assert "0000:02:00.1" not in host.list(PCI)
    write(host, numvfs, "0")
    to_vfio(host, NVME)
    with refused(errno.ENOENT):
        write(host, numvfs, "1")


def test_a_driver_makes_virtual_functions_of_each_device_that_can_have_them() -> None:
    device = """
[[device]]
address = "0000:0{}:00.0"
driver = "nvme"
vendor = 0x144d
device = 0xa80{}
sriov_total = {}
"""
    host = machine('title = ""' + device.format(1, 1, 0) + device.format(2, 2, 4))
    write(host, f"{PCI}/0000:02:00.0/sriov_numvfs", "3")
    assert host.readlink(f"{PCI}/0000:02:00.0/virtfn2") == "../0000:02:00.3"


def test_a_driver_that_goes_takes_its_virtual_functions_along() -> None:
    host = guest()
    write(host, f"{PCI}/{NVME}/sriov_numvfs", "2")
    write(host, f"{DRIVERS}/nvme/unbind", NVME)
    assert [one for one in host.list(PCI) if one.startswith("0000:02")] == [NVME]


@pytest.mark.parametrize(
    ("file", "data", "left"),
    [("sriov_numvfs", "0", [NVME]), ("driver/unbind", NVME, [NVME]), ("remove", "1", [])],
)
def test_two_who_want_virtual_functions_gone_wait_for_their_holder(
    file: str, data: str, left: list[str]
) -> None:
    host = guest()
    write(host, f"{PCI}/{NVME}/sriov_numvfs", "2")
    opened = hold(host, "0000:02:00.1")
    first = begin(host, f"{PCI}/{NVME}/sriov_numvfs", "0")
    second = begin(host, f"{PCI}/{NVME}/{file}", data)
    assert not first.wait(1)
    assert not second.wait(1)
    for one in reversed(opened):
        one.close()
    assert first.wait(1)
    assert second.wait(1)
    first.result()
    second.result()
    assert [one for one in host.list(PCI) if one.startswith("0000:02")] == left


def test_virtual_functions_are_made_anew_after_those_that_were_held_are_gone() -> None:
    host = guest()
    numvfs = f"{PCI}/{NVME}/sriov_numvfs"
    write(host, numvfs, "1")
    opened = hold(host, "0000:02:00.1")
    first, second = begin(host, numvfs, "0"), begin(host, numvfs, "1")
    assert not second.wait(1)
    for one in reversed(opened):
        one.close()
    assert first.wait(1)
    assert second.wait(1)
    assert driver_of(host, "0000:02:00.1") == "nvme"


def test_what_is_found_again_joins_no_group_that_has_the_number_of_its_old_one() -> None:
    host = guest()
    old = group_of(host, BRIDGE)
    write(host, f"{PCI}/{BRIDGE}/remove", "1")
    write(host, f"{PCI}/{NVME}/sriov_numvfs", "1")
    assert group_of(host, "0000:02:00.1") == old
    write(host, "/sys/bus/pci/rescan", "1")
    assert host.list(f"{GROUPS}/{old}/devices") == ["0000:02:00.1"]
    assert group_of(host, BRIDGED_NIC) == group_of(host, BRIDGED_EDU) == group_of(host, BRIDGE)


def test_a_device_that_is_removed_twice_goes_once() -> None:
    host = guest()
    opened = hold(host, NIC)
    events = host.events()
    assert events is not None
    pending = [begin(host, f"{PCI}/{NIC}/remove", "1") for _ in range(2)]
    assert not any(one.wait(1) for one in pending)
    for one in reversed(opened):
        one.close()
    assert all(one.wait(1) for one in pending)
    assert [one.path[-12:] for one in events.drain() if one.action == "remove"].count(NIC) == 1


# -- 10 --------------------------------------------------------------------------------------------


def test_reset_methods() -> None:
    host = guest()
    method, reset = f"{PCI}/{NVME}/reset_method", f"{PCI}/{NVME}/reset"
    assert text(host, method) == "flr bus"
    with refused(errno.EINVAL):
        write(host, method, "bogus")
    write(host, method, "\n")
    with refused(errno.ENOTTY):
        write(host, reset, "1")
    write(host, method, "default")
    for value in ("0", "x"):
        with refused(errno.EINVAL):
            write(host, reset, value)
    # It works under a driver that is using the device: kernels do not mind.
    write(host, reset, "1")
    assert driver_of(host, NVME) == "nvme"
    assert "reset" not in host.list(f"{PCI}/{BRIDGED_TESTDEV}")


# -- 11 --------------------------------------------------------------------------------------------


def test_a_cpu_that_goes_takes_its_column_along() -> None:
    host = guest()
    (irq,) = host.list(f"{PCI}/{EDU}/msi_irqs")
    header = host.read("/proc/interrupts").split(b"\n")[0]
    assert header.split() == [b"CPU0", b"CPU1"]
    events = host.events()
    assert events is not None
    write(host, "/sys/devices/system/cpu/cpu1/online", "0")
    assert [(event.action, event.subsystem) for event in events.drain()] == [("offline", "cpu")]
    assert host.read("/proc/interrupts").split(b"\n")[0].split() == [b"CPU0"]
    assert text(host, f"/sys/kernel/irq/{irq}/per_cpu_count").count(",") == 1
    with refused(errno.EINVAL):
        write(host, f"/proc/irq/{irq}/smp_affinity_list", "1")
    write(host, "/sys/devices/system/cpu/cpu1/online", "off\n")
    with refused(errno.EINVAL):
        write(host, "/sys/devices/system/cpu/cpu1/online", "garbage")
    assert events.drain() == []
    write(host, "/sys/devices/system/cpu/cpu1/online", "Y")
    write(host, f"/proc/irq/{irq}/smp_affinity_list", "1")
    assert text(host, f"/proc/irq/{irq}/effective_affinity_list") == "1"


@pytest.mark.parametrize(("kernel", "number"), [("6.1", errno.EIO), ("6.12", errno.EPERM)])
def test_managed_vectors_are_placed_by_the_kernel(kernel: str, number: int) -> None:
    host = guest(kernel)
    irqs = sorted(host.list(f"{PCI}/{NVME}/msi_irqs"), key=int)
    write(host, f"/proc/irq/{irqs[0]}/smp_affinity_list", "1")
    with refused(number):
        write(host, f"/proc/irq/{irqs[1]}/smp_affinity_list", "1")
    with refused(number):
        write(host, "/proc/irq/0/smp_affinity_list", "1")  # The timer.
    write(host, "/proc/irq/8/smp_affinity_list", "1")
    for text_ in ("9", "x", "1-0"):
        with refused(errno.EINVAL):
            write(host, f"/proc/irq/{irqs[0]}/smp_affinity_list", text_)


# -- what else was seen in the guests --------------------------------------------------------------


def test_binding_refuses_as_it_was_seen_to() -> None:
    host = guest()
    with refused(errno.EBUSY):
        write(host, f"{DRIVERS}/nvme/bind", NVME)
    for driver, name in (("nvme", "0000:ff:00.0"), ("nvme", EDU), ("vfio-pci", EDU)):
        with refused(errno.ENODEV):
            write(host, f"{DRIVERS}/{driver}/bind", name)
    with refused(errno.ENODEV):
        write(host, f"{DRIVERS}/nvme/unbind", EDU)
    with refused(errno.ENODEV):
        write(host, "/sys/bus/pci/drivers_probe", "0000:ff:00.0")
    write(host, f"{PCI}/0000:05:00.0/driver_override", "vfio-pci")
    with refused(errno.EINVAL):
        write(host, f"{DRIVERS}/vfio-pci/bind", "0000:05:00.0")
    write(host, "/sys/bus/pci/drivers_probe", "0000:05:00.0")
    assert driver_of(host, "0000:05:00.0") is None


def test_new_id_binds_every_twin() -> None:
    host = guest()
    for address in (EDU, BRIDGED_EDU):
        if driver_of(host, address):
            write(host, f"{PCI}/{address}/driver/unbind", address)
    write(host, f"{DRIVERS}/vfio-pci/new_id", "1234 11e8")
    assert [driver_of(host, one) for one in (EDU, BRIDGED_EDU)] == ["vfio-pci", "vfio-pci"]
    with refused(errno.EEXIST):
        write(host, f"{DRIVERS}/vfio-pci/new_id", "1234 11e8")
    write(host, f"{DRIVERS}/vfio-pci/remove_id", "1234 11e8")
    with refused(errno.ENODEV):
        write(host, f"{DRIVERS}/vfio-pci/remove_id", "1234 11e8")
    with refused(errno.EINVAL):
        write(host, f"{DRIVERS}/vfio-pci/new_id", "garbage")


def test_an_override_takes_any_text_up_to_a_page() -> None:
    host = guest()
    path = f"{PCI}/{EDU}/driver_override"
    with refused(errno.EINVAL):
        write(host, path, "x" * 4096)
    write(host, path, "no such driver")
    assert text(host, path) == "no such driver"
    write(host, path, "\n")
    assert text(host, path) == "(null)"


def test_a_device_that_is_removed_is_found_again_without_its_override() -> None:
    host = guest()
    write(host, f"{PCI}/{NIC}/driver_override", "vfio-pci")
    write(host, f"{PCI}/{NIC}/remove", "1")
    assert NIC not in host.list(PCI)
    write(host, "/sys/bus/pci/rescan", "1")
    assert driver_of(host, NIC) == "e1000e"
    assert text(host, f"{PCI}/{NIC}/driver_override") == "(null)"


def test_a_driver_cannot_come_back_to_a_claimed_group() -> None:
    host = guest()
    write(host, f"{DRIVERS}/e1000/unbind", BRIDGED_NIC)
    _, group, _ = hold(host, BRIDGED_EDU)
    with refused(errno.EBUSY, "in user hands"):
        write(host, f"{DRIVERS}/e1000/bind", BRIDGED_NIC)
    host.close()
    del group
    write(host, f"{DRIVERS}/e1000/bind", BRIDGED_NIC)


def test_a_direct_region_forbids_a_claim() -> None:
    for kernel, number in (("6.1", errno.EPERM), ("6.12", errno.EINVAL)):
        host = machine(
            f'title = "t"\nkernel = "{kernel}"\n[[unit]]\nname = "dmar0"\n[[device]]\n'
            'address = "0000:00:04.0"\nunit = "dmar0"\n'
            'reserved = [{ start = 0x1000, end = 0x1fff, type = "direct" }]\n'
        )
        group = Group.open(host, f"/dev/vfio/{to_vfio(host, '0000:00:04.0')}")
        with refused(number, "firmware"):
            group.set_container(Container.open(host))
        assert not group.status().in_container


@pytest.mark.parametrize(
    ("kernel", "line"),
    [
        ("6.1", f"vfio-pci: probe of {BRIDGE} failed with error -22"),
        ("6.12", f"vfio-pci {BRIDGE}: probe with driver vfio-pci failed with error -22"),
    ],
)
def test_a_probe_that_fails_is_told_in_the_log(kernel: str, line: str) -> None:
    host = guest(kernel)
    write(host, f"{PCI}/{BRIDGE}/driver_override", "vfio-pci")
    with refused(errno.EINVAL):
        write(host, f"{DRIVERS}/vfio-pci/bind", BRIDGE)
    assert host.kernel_log()[-1].decode().partition(";")[2].splitlines()[0] == line
