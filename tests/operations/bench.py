"""A simulated host to operate on, with one of everything, and hosts on which things go wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from msgspec.structs import replace

from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, Result, begin
from sdmtop.operations.kept import Kept
from sdmtop.operations.mdevs import plan_create, plan_remove
from sdmtop.operations.plan import Plan
from sdmtop.operations.settings import (
    plan_affinity,
    plan_domain_type,
    plan_reset,
    plan_sriov,
)
from sdmtop.operations.store import open_store
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading, read_snapshot

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot

NIC, TWIN = "0000:02:00.0", "0000:02:00.1"
"""Two functions in one group, with the bridge above them."""
ZIP = "0000:75:00.0"
PF, VF = "0000:03:00.0", "0000:03:00.1"
EDU = "0000:04:00.0"
"""Without a driver, alone in its group."""
UUID = "5d3de000-0000-4000-8000-000000000001"
UACCE = "hisi_sec2-0"
NEW = "5d3de000-0000-4000-8000-0000000000aa"
TYPE = f"{ZIP}/hisi_zip-hisi_zip"

SCENARIO = """
title = "a host to operate on"

[[unit]]
name = "dmar0"
pasid_bits = 20

[[device]]
address = "0000:00:1c.0"
unit = "dmar0"
group = "net"
driver = "pcieport"
vendor = 0x8086
device = 0x1234
class = 0x060400

[[device]]
address = "0000:02:00.0"
parent = "0000:00:1c.0"
unit = "dmar0"
group = "net"
driver = "e1000e"
vendor = 0x8086
device = 0x10d3
class = 0x020000
interrupts = { kind = "msi", actions = ["eth0"] }
reset = ["flr"]

[[device]]
address = "0000:02:00.1"
parent = "0000:00:1c.0"
unit = "dmar0"
group = "net"
driver = "e1000e"
vendor = 0x8086
device = 0x10d3
class = 0x020000

[[device]]
address = "0000:75:00.0"
unit = "dmar0"
driver = "hisi_zip"
vendor = 0x19e5
device = 0xa250
class = 0x120000
accelerator = "zip"
queues = 4
pasid_bits = 20
sdmdev = { }

[[device.mdev_type]]
id = "hisi_zip"
name = "zip"
device_api = "hisi_qm_v1"

[[device]]
address = "0000:03:00.0"
unit = "dmar0"
driver = "nvme"
vendor = 0x1b36
device = 0x0010
class = 0x010802
sriov_total = 4
vf_device = 0x0010
vfs = 2

[[device]]
address = "0000:04:00.0"
unit = "dmar0"
vendor = 0x1234
device = 0x11e8
class = 0x00ff00

[[device]]
address = "0000:76:00.0"
unit = "dmar0"
driver = "hisi_sec2"
vendor = 0x19e5
device = 0xa255
class = 0x100000
accelerator = "sec"
queues = 2
pasid_bits = 20
uacce = { name = "hisi_sec2-0" }

[[mdev]]
parent = "0000:75:00.0"
type = "hisi_zip"
uuid = "5d3de000-0000-4000-8000-000000000001"
"""

Maker = Callable[["Bench"], Plan]

OPERATIONS: dict[str, Maker] = {
    "attach a group": lambda bench: plan_attach(*bench.now, [NIC]),
    "attach one of a group": lambda bench: plan_attach(*bench.now, [NIC], only=True),
    "attach a PF with VFs": lambda bench: plan_attach(*bench.now, [PF]),
    "attach a VF": lambda bench: plan_attach(*bench.now, [VF]),
    "attach a parent with an sdmdev": lambda bench: plan_attach(*bench.now, [ZIP]),
    "attach a device without a driver": lambda bench: plan_attach(*bench.now, [EDU]),
    "attach an sdmdev": lambda bench: plan_attach(*bench.now, [UUID]),
    "attach a uacce queue": lambda bench: plan_attach(*bench.now, [UACCE]),
    "attach several": lambda bench: plan_attach(*bench.now, [UUID, VF, EDU]),
    "create": lambda bench: plan_create(*bench.now, TYPE, NEW),
    "remove": lambda bench: plan_remove(*bench.now, [UUID]),
    "domain type": lambda bench: plan_domain_type(*bench.now, bench.group_of(EDU), "identity"),
    "affinity": lambda bench: plan_affinity(*bench.now, NIC, "1"),
    "reset": lambda bench: plan_reset(*bench.now, NIC),
    "more VFs": lambda bench: plan_sriov(*bench.now, PF, 4),
    "no VFs": lambda bench: plan_sriov(*bench.now, PF, 0),
}
"""Every operation, on something of the scenario."""


class Bench:
    """A host, with what a process needs to operate on it."""

    def __init__(self, host: Host | None = None) -> None:
        self.host: Host = host or SimulatorHost(read_scenario(SCENARIO, "bench.toml"))
        self.store = open_store(self.host)
        self.kept = Kept(self.host)

    def begin_anew(self) -> None:
        """As after the end of the process, at which the kernel closes all that it had open."""
        while self.kept._nodes:
            self.kept._nodes.popitem()[1].close()
        self.kept = Kept(self.host)

    @property
    def now(self) -> tuple[Host, Snapshot]:
        return self.host, read_snapshot(self.host)

    def snapshot(self) -> Snapshot:
        """What there is now, without what time alone changes."""
        reading = Reading(self.host, Names((), hwdb=False))
        reading.read_all()
        snapshot = reading.snapshot()
        # Some interrupts come with time alone.
        quiet = tuple(replace(one, per_cpu=(), total=0) for one in snapshot.interrupts)
        return replace(snapshot, taken_at="", interrupts=quiet)

    def group_of(self, address: str) -> str:
        (device,) = [one for one in self.now[1].devices if one.address == address]
        return f"group/{device.group}"

    def run(self, plan: Plan, stop: Callable[[], bool] = lambda: False) -> Result:
        consent = Consent(confirmed=True, typed=plan.phrase)
        return begin(self.host, plan, store=self.store, kept=self.kept, consent=consent, stop=stop)


class Killed(BaseException):
    """The process is gone, at once."""


Wrong = Literal[
    "errno", "without effect", "error after the effect", "hangs", "hangs after the effect",
    "killed before", "killed after",
]  # fmt: skip
WRONGS: tuple[Wrong, ...] = (
    "errno", "without effect", "error after the effect", "hangs", "hangs after the effect",
)  # fmt: skip


class _Never:
    """A write that has not returned, whatever it did."""

    pid: int | None = 30_001

    def __init__(self, host: Host) -> None:
        self._host = host
        self.returned = False

    def wait(self, seconds: float) -> bool:
        if not self.returned:
            self._host.sleep(seconds)
        return self.returned

    def result(self) -> None:
        if not self.returned:
            raise OSError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))


class _Ended:
    """A write that has ended."""

    pid: int | None = 30_002

    def __init__(self, error: OSError | None) -> None:
        self._error = error

    def wait(self, seconds: float) -> bool:
        del seconds
        return True

    def result(self) -> None:
        if self._error is not None:
            raise self._error


class Faulty:
    """A host on which the action of one number (from 0) goes wrong; with `on`, all from there."""

    def __init__(self, host: Host, at: int, wrong: Wrong, *, on: bool = False) -> None:
        self._host = host
        self._at = at
        self._wrong = wrong
        self._on = on
        self.count = 0
        """Actions so far."""
        self.hanging: list[_Never] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    @property
    def kills(self) -> bool:
        """Whether the process is killed at the next action."""
        return self._wrong == "killed after" and self.count == self._at + 1

    def _due(self) -> bool:
        number, self.count = self.count, self.count + 1
        return number >= self._at if self._on else number == self._at

    def write(self, path: str, data: bytes) -> Any:
        return self._write(lambda: self._host.write(path, data), path)

    def load_module(self, name: str) -> Any:
        return self._write(lambda: self._host.load_module(name), name)

    def _write(self, begin: Callable[[], Any], what: str) -> Any:
        if not self._due():
            return begin()
        if self._wrong == "killed before":
            raise Killed
        if self._wrong in ("error after the effect", "hangs after the effect", "killed after"):
            write = begin()
            write.wait(60.0)
            write.result()
        if self._wrong == "killed after":
            raise Killed
        if self._wrong.startswith("hangs"):
            self.hanging.append(_Never(self._host))
            return self.hanging[-1]
        failed = OSError(errno.EIO, os.strerror(errno.EIO), what)
        return _Ended(None if self._wrong == "without effect" else failed)

    def open(self, path: str) -> Any:
        return _FaultyHandle(self, self._call(lambda: self._host.open(path), path))

    def _call(self, act: Callable[[], Any], what: str) -> Any:
        """An open or an ioctl: it returns, or fails without effect."""
        if not self._due():
            return act()
        if self._wrong == "killed after":
            done = act()
            if not isinstance(done, int):
                done.close()  # As the kernel does.
        if self._wrong.startswith("killed"):
            raise Killed
        raise OSError(errno.EIO, os.strerror(errno.EIO), what)


class _FaultyHandle:
    """A handle of a faulty host, whose ioctls count as actions."""

    def __init__(self, host: Faulty, handle: Any) -> None:
        self._host = host
        self._handle = handle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handle, name)

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        if request == 0x3B67:  # VFIO_GROUP_GET_STATUS only looks.
            return cast(int, self._handle.ioctl(request, argument))
        return cast(int, self._host._call(lambda: self._ask(request, argument), "ioctl"))

    def _ask(self, request: int, argument: int | bytearray) -> Any:
        answer = self._handle.ioctl(request, argument)
        if request == 0x3B6A and self._host.kills:  # VFIO_GROUP_GET_DEVICE_FD
            return self._handle.adopt(answer)
        return answer

    def adopt(self, number: int) -> _FaultyHandle:
        return _FaultyHandle(self._host, self._handle.adopt(number))


def faulty(at: int, wrong: Wrong, *, on: bool = False) -> tuple[Bench, Faulty]:
    """A bench whose host goes wrong."""
    host = SimulatorHost(read_scenario(SCENARIO, "bench.toml"))
    broken = Faulty(host, at, wrong, on=on)
    return Bench(cast("Host", broken)), broken
