"""IDXD: descriptors for Intel's DSA, through a work queue of type `user` (kernel-abi 7).

They are handed over by `write`, which newer kernels take: storing them into the portal wants
instructions that Python has not. Layouts and numbers: include/uapi/linux/idxd.h.
"""

import errno
import struct
from collections.abc import Sequence
from typing import NamedTuple

from sdmtop.backends.base import Handle, Host, Memory
from sdmtop.model import Snapshot
from sdmtop.readers.unknowns import Unknowns
from sdmtop.readers.vfio import read_nodes
from sdmtop.selftests.claim import PAGE, memory, open_queue
from sdmtop.selftests.records import Benchmark, SelfTest, Skipped
from sdmtop.selftests.trial import Trial

_DESCRIPTOR = struct.Struct("<IIQQQIHH24x")
"""PASID, flags and opcode, completion record, source, target, size, interrupt, reserved."""
_RECORD = struct.Struct("<BBBxI")
"""Status, result, fault information, bytes completed: the head of a completion record."""

_NOOP, _MOVE, _COMPARE, _NONE_SUCH = 0x00, 0x03, 0x05, 0xFF
_RECORD_VALID, _REQUEST_RECORD = 0x04, 0x08
_SUCCESS, _BAD_OPCODE = 0x01, 0x10

_STATUS = {
    0x00: "no completion",
    0x01: "success",
    0x02: "success, and the predicate was false",
    0x03: "a page fault",
    0x04: "a page fault while reading the record of a batch",
    0x05: "a descriptor of a batch failed",
    0x06: "a page fault while reading a batch",
    0x07: "an offset that does not increase",
    0x08: "an offset beyond its range",
    0x09: "a data integrity error",
    0x10: "an opcode that the device has not",
    0x11: "flags that do not belong to the opcode",
    0x12: "a reserved field that is not zero",
    0x13: "a size beyond max_transfer_size",
    0x14: "a batch beyond max_batch_size",
    0x15: "a delta record beyond its range",
    0x16: "buffers that overlap",
    0x17: "addresses of a dual cast that differ in bits 11:0",
    0x18: "an address of descriptors that is not aligned",
    0x19: "an interrupt handle that is none of this queue's",
    0x1A: "a fault while translating the completion record",
    0x1B: "a completion record that is not aligned to 32 bytes",
    0x1C: "an address that is not aligned",
    0x1D: "a privileged descriptor from a process that is not",
    0x1E: "a traffic class that is not configured",
    0x1F: "a fault while translating the readback address",
    0x20: "an error of the hardware",
    0x21: "an error of the hardware while draining",
    0x22: "an error while translating addresses",
}
_WRITE_BIT = 0x80  # Of a status of a page fault: it was a write.

_REFUSALS = {
    errno.EOPNOTSUPP: "a user queue needs an IOMMU with shared virtual addressing",
    errno.ENODEV: "its driver_name names another driver",
    errno.ENXIO: "its device is not enabled",
}
_PATIENCE = 2.0
_AT_RECORD, _AT_SOURCE, _AT_TARGET = 0, PAGE, 2 * PAGE
_PATTERN = bytes(range(256)) * (PAGE // 256)


class _Completion(NamedTuple):
    status: int
    result: int
    completed: int


def targets(_host: Host, snapshot: Snapshot) -> Sequence[str]:
    """Work queues of type `user`."""
    return [
        queue.id
        for queue in snapshot.sdmdevs
        if queue.kind == "idxd" and (queue.type or "").startswith("user")
    ]


class _Queue:
    """The target, open, and three pages: completion record, source, target."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._handle = _open(trial)
        self.pages: Memory = memory(trial, 3 * PAGE)

    def submit(self, opcode: int, size: int = 0) -> _Completion:
        """One descriptor, waited for."""
        trial, at = self._trial, self.pages.address
        self.pages.view[: _RECORD.size] = bytes(_RECORD.size)
        word = opcode << 24 | _RECORD_VALID | _REQUEST_RECORD
        data = (at + _AT_SOURCE, at + _AT_TARGET, size) if size else (0, 0, 0)
        descriptor = _DESCRIPTOR.pack(0, word, at + _AT_RECORD, *data, 0, 0)
        try:
            self._handle.write_at(0, descriptor)
        except OSError as error:
            if error.errno == errno.EINVAL:
                trial.skip("this kernel takes no descriptors by write()")
            raise
        trial.until(lambda: self.pages.view[0] != 0, _PATIENCE)
        status, result, _, completed = _RECORD.unpack_from(self.pages.view)
        if status == 0:
            trial.fail(f"no completion in {_PATIENCE:g} s")
        return _Completion(status, result, completed)


def _open(trial: Trial) -> Handle:
    if trial.queue.params.get("state") != "enabled":
        trial.skip(f"it is {trial.queue.params.get('state', 'not configured')}")
    path = next(
        (node.path for node in read_nodes(trial.host, Unknowns()) if node.device == trial.target),
        None,
    )
    if path is None:
        raise Skipped("it has no node: 'accel-config enable-wq' makes one")
    return open_queue(trial, path, "it is dedicated, and open", _REFUSALS)


def _worded(status: int) -> str:
    """A status as a sentence."""
    kind = status & ~_WRITE_BIT
    words = _STATUS.get(kind, "a status that is not known here")
    return f"{status:#04x} ({words}{', writing' if status & _WRITE_BIT else ''})"


def noop(trial: Trial) -> str:
    """The descriptor that does nothing but complete."""
    queue = _Queue(trial)
    trial.say("noop")
    trial.expect("status of a noop", _SUCCESS, queue.submit(_NOOP).status, show=_worded)
    return "completed"


def move(trial: Trial) -> str:
    """A page copied, and compared here and by the device itself."""
    queue = _Queue(trial)
    view = queue.pages.view
    view[_AT_SOURCE : _AT_SOURCE + PAGE] = _PATTERN
    trial.say("memmove")
    done = queue.submit(_MOVE, PAGE)
    trial.expect("status of a memmove", _SUCCESS, done.status, show=_worded)
    trial.expect("the copy", _PATTERN, bytes(view[_AT_TARGET : _AT_TARGET + PAGE]),
                 queue.pages.address + _AT_TARGET)  # fmt: skip
    trial.say("compare")
    same = queue.submit(_COMPARE, PAGE)
    trial.expect("status of a compare", _SUCCESS, same.status, show=_worded)
    trial.expect("result of comparing equal pages", 0, same.result)
    view[_AT_TARGET + 100] ^= 1
    other = queue.submit(_COMPARE, PAGE)
    trial.expect("result of comparing pages that differ", 1, other.result)
    trial.expect("bytes that are alike", 100, other.completed)
    return f"{PAGE} bytes"


def error(trial: Trial) -> str:
    """A descriptor that must be refused by the device, with the right status."""
    queue = _Queue(trial)
    trial.say("an opcode that there is not")
    done = queue.submit(_NONE_SUCH)
    trial.expect("status", _BAD_OPCODE, done.status, show=_worded)
    return _worded(done.status)


def bench_move(trial: Trial) -> list[float]:
    """Microseconds for one page, from the submission to the completion record."""
    queue = _Queue(trial)
    return [seconds * 1e6 for seconds in trial.samples(100, lambda: queue.submit(_MOVE, PAGE))]


_NEEDS = "an enabled work queue of type user, a kernel that takes descriptors by write()"
_TOUCHES = "submits to the queue, beside whoever else uses it"

TESTS = (
    SelfTest(
        "idxd.noop", noop, targets,
        proves="a descriptor is taken and completed", needs=_NEEDS, touches=_TOUCHES,
        why="the queue cannot be opened, or the engine behind it does not work",
        remedy="cmd_status of the device (sdmtop doctor: queues); disable and enable it",
    ),
    SelfTest(
        "idxd.memmove", move, targets,
        proves="a page is copied, and compared right", needs=_NEEDS, touches=_TOUCHES,
        why="a byte is wrong, a status is not success, or pages fault that are there",
        remedy="the status says which field or address is meant; see event_log in debugfs",
    ),
    SelfTest(
        "idxd.error", error, targets,
        proves="what the device cannot do is refused with the right status", needs=_NEEDS,
        touches=_TOUCHES,
        why="the device accepts an operation that it has not, or reports another error",
        remedy="report it with the device's gen_cap and op_cap",
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("idxd.latency", bench_move, targets, measures="one page moved", unit="us",
              needs=_NEEDS),
)  # fmt: skip
