"""NVMe controllers and subsystems: one disk, the head, behind several (nvme multipath)."""

import re
from collections import defaultdict

from sdmtop.operations.blast.lazy import lazy
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.storage import SOURCE, Storage
from sdmtop.operations.blast.survey import Part, Survey
from sdmtop.readers.sysfs import number
from sdmtop.text import line

_HEAD = re.compile(r"nvme(\d+)n(\d+)")
_PORT = re.compile(r"host_traddr=nn-0x([0-9a-f]+):pn-0x([0-9a-f]+)", re.IGNORECASE)
"""The port of this host in the `address` of a controller (drivers/nvme/host/fc.c)."""

_PATH = re.compile(r"nvme(\d+)c(\d+)n(\d+)")


FABRIC = "Fibre Channel"
"""The source that tells by which port a controller is reached."""

_NAMES = ("node_name", "port_name")


class Subsystems:
    """Which disks a controller leads to, and which other controllers do."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._storage = survey.once(Storage)
        self._controllers = survey.parts.get("nvme", {})
        self._of: dict[str, list[Part]] = defaultdict(list)
        for subsystem in survey.parts.get("nvme-subsystem", {}).values():
            # The links in its directory are its controllers.
            for name in survey.names(SOURCE, subsystem.path):
                if name in self._controllers:
                    self._of[name].append(subsystem)

    def controllers(self, device: Touched) -> list[Part]:
        """The controllers of a device: its own, and those that are reached by its ports."""
        ports = {part.name for part in self._survey.parts_of(device, "fc_host")}
        far = [one for one, port in self._by_port.items() if port in ports]
        return self._survey.parts_of(device, "nvme") + [self._controllers[one] for one in far]

    def goes(self, controller: Part) -> bool:
        """Whether it goes with the devices that are touched."""
        host = self._survey.parts.get("fc_host", {}).get(self._by_port.get(controller.name, ""))
        return any(self._survey.owner(part.path) for part in (controller, host) if part)

    @lazy
    def _by_port(self) -> dict[str, str]:
        """Controller over Fibre Channel -> the port of ours (`fc_host`) by which it is reached.

        Its own directory is below no device.
        """
        ports = {
            tuple(
                number(text or b"", 16) for text in self._survey.look(SOURCE, part.path, *_NAMES)
            ): name
            for name, part in self._survey.parts.get("fc_host", {}).items()
        }
        found = {}
        for name, part in self._controllers.items():
            transport, text = self._survey.look(SOURCE, part.path, "transport", "address")
            if transport != b"fc":
                continue
            match = _PORT.search(line(text or b""))
            port = ports.get(tuple(int(one, 16) for one in match.groups())) if match else None
            if port is None:
                self._survey.say_doubt(FABRIC, f"the port that leads to {name} is not known")
            else:
                found[name] = port
        return found

    def heads(self, controller: str) -> list[tuple[str, str]]:
        """The disks that stand for all paths to them, each with the name of its subsystem."""
        return [
            (name, subsystem.name)
            for subsystem in self._of.get(controller, ())
            for name, part in self._storage.blocks.items()
            if part.path == f"{subsystem.path}/{name}" and _HEAD.fullmatch(name)
        ]

    def paths(self, head: str) -> list[Part]:
        """The live controllers that lead to a head, and that the disk answers.

        A path has a name of its own in their directories: nvme0c1n1 is that to nvme0n1 by the
        controller of instance 1.
        """
        match = _HEAD.fullmatch(head)
        found = []
        for name, part in self._storage.blocks.items():
            path = _PATH.fullmatch(name)
            if path and match and path.group(1, 3) == match.groups():
                place = part.path.rpartition("/")[0]
                controller = self._controllers.get(place[place.rfind("/") + 1 :])
                if controller and self._is_open(place, part.path):
                    found.append(controller)
        return found

    def _is_open(self, controller: str, path: str) -> bool:
        """Whether a path can be used: a disk may be inaccessible by a controller that is live.

        `ana_state` (drivers/nvme/host/multipath.c) is absent where the subsystem has no such
        states.
        """
        state = self._survey.look(SOURCE, controller, "state")[0]
        access = self._survey.look(SOURCE, path, "ana_state")[0]
        return state == b"live" and access in (None, b"optimized", b"non-optimized")
