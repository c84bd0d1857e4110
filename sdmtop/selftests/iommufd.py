"""iommufd: the same device over `/dev/iommu` and its own node, where the kernel has them.

Facts of what must be refused: kernel-abi 3.3 and what a 6.12 with iommufd was seen to answer.
"""

import errno
from functools import partial
from typing import NamedTuple

from sdmtop import vfio
from sdmtop.readers.sysfs import number
from sdmtop.readers.unknowns import Unknowns
from sdmtop.readers.vfio import read_nodes
from sdmtop.selftests.claim import PAGE, holder_of, memory, refuse_reserved, watch_for_request
from sdmtop.selftests.records import SelfTest, Skipped
from sdmtop.selftests.trial import Trial
from sdmtop.selftests.vfio import loopback, targets

_TYPES = {"intel": 1, "arm-smmu-v3": 2, "amd": 4}
_PASID = 5
"""Any number but 0, which stands for requests without one."""


class _Bound(NamedTuple):
    """A device bound to an iommufd; `id` is what that calls it."""

    iommufd: vfio.Iommufd
    device: vfio.Device
    id: int


def _node(trial: Trial) -> str:
    """The target's own node; skips where there is none."""
    if not trial.is_there("/sys/class/misc/iommu"):
        trial.skip("this kernel has no iommufd, or its module is not loaded (modprobe iommufd)")
    for node in read_nodes(trial.host, Unknowns()):
        if node.kind == "cdev" and node.device == trial.target:
            return node.path
    raise Skipped(
        "it has no node below /dev/vfio/devices: not on vfio-pci "
        f"('sdmtop attach {trial.target}'), or a kernel without CONFIG_VFIO_DEVICE_CDEV"
    )


def _bound(trial: Trial) -> _Bound:
    path = _node(trial)
    trial.say(f"opening {path}")
    iommufd = trial.closing(vfio.Iommufd.open(trial.host))
    device = trial.closing(vfio.Device.open(trial.host, path))
    try:
        id_ = device.bind(iommufd)
    except OSError as error:
        if error.errno == errno.EBUSY:
            trial.skip(f"{holder_of(trial, path)} has the device or its group: end it first")
        raise
    watch_for_request(trial, device)
    return _Bound(iommufd, device, id_)


def _attached(trial: Trial, bound: _Bound) -> int:
    """A new address space with the device in it."""
    space = bound.iommufd.address_space()
    trial.say("attaching")
    bound.device.attach(space)
    return space


def bind(trial: Trial) -> str:
    """The way to an address space, and who must be kept out of it."""
    path = _node(trial)
    early = trial.closing(vfio.Device.open(trial.host, path))
    trial.refused("a device that is not bound", (errno.EINVAL,), early.info)
    early.close()
    bound = _bound(trial)
    trial.refused("binding it again", (errno.EINVAL,), bound.device.bind, bound.iommufd)
    second = trial.closing(vfio.Device.open(trial.host, path))
    trial.refused("a second holder", (errno.EINVAL, errno.EBUSY), second.bind, bound.iommufd)
    group = f"/dev/vfio/{trial.group.id}"
    if trial.is_there(f"/sys/class/vfio/{trial.group.id}"):
        trial.refused("its group, meanwhile", (errno.EBUSY,), vfio.Group.open, trial.host, group)
    trial.refused("an unknown address space", (errno.ENOENT,), bound.device.attach, 0xFFFF)
    space = _attached(trial, bound)
    trial.refused("destroying it in use", (errno.EBUSY,), bound.iommufd.destroy, space)
    bound.device.detach()
    bound.iommufd.destroy(space)
    trial.refused("destroying it again", (errno.ENOENT,), bound.iommufd.destroy, space)
    return path


def dma(trial: Trial) -> str:
    """What may be mapped in an address space, and all that may not."""
    bound = _bound(trial)
    space = _attached(trial, bound)
    iommufd, page = bound.iommufd, memory(trial)
    ranges = iommufd.ranges(trial.host, space)
    trial.holds("some IOVA may be mapped", got=bool(ranges))
    trial.say("mapping")
    chosen = iommufd.map(space, page)
    inside = any(one.start <= chosen <= one.end for one in ranges)
    trial.holds(f"an IOVA that the kernel chose ({chosen:#x}) is in a range", got=inside)
    trial.refused("the same IOVA again", (errno.EEXIST,), iommufd.map, space, page, chosen)
    trial.refused("an IOVA within a page", (errno.EINVAL,),
                  iommufd.map, space, page, chosen + 0x200)  # fmt: skip
    refuse_reserved(trial, partial(iommufd.map, space, page))
    trial.say("unmapping")
    trial.expect("bytes unmapped", PAGE, iommufd.unmap(space, chosen, PAGE), chosen)
    trial.refused("unmapping it again", (errno.ENOENT,), iommufd.unmap, space, chosen, PAGE)
    trial.expect("where it was asked for", chosen, iommufd.map(space, page, chosen), show=hex)
    return f"{len(ranges)} ranges of IOVA"


def interrupt(trial: Trial) -> str:
    """Each vector fired from software, and counted."""
    return loopback(trial, _bound(trial).device)


def hardware(trial: Trial) -> str:
    """What iommufd says of the IOMMU is what sysfs says."""
    bound = _bound(trial)
    found = bound.iommufd.hardware(trial.host, bound.id)
    unit = next((one for one in trial.snapshot.iommu_units if one.name == trial.device.iommu), None)
    trial.note("PASID width", found.pasid_bits)
    trial.note("capabilities", hex(found.capabilities))
    if unit is None or unit.driver not in _TYPES:
        trial.skip("the driver of its IOMMU has no type here")
    trial.expect("type", _TYPES[unit.driver], found.type)
    if unit.driver == "intel":  # struct iommu_hw_info_vtd: flags, reserved, cap, ecap
        registers = f"/sys/class/iommu/{unit.name}/intel-iommu"
        for at, name in ((8, "cap"), (16, "ecap")):
            there = number(trial.host.read(f"{registers}/{name}"), 16)
            here = int.from_bytes(found.data[at : at + 8], "little")
            trial.expect(f"{name} of {unit.name}", there, here, show=_register)
    return f"type {found.type}, PASIDs of {found.pasid_bits} bits"


def _register(value: int | None) -> str:
    return "?" if value is None else f"{value:#x}"


def pasid(trial: Trial) -> str:
    """An address space under a PASID of its own."""
    bound = _bound(trial)
    found = bound.iommufd.hardware(trial.host, bound.id)
    if not found.pasid_bits:
        trial.skip("device, driver or IOMMU has no PASIDs")
    _attached(trial, bound)
    space = bound.iommufd.address_space()
    trial.say(f"attaching PASID {_PASID}")
    try:
        bound.device.attach(space, _PASID)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            trial.skip("this kernel attaches no PASIDs (it came with 6.15)")
        raise
    page = memory(trial)
    at = bound.iommufd.map(space, page)
    trial.expect("bytes unmapped", PAGE, bound.iommufd.unmap(space, at, PAGE), at)
    bound.device.detach(_PASID)
    bound.iommufd.destroy(space)
    return f"PASID {_PASID} of {found.pasid_bits} bits"


_NEEDS = "the device on vfio-pci and free, a kernel with iommufd and vfio's cdev (6.6)"
_TOUCHES = "opens the device, which resets it"

TESTS = (
    SelfTest(
        "iommufd.bind", bind, targets,
        proves="the device is bound once, attached, and not misused", needs=_NEEDS,
        touches=_TOUCHES,
        why="a second holder got in, a step out of order was accepted, or a proper one refused",
        remedy="sdmtop doctor names drivers in the way; else report it with the kernel's version",
        claims=True,
    ),
    SelfTest(
        "iommufd.dma", dma, targets,
        proves="pages map where asked for and where the kernel likes; overlaps, misalignment and "
        "reserved windows are refused",
        needs=_NEEDS, touches=f"{_TOUCHES}; maps a page of its own",
        why="the IOMMU's driver accepts what would break isolation, or refuses what it offers",
        remedy="report it with the kernel's version: this is a fault of the kernel",
        claims=True,
    ),
    SelfTest(
        "iommufd.interrupt", interrupt, targets,
        proves="every vector reaches this process, and no other one moves", needs=_NEEDS,
        touches=f"{_TOUCHES}; fires its interrupts from software",
        why="a vector is lost, doubled, or arrives at another",
        remedy="check interrupt remapping (sdmtop doctor) and free vectors in /proc/interrupts",
        claims=True,
    ),
    SelfTest(
        "iommufd.hardware", hardware, targets,
        proves="what iommufd says of the IOMMU agrees with sysfs", needs=_NEEDS, touches=_TOUCHES,
        why="the device is behind another unit than sysfs says, or a register is misread",
        remedy="report it with the kernel's version",
        claims=True,
    ),
    SelfTest(
        "iommufd.pasid", pasid, targets,
        proves="one PASID of the device has an address space of its own",
        needs=f"{_NEEDS}; PASIDs in the device and the IOMMU, and 6.15",
        touches=f"{_TOUCHES}; enables a PASID",
        why="PASIDs are promised and cannot be had",
        remedy="see the check 'pasid' of sdmtop doctor",
        claims=True,
    ),
)  # fmt: skip
