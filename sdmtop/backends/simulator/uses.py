"""What programs do with a device, step by step: the system calls of real ones."""

from __future__ import annotations

import errno
import struct
import uuid
import zlib
from collections.abc import Generator
from typing import TYPE_CHECKING, TypeAlias

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.accelerators import dsa, hpre, memcpy, rings, sec
from sdmtop.backends.simulator.accelerators import zip as compression
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.processes import PAGE, Signal
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.sdmdev import MULTI_PROC_MAP
from sdmtop.backends.simulator.vfio_pci import INTX, MSI, MSIX, REQ

if TYPE_CHECKING:
    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.devices import Device
    from sdmtop.backends.simulator.processes import Area
    from sdmtop.backends.simulator.programs import Life
    from sdmtop.backends.simulator.scenario import JobKind, Use
    from sdmtop.backends.simulator.syscalls import System

_WAIT_MILLISECONDS = 1000
_MESSAGES = 4
"""So many messages a program sends, over and over."""
_PAUSE = 0.5
_PRIME = (1 << 255) - 19

Steps: TypeAlias = Generator["Completion | float | None", int, None]
"""A thread: see `programs`."""


def steps_of(life: Life, use: Use) -> Steps:
    """The thread that makes use of a device."""
    if use.sdmdev is not None:
        return _use_mdev(life, use, use.sdmdev)
    if use.uacce is not None:
        return _use_uacce(life, use, use.uacce)
    if use.idxd is not None:
        return _use_idxd(life, use, use.idxd)
    return _use_vfio(life, use)


# -- mediated devices ------------------------------------------------------------------------------


def _use_mdev(life: Life, use: Use, parent: str) -> Steps:
    """As the user library of the 2018 series: make it, claim its group, share the domain, work."""
    system = life.system
    directory = _device(life, parent).sysfs
    name = use.uuid or str(uuid.UUID(int=life.kernel.random.getrandbits(128), version=4))
    if not system.exists(f"{directory}/{name}"):
        type_ = _type(life, parent, f"-{use.type}")
        yield system.write(f"{directory}/mdev_supported_types/{type_}/create", name.encode())
        if not use.keep:
            life.made.append(f"{directory}/{name}/remove")
    container = yield from life.open("/dev/vfio/vfio")
    group = yield from life.open(f"/dev/vfio/{_group(system, f'{directory}/{name}')}")
    yield from life.ioctl(group, uapi.GROUP_SET_CONTAINER, bytearray(struct.pack("i", container)))
    is_sdmdev = system.exists(f"/sys/class/sdmdev/{parent}")
    model = int(system.read(f"{directory}/params/iommu_type")) if is_sdmdev else uapi.TYPE1V2
    yield from life.ioctl(container, uapi.SET_IOMMU, model)
    if not use.started:
        yield None
    device = yield from life.ioctl(group, uapi.GROUP_GET_DEVICE_FD, _text(name))
    if not is_sdmdev:
        yield None
    memory = life.process.memory.map(memoryview(bytearray(use.memory)))
    iova = life.next_iova()
    request = struct.pack(
        "IIQQQ", 32, uapi.MAP_READ | uapi.MAP_WRITE, memory.start, iova, use.memory
    )
    yield from life.ioctl(container, uapi.IOMMU_MAP_DMA, bytearray(request))
    if int(system.read(f"{directory}/params/dma_flag")) & MULTI_PROC_MAP:
        bind = bytearray(struct.pack("IIIIi", 20, uapi.BIND_PROCESS, 0, 0, 0))
        yield from life.ioctl(container, uapi.IOMMU_BIND, bind)
        pasid = struct.unpack_from("IIIIi", bind)[3]
        yield from life.ioctl(device, uapi.SDMDEV_BIND_PASID, pasid)
    yield from _work(life, use, device, memory, iova)


def _device(life: Life, name: str) -> Device:
    """A device that a program wants. Raises ENOENT where it is gone."""
    try:
        return life.kernel.find(name)
    except ValueError as error:
        raise refusal(errno.ENOENT, str(error)) from None


def _type(life: Life, parent: str, suffix: str) -> str:
    """The type of a parent that ends so. Raises ENODEV where its driver offers none."""
    offered = life.kernel.mdev.parents.get(parent)
    found = [one for one in offered.types if one.endswith(suffix)] if offered is not None else []
    if not found:
        raise refusal(errno.ENODEV, f"{parent} has no driver that offers such mediated devices")
    return found[0]


def _group(system: System, directory: str) -> str:
    return system.readlink(f"{directory}/iommu_group").rpartition("/")[2]


def _work(life: Life, use: Use, device: int, memory: Area, iova: int) -> Steps:
    """Submit as many jobs as the load says, then wait for their interrupt."""
    if use.job is None or use.load is None:
        yield None
        return
    counter = life.counter(use.load)
    doorbell = life.system.map(life.process, device, 0, PAGE)
    file = life.process.file(device)
    memory_of_queue = life.system.map(life.process, device, PAGE, rings.SIZE)
    client = rings.Client(doorbell.view, memory_of_queue.view)
    jobs = _jobs(use.job, use.size, memory.view, iova)
    while True:
        yield life.kernel.scenario.tick
        count = min(counter.take(life.kernel.clock.now), client.room)
        for _ in range(count):
            client.submit(jobs[client.submitted % len(jobs)])
        client.ring()
        file.look()
        if client.completed < client.submitted and use.sdmdev is not None:
            yield from life.ioctl(device, uapi.SDMDEV_WAIT, _WAIT_MILLISECONDS)
        client.completions()


def _jobs(kind: JobKind, size: int, memory: memoryview, base: int) -> list[rings.Job]:
    """Messages in the first half of the memory, and the descriptors that turn them into others.

    All results go to the second half.
    """
    half = len(memory) // 2
    count = max(1, min(_MESSAGES, half // size))
    found = []
    at = 0
    for number in range(count):
        data, extra, operation, parameter = _message(kind, number, size)
        memory[at : at + len(data) + len(extra)] = data + extra
        found.append(
            rings.Job(
                operation, parameter, base + at, base + half, len(data), half,
                base + at + len(data) if extra else 0, len(extra),
            )
        )  # fmt: skip
        at += size
    return found


def _message(job: JobKind, number: int, size: int) -> tuple[bytes, bytes, int, int]:
    """A message of at most `size` bytes: data, a second input, operation, parameter."""
    text = f"message {number}: the quick brown fox jumps over the lazy dog. " * (size // 40 + 1)
    plain = text.encode()[:size]
    key = bytes(range(number, number + 32))
    if job == "inflate":
        return zlib.compress(plain)[:size], b"", compression.INFLATE, compression.ZLIB
    if job == "aes":
        return plain[: max(size - 48, 0) // 16 * 16], bytes(16) + key, sec.ENCRYPT, sec.CBC
    if job == "sha":
        return plain, b"", sec.DIGEST, sec.SHA256
    if job == "power":
        width = len(key)
        extra = b"".join(number.to_bytes(width, "big") for number in (65537, _PRIME))
        return key, extra, hpre.POWER, width
    if job == "copy":
        return plain, b"", memcpy.COPY, 0
    return plain, b"", compression.DEFLATE, compression.ZLIB


# -- uacce and IDXD --------------------------------------------------------------------------------


def _use_uacce(life: Life, use: Use, name: str) -> Steps:
    """Open the node, start the queue; addresses are those of the process."""
    device = yield from life.open(f"/dev/{name}")
    yield from life.ioctl(device, uapi.UACCE_START)
    memory = life.process.memory.map(memoryview(bytearray(use.memory)))
    yield from _work(life, use, device, memory, memory.start)


def _use_idxd(life: Life, use: Use, name: str) -> Steps:
    """Open the node, map the portal, write descriptors into it."""
    system, process = life.system, life.process
    kind = next(
        one.idxd.name[:3]
        for one in life.kernel.scenario.devices
        if one.idxd is not None and name in one.idxd.nodes
    )
    device = yield from life.open(f"/dev/{kind}/{name}")
    if use.load is None:
        yield None
        return
    counter = life.counter(use.load)
    portal = system.map(process, device, 0, PAGE)
    memory = process.memory.map(memoryview(bytearray(use.memory)))
    half = use.memory // 2
    size = min(use.size, half - PAGE)
    flags = dsa.RECORD_VALID | dsa.REQUEST_RECORD | dsa.REQUEST_INTERRUPT
    descriptor = dsa.DESCRIPTOR.pack(
        0, flags | dsa.MEMMOVE << 24, memory.start + half - 64, memory.start, memory.start + half,
        size, 0, 0,
    )  # fmt: skip
    slots = PAGE // len(descriptor)
    while True:
        yield life.kernel.scenario.tick
        for slot in range(min(counter.take(life.kernel.clock.now), slots)):
            portal.view[slot * len(descriptor) : (slot + 1) * len(descriptor)] = descriptor
        process.file(device).look()


# -- devices on vfio-pci ---------------------------------------------------------------------------


def _use_vfio(life: Life, use: Use) -> Steps:
    """As a virtual machine: all groups in one container, all memory mapped, all interrupts on."""
    system, process = life.system, life.process
    container = yield from life.open("/dev/vfio/vfio")
    groups: dict[str, int] = {}
    for name in use.vfio:
        number = _group(system, f"/sys/bus/pci/devices/{name}")
        if number not in groups:
            groups[number] = yield from life.open(f"/dev/vfio/{number}")
            argument = bytearray(struct.pack("i", container))
            yield from life.ioctl(groups[number], uapi.GROUP_SET_CONTAINER, argument)
    yield from life.ioctl(container, uapi.SET_IOMMU, uapi.TYPE1V2)
    if not use.started:
        yield None
    memory = process.memory.map(memoryview(bytearray(use.memory)))
    request = struct.pack("IIQQQ", 32, uapi.MAP_READ | uapi.MAP_WRITE, memory.start, 0, use.memory)
    yield from life.ioctl(container, uapi.IOMMU_MAP_DMA, bytearray(request))
    please = Signal()
    asked = process.install(please)
    for name in use.vfio:
        number = _group(system, f"/sys/bus/pci/devices/{name}")
        device = yield from life.ioctl(groups[number], uapi.GROUP_GET_DEVICE_FD, _text(name))
        yield from _enable_interrupts(life, name, device)
        if use.polite:
            yield from life.ioctl(device, uapi.DEVICE_SET_IRQS, _signals(REQ, [asked]))
    while not please.take_count():
        yield _PAUSE if use.polite else None


def _enable_interrupts(life: Life, name: str, device: int) -> Steps:
    found = life.kernel.find(name)
    if not isinstance(found, PciDevice):
        return
    spec = found.spec.interrupts
    index = {"intx": INTX, "msi": MSI, "msix": MSIX}[spec.kind]
    numbers = [life.process.install(Signal()) for _ in spec.actions]
    if numbers:
        yield from life.ioctl(device, uapi.DEVICE_SET_IRQS, _signals(index, numbers))


def _signals(index: int, numbers: list[int]) -> bytearray:
    """The argument of SET_IRQS that has these eventfds raised."""
    flags = uapi.DATA_EVENTFD | uapi.ACTION_TRIGGER
    size = 20 + 4 * len(numbers)
    return bytearray(
        struct.pack(f"IIIII{len(numbers)}i", size, flags, index, 0, len(numbers), *numbers)
    )


def _text(name: str) -> bytearray:
    return bytearray(name.encode() + b"\0")
