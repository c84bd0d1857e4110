"""The doctor: what is wrong with this box for those who share its devices, and what to do.

Each check only reads. What cannot be told is skipped, with the reason; it is never a pass.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sdmtop.backends.base import Host
from sdmtop.conclusions import STUCK, states
from sdmtop.errors import because
from sdmtop.lookup import devices_of
from sdmtop.model import Device, IommuGroup, Snapshot
from sdmtop.readers.grouping import grouping_reasons
from sdmtop.readers.groups import is_vfio, uses_dma
from sdmtop.readers.interrupts import InterruptTable
from sdmtop.readers.iommu_units import CLASS
from sdmtop.readers.kernel_log import read_faults
from sdmtop.readers.numa import numbers_of_list
from sdmtop.readers.sysfs import is_absent, natural, number
from sdmtop.selftests.records import Evidence, SelfTest, the_host
from sdmtop.selftests.trial import Trial, plural

PROVOKED = "sdmtop: selftest provokes an IOMMU fault of"
"""Begins a line in the kernel log: faults of the device named after it were meant to be."""

PROVOKED_FOR = 5.0
"""Seconds after that line in which such a fault is not counted."""

STORM = 100_000
"""Interrupts a second of one line, from which on it is called a storm: no device that coalesces
its interrupts, as every fast one does, comes near it."""

LOOK = 0.5
"""Seconds over which interrupts are counted."""

UNHANDLED = 1_000
"""Unhandled interrupts, of the last 100,000 of a line, that are worth a word: at 99,900 the
kernel switches the line off (kernel/irq/spurious.c)."""

MEMLOCK = 64 << 20
"""Bytes of locked memory that a process which maps DMA buffers will want at least."""

_CAP_IPC_LOCK = 14  # include/uapi/linux/capability.h
_UNSAFE_MODES = {
    "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts":
        "devices without interrupt remapping may be given to processes",
    "/sys/module/iommufd/parameters/allow_unsafe_interrupts":
        "devices without interrupt remapping may be given to processes",
    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode":
        "devices without an IOMMU may be given to processes",
}  # fmt: skip
_ACS_OVERRIDE = "pcie_acs_override"
_PASID_PROMISES = ("MULTI_PROC_MAP", "SVM", "SVM_NO_FAULT")
_SHAREABLE = ("DMA", "DMA-FQ")


class _Fault(NamedTuple):
    what: str
    expected: str
    got: str


def _conclude(trial: Trial, faults: Iterable[_Fault], trouble: str) -> None:
    """Keep the faults as evidence, and fail if there are any: `trouble`, with what and got."""
    found = list(faults)
    trial.evidence += [Evidence(one.what, one.expected, one.got) for one in found]
    if found:
        first = f"{found[0].what}: {found[0].got}"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        trial.fail(f"{trouble}: {first}{more}")


def _read(host: Host, path: str) -> str | None:
    """A file's text; None where there is none. Raises `OSError` where it cannot be read."""
    try:
        return host.read(path).decode("utf-8", "replace").strip()
    except OSError as error:
        if is_absent(error):
            return None
        raise


def _real(snapshot: Snapshot) -> list[IommuGroup]:
    """The groups that an IOMMU stands behind."""
    return [group for group in snapshot.groups if group.attached.type != "emulated"]


# -- isolation -------------------------------------------------------------------------------


def iommu(trial: Trial) -> str:
    """An IOMMU driver is active and has made groups."""
    snapshot = trial.snapshot
    for entry in snapshot.unknown:
        if entry.path == CLASS and not snapshot.iommu_units:
            trial.skip(f"{CLASS} cannot be read ({entry.errno})")
    groups = [group for group in _real(snapshot) if group.domain_type != "unknown"]
    trial.note("IOMMU units", ", ".join(unit.name for unit in snapshot.iommu_units) or "none")
    if not snapshot.iommu_units:
        trial.fail("no IOMMU is active: every device can reach all memory")
    if not groups:
        trial.fail("there are IOMMU units, but no device is in a group of theirs")
    units = plural(len(snapshot.iommu_units), "unit")
    return f"{units}, {plural(len(groups), 'group')}"


def interrupt_remapping(trial: Trial) -> str:
    """The chips of message interrupts are those of remapping: `IR-`, or Arm's ITS."""
    if not trial.snapshot.iommu_units:
        trial.skip("no IOMMU is active")
    rows = [row for row in trial.snapshot.interrupts if row.chip and "MSI" in row.chip]
    remapped = [row for row in rows if "IR-" in (row.chip or "") or "ITS" in (row.chip or "")]
    # The units' own interrupts are never remapped, nor those of AMD's PCI function. What VMD has
    # below itself comes by VMD's own vectors, and these are looked at (controller/vmd.c).
    plain = [
        row
        for row in rows
        if row not in remapped
        and not (row.chip or "").startswith(("DMAR", "VMD"))
        and not any(action.startswith("AMD-Vi") for action in row.actions)
    ]
    if not remapped and not plain:
        trial.skip("no device has a message interrupt to tell by")
    trial.note("message interrupts that are remapped", len(remapped))
    _conclude(
        trial,
        (_Fault(f"interrupt {row.irq}", "remapped", row.chip or "?") for row in plain),
        "interrupts are not remapped",
    )
    return f"{plural(len(remapped), 'message interrupt')}, all remapped"


def unsafe_modes(trial: Trial) -> str:
    """No switch that takes isolation away is on."""
    faults = []
    for path, meaning in _UNSAFE_MODES.items():
        value = _read(trial.host, path)
        if value is not None and value.upper() in ("Y", "1"):
            faults.append(_Fault(path, "N", f"{value}: {meaning}"))
    cmdline = _read(trial.host, "/proc/cmdline")
    faults += [
        _Fault("/proc/cmdline", f"no {_ACS_OVERRIDE}", f"{word}: groups only look isolated")
        for word in (cmdline or "").split()
        if word.startswith(_ACS_OVERRIDE)
    ]
    _conclude(trial, faults, "isolation is switched off")
    return "none is on"


def reserved_regions(trial: Trial) -> str:
    """No group has a region that firmware insists on (`direct`)."""
    groups = _real(trial.snapshot)
    if not groups:
        trial.skip("there is no group")
    _conclude(
        trial,
        (
            _Fault(f"group {group.id}", "no direct region",
                   f"{region.start}-{region.end} for {', '.join(group.devices)}")
            for group in groups
            for region in group.reserved_regions
            if region.type == "direct"
        ),
        "firmware keeps memory mapped for devices, which VFIO will refuse",
    )  # fmt: skip
    return f"{plural(len(groups), 'group')}, none with a direct region"


def grouping(trial: Trial) -> str:
    """Groups of several devices have a reason that no setting can mend."""
    groups = [group for group in _real(trial.snapshot) if len(group.devices) > 1]
    faults = []
    untold = []
    for group in groups:
        trial.say(f"group {group.id}")
        for reason in grouping_reasons(trial.host, trial.snapshot, group):
            if reason.mendable:
                together = ", ".join(group.devices)
                faults.append(
                    _Fault(f"group {group.id}", "isolated", f"{reason.words}: {together}")
                )
            else:
                trial.note(f"group {group.id}", reason.words)
            if reason.by is None:
                untold.append(f"group {group.id}: {reason.words}")
    _conclude(trial, faults, "devices share a group that a setting may part")
    if untold:
        trial.skip("; ".join(untold))
    return f"{plural(len(groups), 'group')} of several devices"


# -- sharing ---------------------------------------------------------------------------------


def pasid(trial: Trial) -> str:
    """Who wants PASIDs has them: unit, device and driver agree."""
    snapshot = trial.snapshot
    units = {unit.name: unit for unit in snapshot.iommu_units}
    wanting = [device for device in snapshot.devices if _wants_pasid(snapshot, device)]
    hidden = [
        f"whether other devices have PASIDs is not told: {one.path} ({one.errno}), {one.what}"
        for one in snapshot.unknown
        if one.path.endswith("/config")
    ]
    if not wanting:
        trial.skip(hidden[0] if hidden else "no device here has, or promises, PASIDs")
    faults = []
    untold = 0
    for device in wanting:
        unit = units.get(device.iommu or "")
        if unit is None or unit.pasid is False:
            got = f"{unit.name} has no PASIDs" if unit else "it is behind no IOMMU"
            faults.append(_Fault(device.address, "an IOMMU with PASIDs", got))
        elif unit.pasid is None:
            untold += 1
        elif device.pasid and device.pasid.capable and not device.pasid.enabled:
            got = f"not enabled, although {unit.name} has them"
            faults.append(_Fault(device.address, "PASID enabled", got))
    widths = {unit.name: unit.pasid_bits for unit in units.values() if unit.pasid}
    if len(set(widths.values())) > 1:
        got = ", ".join(f"{name} {bits} bits" for name, bits in widths.items())
        faults.append(_Fault("IOMMU units", "one PASID width", got))
    _conclude(trial, faults, "PASIDs are wanted and not to be had")
    if untold:
        trial.skip(f"the IOMMU of {plural(untold, 'device')} does not tell whether it has PASIDs")
    if hidden:
        trial.skip(hidden[0])
    return f"{plural(len(wanting), 'device')}, all with PASIDs"


def _wants_pasid(snapshot: Snapshot, device: Device) -> bool:
    if device.pasid and device.pasid.capable:
        return True
    if device.sdmdev and not set(_PASID_PROMISES).isdisjoint(device.sdmdev.dma_flags):
        return True
    return any(
        queue.parent == device.address
        and queue.kind == "uacce"
        and (number(queue.params.get("flags", "")) or 0) & 1
        for queue in snapshot.sdmdevs
    )


def shared_domains(trial: Trial) -> str:
    """The domain of every sdmdev parent can be shared (the RFC's rule table)."""
    snapshot = trial.snapshot
    parents = [device for device in snapshot.devices if device.sdmdev]
    if not parents:
        trial.skip("there is no sdmdev parent")
    groups = {group.id: group for group in snapshot.groups}
    faults = []
    untold = 0
    for parent in parents:
        group = groups.get(parent.group) if parent.group is not None else None
        if group is None:
            faults.append(_Fault(parent.address, "an IOMMU group", "it is in none: ENODEV"))
            continue
        has_pasids = _has_pasids(snapshot, parent)
        attached = group.attached.type
        if attached in ("unmanaged", "blocked"):
            got = f"group {group.id} is {attached}: somebody holds the parent through VFIO"
            faults.append(_Fault(parent.address, "its default domain", got))
        elif group.domain_type == "identity" and has_pasids is False:
            got = f"group {group.id} is identity: nothing could be mapped"
            faults.append(_Fault(parent.address, "a translating domain", got))
        elif group.domain_type == "identity" and has_pasids is None:
            untold += 1
        elif group.domain_type in _SHAREABLE and has_pasids is False:
            words = "shared with the kernel driver, by one process at a time: no PASIDs"
            trial.note(f"domain of group {group.id}", words)
    _conclude(trial, faults, "a parent's domain cannot be shared")
    if untold:
        trial.skip(f"whether {plural(untold, 'parent')} on identity can have PASIDs is not told")
    return f"{plural(len(parents), 'parent')}"


def _has_pasids(snapshot: Snapshot, parent: Device) -> bool | None:
    """Whether each process that shares a parent's domain gets a PASID; None: nothing tells.

    Some IOMMUs do not say (SMMUv3 exports no registers). The parent's driver does: `attach` goes
    by that, and a PASID that is live there proves it.
    """
    flags = parent.sdmdev.dma_flags if parent.sdmdev else ()
    if "MULTI_PROC_MAP" in flags or any(one.device == parent.address for one in snapshot.pasids):
        return True
    told = [unit.pasid for unit in snapshot.iommu_units if unit.name == parent.iommu]
    if told and told[0] is not None:
        return told[0]
    return False if "SINGLE_PROC_MAP" in flags else None


def orphans(trial: Trial) -> str:
    """Every mediated device that holds a queue has somebody who uses it."""
    mdevs = [queue for queue in trial.snapshot.sdmdevs if queue.kind in ("sdmdev", "mdev")]
    _conclude(
        trial,
        (
            _Fault(queue.id, "a holder", f"nobody, and it keeps a queue of {queue.parent}")
            for queue in mdevs
            if queue.state == "orphan"
        ),
        "queues are kept for nobody",
    )
    if any(queue.state is None for queue in mdevs):
        trial.skip("it cannot be told who holds the mediated devices")
    return f"{plural(len(mdevs), 'mediated device')}, none without a holder"


def queues(trial: Trial) -> str:
    """Queue devices are neither isolated after errors, nor halted, nor loaded without queues."""
    faults = []
    for queue in trial.snapshot.sdmdevs:
        params = queue.params
        if queue.kind == "uacce" and params.get("isolate") == "1":
            faults.append(_Fault(queue.id, "in service", "isolated after hardware errors"))
        if queue.kind == "idxd":
            if params.get("device_state") == "halted":
                faults.append(_Fault(queue.id, "enabled", f"{params.get('device')} is halted"))
            status = params.get("cmd_status", "0x0")
            if (number(status.split(" ")[0], 16) or 0) & 0x8000_0000:
                faults.append(_Fault(queue.id, "no error", f"cmd_status {status}"))
    faults += [
        _Fault(entry.path, "1", f"{entry.what}")
        for entry in trial.snapshot.unknown
        if entry.path.endswith("/parameters/uacce_mode") and entry.errno == "ENODEV"
    ]
    _conclude(trial, faults, "queues are out of service")
    if not trial.snapshot.sdmdevs:
        trial.skip("there is no queue")
    return f"{plural(len(trial.snapshot.sdmdevs), 'queue')}"


# -- drivers ---------------------------------------------------------------------------------


def siblings(trial: Trial) -> str:
    """No driver has taken a sibling of a device that was given to VFIO."""
    devices = devices_of(trial.snapshot)
    faults = []
    given = 0
    for group in _real(trial.snapshot):
        ours = [
            address
            for address in group.devices
            if address in devices and is_vfio(devices[address].driver or "")
        ]
        given += len(ours)
        # A group may also not be viable for a region of its own: that is another check.
        is_in_the_way = any(
            uses_dma(driver)
            for address in group.devices
            if address in devices and (driver := devices[address].driver) is not None
        )
        if ours and is_in_the_way and group.viable is False:
            reason = group.viability_reason or "not viable"
            faults.append(_Fault(f"group {group.id} of {', '.join(ours)}", "viable", reason))
    _conclude(trial, faults, "a device on VFIO cannot be used")
    return f"{plural(given, 'device')} on VFIO"


def stuck_unbinds(trial: Trial) -> str:
    """No unbind waits for a holder."""
    found = states(trial.snapshot)
    _conclude(
        trial,
        (
            _Fault(address, "bound or unbound",
                   f"its unbind waits; holders: {_holders(trial.snapshot, address)}")
            for address, state in found.items()
            if state == STUCK
        ),
        "an unbind has begun and cannot end",
    )  # fmt: skip
    if found:
        trial.skip(f"the driver of {', '.join(found)} cannot be told")
    return "none"


def _holders(snapshot: Snapshot, address: str) -> str:
    """Who has the device open, the node of its group, or a queue of it."""
    groups = [f"/dev/vfio/{group.id}" for group in snapshot.groups if address in group.devices]
    queues = [queue.holders or () for queue in snapshot.sdmdevs if queue.parent == address]
    found = [
        f"{process.pid} {process.name or '?'}"
        for process in snapshot.processes
        if any(held.endswith(f" {address}") or held in groups for held in process.holds)
        or any(process.pid in holders for holders in queues)
    ]
    return ", ".join(found) or "none that we may see"


def overrides(trial: Trial) -> str:
    """Every device is on the driver that its override asks for."""
    asked = [device for device in trial.snapshot.devices if device.driver_override]
    _conclude(
        trial,
        (
            _Fault(device.address, f"driver {device.driver_override}", device.driver or "no driver")
            for device in asked
            # `none` keeps every driver away (Documentation/ABI/testing/sysfs-bus-pci).
            if (device.driver or "none") != device.driver_override
        ),
        "an override was set and not carried out",
    )
    return f"{plural(len(asked), 'override')}"


def faults(trial: Trial) -> str:
    """The IOMMU has reported no fault since boot, but those that a self-test provoked."""
    try:
        records = trial.host.kernel_log()
        found = read_faults(trial.host)
    except OSError as error:
        trial.skip(f"the kernel log cannot be read: {because(error)}")
    meant = _provoked(records)
    counts: dict[str, int] = {}
    last: dict[str, str] = {}
    for fault in found:
        if "device request" in fault.text or "currently in use" in fault.text:
            continue  # Of an unbind that waits: another check.
        device = fault.device or "a device that is not named"
        if any(0 <= fault.seconds - at <= PROVOKED_FOR for at in meant.get(device, ())):
            continue
        counts[device] = counts.get(device, 0) + 1
        last[device] = fault.text
    _conclude(
        trial,
        (
            _Fault(device, "no fault", f"{count} in the kernel log, the last: {last[device]}")
            for device, count in sorted(counts.items(), key=lambda item: natural(item[0]))
        ),
        "devices reach for memory that is not theirs",
    )
    return "none in the kernel log"


def _provoked(records: list[bytes]) -> dict[str, list[float]]:
    """Device -> when, in seconds since boot, a self-test has said that it provokes a fault."""
    found: dict[str, list[float]] = {}
    mark = PROVOKED.encode()
    for record in records:
        head, _, text = record.partition(b";")
        if text.startswith(mark):
            device = text[len(mark) :].split(b"\n")[0].strip().decode("ascii", "replace")
            microseconds = number(head.split(b",")[2]) if head.count(b",") > 1 else None
            if microseconds is not None:
                found.setdefault(device, []).append(microseconds / 1_000_000)
    return found


# -- interrupts, memory, places --------------------------------------------------------------


def interrupt_storm(trial: Trial) -> str:
    """No interrupt comes without end, and none that nobody handles."""
    host = trial.host
    faults = []
    lines = [row for row in trial.snapshot.interrupts if row.irq.isdecimal()]
    for row in lines:
        text = _read(host, f"/proc/irq/{row.irq}/spurious")
        words = (text or "").split()
        count = number(words[words.index("unhandled") + 1]) if "unhandled" in words[:-1] else None
        if count is not None and count >= UNHANDLED:
            who = ", ".join(row.actions) or row.device or "?"
            few = f"fewer than {UNHANDLED} unhandled"
            faults.append(_Fault(f"interrupt {row.irq} ({who})", few, f"{count} unhandled"))
    before, began = _counts(host), host.now()
    trial.say(f"counting for {LOOK} s")
    host.sleep(LOOK)
    after, seconds = _counts(host), host.now() - began
    if seconds > 0:
        for label, counts in after.items():
            earlier = before.get(label, ())
            # A CPU that came or went takes its counts along, and a line that was freed and
            # requested begins anew: neither tells a rate.
            if len(earlier) != len(counts) or sum(counts) < sum(earlier):
                continue
            rate = (sum(counts) - sum(earlier)) / seconds
            if rate >= STORM:
                faults.append(
                    _Fault(f"interrupt {label}", f"fewer than {STORM}/s", f"{rate:.0f}/s")
                )
    else:
        trial.note("rates", "this host stands still: only unhandled interrupts are looked at")
    _conclude(trial, faults, "an interrupt storms")
    return f"{plural(len(lines), 'line')}"


def _counts(host: Host) -> dict[str, tuple[int, ...]]:
    """Interrupts of each device's line so far, on each CPU."""
    try:
        data = host.read("/proc/interrupts", 16 << 20)
    except OSError as error:
        if is_absent(error):
            return {}
        raise
    return {row.label: row.per_cpu for row in InterruptTable().parse(data) if row.label.isdecimal()}


def memlock(trial: Trial) -> str:
    """A process of this user may lock enough memory to map it for a device."""
    limits = _read(trial.host, "/proc/self/limits")
    if limits is None:
        trial.skip("this host does not tell the limits of a process")
    line = next((line for line in limits.splitlines() if line.startswith("Max locked memory")), "")
    soft = line.removeprefix("Max locked memory").split()[:1]
    if not soft:
        trial.skip("/proc/self/limits does not name it")
    trial.note("RLIMIT_MEMLOCK", soft[0])
    status = _read(trial.host, "/proc/self/status") or ""
    capable = next((row.split()[1] for row in status.splitlines() if row[:7] == "CapEff:"), "0")
    if (number(capable, 16) or 0) >> _CAP_IPC_LOCK & 1:
        return "this user is exempt (CAP_IPC_LOCK)"
    allowed = number(soft[0])
    if allowed is not None and allowed < MEMLOCK:
        trial.fail(
            f"{allowed} bytes may be locked: mapping more for a device fails with ENOMEM "
            f"(wanted: {MEMLOCK} at least)"
        )
    return f"{soft[0]} bytes may be locked"


def numa(trial: Trial) -> str:
    """A device has an interrupt, and its queues have holders, near to it.

    That some of its interrupts go far is how a driver with a queue for each CPU works.
    """
    snapshot = trial.snapshot
    nodes = _cpus_of_nodes(trial.host)
    if len(nodes) < 2:
        return "one NUMA node"
    found = []
    untold = 0
    for device in snapshot.devices:
        near = nodes.get(device.numa_node) if device.numa_node is not None else None
        if not near:
            continue
        place = f"and {device.address} is on node {device.numa_node}"
        lines = {
            row.irq: row.affinity
            for row in snapshot.interrupts
            if row.device == device.address and row.total and row.affinity
        }
        if lines and all(near.isdisjoint(numbers_of_list(affinity)) for affinity in lines.values()):
            where = ", ".join(f"{irq} on CPU {affinity}" for irq, affinity in lines.items())
            found.append(_Fault(f"interrupts of {device.address}", "one near to it",
                                f"{where}, {place}"))  # fmt: skip
        for queue in snapshot.sdmdevs:
            if queue.parent != device.address:
                continue
            if queue.holders is None:
                untold += 1
            for pid in queue.holders or ():
                allowed = _allowed_cpus(trial.host, pid)
                if allowed and near.isdisjoint(numbers_of_list(allowed)):
                    got = f"allowed on CPU {allowed} only, {place}"
                    found.append(_Fault(f"process {pid}", f"near to {queue.id}", got))
    _conclude(trial, found, "work is done far from its device")
    if untold:
        trial.skip(f"it cannot be told who holds {plural(untold, 'queue')}")
    return f"{len(nodes)} NUMA nodes"


def _allowed_cpus(host: Host, pid: int) -> str:
    status = _read(host, f"/proc/{pid}/status") or ""
    return status.partition("Cpus_allowed_list:")[2].split("\n")[0].strip()


def _cpus_of_nodes(host: Host) -> dict[int, set[int]]:
    online = _read(host, "/sys/devices/system/node/online") or ""
    found = {}
    for node in numbers_of_list(online):
        text = _read(host, f"/sys/devices/system/node/node{node}/cpulist")
        if text:
            found[node] = {*numbers_of_list(text)}
    return found


# -- the family ------------------------------------------------------------------------------


def _check(
    name: str, run: Callable[[Trial], str], proves: str, why: str, remedy: str, takes: float = 0.05
) -> SelfTest:
    return SelfTest(
        name=f"host.{name}",
        run=run,
        targets=the_host,
        proves=proves,
        needs="nothing; root sees more",
        touches="nothing",
        why=why,
        remedy=remedy,
        takes=takes,
    )


TESTS = (
    _check("iommu", iommu, "an IOMMU is active",
           "without one a device, or a guest that has it, can read and write all memory, and VFIO "
           "refuses every device",
           "switch on VT-d, AMD-Vi or SMMU in the firmware; boot with intel_iommu=on where the "
           "kernel leaves it off"),
    _check("interrupt-remapping", interrupt_remapping, "interrupts of devices go through the IOMMU",
           "without remapping a device can raise any interrupt of the host; VFIO refuses it with "
           "EPERM",
           "switch it on in the firmware (often named x2APIC or VT-d interrupt remapping); take "
           "intremap=off from the kernel's command line"),
    _check("unsafe-modes", unsafe_modes, "no switch that takes isolation away is on",
           "what looks isolated is not: a device, or who was given it, can break out",
           "write N to the parameter named, or remove the word from the kernel's command line and "
           "boot"),
    _check("reserved-regions", reserved_regions, "firmware keeps no memory mapped for a device",
           "a group with a direct region cannot be given to a process: claiming it fails with "
           "EINVAL, on older kernels with EPERM",
           "look for a firmware option that gives up the region (shared memory for management, USB "
           "emulation), or use a device in another slot"),
    _check("grouping", grouping, "no setting joins devices that could be apart",
           "a group can only be given away whole: its other devices are lost to the host",
           "switch ACS on in the firmware, or boot with pci=config_acs=; else use a slot behind "
           "another port. pcie_acs_override only changes how it looks"),
    _check("pasid", pasid, "who wants PASIDs has them",
           "without PASIDs one process at a time can share a device, in the kernel driver's own "
           "address space",
           "Intel: boot with intel_iommu=on,sm_on, on a kernel with CONFIG_INTEL_IOMMU_SVM; all "
           "units must have the same width; look for 'SVM disabled' in the kernel log"),
    _check("shared-domains", shared_domains, "the domain of every sdmdev parent can be shared",
           "attaching an sdmdev fails while its parent is not on a default domain that translates",
           "a group on identity: write DMA to its type with no driver bound; a parent held through "
           "VFIO: have that process let go; a parent in no group: nothing translates for it, use "
           "one behind an IOMMU"),
    _check("orphans", orphans, "every mediated device has a holder",
           "it keeps a queue that nobody else can have, until it is removed",
           "sdmtop remove UUID, if whoever made it does not come back"),
    _check("queues", queues, "queue devices are in service",
           "opening or starting a queue fails, or there is none although the hardware is there",
           "uacce: reset the device; idxd: configure and enable it again (accel-config), heeding "
           "cmd_status; HiSilicon: load the driver with uacce_mode=1"),
    _check("siblings", siblings, "devices on VFIO have their group to themselves",
           "a driver that took a sibling makes the group not viable: the next start of a guest "
           "fails, or the one that runs is at the mercy of that driver",
           "unbind the sibling and set its driver_override to vfio-pci, before modules load"),
    _check("stuck-unbinds", stuck_unbinds, "no unbind waits for a holder",
           "the writer hangs until the holder lets go, and reading some files of the device hangs "
           "with it",
           "end the holder; do not signal the writer, which would become unkillable"),
    _check("overrides", overrides, "devices are on the driver that was asked for",
           "a change was left half done: the device works for nobody, or not for whom it was meant",
           "load the module, then write the address to /sys/bus/pci/drivers_probe; or clear "
           "driver_override"),
    _check("faults", faults, "the IOMMU has reported no fault",
           "a device was stopped at memory that is not its own: a bug of its driver or of who has "
           "it, or a device that was used while it was given away",
           "find out who held the device at that time; update its driver or firmware"),
    _check("interrupt-storm", interrupt_storm, "no interrupt comes without end",
           "a CPU does nothing else; at 99,900 unhandled ones the kernel switches the line off for "
           "all who share it",
           "reset the device, or unbind its driver; a level interrupt that nobody handles belongs "
           "to a device whose driver is missing", LOOK + 0.1),
    _check("memlock", memlock, "enough memory may be locked",
           "all memory that is mapped for a device is locked, and counts against the limit",
           "raise memlock in /etc/security/limits.d, or LimitMEMLOCK= of the service"),
    _check("numa", numa, "work is done near to its device",
           "each interrupt, and each access to the device's memory, crosses between the nodes",
           "write a CPU of the node to smp_affinity_list (irqbalance may undo it); run the process "
           "under numactl --cpunodebind"),
)  # fmt: skip
