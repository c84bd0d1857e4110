"""Whatever processes ask for, in whatever order: what must hold at every step, and at the end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.mdev import Mdev
from sdmtop.backends.simulator.processes import Process
from sdmtop.backends.simulator.sdmdev import SdmdevQueue
from sdmtop.backends.simulator.type1 import Type1
from sdmtop.backends.simulator.vfio import Container, DeviceFile, GroupFile
from sdmtop.backends.simulator.vfs import Device as Node
from sdmtop.backends.simulator.vfs import walk
from tests.backends.simulator.machines import (
    PARENT,
    PCI,
    SECOND_PARENT,
    create,
    parents,
    uuid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.host import SimulatorHost
    from sdmtop.backends.simulator.kernel import Kernel

PARENTS = st.sampled_from((PARENT, SECOND_PARENT))
NUMBERS = st.integers(0, 4)
PICK = st.integers(0, 1000)
IOVAS = st.sampled_from((0, 0x1000, 0x10_0000, 0x10_1000, 0xFFFF_0000, 0xFEE0_0000, 1 << 48))
SIZES = st.sampled_from((0x1000, 0x2000, 0x1001, 0))
OPERATOR = (
    ("/sys/bus/mdev/devices/{mdev}/remove", "1"),
    ("/sys/bus/pci/drivers/hisi_zip/unbind", "{parent}"),
    ("/sys/bus/pci/drivers/vfio-pci/unbind", "{parent}"),
    ("/sys/bus/pci/drivers_probe", "{parent}"),
    (f"{PCI}/{{parent}}/driver_override", "vfio-pci"),
    (f"{PCI}/{{parent}}/driver_override", "\n"),
    (f"{PCI}/{{parent}}/reset", "1"),
    (f"{PCI}/{{parent}}/iommu_group/type", "DMA"),
    (f"{PCI}/{{parent}}/iommu_group/type", "DMA-FQ"),
    (f"{PCI}/{{parent}}/iommu_group/type", "identity"),
)


def state_of(kernel: Kernel) -> dict[str, Any]:
    """All that a refused operation must leave as it was."""
    names: dict[object, str] = {
        group: f"group {group.group.id}" for group in kernel.vfio.groups.values()
    }
    containers = {
        id(file): file
        for process in kernel.processes
        for file in (*process.files.values(), *(a.file for a in process.memory if a.file))
        if isinstance(file, Container)
    }
    containers |= {id(group.container): group.container for group in kernel.vfio.groups.values()
                   if group.container is not None}  # fmt: skip
    return {
        "groups": {
            id_: (
                group.type,
                group.domain.number if group.domain else None,
                [(m.iova, len(m.view), id(m.owner)) for m in group.domain or ()],
                group.drivers,
                str(group.owner),
                sorted((names.get(who, "?"), process.pid) for who, process in group.shares.items()),
                {
                    pasid: [(m.iova, len(m.view)) for m in table]
                    for pasid, table in group.pasids.items()
                },
                [*group.devices],
            )
            for id_, group in kernel.iommu.groups.items()
        },
        "devices": {
            name: (
                device.driver.name if device.driver else None,
                device.leaving is not None,
                device.override,
            )
            for bus in kernel.buses.values()
            for name, device in bus.devices.items()
        },
        "parents": {name: (one.used, one.is_leaving) for name, one in kernel.mdev.parents.items()},
        "containers": {
            id_: (
                [group.group.id for group in one.groups],
                one.iommu is not None,
                sorted(one.iommu.dmas) if one.iommu else [],
            )
            for id_, one in containers.items()
        },
        "processes": {
            process.pid: (sorted(process.files), process.pinned, len([*process.memory]))
            for process in kernel.processes
        },
        "pasids": {number: process.pid for number, process in kernel.pasids.by_number.items()},
        "vfio": (sorted(kernel.vfio.groups), sorted(kernel.vfio.devices)),
        "lines": sorted(kernel.interrupts.lines),
    }


class Machine(RuleBasedStateMachine):
    """Two parents, two processes, a handful of mediated devices."""

    host: SimulatorHost

    @initialize(
        bits=st.sampled_from((0, 0, 1, 8)),
        type_=st.sampled_from(("DMA", "DMA", "identity")),
        on_vfio=st.booleans(),
    )
    def boot(self, bits: int, type_: str, on_vfio: bool) -> None:
        self.host = parents(pasid_bits=bits, domain_type=type_, queues=2)
        self.kernel = self.host.kernel
        self.waiting: list[Completion] = []
        self.pids = 900
        self.processes = [self._new_process(), self._new_process()]
        for number in range(2):
            create(self.host, number, PARENT)
        if on_vfio:
            self.give_to_vfio(SECOND_PARENT)
        else:
            create(self.host, 2, SECOND_PARENT)

    def _new_process(self) -> Process:
        self.pids += 1
        return self.kernel.processes.add(Process(self.pids, "user", memlock=0x3000))

    def _try(self, action: Callable[[], int | Completion | None]) -> int | None:
        """Ask for something; if it is refused, nothing may be different."""
        before = state_of(self.kernel)
        try:
            answer = action()
        except OSError:
            assert state_of(self.kernel) == before
            return None
        if answer is None or isinstance(answer, int):
            return answer
        if not answer.done:
            self.waiting.append(answer)
        elif answer.error is not None:
            assert state_of(self.kernel) == before
        return None

    def _write(self, path: str, data: str) -> None:
        def store() -> Completion | None:
            node: Any = walk(self.host.root, path)
            found: Completion | None = node.store(data.encode())
            return found

        self._try(store)

    def _files(self, kind: type) -> list[tuple[Process, int]]:
        return [
            (process, number)
            for process in self.processes
            for number, file in process.files.items()
            if isinstance(file, kind)
        ]

    def _ioctl(
        self, whose: tuple[Process, int], request: int, argument: int | bytearray = 0
    ) -> None:
        process, number = whose
        file = process.file(number)
        self._try(lambda: file.ioctl(process, request, argument))

    # -- operations ----------------------------------------------------------------------------

    @rule(number=NUMBERS, parent=PARENTS)
    def make(self, number: int, parent: str) -> None:
        type_ = f"{PCI}/{parent}/mdev_supported_types/hisi_zip-zlib/create"
        self._write(type_, uuid(number))

    @rule(what=st.sampled_from(OPERATOR), parent=PARENTS, number=NUMBERS)
    def operate(self, what: tuple[str, str], parent: str, number: int) -> None:
        """What an operator does, by writing to a file."""
        path, data = (one.format(parent=parent, mdev=uuid(number)) for one in what)
        self._write(path, data)

    @rule(parent=PARENTS)
    def give_to_vfio(self, parent: str) -> None:
        """All that it takes, as far as it gets: what is held, or has queues in use, stays."""
        self._write(f"{PCI}/{parent}/driver_override", "vfio-pci")
        self._write("/sys/bus/pci/drivers/hisi_zip/unbind", parent)
        self._write("/sys/bus/pci/drivers_probe", parent)

    def _in_use(self) -> list[tuple[Process, int]]:
        """The containers with an IOMMU."""
        return [
            (process, number)
            for process, number in self._files(Container)
            if isinstance(file := process.file(number), Container) and file.iommu is not None
        ]

    @precondition(lambda self: self._in_use())
    @rule(pick=PICK, other=PICK, out=st.booleans())
    def join(self, pick: int, other: int, out: bool) -> None:
        """A group comes into a container that is in use; the IOMMU may be out of domains."""
        containers = self._in_use()
        process, number = containers[pick % len(containers)]
        free = [one for one in self.kernel.vfio.groups.values() if one.file is None]
        if not free:
            return
        free.sort(key=lambda one: one.group.unit is None)  # Those of devices first.
        node = self._node(f"/dev/vfio/{free[other % 2 % len(free)].name}")
        group = self._try(lambda: process.install(node.open(process)))
        if group is not None:
            self.kernel.iommu.out_of_domains = out
            argument = bytearray(struct.pack("i", number))
            self._ioctl((process, group), uapi.GROUP_SET_CONTAINER, argument)
            self.kernel.iommu.out_of_domains = False

    @rule(who=PICK, pick=PICK, iova=IOVAS)
    def use(self, who: int, pick: int, iova: int) -> None:
        """What a program does: all steps, as far as it gets."""
        groups = [one for one in self.kernel.vfio.groups.values() if one.file is None]
        if not groups:
            return
        group = groups[pick % len(groups)]
        process = self.processes[who % len(self.processes)]
        container = self._open(who, "/dev/vfio/vfio")
        opened = self._open(who, f"/dev/vfio/{group.name}")
        if container is None or opened is None:
            return
        argument = bytearray(struct.pack("i", container))
        self._ioctl((process, opened), uapi.GROUP_SET_CONTAINER, argument)
        self._ioctl((process, container), uapi.SET_IOMMU, uapi.TYPE1V2)
        self._map((process, container), iova, 0x1000)
        for one in group.devices if iova else ():
            name = bytearray(one.device.name.encode() + b"\0")
            self._ioctl((process, opened), uapi.GROUP_GET_DEVICE_FD, name)

    @rule(who=PICK, pick=PICK)
    def open_group(self, who: int, pick: int) -> None:
        groups = sorted(self.kernel.vfio.groups)
        if groups:
            self._open(who, f"/dev/vfio/{groups[pick % len(groups)]}")

    def _open(self, who: int, path: str) -> int | None:
        process = self.processes[who % len(self.processes)]
        return self._try(lambda: process.install(self._node(path).open(process)))

    def _node(self, path: str) -> Node:
        node = walk(self.host.root, path)
        assert isinstance(node, Node)
        return node

    @precondition(lambda self: self._files(GroupFile))
    @rule(pick=PICK, other=PICK)
    def set_container(self, pick: int, other: int) -> None:
        groups = self._files(GroupFile)
        process, number = groups[pick % len(groups)]
        own = [number for owner, number in self._files(Container) if owner is process]
        if own:
            argument = bytearray(struct.pack("i", own[other % len(own)]))
            self._ioctl((process, number), uapi.GROUP_SET_CONTAINER, argument)

    @precondition(lambda self: self._files(GroupFile))
    @rule(pick=PICK)
    def unset_container(self, pick: int) -> None:
        groups = self._files(GroupFile)
        self._ioctl(groups[pick % len(groups)], uapi.GROUP_UNSET_CONTAINER)

    @precondition(lambda self: self._files(Container))
    @rule(pick=PICK)
    def set_iommu(self, pick: int) -> None:
        containers = self._files(Container)
        self._ioctl(containers[pick % len(containers)], uapi.SET_IOMMU, uapi.TYPE1V2)

    @precondition(lambda self: self._files(GroupFile))
    @rule(pick=PICK)
    def get_device(self, pick: int) -> None:
        groups = self._files(GroupFile)
        process, number = groups[pick % len(groups)]
        file = process.file(number)
        assert isinstance(file, GroupFile)
        for device in file.group.devices:
            name = bytearray(device.device.name.encode() + b"\0")
            self._ioctl((process, number), uapi.GROUP_GET_DEVICE_FD, name)

    @precondition(lambda self: self._files(DeviceFile))
    @rule(pick=PICK, pasid=st.integers(0, 3))
    def bind_pasid(self, pick: int, pasid: int) -> None:
        devices = self._files(DeviceFile)
        self._ioctl(devices[pick % len(devices)], uapi.SDMDEV_BIND_PASID, pasid)

    @precondition(lambda self: self._files(DeviceFile))
    @rule(pick=PICK)
    def map_device(self, pick: int) -> None:
        devices = self._files(DeviceFile)
        process, number = devices[pick % len(devices)]
        file = process.file(number)

        def map_() -> None:
            process.memory.map(file.memory_at(0, 0x1000), file)

        self._try(map_)

    @precondition(lambda self: self._files(Container))
    @rule(pick=PICK, iova=IOVAS, size=SIZES)
    def map_dma(self, pick: int, iova: int, size: int) -> None:
        containers = self._files(Container)
        self._map(containers[pick % len(containers)], iova, size)

    def _map(self, container: tuple[Process, int], iova: int, size: int) -> None:
        area = container[0].memory.map(memoryview(bytearray(0x2000)))
        argument = bytearray(struct.pack("IIQQQ", 32, 3, area.start, iova, size))
        self._ioctl(container, uapi.IOMMU_MAP_DMA, argument)

    @precondition(lambda self: self._files(Container))
    @rule(pick=PICK, iova=IOVAS, size=SIZES)
    def unmap_dma(self, pick: int, iova: int, size: int) -> None:
        containers = self._files(Container)
        argument = bytearray(struct.pack("IIQQ", 24, 0, iova, size))
        self._ioctl(containers[pick % len(containers)], uapi.IOMMU_UNMAP_DMA, argument)

    @rule(pick=PICK)
    def close(self, pick: int) -> None:
        files = self._files(object)
        if files:
            process, number = files[pick % len(files)]
            process.close(number)

    @rule(pick=PICK)
    def die(self, pick: int) -> None:
        index = pick % len(self.processes)
        self.kernel.end(self.processes[index])
        self.processes[index] = self._new_process()

    @rule(parent=PARENTS, times=st.integers(1, 3))
    def interrupt(self, parent: str, times: int) -> None:
        device = self.kernel.sdmdevs.get(parent)
        if device is not None and device.lines:
            before = device.lines[0].total
            for _ in range(times):
                device.raise_interrupt()
            assert device.lines[0].total == before + times

    @rule(seconds=st.sampled_from((0.001, 1.0, 20.0)))
    def wait(self, seconds: float) -> None:
        self.host.step(seconds)

    # -- what holds ----------------------------------------------------------------------------

    @invariant()
    def share_counts_equal_live_shares(self) -> None:
        live: dict[int, set[object]] = {}
        for group in self.kernel.vfio.groups.values():
            iommu = group.container.iommu if group.container is not None else None
            for domain in iommu.domains if iommu is not None else ():
                if domain.parent is not None and group in domain.groups:
                    live.setdefault(domain.parent.id, set()).add(group)
        counted = {
            group.id: set(group.shares)
            for group in self.kernel.iommu.groups.values()
            if group.shares
        }
        assert counted == live

    @invariant()
    def no_mapping_survives_a_detach(self) -> None:
        for group in self.kernel.iommu.groups.values():
            for domain in (group.domain, group.default, *group.pasids.values()):
                for mapping in domain or ():
                    if isinstance(mapping.owner, str):
                        continue
                    assert isinstance(mapping.owner, Type1)
                    assert any(one.domain is domain for one in mapping.owner.domains)
                    assert mapping.iova in mapping.owner.dmas

    @invariant()
    def what_is_pinned_is_what_is_mapped(self) -> None:
        pinned: dict[Process, int] = {}
        iommus = {
            id(group.container.iommu): group.container.iommu
            for group in self.kernel.vfio.groups.values()
            if group.container is not None and group.container.iommu is not None
        }
        for iommu in iommus.values():
            for dma in iommu.dmas.values():
                if dma.pinned:
                    pinned[dma.process] = pinned.get(dma.process, 0) + dma.size
        for process in self.kernel.processes:
            assert process.pinned == pinned.get(process, 0)

    @invariant()
    def no_two_processes_have_one_pasid(self) -> None:
        owners = [*self.kernel.pasids.by_number.values()]
        assert len(owners) == len(set(owners))
        for group in self.kernel.iommu.groups.values():
            for pasid, table in group.pasids.items():
                assert self.kernel.pasids.by_number[pasid] is table.process

    @invariant()
    def instances_and_what_is_left_are_the_queues(self) -> None:
        for parent in self.kernel.mdev.parents.values():
            (type_,) = parent.types.values()
            mdevs = [one for one in parent.device.children.values() if isinstance(one, Mdev)]
            assert type_.available + len(mdevs) == parent.capacity
            queues = [mdev.vfio.number for mdev in mdevs if isinstance(mdev.vfio, SdmdevQueue)]
            assert len(queues) == len(set(queues)) == len(mdevs)

    @invariant()
    def a_started_queue_has_a_process(self) -> None:
        for parent in self.kernel.sdmdevs.values():
            assert parent.sdmdev is not None
            for queue in parent.sdmdev.queues.values():
                assert queue.is_started <= bool(queue.opens)
                assert bool(queue.pid) == bool(queue.opens)

    @invariant()
    def what_waits_has_something_to_wait_for(self) -> None:
        self.waiting = [one for one in self.waiting if not one.done]
        if self.waiting:
            assert any(process.files or [*process.memory] for process in self.processes)

    def teardown(self) -> None:
        """Every process ends: nothing is left, and nothing waits any more."""
        if not hasattr(self, "processes"):
            return
        for process in self.processes:
            self.kernel.end(process)
        assert all(one.done for one in self.waiting)
        assert not self.kernel.pasids.by_number
        for group in self.kernel.iommu.groups.values():
            assert not group.shares
            assert not group.pasids
            assert group.owner is None
            assert group.domain is group.default
            for mapping in group.default or ():
                assert isinstance(mapping.owner, str)
        for vfio in self.kernel.vfio.groups.values():
            assert vfio.file is None
            assert vfio.container is None


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
