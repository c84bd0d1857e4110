"""`attach` of a queue: an sdmdev, mdev, uacce or IDXD queue that this process opens and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop import vfio
from sdmtop.errors import RefusedError
from sdmtop.operations.facts import now
from sdmtop.operations.plan import Call, Close, Fact, Open, Write
from sdmtop.operations.targets import find_device
from sdmtop.readers.idxd import DEVICES
from sdmtop.readers.sysfs import is_absent

if TYPE_CHECKING:
    from sdmtop.model import Device, Sdmdev
    from sdmtop.operations.draft import Draft
    from sdmtop.operations.kept import Kept

UACCE = "/sys/class/uacce"
_VIABLE, _IN_CONTAINER = "viable", "viable, in a container"
_DRIVERS = "/sys/bus/dsa/drivers"


def hold_steps(draft: Draft, queue: Sdmdev, kept: Kept | None = None) -> None:
    """Open a queue, so that this process holds it until it is detached.

    No steps for one that it holds already, as `kept` tells.
    """
    if kept is not None and kept.holds(queue.id):
        return
    if queue.kind == "uacce":
        _open_uacce(draft, queue)
    elif queue.kind == "idxd":
        _open_idxd(draft, queue)
    else:
        _open_mdev(draft, queue)
    draft.note(f"{queue.id} is held until it is detached, or this process ends")


# -- mdevs --


def _open_mdev(draft: Draft, queue: Sdmdev) -> None:
    if queue.parent is None or queue.group is None:
        raise RefusedError(f"{queue.id}: its parent or its group cannot be told")
    parent = find_device(draft.snapshot, queue.parent)
    path = f"{parent.path}/{queue.id}"
    draft.lock(f"group/{queue.group}")
    draft.lock_device(parent)
    draft.identify_device(parent)
    draft.identify(
        now(draft.host, "link", f"{path}/mdev_type"), now(draft.host, "link", f"{path}/iommu_group")
    )
    if _is_shared(queue):
        _say_sharing(draft, queue, parent)
    by_group = now(draft.host, "exists", f"/dev/vfio/{queue.group}")
    if by_group.value is not None or not _has_node(draft, vfio.IOMMUFD):
        _open_group(draft, queue, parent)
    else:
        _open_cdev(draft, queue, path)


def _open_group(draft: Draft, queue: Sdmdev, parent: Device) -> None:
    """As the RFC's user library does it: container, group, IOMMU, device, PASID."""
    container, group, device = (
        f"{what} of {queue.id}" for what in ("container", "group", "device")
    )
    node = f"/dev/vfio/{queue.group}"
    sdmdev = parent.sdmdev if _is_shared(queue) else None
    model = sdmdev.iommu_type if sdmdev and sdmdev.iommu_type else vfio.TYPE1
    _open(draft, queue, container, vfio.CONTAINER)
    _open(draft, queue, group, node)
    draft.step(
        queue.id,
        f"put group {queue.group} into the container",
        Call(group, vfio.SET_CONTAINER.name, container),
        before=(Fact("status", group, _VIABLE),),
        after=(Fact("status", group, _IN_CONTAINER),),
        inverse=Call(group, vfio.UNSET_CONTAINER.name),
        inverse_title=f"take group {queue.group} out of the container",
    )
    shared = f", sharing the domain of group {parent.group}" if _is_shared(queue) else ""
    draft.step(
        queue.id,
        f"give the container an IOMMU of type {model}{shared}",
        Call(container, vfio.SET_IOMMU.name, model),
        # Leaving the container takes the IOMMU away again.
    )
    draft.step(
        queue.id,
        f"open {queue.id}",
        Call(group, vfio.GET_DEVICE_FD.name, queue.id, result=device),
        before=(Fact("open", device, None),),
        after=(Fact("open", device, "yes"),),
        inverse=Close(device),
        inverse_title=f"close {queue.id}",
    )
    if sdmdev is not None and "MULTI_PROC_MAP" in sdmdev.dma_flags:
        pasid = f"PASID of {queue.id}"
        draft.step(queue.id, "ask for the PASID of this process",
                   Call(container, vfio.IOMMU_BIND.name, result=pasid))  # fmt: skip
        draft.step(queue.id, "start the queue under that PASID",
                   Call(device, vfio.BIND_PASID.name, pasid))  # fmt: skip


def _open_cdev(draft: Draft, queue: Sdmdev, path: str) -> None:
    """Without groups in the kernel: by the device's own node, and an iommufd."""
    iommufd, device, space = (
        f"{what} of {queue.id}" for what in ("iommufd", "device", "address space")
    )
    try:
        names = [name for name in draft.host.list(f"{path}/vfio-dev") if name.startswith("vfio")]
    except OSError as error:
        if not is_absent(error):
            raise
        names = []
    if not names:
        raise RefusedError(
            f"{queue.id}: it has neither /dev/vfio/{queue.group} nor a node of its own"
        )
    _open(draft, queue, iommufd, vfio.IOMMUFD)
    _open(draft, queue, device, f"/dev/vfio/devices/{names[0]}")
    draft.step(queue.id, f"claim {queue.id}", Call(device, vfio.BIND_IOMMUFD.name, iommufd))
    draft.step(queue.id, "make an address space",
               Call(iommufd, vfio.IOAS_ALLOC.name, result=space))  # fmt: skip
    draft.step(
        queue.id,
        f"attach {queue.id} to it",
        Call(device, vfio.ATTACH_PT.name, space),
        inverse=Call(device, vfio.DETACH_PT.name),
        inverse_title=f"detach {queue.id} from its address space",
    )


def _say_sharing(draft: Draft, queue: Sdmdev, parent: Device) -> None:
    """What it means to share the parent's domain."""
    if parent.sdmdev is not None and "MULTI_PROC_MAP" in parent.sdmdev.dma_flags:
        draft.note(f"{queue.id} gets a PASID of its own on {parent.address}")
    else:
        draft.note(
            f"without a PASID, what is mapped for {queue.id} lies in the same space as the DMA of "
            f"{parent.address}"
        )


def _is_shared(queue: Sdmdev) -> bool:
    """Whether it uses its parent's domain, as the RFC has it; mdevs of today use none."""
    return queue.domain_of is not None


# -- uacce and IDXD --


def _open_uacce(draft: Draft, queue: Sdmdev) -> None:
    node = f"queue of {queue.id}"
    draft.lock(queue.id)
    draft.identify(
        now(draft.host, "text", f"{UACCE}/{queue.id}/api"),
        now(draft.host, "link", f"{UACCE}/{queue.id}/device"),
    )
    _open(draft, queue, node, f"/dev/{queue.id}")
    draft.step(
        queue.id,
        "start the queue",
        Call(node, vfio.START_QUEUE.name),
        # Closing the node stops it again; PUT_Q would be ENXIO once the device is gone.
    )


def _open_idxd(draft: Draft, queue: Sdmdev) -> None:
    """Enable the queue for user processes if it is not, and open it."""
    device = queue.params.get("device", "")
    place = f"{DEVICES}/{queue.id}"
    draft.lock(device or queue.id)
    draft.identify(
        now(draft.host, "text", f"{place}/type"), now(draft.host, "text", f"{place}/mode")
    )
    kind = (queue.type or "").partition("/")[0]
    if kind != "user":
        draft.refuse(queue.id, f"it is a queue of type {kind or 'none'}, not for user processes: "
                     "`accel-config config-wq` sets it up", f"{place}/type")  # fmt: skip
    if queue.params.get("size") in (None, "0"):
        draft.refuse(
            queue.id, "it has no size: `accel-config config-wq` sets it up", f"{place}/size"
        )
    for name, state, driver in (
        (device, now(draft.host, "text", f"{DEVICES}/{device}/state"), "idxd"),
        (queue.id, now(draft.host, "text", f"{place}/state"), "user"),
    ):
        if state.value == "disabled":
            step = draft.step(
                queue.id,
                f"enable {name} (driver {driver})",
                Write(f"{_DRIVERS}/{driver}/bind", name),
                before=(state,),
                after=(Fact(state.kind, state.path, "enabled"),),
                inverse=Write(f"{_DRIVERS}/{driver}/unbind", name),
                inverse_title=f"disable {name}",
            )
            tool = "enable-device" if driver == "idxd" else "enable-wq"
            full = device if driver == "idxd" else f"{device}/{queue.id}"
            draft.equivalent(f"accel-config {tool} {full}", step)
    directory = "/dev/iax" if device.startswith("iax") else "/dev/dsa"
    _open(draft, queue, f"queue of {queue.id}", f"{directory}/{queue.id}")


# -- what they share --


def _open(draft: Draft, queue: Sdmdev, node: str, path: str) -> None:
    draft.step(
        queue.id,
        f"open {path}",
        Open(node, path),
        before=(Fact("open", node, None),),
        after=(Fact("open", node, "yes"),),
        inverse=Close(node),
        inverse_title=f"close {path}",
    )


def _has_node(draft: Draft, path: str) -> bool:
    return now(draft.host, "exists", path).value is not None
