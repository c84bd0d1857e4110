"""Who has a node of a device open, or mapped: any node in /dev that is behind the device.

The kernel lets a driver go although its nodes are open: a program then reads nothing, or waits.
"""

import errno
import os
from collections import defaultdict
from collections.abc import Iterator

from sdmtop.carried import COMMON_NODES
from sdmtop.operations.blast.disks import disks_of
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.storage import SOURCE as DISKS
from sdmtop.operations.blast.storage import Storage
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.mounts import LARGEST
from sdmtop.readers.sysfs import is_absent, number
from sdmtop.text import fact, line

SOURCE = "holders"

_DEV = b"/dev/"
_NVIDIA, _NVIDIA_MAJOR, _NVIDIA_CONTROL = "nvidia", 195, 254
_PROGRAMS = 3


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """The processes that have a node of the device open, by node."""
    nodes = survey.once(nodes_of).get(device.address, {})
    if not nodes:
        if device.driver is not None:
            what = "whether it has nodes"
            yield from survey.doubts(device, what, "nodes", _unlisted(device))
        return
    openers = survey.once(_openers)
    for rdev, name in sorted(nodes.items(), key=lambda item: item[1]):
        if users := openers.get(rdev):
            programs = sorted(users)
            more = f" and {len(programs) - _PROGRAMS} more" if len(programs) > _PROGRAMS else ""
            node = users[programs[0]]
            sentence = f"{node} is open in {', '.join(programs[:_PROGRAMS])}{more}"
            yield device.verdict("unsafe", sentence, name, node, programs[0])
    what = "who has its nodes open"
    yield from survey.doubts(device, what, "nodes", _unlisted(device), SOURCE)


def nodes_of(survey: Survey) -> dict[str, dict[int, str]]:
    """`st_rdev` -> sysfs name of the nodes of each touched device."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for path, rdev in survey.characters.items():
        if owner := survey.owner(path):
            found[owner.address][rdev] = path[path.rfind("/") + 1 :]
    storage = survey.once(Storage)
    for device in survey.touched:
        if device.driver == _NVIDIA:
            found[device.address].update(_nvidia(survey, device))
        for disk, _ in disks_of(survey, device):
            for name in storage.nodes(disk):
                number = survey.rdev(DISKS, storage.blocks[name].path)
                if number is not None:
                    found[device.address][number] = name
    return found


def _nvidia(survey: Survey, device: Touched) -> Iterator[tuple[int, str]]:
    """The node of a GPU, which its driver does not list in sysfs.

    Its minor is in `/proc/driver/nvidia/gpus/ADDRESS/information` (`Device Minor: 0`; see
    kernel-open/nvidia/nv-procfs.c), its major is 195 (Documentation/admin-guide/devices.txt).
    """
    path = f"/proc/driver/nvidia/gpus/{device.address}/information"
    text = survey.read(_unlisted(device), path)
    for row in text.split(b"\n"):
        key, _, value = row.partition(b":")
        minor = number(value.strip())
        if key == b"Device Minor" and minor is not None and 0 <= minor < _NVIDIA_CONTROL:
            yield os.makedev(_NVIDIA_MAJOR, minor), f"nvidia{minor}"
            return
    if text:
        survey.say_doubt(_unlisted(device), f"{path} does not tell which node is its")


def _unlisted(device: Touched) -> str:
    """The source of a device's nodes that sysfs does not list."""
    return f"nodes of {device.address}"


def _openers(survey: Survey) -> dict[int, dict[str, str]]:
    """`st_rdev` of each wanted node -> the programs that hold it -> what they call it."""
    wanted = {rdev for nodes in survey.once(nodes_of).values() for rdev in nodes}
    found: dict[int, dict[str, str]] = defaultdict(dict)
    pids = sorted(filter(str.isdecimal, survey.names(SOURCE, "/proc")), key=int)
    if not pids:
        survey.say_doubt(SOURCE, "no process is listed in /proc")
    unreadable: list[OSError] = []
    for pid in pids:
        if survey.enough():
            survey.say_doubt(SOURCE, "not all processes were looked at: out of time")
            break
        try:
            for rdev, node in _held(survey, f"/proc/{pid}"):
                if rdev in wanted:
                    found[rdev][f"{_name(survey, pid)} (process {pid})"] = node
        except OSError as error:
            if not is_absent(error) and error.errno != errno.ESRCH:  # It has ended meanwhile.
                unreadable.append(error)
    if unreadable:
        why = os.strerror(unreadable[0].errno or errno.EIO)
        survey.say_doubt(SOURCE, f"{len(unreadable)} processes cannot be looked into ({why})")
    return found


def _held(survey: Survey, process: str) -> Iterator[tuple[int, str]]:
    """`st_rdev` and path of the nodes that a process has open or mapped."""
    fds = survey.host.list(f"{process}/fd")
    for fd, link in zip(fds, survey.host.look(f"{process}/fd", (), fds), strict=True):
        # In a container a node may have another path, but seldom one without /dev in it.
        if isinstance(link, bytes) and _DEV in link and not link.startswith(COMMON_NODES):
            yield from _number(survey, f"{process}/fd/{fd}", fact(link))
    maps = survey.host.read(f"{process}/maps", LARGEST)
    if _DEV in maps:
        for row in maps.split(b"\n"):
            at = row.find(b" " + _DEV)
            if at >= 0 and not row.startswith(COMMON_NODES, at + 1):
                path = os.fsdecode(row[at + 1 :])
                yield from _number(survey, path, fact(path))


def _number(survey: Survey, path: str, node: str) -> Iterator[tuple[int, str]]:
    try:
        yield survey.host.device_number(path), node
    except OSError as error:
        if not is_absent(error):  # Closed meanwhile; or a mapping in another mount namespace.
            raise


def _name(survey: Survey, pid: str) -> str:
    try:
        return line(survey.host.read(f"/proc/{pid}/comm")) or "?"
    except OSError:
        return "?"
