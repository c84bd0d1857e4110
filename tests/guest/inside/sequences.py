"""Sequences of operations, carried out on a host: the same program on a kernel and on its model.

Outcomes are `ok`, the name of an errno, a number of bytes, `waits` for a write that does not
return, or `-` for what makes no sense now (nothing is open there). Prints them as JSON.
"""

import errno
import json
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sdmtop import vfio
from sdmtop.backends.base import Host, open_host
from tests.guest.topologies import BRIDGED_EDU, BRIDGED_NIC, BRIDGED_TESTDEV, EDU, NIC

Operation = Sequence[str]

DRIVERS = {
    EDU: "sdmdev_edu", NIC: "e1000e", BRIDGED_EDU: None, BRIDGED_TESTDEV: None,
    BRIDGED_NIC: "e1000",
}  # fmt: skip
"""The devices that sequences are about, with the driver that each begins with."""

QUEUES = {
    "m0": "5d3de000-0000-4000-8000-0000000000a0",
    "m1": "5d3de000-0000-4000-8000-0000000000a1",
    "m2": "5d3de000-0000-4000-8000-0000000000a2",
}
TYPE = f"/sys/bus/pci/devices/{EDU}/mdev_supported_types/sdmdev_edu-fact"

_PAGE = 4096
IOVAS = {
    "low": 0x10000, "next": 0x11000, "odd": 0x10200, "msi": 0xFEE00000, "high": 1 << 60,
    "wrap": (1 << 64) - _PAGE,
}  # fmt: skip
_PROMPT = 0.5
_LATE = 5.0


class Writing(Protocol):
    """A write that has begun."""

    def wait(self, seconds: float) -> bool: ...
    def result(self) -> None: ...


class ForkedWrite:
    """As `Host.write`, without the start of an interpreter: there is but one thread here."""

    def __init__(self, path: str, data: bytes) -> None:
        self._pid = os.fork()
        if not self._pid:
            os.setsid()
            os.closerange(3, 1024)  # Or it would hold itself the device that it waits for.
            try:
                fd = os.open(path, os.O_WRONLY)
                os.write(fd, data)
            except OSError as error:
                os._exit(error.errno or errno.EIO)
            os._exit(0)
        self._ended = os.pidfd_open(self._pid)
        self._status: int | None = None

    def wait(self, seconds: float) -> bool:
        if self._status is None:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return False
            self._status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            os.close(self._ended)
        return True

    def result(self) -> None:
        if self._status:
            raise OSError(self._status, os.strerror(self._status))


class DirectWrite:
    """A write by this process, that cannot have to wait: nobody holds a device."""

    pid: int | None = None

    def __init__(self, path: str, data: bytes) -> None:
        self._error: OSError | None = None
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(data)
        except OSError as error:
            self._error = error

    def wait(self, seconds: float) -> bool:
        del seconds
        return True

    def result(self) -> None:
        if self._error is not None:
            raise self._error


def write_here(path: str, data: bytes, *, may_wait: bool) -> Writing:
    """On the kernel that runs this."""
    return ForkedWrite(path, data) if may_wait else DirectWrite(path, data)


class Writer(Protocol):
    """How a host is written to."""

    def __call__(self, path: str, data: bytes, *, may_wait: bool) -> Writing: ...


class Machine:
    """One sequence on one host, from the state at boot and back to it."""

    def __init__(self, host: Host, write: Writer) -> None:
        self._host = host
        self._write = write
        self._groups: dict[str, vfio.Group] = {}
        self._containers: dict[str, vfio.Container] = {}
        self._devices: dict[str, vfio.Device] = {}
        self._waiting: list[Writing] = []

    def run(self, operations: Sequence[Operation]) -> list[str]:
        """The outcome of each operation, then the state at the end; all is undone."""
        outcomes = [self._outcome(operation) for operation in operations]
        outcomes.append(self._state())
        self._restore()
        return outcomes

    # -- operations ----------------------------------------------------------------------------

    def _outcome(self, operation: Operation) -> str:
        name, *arguments = operation
        try:
            answer = getattr(self, f"_do_{name}")(*arguments)
        except OSError as error:
            return errno.errorcode.get(error.errno or 0, str(error.errno))
        return "ok" if answer is None else str(answer)

    def _store(self, path: str, text: str) -> str | None:
        if self._waiting:
            return "-"  # It would wait behind the same lock on some kernels, and not on others.
        write = self._write(path, text.encode(), may_wait=bool(self._devices))
        if not write.wait(_PROMPT):
            self._waiting.append(write)
            return "waits"
        write.result()
        return None

    def _do_override(self, device: str, driver: str) -> str | None:
        return self._store(f"/sys/bus/pci/devices/{device}/driver_override", f"{driver}\n")

    def _do_unbind(self, device: str) -> str | None:
        return self._store(f"/sys/bus/pci/devices/{device}/driver/unbind", device)

    def _do_bind(self, device: str, driver: str) -> str | None:
        return self._store(f"/sys/bus/pci/drivers/{driver}/bind", device)

    def _do_probe(self, device: str) -> str | None:
        return self._store("/sys/bus/pci/drivers_probe", device)

    def _do_type(self, device: str, word: str) -> str | None:
        group = self._group(device)
        return "-" if group is None else self._store(f"/sys/kernel/iommu_groups/{group}/type", word)

    def _do_create(self, queue: str) -> str | None:
        return self._store(f"{TYPE}/create", QUEUES[queue])

    def _do_remove(self, queue: str) -> str | None:
        return self._store(f"/sys/bus/mdev/devices/{QUEUES[queue]}/remove", "1")

    def _do_open(self, device: str) -> str | None:
        group = self._group(device)
        if group is None:
            return "-"
        opened = vfio.Group.open(self._host, f"/dev/vfio/{group}")
        if group in self._groups:
            opened.close()
            return "twice"
        self._groups[group] = opened
        return None

    def _do_close(self, device: str) -> str | None:
        group = self._groups.pop(self._group(device) or "", None)
        return self._close(group)

    def _do_status(self, device: str) -> str | None:
        group = self._groups.get(self._group(device) or "")
        return "-" if group is None else str(tuple(group.status()))

    def _do_container(self, slot: str) -> str | None:
        if slot in self._containers:
            return "-"
        self._containers[slot] = vfio.Container.open(self._host)
        return None

    def _do_close_container(self, slot: str) -> str | None:
        return self._close(self._containers.pop(slot, None))

    def _do_set_container(self, device: str, slot: str) -> str | None:
        group = self._groups.get(self._group(device) or "")
        container = self._containers.get(slot)
        if group is None or container is None:
            return "-"
        group.set_container(container)
        return None

    def _do_unset_container(self, device: str) -> str | None:
        group = self._groups.get(self._group(device) or "")
        if group is None:
            return "-"
        group.unset_container()
        return None

    def _do_set_iommu(self, slot: str, model: str) -> str | None:
        container = self._containers.get(slot)
        if container is None:
            return "-"
        container.set_iommu(int(model))
        return None

    def _do_device(self, device: str, name: str) -> str | None:
        group = self._groups.get(self._group(device) or "")
        if group is None or device in self._devices:
            return "-"
        opened = group.device(QUEUES.get(name, name))
        self._devices[device] = opened
        return None

    def _do_close_device(self, device: str) -> str | None:
        return self._close(self._devices.pop(device, None))

    def _do_map(self, slot: str, where: str) -> str | None:
        container = self._containers.get(slot)
        if container is None:
            return "-"
        memory = self._host.memory(_PAGE)
        try:
            container.map(memory, IOVAS[where])
        finally:
            memory.close()
        return None

    def _do_unmap(self, slot: str, where: str) -> str | None:
        container = self._containers.get(slot)
        return "-" if container is None else str(container.unmap(IOVAS[where], _PAGE))

    def _close(self, node: vfio.Node | None) -> str | None:
        if node is None:
            return "-"
        node.close()
        self._settle()
        return None

    def _settle(self) -> None:
        """Writes that have waited for what was closed may end now."""
        self._waiting = [write for write in self._waiting if not write.wait(_PROMPT)]

    # -- states --------------------------------------------------------------------------------

    def _group(self, device: str) -> str | None:
        name = QUEUES.get(device)
        place = f"/sys/bus/mdev/devices/{name}" if name else f"/sys/bus/pci/devices/{device}"
        return self._link(f"{place}/iommu_group")

    def _link(self, path: str) -> str | None:
        try:
            return self._host.readlink(path).rpartition("/")[2]
        except OSError:
            return None

    def _driver(self, device: str) -> str | None:
        return self._link(f"/sys/bus/pci/devices/{device}/driver")

    def _state(self) -> str:
        """Drivers, domain types, queues, nodes."""
        parts = []
        for device in DRIVERS:
            group = self._group(device)
            type_ = self._host.read(f"/sys/kernel/iommu_groups/{group}/type").decode().strip()
            node = self._is_there(f"/dev/vfio/{group}")
            parts.append(f"{device}={self._driver(device)}/{type_}/{node}")
        parts += [f"{queue}={self._group(queue) is not None}" for queue in QUEUES]
        try:
            parts.append(self._host.read(f"{TYPE}/available_instances").decode().strip())
        except OSError as error:
            parts.append(errno.errorcode[error.errno or 0])
        return " ".join(parts)

    def _is_there(self, path: str) -> bool:
        try:
            self._host.mode(path)
        except OSError:
            return False
        return True

    def _restore(self) -> None:
        """Back to the state at boot. Raises `OSError` where that cannot be had."""
        for nodes in (self._devices, self._groups, self._containers):
            for node in nodes.values():
                node.close()
        for write in self._waiting:
            if not write.wait(_LATE):
                raise OSError(errno.ETIMEDOUT, "a write never ends")
        for queue, uuid in QUEUES.items():
            if self._group(queue) is not None:
                self._must(f"/sys/bus/mdev/devices/{uuid}/remove", "1")
        for device, driver in DRIVERS.items():
            override = f"/sys/bus/pci/devices/{device}/driver_override"
            if self._host.read(override) != b"(null)\n":
                self._must(override, "\n")
            self._take_from(device, but=driver)
        for device in DRIVERS:
            self._restore_type(self._group(device))
        for device, driver in DRIVERS.items():
            if driver is not None and self._driver(device) is None:
                self._must(f"/sys/bus/pci/drivers/{driver}/bind", device)

    def _take_from(self, device: str, but: str | None = None) -> None:
        """Unbind a device from any driver but this one."""
        driver = self._driver(device)
        if driver is not None and driver != but:
            self._must(f"/sys/bus/pci/drivers/{driver}/unbind", device)

    def _restore_type(self, group: str | None) -> None:
        path = f"/sys/kernel/iommu_groups/{group}/type"
        if self._host.read(path) == b"DMA\n":
            return
        for member in DRIVERS:
            if self._group(member) == group:
                self._take_from(member)
        self._must(path, "DMA")

    def _must(self, path: str, text: str) -> None:
        write = self._write(path, text.encode(), may_wait=False)
        if not write.wait(_LATE):
            raise OSError(errno.ETIMEDOUT, "it never ends", path)
        write.result()


def main() -> None:
    """Argument: a file with the sequences, JSON."""
    host = open_host("linux:")
    sequences = json.loads(Path(sys.argv[1]).read_text())
    Machine(host, write_here).run([])  # A driver may have taken more than it begins with.
    for sequence in sequences:
        print(json.dumps(Machine(host, write_here).run(sequence)), flush=True)


if __name__ == "__main__":
    main()
