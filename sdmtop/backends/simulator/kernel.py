"""The modelled kernel: its subsystems, brought up from a scenario."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.clock import Clock
from sdmtop.backends.simulator.devices import Bus, Device, Driver
from sdmtop.backends.simulator.dmatest import DmaTest
from sdmtop.backends.simulator.drivers import KernelDriver, VfioPciDriver
from sdmtop.backends.simulator.interrupts import Interrupts
from sdmtop.backends.simulator.iommu import Iommu, Unit
from sdmtop.backends.simulator.log import KernelLog
from sdmtop.backends.simulator.mdev import MdevCore
from sdmtop.backends.simulator.pasids import Pasids
from sdmtop.backends.simulator.pci import PciBus, PciDevice
from sdmtop.backends.simulator.processes import AddressSpace, Process, Processes
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.uevents import Uevents
from sdmtop.backends.simulator.versions import behaviour
from sdmtop.backends.simulator.vfio import Vfio

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.idxd import IdxdDevice
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.scenario import DeviceSpec, Scenario
    from sdmtop.backends.simulator.uacce import UacceDevice

VFIO_PCI = "vfio-pci"
_NEEDS = {
    "dmatest": (),
    "mdev": ("vfio",), "vfio": (), "vfio_iommu_type1": ("vfio",),
    "vfio_pci": ("vfio", "vfio_iommu_type1"),
}  # fmt: skip
"""Modules that can always be loaded, and what each pulls in."""
_LEGACY = ((0, 2, "edge", "timer"), (8, 8, "edge", "rtc0"), (9, 9, "fasteoi", "acpi"))
"""Lines of a PC besides those of devices: number, hwirq, trigger, action."""


class Kernel:
    """All subsystems. `seed` is where chance comes from; of the same seed, the same life.

    Raises `ValueError` (a sentence) for a scenario that no machine can be like.
    """

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario = scenario
        self.random = random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.behaviour = behaviour(scenario.kernel)
        self.clock = Clock()
        self.log = KernelLog(self.clock)
        self.uevents = Uevents()
        self.memory = AddressSpace()
        self.processes = Processes()
        self.pasids = Pasids()
        self.taint = 0
        self.iommu = Iommu(self.log, self.behaviour, self.memory)
        self.is_arm = any(unit.driver == "arm-smmu-v3" for unit in scenario.units)
        self.interrupts = Interrupts(self, scenario.cpus)
        self.vfio = Vfio(self)
        self.mdev: MdevCore = MdevCore(self)
        self.pci = PciBus(self)
        self.buses: dict[str, Bus] = {"pci": self.pci, "mdev": self.mdev.bus}
        self.sdmdevs: dict[str, PciDevice] = {}
        self.uacce: dict[str, UacceDevice] = {}
        self.idxd: dict[str, IdxdDevice] = {}
        self.dmatest = DmaTest(self)
        self.modules: dict[str, None] = {}
        """Loaded modules, by the name in /proc/modules."""
        self._boot()

    # -- boot ----------------------------------------------------------------------------------

    def _boot(self) -> None:
        scenario = self.scenario
        machine = "arm64" if self.is_arm else "x86_64"
        self.log.say(f"Linux version {self.release} (sdmtop@simulator) {machine}", 5)
        if not self.is_arm:
            for number, hwirq, trigger, action in _LEGACY:
                self.interrupts.allocate(
                    "IR-IO-APIC", hwirq, action, number=number, trigger=trigger,
                    managed=action == "timer",
                )  # fmt: skip
        for unit in scenario.units:
            self.iommu.units[unit.name] = Unit(
                unit.name, unit.driver, pasid_bits=unit.pasid_bits, remapping=unit.remapping,
                coherent=unit.coherent,
            )  # fmt: skip
        for spec in scenario.devices:
            self._enumerate(spec)
        self.load(VFIO_PCI)
        for spec in scenario.devices:
            if spec.driver is not None:
                driver = self._driver(spec.bus, spec.driver)
                if spec.driver != VFIO_PCI:  # It has none: it binds by the override.
                    driver.ids.add((spec.vendor, spec.device))
                if spec.sriov_total and isinstance(driver, KernelDriver):
                    driver.makes_vfs = True
        for spec in scenario.devices:
            self._bind_at_boot(spec)
        for mdev in scenario.mdevs:
            parent = self.mdev.parents[mdev.parent]
            type_ = next(one for one in parent.types.values() if one.spec.id == mdev.type)
            self.mdev.create(type_, mdev.uuid.encode())

    def _enumerate(self, spec: DeviceSpec) -> None:
        parent = self.find(spec.parent) if spec.parent is not None else None
        if spec.bus == "pci":
            root = f"pci{spec.address[:7]}"
            device = PciDevice(
                self, self.pci, spec, parent.path if parent is not None else root, parent
            )
            self.pci.place(device)
            return
        bus = self.buses.setdefault(spec.bus, Bus(self, spec.bus))
        where = parent.path if parent is not None else spec.bus
        bus.add(PciDevice(self, bus, spec, where, parent))

    def _driver(self, bus: str, name: str) -> Driver:
        """A driver by its name, loaded if it is not yet."""
        drivers = self.buses[bus].drivers
        if name not in drivers:
            self.buses[bus].register(KernelDriver(self, name))
            self.modules[name.replace("-", "_")] = None
        return drivers[name]

    def _bind_at_boot(self, spec: DeviceSpec) -> None:
        device = self.buses[spec.bus].devices[spec.address]
        if spec.driver is not None:
            if spec.driver == VFIO_PCI:
                device.override = VFIO_PCI
            device.bind(self.buses[spec.bus].drivers[spec.driver])
            if spec.idxd is not None and spec.idxd.name in self.idxd:
                self.idxd[spec.idxd.name].configure()
        if spec.vfs and isinstance(device, PciDevice):
            device.add_vfs(spec.vfs)

    @property
    def release(self) -> str:
        """`uname -r`."""
        return f"{self.scenario.kernel}.0-sim" if self.scenario.kernel.count(".") == 1 else (
            self.scenario.kernel
        )  # fmt: skip

    # -- devices -------------------------------------------------------------------------------

    def find(self, name: str) -> Device:
        """A device of any bus. Raises `ValueError` where there is none of that name."""
        for bus in self.buses.values():
            if name in bus.devices:
                return bus.devices[name]
        raise ValueError(f"there is no device {name}")

    def look_at_pages(self) -> None:
        """Our own process may have written to pages of devices that it has mapped."""
        for area in self.processes.own.memory:
            if area.file is not None:
                area.file.look()

    def leave_classes(self, device: PciDevice) -> None:
        """The driver of a device is going: no node of it can be opened any more."""
        spec = device.spec
        if spec.uacce is not None and spec.uacce.name in self.uacce:
            self.uacce.pop(spec.uacce.name).withdraw()
        if spec.idxd is not None:
            idxd = self.idxd.pop(spec.idxd.name, None)
            if idxd is not None:
                idxd.leave()

    def allocate_line(
        self,
        device: PciDevice,
        kind: str,
        number: int,
        action: str,
        handler: Callable[[], None],
        *,
        managed: bool = False,
    ) -> Interrupt:
        """A vector (or the one INTx line) of a device."""
        unit = device.group.unit if device.group is not None else None
        prefix = "ITS-" if self.is_arm else "IR-" if unit is not None and unit.remapping else ""
        if kind == "intx":
            chip = "GICv3" if self.is_arm else f"{prefix}IO-APIC"
            free = next(line for line in range(16, 1 << 16) if str(line) not in
                        self.interrupts.lines)  # fmt: skip
            return self.interrupts.allocate(
                chip, free, action, handler, number=free, trigger="fasteoi"
            )
        if self.behaviour.device_in_chip:
            chip = f"{prefix}PCI-{kind.upper().replace('MSIX', 'MSIX')}-{device.name}"
            return self.interrupts.allocate(chip, number, action, handler, managed=managed)
        return self.interrupts.allocate(
            "ITS-MSI" if self.is_arm else f"{prefix}PCI-MSI",
            _routing_id(device.name) << 11 | number, action, handler, managed=managed,
        )  # fmt: skip

    # -- modules and processes -----------------------------------------------------------------

    def load(self, module: str) -> bool:
        """Load a module, or find it loaded; False where there is none of that name."""
        name = module.replace("-", "_")
        if name in self.modules:
            return True
        if name not in _NEEDS and name not in self.scenario.modules:
            return False
        for other in _NEEDS.get(name, ()):
            self.load(other)
        if name == "vfio_pci":
            self.pci.register(VfioPciDriver(self))
        self.modules[name] = None
        return True

    def signal(self, pid: int) -> None:
        """A signal arrives at a process: it ends, unless it sleeps where it cannot be woken.

        An unbind that waits for a holder becomes one that nothing can end (kernel-abi rule 3).
        """
        process = self.processes.get(pid)
        if process is None:
            raise refusal(errno.ESRCH, f"there is no process {pid}")
        waits = process.waits_for
        if waits is None or waits.done:
            self.end(process)
        elif not process.is_unkillable:
            process.is_unkillable = True
            self.log.say(
                f'{waits.device}: Device is currently in use, task "{process.name}" ({pid}) '
                "blocked until device is released",
                4,
            )

    def end(self, process: Process) -> None:
        """A process ends: what it had is given back, its PASID at last."""
        self.processes.end(process)
        self.pasids.free(process)


def _routing_id(address: str) -> int:
    """Segment, bus, device and function as one number, as the older kernels' hwirq has them."""
    segment, bus, slot = address.split(":") if address.count(":") == 2 else ("0", "0", "0.0")
    device, _, function = slot.partition(".")
    return int(segment, 16) << 16 | int(bus, 16) << 8 | int(device, 16) << 3 | int(function)
