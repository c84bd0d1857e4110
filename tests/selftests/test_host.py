"""The doctor's checks: each passes on a box that is well, and fails for its own reason."""

import errno
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import Entry, Failure, TreeHost
from sdmtop.model import (
    AttachedDomain,
    DevicePasid,
    Interrupt,
    IommuUnit,
    Pasid,
    Process,
    ReservedRegion,
    SdmdevParams,
    Snapshot,
    Unknown,
)
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.host import TESTS
from sdmtop.selftests.records import HOST, Result
from sdmtop.selftests.runner import Job, Run
from tests.records import device, group, queue, snapshot

BY_NAME = {test.name.removeprefix("host."): test for test in TESTS}
DEVICE, SIBLING = "0000:01:00.0", "0000:01:00.1"
UUID = "5d3de000-0000-4000-8000-000000000001"
ALLOW = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
TREES = "capture:tests/trees"


def examine(
    name: str, found: Snapshot | None = None, files: Mapping[str, Entry] | None = None
) -> Result:
    (result,) = Run(TreeHost(files or {}), found or snapshot(), [Job(BY_NAME[name], HOST)])
    assert isinstance(result, Result)
    return result


def captured(name: str, tree: str) -> Result:
    host = open_host(f"{TREES}/{tree}.tar.xz")
    (result,) = Run(host, read_snapshot(host), [Job(BY_NAME[name], HOST)])
    assert isinstance(result, Result)
    return result


def failing(result: Result) -> str:
    assert result.result == "fail", result
    assert result.reason is not None
    return result.reason


def skipped(result: Result) -> str:
    assert result.result == "skip", result
    assert result.reason is not None
    return result.reason


def unit(name: str = "dmar0", **facts: Any) -> IommuUnit:
    return IommuUnit(
        **{
            "name": name, "driver": "intel", "pasid": True, "pasid_bits": 20, "domains_used": 1,
            "domains_supported": 2, "devices": (), **facts,
        }
    )  # fmt: skip


def line(irq: str = "40", chip: str = "IR-PCI-MSI", **facts: Any) -> Interrupt:
    return Interrupt(
        **{
            "irq": irq, "chip": chip, "hwirq": None, "trigger": "edge", "actions": ("x",),
            "per_cpu": (5, 0), "total": 5, "device": DEVICE, "shared_by": (), "affinity": "0",
            **facts,
        }
    )  # fmt: skip


# -- what a guest that is well answers -------------------------------------------------------


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {"numa"}))
def test_no_check_but_one_finds_fault_with_a_guest_as_it_came_up(name: str) -> None:
    assert captured(name, "guest-6.1-intel").result != "fail"


def test_a_guest_has_a_disk_on_one_node_and_its_interrupt_on_the_other() -> None:
    assert "interrupts of 0000:41:00.0" in failing(captured("numa", "guest-6.1-intel"))


# -- isolation -------------------------------------------------------------------------------


def test_an_iommu_is_active_where_it_has_made_groups() -> None:
    box = snapshot(iommu_units=(unit(),), groups=[group(1, DEVICE)])
    assert examine("iommu", box).result == "pass"


def test_units_without_groups_are_no_iommu() -> None:
    assert "no device is in a group" in failing(examine("iommu", snapshot(iommu_units=(unit(),))))


def test_a_directory_of_units_that_cannot_be_read_tells_nothing() -> None:
    note = Unknown(path="/sys/class/iommu", errno="EIO", what="all IOMMU units")
    assert "EIO" in skipped(examine("iommu", snapshot(unknown=[note])))


def remapping(*rows: Interrupt) -> Result:
    return examine("interrupt-remapping", snapshot(iommu_units=(unit(),), interrupts=rows))


@pytest.mark.parametrize("chip", ["IR-PCI-MSI", "IR-PCI-MSIX-0000:01:00.0", "ITS-PCI-MSI-0"])
def test_interrupts_of_these_chips_are_remapped(chip: str) -> None:
    assert remapping(line(chip=chip)).result == "pass"


def test_a_message_interrupt_past_the_iommu_is_a_fault() -> None:
    assert "interrupt 41: PCI-MSI" in failing(remapping(line(), line("41", "PCI-MSI")))


@pytest.mark.parametrize(
    "own", [line("24", "DMAR-MSI"), line("25", "PCI-MSI", actions=("AMD-Vi0-Evt",))]
)
def test_the_interrupts_of_the_units_themselves_are_never_remapped(own: Interrupt) -> None:
    assert remapping(line(), own).result == "pass"


def test_what_is_below_vmd_comes_by_the_vectors_of_vmd() -> None:
    below = line("130", "VMD-MSI", actions=("nvme0q0",))
    assert remapping(line(), below).result == "pass"
    assert "interrupt 40" in failing(remapping(line(chip="PCI-MSI"), below))
    assert "by" in skipped(remapping(below))


def test_without_a_message_interrupt_nothing_is_told() -> None:
    assert "by" in skipped(remapping(line(chip="IO-APIC")))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (ALLOW, "Y\n"),
        ("/sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n"),
        ("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "1\n"),
        ("/proc/cmdline", "quiet pcie_acs_override=downstream,multifunction\n"),
    ],
)
def test_each_switch_that_takes_isolation_away_is_found(path: str, text: str) -> None:
    assert path in failing(examine("unsafe-modes", files={path: text}))


def test_switches_that_are_off_are_well() -> None:
    files = {ALLOW: "N\n", "/proc/cmdline": "quiet intel_iommu=on\n"}
    assert examine("unsafe-modes", files=files).result == "pass"


def test_a_switch_that_cannot_be_read_is_no_pass() -> None:
    result = examine("unsafe-modes", files={ALLOW: Failure(errno.EIO)})
    assert "(EIO)" in failing(result)


@pytest.mark.parametrize(("kind", "verdict"), [("direct", "fail"), ("direct-relaxable", "pass")])
def test_only_a_region_that_firmware_insists_on_is_a_fault(kind: str, verdict: str) -> None:
    region = ReservedRegion(start="0x0", end="0xfff", type=kind)
    box = snapshot(groups=[group(13, DEVICE, reserved_regions=(region,))])
    assert examine("reserved-regions", box).result == verdict


PORT = "0000:00:01.0"


def behind_a_port(config: bytes | Failure) -> Result:
    """Two devices behind a port whose configuration space is this."""
    path = f"/sys/devices/pci0000:00/{PORT}"
    box = snapshot(
        groups=[group(1, DEVICE, SIBLING)],
        devices=[
            device(PORT, class_="0x060400"),
            *(device(one, path=f"{path}/{one}", group=1) for one in (DEVICE, SIBLING)),
        ],
    )
    files: dict[str, Entry] = {f"{path}/power_state": "D0\n", f"{path}/config": config}
    return examine("grouping", box, files)


def without_access_control() -> Result:
    space = bytearray(4096)
    space[0x34], space[0x40], space[0x42] = 0x40, 0x10, 4 << 4
    return behind_a_port(bytes(space))


def test_a_port_that_could_part_its_devices_is_a_fault() -> None:
    assert f"port {PORT} lacks access control" in failing(without_access_control())


def test_a_group_that_nothing_explains_is_no_pass() -> None:
    assert "configuration space is for root" in skipped(behind_a_port(Failure(errno.EACCES)))
    assert "group 18: nothing that can be read" in skipped(
        captured("grouping", "debian-6.1-intel-plain")
    )


# -- sharing ---------------------------------------------------------------------------------


def pasids(*units: IommuUnit, **facts: Any) -> Result:
    able = DevicePasid(capable=True, enabled=False, max=1 << 20)
    one = device(DEVICE, group=1, **{"iommu": "dmar0", "pasid": able, **facts})
    return examine("pasid", snapshot(iommu_units=units, devices=[one], groups=[group(1, DEVICE)]))


def test_a_capable_device_on_which_nobody_has_enabled_pasids_is_a_fault() -> None:
    assert "not enabled, although dmar0 has them" in failing(pasids(unit()))


def test_a_device_with_pasids_behind_a_unit_without_is_a_fault() -> None:
    assert "dmar0 has no PASIDs" in failing(pasids(unit(pasid=False)))
    assert "behind no IOMMU" in failing(pasids(unit(), iommu=None))


def test_units_that_differ_in_width_are_a_fault() -> None:
    on = DevicePasid(capable=True, enabled=True, max=1 << 20)
    assert pasids(unit(), unit("dmar1"), pasid=on).result == "pass"
    other = unit("dmar1", pasid_bits=16)
    assert "dmar0 20 bits, dmar1 16 bits" in failing(pasids(unit(), other, pasid=on))


def test_a_unit_that_does_not_tell_is_no_pass() -> None:
    assert "does not tell" in skipped(pasids(unit(pasid=None)))


@pytest.mark.parametrize("able", [None, DevicePasid(capable=True, enabled=True, max=1 << 20)])
def test_where_configuration_space_is_hidden_nobody_knows_who_has_pasids(
    able: DevicePasid | None,
) -> None:
    one = device(DEVICE, iommu="dmar0", pasid=able)
    note = Unknown(path=f"{one.path}/config", errno="EACCES", what="its capabilities")
    box = snapshot(iommu_units=(unit(),), devices=[one], unknown=[note])
    assert "not told" in skipped(examine("pasid", box))


def test_who_promises_a_pasid_for_each_process_needs_them() -> None:
    promise = SdmdevParams(iommu_type=1, dma_flags=("MULTI_PROC_MAP",))
    none = unit(pasid=False)
    assert "dmar0 has no PASIDs" in failing(pasids(none, pasid=None, sdmdev=promise))
    alone = SdmdevParams(iommu_type=1, dma_flags=("SINGLE_PROC_MAP",))
    assert "no device here" in skipped(pasids(none, pasid=None, sdmdev=alone))


def test_a_uacce_queue_for_shared_addresses_needs_them() -> None:
    sva = queue("hisi_zip-0", kind="uacce", parent=DEVICE, params={"flags": "1"})
    box = snapshot(
        iommu_units=(unit(pasid=False),), devices=[device(DEVICE, iommu="dmar0")], sdmdevs=[sva]
    )
    assert "dmar0 has no PASIDs" in failing(examine("pasid", box))


def sharing(
    attached: str,
    default: str,
    *,
    pasid: bool | None = False,
    flags: tuple[str, ...] = ("SINGLE_PROC_MAP",),
    live: tuple[Pasid, ...] = (),
) -> Result:
    params = SdmdevParams(iommu_type=1, dma_flags=flags)
    parent = device(DEVICE, group=1, iommu="dmar0", sdmdev=params)
    domain = AttachedDomain(type=attached, evidence="known")
    of = group(1, DEVICE, domain_type=default, attached=domain)
    box = snapshot(iommu_units=(unit(pasid=pasid),), groups=[of], devices=[parent], pasids=live)
    return examine("shared-domains", box)


@pytest.mark.parametrize(
    ("attached", "default", "pasid", "verdict"),
    [
        ("DMA", "DMA", False, "pass"),
        ("DMA-FQ", "DMA-FQ", True, "pass"),
        ("identity", "identity", False, "fail"),
        ("identity", "identity", True, "pass"),
        ("unmanaged", "DMA", False, "fail"),
        ("unmanaged", "DMA", True, "fail"),
        ("blocked", "DMA", True, "fail"),
    ],
)
def test_a_domain_can_be_shared_by_the_rule_table(
    attached: str, default: str, pasid: bool, verdict: str
) -> None:
    assert sharing(attached, default, pasid=pasid).result == verdict


def test_where_the_unit_does_not_tell_the_driver_or_a_live_pasid_does() -> None:
    both = [("identity", "identity"), ("DMA", "DMA")]
    live = (Pasid(pasid=5, device=DEVICE, process=None, source="x"),)
    for told in (
        [sharing(*one, pasid=None, flags=("MULTI_PROC_MAP",)) for one in both],
        [sharing(*one, pasid=None, flags=("SVM",), live=live) for one in both],
    ):
        assert [(one.result, one.evidence) for one in told] == [("pass", ())] * 2
    assert "is identity" in failing(sharing("identity", "identity", pasid=None))


def test_where_nothing_tells_of_pasids_an_identity_domain_is_no_fault_and_no_pass() -> None:
    assert "not told" in skipped(sharing("identity", "identity", pasid=None, flags=()))
    unsaid = sharing("DMA", "DMA", pasid=None, flags=())
    assert (unsaid.result, unsaid.evidence) == ("pass", ())


def test_a_domain_that_one_process_can_share_is_said_to_be_so() -> None:
    (note,) = sharing("DMA", "DMA").evidence
    assert "one process at a time" in note.got


@pytest.mark.parametrize(
    ("state", "verdict"), [("orphan", "fail"), ("held", "pass"), (None, "skip")]
)
def test_a_queue_without_a_holder_is_a_fault(state: str | None, verdict: str) -> None:
    box = snapshot(sdmdevs=[queue(UUID, state=state)])
    assert examine("orphans", box).result == verdict


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("uacce", {"isolate": "1"}, "isolated after hardware errors"),
        ("idxd", {"device": "dsa0", "device_state": "halted"}, "dsa0 is halted"),
        ("idxd", {"cmd_status": "0x800e0000 (the queue has no size)"}, "the queue has no size"),
    ],
)
def test_a_queue_out_of_service_is_a_fault(kind: str, params: dict[str, str], words: str) -> None:
    assert words in failing(
        examine("queues", snapshot(sdmdevs=[queue("wq0.0", kind=kind, params=params)]))
    )


def test_a_driver_loaded_without_its_queues_is_a_fault() -> None:
    note = Unknown(
        path="/sys/module/hisi_zip/parameters/uacce_mode", errno="ENODEV",
        what="uacce queues of hisi_zip: driver loaded with uacce_mode=0",
    )  # fmt: skip
    assert "uacce_mode=0" in failing(examine("queues", snapshot(unknown=[note])))


def test_queues_in_service_are_well() -> None:
    params = {"cmd_status": "0x0 (no error)", "device_state": "enabled"}
    box = snapshot(sdmdevs=[queue("wq0.0", kind="idxd", params=params)])
    assert examine("queues", box).result == "pass"


# -- drivers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "viable", "verdict"),
    [("vfio-pci", False, "fail"), ("vfio-pci", True, "pass"), ("e1000e", False, "pass")],
)
def test_a_sibling_in_the_way_of_a_device_on_vfio_is_a_fault(
    driver: str, viable: bool, verdict: str
) -> None:
    reason = None if viable else f"{SIBLING} is bound to snd_hda_intel"
    box = snapshot(
        groups=[group(1, DEVICE, SIBLING, viable=viable, viability_reason=reason)],
        devices=[
            device(DEVICE, driver=driver, group=1),
            device(SIBLING, driver="snd_hda_intel", group=1),
        ],
    )
    result = examine("siblings", box)
    assert result.result == verdict
    if verdict == "fail":
        assert "snd_hda_intel" in failing(result)


@pytest.mark.parametrize("driver", [None, "pcieport", "pci-stub"])
def test_a_region_that_firmware_insists_on_is_no_sibling_in_the_way(driver: str | None) -> None:
    why = "its region 0x0 is direct: firmware wants it mapped one to one"
    box = snapshot(
        groups=[group(1, DEVICE, SIBLING, viable=False, viability_reason=why)],
        devices=[
            device(DEVICE, driver="vfio-pci", group=1),
            device(SIBLING, driver=driver, group=1),
        ],
    )
    assert examine("siblings", box).result == "pass"


@pytest.mark.parametrize(("number", "verdict"), [("EBUSY", "fail"), ("EIO", "skip")])
def test_an_unbind_that_waits_is_a_fault(number: str, verdict: str) -> None:
    one = device(DEVICE, group=1)
    note = Unknown(path=f"{one.path}/driver", errno=number, what="driver")
    assert examine("stuck-unbinds", snapshot(devices=[one], unknown=[note])).result == verdict


def test_of_an_unbind_that_waits_those_are_named_who_hold_the_device_or_a_queue_of_it() -> None:
    one = device(DEVICE, group=7)
    box = snapshot(
        devices=[one],
        groups=[group(7, DEVICE)],
        sdmdevs=[queue(UUID, parent=DEVICE, group=9, holders=(30,))],
        processes=[
            Process(pid=10, name="vm", user=None, holds=("/dev/vfio/7",)),
            Process(pid=20, name="other", user=None, holds=("/dev/vfio/70",)),
            Process(pid=30, name="zipd", user=None, holds=("/dev/vfio/9",)),
            Process(pid=40, name="late", user=None, holds=(f"anon_inode:[vfio-device] {DEVICE}",)),
        ],
        unknown=[Unknown(path=f"{one.path}/driver", errno="EBUSY", what="driver")],
    )
    assert failing(examine("stuck-unbinds", box)).endswith("holders: 10 vm, 30 zipd, 40 late")


@pytest.mark.parametrize(
    ("driver", "override", "verdict"),
    [
        (None, "vfio-pci", "fail"),
        ("e1000e", "vfio-pci", "fail"),
        ("vfio-pci", "vfio-pci", "pass"),
        (None, None, "pass"),
        (None, "none", "pass"),
        ("e1000e", "none", "fail"),
    ],
)
def test_an_override_that_was_not_carried_out_is_a_fault(
    driver: str | None, override: str | None, verdict: str
) -> None:
    one = device(DEVICE, driver=driver, driver_override=override)
    assert examine("overrides", snapshot(devices=[one])).result == verdict


FAULT = (
    "3,{number},{at},-;DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x900000 "
    "[fault reason 0x05] PTE Write access is not set\n"
)


def logged(*records: str) -> Result:
    return examine("faults", files={"/dev/kmsg": "".join(records)})


def test_a_fault_of_the_iommu_is_named_with_its_device_and_count() -> None:
    result = logged(FAULT.format(number=1, at=5_000_000), FAULT.format(number=2, at=6_000_000))
    assert f"{DEVICE}: 2 in the kernel log" in failing(result)


@pytest.mark.parametrize(("at", "verdict"), [(9_000_000, "pass"), (20_000_000, "fail")])
def test_a_fault_that_a_self_test_has_announced_is_not_counted(at: int, verdict: str) -> None:
    mark = f"12,1,8000000,-;sdmtop: selftest provokes an IOMMU fault of {DEVICE}\n"
    assert logged(mark, FAULT.format(number=2, at=at)).result == verdict


def test_a_request_to_let_a_device_go_is_no_fault() -> None:
    asked = f"6,1,8000000,-;vfio-pci {DEVICE}: Relaying device request to user (#0)\n"
    assert logged(asked).result == "pass"


def test_without_a_kernel_log_nothing_is_claimed() -> None:
    assert "ENOENT" in skipped(examine("faults"))


# -- interrupts, memory, places --------------------------------------------------------------


class Ticking(TreeHost):
    """A tree on which time passes, and interrupts come while it does."""

    def __init__(self, per_second: int) -> None:
        super().__init__({"/proc/interrupts": self._rows})
        self._per_second = per_second
        self._now = 100.0

    def _rows(self) -> bytes:
        count = int(self._now * self._per_second)
        return b"           CPU0\n 40: %10d  IR-PCI-MSI 0-edge  x\n" % count

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.mark.parametrize(("rate", "verdict"), [(500_000, "fail"), (50_000, "pass")])
def test_a_line_that_comes_without_end_is_a_storm(rate: int, verdict: str) -> None:
    (result,) = Run(Ticking(rate), snapshot(), [Job(BY_NAME["interrupt-storm"], HOST)])
    assert isinstance(result, Result)
    assert result.result == verdict


@pytest.mark.parametrize(
    "looks",
    [
        ((900_000, 900_000), (900_001,)),  # A CPU went offline,
        ((900_000,), (900_001, 900_000)),  # and came back.
        ((900_000, 900_000), (3, 0)),  # The line was freed, and requested anew.
    ],
)
def test_counts_that_begin_anew_are_no_storm(looks: tuple[tuple[int, ...], ...]) -> None:
    class Renewed(Ticking):
        def _rows(self) -> bytes:
            counts = looks[self.now() > 100.0]
            head = "".join(f"{f'CPU{cpu}':>11}" for cpu in range(len(counts)))
            cells = "".join(f"{count:>11}" for count in counts)
            return f"    {head}\n 40:{cells}  IR-PCI-MSI 0-edge  x\n".encode()

    (result,) = Run(Renewed(0), snapshot(), [Job(BY_NAME["interrupt-storm"], HOST)])
    assert isinstance(result, Result)
    assert (result.result, result.evidence) == ("pass", ())


@pytest.mark.parametrize(("count", "verdict"), [(99_900, "fail"), (3, "pass")])
def test_interrupts_that_nobody_handles_are_a_fault(count: int, verdict: str) -> None:
    files = {"/proc/irq/40/spurious": f"count 7\nunhandled {count}\nlast_unhandled 4 ms\n"}
    assert examine("interrupt-storm", snapshot(interrupts=(line(),)), files).result == verdict


def limits(value: str, capabilities: str = "0") -> dict[str, Entry]:
    return {
        "/proc/self/limits": "Limit     Soft Limit   Hard Limit   Units\n"
        f"Max locked memory         {value}       {value}      bytes\n",
        "/proc/self/status": f"Name:\tx\nCapEff:\t{capabilities}\n",
    }


@pytest.mark.parametrize(
    ("files", "verdict"),
    [
        (limits("8388608"), "fail"),
        (limits("unlimited"), "pass"),
        (limits("8388608", "000001ffffffffff"), "pass"),
        ({}, "skip"),
    ],
)
def test_a_limit_below_what_a_guest_needs_is_a_fault(
    files: Mapping[str, Entry], verdict: str
) -> None:
    assert examine("memlock", files=files).result == verdict


NODES: dict[str, Entry] = {
    "/sys/devices/system/node/online": "0-1\n",
    "/sys/devices/system/node/node0/cpulist": "0-3\n",
    "/sys/devices/system/node/node1/cpulist": "4-7\n",
}


def near(rows: Sequence[Interrupt], files: Mapping[str, Entry] = NODES) -> Result:
    box = snapshot(
        interrupts=tuple(rows),
        devices=[device(DEVICE, numa_node=1)],
        sdmdevs=[queue(UUID, parent=DEVICE, holders=(42,))],
    )
    return examine("numa", box, files)


def test_a_device_whose_interrupts_all_go_to_another_node_is_a_fault() -> None:
    assert "40 on CPU 0-3, and 0000:01:00.0 is on node 1" in failing(near([line(affinity="0-3")]))


def test_a_device_with_an_interrupt_for_each_cpu_is_well() -> None:
    assert near([line(affinity="0"), line("41", affinity="4")]).result == "pass"


def test_an_interrupt_that_has_never_come_is_no_matter() -> None:
    assert near([line(affinity="0", total=0)]).result == "pass"


def test_a_holder_that_may_only_run_far_from_its_queue_is_a_fault() -> None:
    status = {"/proc/42/status": "Name:\tx\nCpus_allowed_list:\t0-3\n"}
    assert "process 42: allowed on CPU 0-3 only" in failing(near([], {**NODES, **status}))
    anywhere = {"/proc/42/status": "Name:\tx\nCpus_allowed_list:\t0-7\n"}
    assert near([], {**NODES, **anywhere}).result == "pass"


def test_a_queue_whose_holders_cannot_be_told_is_no_pass() -> None:
    box = snapshot(
        devices=[device(DEVICE, numa_node=1)], sdmdevs=[queue(UUID, parent=DEVICE, holders=None)]
    )
    assert "who holds 1 queue" in skipped(examine("numa", box, NODES))


def test_on_one_node_everything_is_near() -> None:
    assert near([line(affinity="0")], {}).result == "pass"


def test_what_to_do_about_a_parent_in_no_group_is_said() -> None:
    assert "in no group" in BY_NAME["shared-domains"].remedy


# -- each check in a place that is well, and in one that is not ------------------------------

Place = Callable[[str], Result]


def simulated(scenario: str) -> Place:
    """A simulated host, half a minute after it was booted."""

    def look(name: str) -> Result:
        host = open_host(f"sim:{scenario}?at=30")
        (result,) = Run(host, read_snapshot(host), [Job(BY_NAME[name], HOST)])
        assert isinstance(result, Result)
        return result

    return look


def tree(archive: str) -> Place:
    return lambda name: captured(name, archive)


def files(entries: Mapping[str, Entry]) -> Place:
    return lambda name: examine(name, files=entries)


BUSY = "guest-6.12-intel-busy"
WELL = {
    "pasid": simulated("idxd"),
    "shared-domains": simulated("edu"),
    "orphans": simulated("edu"),
    "faults": simulated("edu"),
    "memlock": files(limits("unlimited")),
}
"""Where a check passes; it is `sim:default` for all others."""

HALTED = {"device": "dsa0", "device_state": "halted"}
FAULTS: dict[str, tuple[Place, str]] = {
    "iommu": (simulated("empty"), "no IOMMU is active"),
    "interrupt-remapping": (tree("guest-6.12-virtio"), "interrupt 24: PCI-MSIX"),
    "unsafe-modes": (files({ALLOW: "Y\n"}), ALLOW),
    "reserved-regions": (simulated("broken"), "firmware keeps memory mapped for devices"),
    "grouping": (lambda _name: without_access_control(), f"port {PORT} lacks access control"),
    "pasid": (tree(BUSY), "0000:01:00.0: dmar0 has no PASIDs"),
    "shared-domains": (tree(BUSY), "sdmdev_virtual.0: it is in none: ENODEV"),
    "orphans": (simulated("broken"), "0badc0de-0000-4000-8000-000000000001: nobody"),
    "queues": (
        lambda name: examine(name, snapshot(sdmdevs=[queue("wq0.0", kind="idxd", params=HALTED)])),
        "dsa0 is halted",
    ),
    "siblings": (simulated("broken"), "group 2 of 0000:03:00.0: 0000:03:00.1"),
    "stuck-unbinds": (simulated("broken"), "0000:04:00.0: its unbind waits"),
    "overrides": (
        lambda name: examine(name, snapshot(devices=[device(DEVICE, driver_override="vfio-pci")])),
        f"not carried out: {DEVICE}",
    ),
    "faults": (simulated("broken"), "0000:07:00.0: 6 in the kernel log"),
    "interrupt-storm": (simulated("broken"), "interrupt 25: "),
    "memlock": (files(limits("8388608")), "8388608 bytes may be locked"),
    "numa": (tree("guest-6.1-intel"), "interrupts of 0000:41:00.0"),
}
"""Where it fails, and for which reason."""


@pytest.mark.parametrize("name", BY_NAME)
def test_each_check_passes_where_all_is_well(name: str) -> None:
    result = WELL.get(name, simulated("default"))(name)
    assert result.result == "pass", result


@pytest.mark.parametrize("name", BY_NAME)
def test_each_check_fails_for_the_right_reason(name: str) -> None:
    place, words = FAULTS[name]
    assert words in failing(place(name))
