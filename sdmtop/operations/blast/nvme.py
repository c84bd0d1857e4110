"""NVMe subsystems: one disk, the head, behind several controllers (nvme multipath)."""

import re
from collections import defaultdict

from sdmtop.operations.blast.storage import SOURCE, Storage
from sdmtop.operations.blast.survey import Part, Survey

_HEAD = re.compile(r"nvme(\d+)n(\d+)")
_PATH = re.compile(r"nvme(\d+)c(\d+)n(\d+)")


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
