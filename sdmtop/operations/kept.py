"""What this process holds open for its operator: the nodes that an attach has opened.

The kernel takes all of it back when the process ends, however it ends.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, TypeVar

from sdmtop import vfio

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.operations.plan import Call, Close, Fact, Open, Plan

_Node = TypeVar("_Node", bound=vfio.Node)


class Kept:
    """Open nodes by name, and the numbers that their ioctls have given.

    Used by one thread at a time: that of the plan that runs.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._nodes: dict[str, vfio.Node] = {}
        self._numbers: dict[str, int] = {}
        self.plans: dict[str, Plan] = {}
        """By target: the plan that has attached what is held."""

    def value_of(self, fact: Fact) -> str | None:
        """The value of a fact about a node, whose name is the fact's path."""
        node = self._nodes.get(fact.path)
        if node is None:
            return None
        if fact.kind == "open" or not isinstance(node, vfio.Group):
            return "yes"
        status = node.status()
        viable = "viable" if status.viable else "not viable"
        return f"{viable}, in a container" if status.in_container else viable

    def holds(self, target: str) -> bool:
        """Whether a node of this target is open: they are named `group of TARGET`."""
        return any(name.endswith(f" of {target}") for name in self._nodes)

    def open(self, action: Open) -> None:
        """Open a node. Raises the kernel's `OSError`."""
        self._nodes[action.node] = _class_of(action.path)(self._host.open(action.path))

    def close(self, action: Close) -> None:
        """Close a node; no error if it is closed."""
        node = self._nodes.pop(action.node, None)
        if node is not None:
            node.close()

    def call(self, action: Call) -> None:
        """Make an ioctl. Raises the kernel's `OSError`; EBADF for a node that is not open."""
        match action.request:
            case vfio.SET_CONTAINER.name:
                container = self._node(action.argument, vfio.Container)
                self._node(action.node, vfio.Group).set_container(container)
            case vfio.UNSET_CONTAINER.name:
                self._node(action.node, vfio.Group).unset_container()
            case vfio.SET_IOMMU.name:
                self._node(action.node, vfio.Container).set_iommu(self._number(action.argument))
            case vfio.GET_DEVICE_FD.name:
                group = self._node(action.node, vfio.Group)
                self._keep(action, group.device(str(action.argument)))
            case vfio.IOMMU_BIND.name:
                self._keep(action, self._node(action.node, vfio.Container).bind_process())
            case vfio.BIND_PASID.name:
                pasid = self._number(action.argument)
                self._node(action.node, vfio.Device).bind_pasid(pasid)
            case vfio.BIND_IOMMUFD.name:
                iommufd = self._node(action.argument, vfio.Iommufd)
                self._node(action.node, vfio.Device).bind(iommufd)
            case vfio.IOAS_ALLOC.name:
                self._keep(action, self._node(action.node, vfio.Iommufd).address_space())
            case vfio.ATTACH_PT.name:
                space = self._number(action.argument)
                self._node(action.node, vfio.Device).attach(space)
            case vfio.DETACH_PT.name:
                self._node(action.node, vfio.Device).detach()
            case vfio.START_QUEUE.name:
                self._node(action.node, vfio.Queue).start()
            case _:
                raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY), action.request)

    def _keep(self, action: Call, result: vfio.Node | int) -> None:
        name = action.result or ""
        if isinstance(result, int):
            self._numbers[name] = result
        else:
            self._nodes[name] = result

    def _node(self, name: str | int | None, kind: type[_Node]) -> _Node:
        node = self._nodes.get(str(name))
        if not isinstance(node, kind):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(name))
        return node

    def _number(self, argument: str | int | None) -> int:
        """A number as it stands in the plan, or one that an earlier call has given."""
        number = argument if isinstance(argument, int) else self._numbers.get(str(argument))
        if number is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(argument))
        return number


def _class_of(path: str) -> type[vfio.Node]:
    if path == vfio.CONTAINER:
        return vfio.Container
    if path == vfio.IOMMUFD:
        return vfio.Iommufd
    if path.startswith("/dev/vfio/devices/"):
        return vfio.Device
    return vfio.Group if path.startswith("/dev/vfio/") else vfio.Queue
