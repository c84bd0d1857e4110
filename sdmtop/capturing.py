"""This host, frozen: a support bundle that `--host capture:FILE` reads back.

Taken is what readers can use, and nothing else: logs, processes and command lines carry secrets.
What could not be read, or was left alone because reading it would change the host, is noted in
`CAPTURE.json`; so nothing that exists looks absent.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec

from sdmtop import bundle, carried
from sdmtop.backends.base import Host
from sdmtop.backends.capture import (
    ABSENT,
    FAILED,
    NOT_CAPTURED,
    NOT_ENTERED,
    NOT_THERE,
    NOTES,
    PARTLY,
    SKIPPED,
    TIMED_OUT,
    WRITE_ONLY,
    Notes,
)
from sdmtop.backends.limits import ASLEEP, PAGE, READ_LIMIT, SIDE_EFFECTS, WAKES
from sdmtop.backends.tree import Link
from sdmtop.model import Record
from sdmtop.patience import DEADLINE, PatientHost
from sdmtop.readers.devices import side_that_waits
from sdmtop.readers.mounts import LARGEST, namespaces
from sdmtop.readers.sysfs import follow, in_order, is_absent, number_of, word
from sdmtop.text import fact, line, printable

Progress = Callable[[str], None]

_BUSES = ("pci", "mdev", "dsa")
"""Buses whose devices are all taken; of others, those in a group or behind a class."""

_CLASSES = ("iommu", "vfio", "vfio-dev", "mdev_bus", "sdmdev", "uacce")
_MISC = ("/sys/class/misc/vfio", "/sys/class/misc/iommu")
_GROUPS = "/sys/kernel/iommu_groups"
_DEBUG = "/sys/kernel/debug"
_INTEL = f"{_DEBUG}/iommu/intel"
_LOG = "/dev/kmsg"

_FILES = (
    ("/proc/version", READ_LIMIT),
    ("/proc/cmdline", READ_LIMIT),
    ("/proc/modules", 1024 * 1024),
    ("/proc/interrupts", 16 * 1024 * 1024),
    ("/proc/stat", 1024 * 1024),
    ("/proc/crypto", 1024 * 1024),
    ("/proc/sys/kernel/hostname", PAGE),
    ("/proc/sys/kernel/osrelease", PAGE),
    ("/proc/sys/kernel/random/boot_id", PAGE),
    *((f"/sys/devices/system/cpu/{name}", PAGE) for name in ("online", "possible", "present")),
    *((f"/sys/devices/system/node/{name}", PAGE) for name in ("online", "possible")),
)
_IRQ = frozenset({"smp_affinity_list", "effective_affinity_list", "node", "spurious"})
_NUMA_NODE = frozenset({"cpulist", "distance"})
_MODULE = frozenset({"version", "initstate", "refcnt", "parameters"})
_MODULES = ("vfio", "iommu", "mdev", "mtty", "sdmdev", "uacce", "hisi_", "idxd", "dmatest")

# Images and registers of the device itself, of no use to a reader and not free to read.
_HARDWARE = frozenset({"rom", "vpd", "dmar_perf_latency"})
_TABLES = ("dmar_translation_struct", 1024 * 1024)

_LOG_WORDS = (b"dmar", b"amd-vi", b"smmu", b"iommu", b"vfio", b"device request",
              b"device is currently in use, task")  # fmt: skip
_LOG_RECORDS = 2000

_ANONYMOUS = b"anon_inode:[vfio-device]"
_STATUS = (b"Name:", b"State:", b"Uid:")
_MAPS_LIMIT = 16 * 1024 * 1024
_DEEPEST = 64


class CaptureReport(Record, frozen=True):
    """What was captured: `size` in bytes on disk, `hung` the paths that did not answer."""

    file: str
    files: int
    links: int
    unread: int
    hung: tuple[str, ...]
    size: int
    seconds: float

    def sentence(self) -> str:
        """For a person, on one line."""
        text = (
            f"{self.file}: {self.files:,} files and {self.links:,} links, "
            f"{self.size / 1024:,.0f} KiB, in {self.seconds:.1f} s"
        )
        if self.unread:
            text += f"; {self.unread:,} could not be read ({NOTES} in it says why)"
        if self.hung:
            text += f"; no answer from {', '.join(self.hung)}"
        return printable(text)


def capture(
    host: Host,
    file: str,
    progress: Progress | None = None,
    *,
    replace: bool = False,
    deadline: float = DEADLINE,
) -> CaptureReport:
    """Freeze the host in `file`: `.tar.xz`, `.tar`, or a new directory for any other name.

    A read that hangs for `deadline` seconds is noted and left behind. Raises `OSError` if the
    file cannot be written or is there already (and `replace` is not asked for; a directory is
    never replaced), `ValueError` for a name that promises another format.
    """
    bundle.check(file, replace=replace)
    began = time.monotonic()
    now = datetime.now(UTC)
    avoided = host.avoid
    walk = _Walk(host, progress or (lambda _what: None), deadline)
    try:
        walk.all()
    finally:
        walk.close()
        host.avoid = avoided
    size = bundle.write(file, walk.entries(now), int(now.timestamp()), replace=replace)
    unread = [
        why
        for why in walk.notes.values()
        if (why.startswith(FAILED) and why != NOT_THERE) or why == TIMED_OUT
    ]
    return CaptureReport(
        file=fact(file),
        files=sum(isinstance(leaf, bytes) for leaf in walk.found.values()),
        links=sum(isinstance(leaf, Link) for leaf in walk.found.values()),
        unread=len(unread),
        hung=tuple(map(fact, walk.hung)),
        size=size,
        seconds=time.monotonic() - began,
    )


class _Walk:
    """One walk over a host: `found` is what was read, by path, `notes` why something was not."""

    def __init__(self, host: Host, progress: Progress, deadline: float) -> None:
        self._host = host
        self._patient = PatientHost(host, deadline)
        self._progress = progress
        self._devices: list[str] = []
        self._copied: set[str] = set()
        self._nodes: list[bytes] = []
        self._numbers: set[int] = set()
        self.found: dict[str, bundle.Leaf] = {}
        self.notes: dict[str, str] = {}
        self.numbers: dict[str, int] = {}

    @property
    def hung(self) -> list[str]:
        """The paths that did not answer."""
        return self._patient.hung

    def close(self) -> None:
        """Read no more."""
        self._patient.close()

    def all(self) -> None:
        """Everything; links come first, since they tell which devices to copy."""
        self._progress("kernel, processors, interrupts")
        for path, limit in _FILES:
            self._file(path, limit)
        self._some("/proc/irq", str.isdecimal, _IRQ)
        self._some("/sys/kernel/irq", str.isdecimal)
        self._some("/sys/devices/system/node", _is_numa_node, _NUMA_NODE)
        self._some("/sys/module", lambda name: name.startswith(_MODULES), _MODULE)
        self._progress("groups, classes, buses")
        self._some(_GROUPS)
        for name in _CLASSES:
            found = self._links(f"/sys/class/{name}")
            self._nodes += _nodes_of(name, found)
        for path in _MISC:
            self._link(path)
        for bus in _BUSES:
            found = self._links(f"/sys/bus/{bus}/devices")
            self._nodes += _nodes_of(bus, found)
            self._some(f"/sys/bus/{bus}/drivers")
        self._progress("devices")
        while self._devices:
            self._directory(self._devices.pop())
        self._progress("debugfs and the kernel log")
        self._debugfs()
        self._kernel_log()
        self._progress("what devices carry")
        self._carried()
        self._progress("processes that hold devices")
        self._processes()

    def entries(self, now: datetime) -> Iterator[tuple[str, bundle.Leaf]]:
        """What to write, the notes first, the rest sorted."""
        notes = Notes(
            kernel=self._release(),
            taken_at=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            notes={fact(path): why for path, why in sorted(self.notes.items())},
            numbers={fact(path): number for path, number in sorted(self.numbers.items())},
        )
        text = msgspec.json.format(msgspec.json.encode(notes), indent=1)
        yield NOTES, text
        if "/sys" not in self.found:
            yield "sys", None
        for path in sorted(self.found):
            yield path[1:], self.found[path]

    # -- what to take ------------------------------------------------------------------------

    def _debugfs(self) -> None:
        """Intel's tables and VFIO's migration states; AMD's files answer what was last asked."""
        names = self._names(_DEBUG)
        if "vfio" in names:
            self._directory(f"{_DEBUG}/vfio")
        if "iommu" in names and "intel" in self._names(f"{_DEBUG}/iommu"):
            self._directory(_INTEL, limit=READ_LIMIT)

    def _kernel_log(self) -> None:
        """What the IOMMUs and VFIO have said, and nobody else."""
        try:
            records = self._patient.call(self._host.kernel_log)
        except OSError as error:
            self._note(_LOG, error)
            return
        kept = [record for record in records if any(word in record.lower() for word in _LOG_WORDS)]
        self.found[_LOG] = b"".join(record.rstrip(b"\n") + b"\n" for record in kept[-_LOG_RECORDS:])

    def _carried(self) -> None:
        """What a blast radius is told from: see `carried`, and docs/blast-radius.md."""
        for path in carried.TABLES:
            self._file(path, LARGEST)
        self._file(carried.INPUTS, LARGEST, carried.inputs)
        for class_ in self._names("/sys/class"):
            for path in self._bare_links(f"/sys/class/{class_}"):
                if class_ in carried.PARTS:
                    self._part(path, carried.PARTS[class_])
                if class_ == "block":
                    self._block(path)
        for path in self._bare_links("/sys/bus/virtio/devices"):
            self._part(path, carried.VIRTIO)
        for driver in self._names("/sys/bus/pci/drivers"):
            link = self.found.get(f"/sys/bus/pci/drivers/{driver}/module")
            if isinstance(link, Link):
                self._names(f"/sys/module/{link.text.rpartition('/')[2]}/holders")
        for path in self._bare_links("/sys/dev/char"):
            self._node(path)
        self._mounted()

    def _mounted(self) -> None:
        """Mounts of all namespaces, and the file systems that say themselves that they are."""
        for type_ in carried.SYSTEMS:
            for name in self._names(f"/sys/fs/{type_}"):
                self.found[f"/sys/fs/{type_}/{name}"] = None
        for uuid in self._names("/sys/fs/btrfs"):
            self._bare_links(f"/sys/fs/btrfs/{uuid}/devices")
        for pool in self._names(carried.POOLS):
            self._names(f"{carried.POOLS}/{pool}")
        pids = sorted(filter(str.isdecimal, self._names("/proc")), key=int)
        read = partial(self._patient.call, self._host.read)
        for pid, text in namespaces(read, pids):
            if isinstance(text, OSError):
                self._note(f"/proc/{pid}/mountinfo", text)
            else:
                self.found[f"/proc/{pid}/mountinfo"] = carried.mounts(text)

    def _block(self, path: str) -> None:
        """What stands on a block device, and what udev knows to be on it."""
        self._bare_links(f"{path}/holders")
        self._node(path)
        number = self.found.get(f"{path}/dev")
        if isinstance(number, bytes):
            self._file(f"/run/udev/data/b{line(number)}", READ_LIMIT, carried.udev)

    def _node(self, path: str) -> None:
        """Who has the node of a device open is to be told, unless it is no hardware's."""
        if "/pci" in path or "/nvme-subsystem/" in path:
            answer = self._look(path, ("dev",))[0]
            major, colon, minor = (line(answer) if isinstance(answer, bytes) else "").partition(":")
            if colon and major.isdecimal() and minor.isdecimal():
                self._numbers.add(os.makedev(int(major), int(minor)))

    def _part(self, path: str, taken: carried.Taken) -> None:
        """A few files and links of a directory; nobody is told that these were all."""
        names = [name for name in self._names(path) if name.startswith(taken.links)]
        links = names if taken.links else []
        answers = self._look(path, taken.files, links)
        for name, answer in zip((*taken.files, *links), answers, strict=True):
            inner = f"{path}/{name}"
            if isinstance(answer, bytes):
                is_link = name in links
                self.found[inner] = Link(os.fsdecode(answer)) if is_link else answer
            elif is_absent(answer):
                self.notes[inner] = NOT_THERE
            else:
                self.notes[inner] = _why(answer)
        if path not in self._copied:
            self.notes[path] = PARTLY

    def _bare_links(self, path: str) -> list[str]:
        """A directory of links, none of which is followed; what they lead to."""
        names = self._names(path)
        found = []
        for name, answer in zip(names, self._look(path, (), names), strict=True):
            if isinstance(answer, bytes):
                self._take_link(f"{path}/{name}", answer)
                found.append(follow(path, os.fsdecode(answer)))
            elif answer.errno != errno.EINVAL and not is_absent(answer):
                self._note(f"{path}/{name}", answer)
        return found

    def _release(self) -> str | None:
        release = self.found.get("/proc/sys/kernel/osrelease")
        if isinstance(release, bytes):
            return line(release)
        version = self.found.get("/proc/version")
        words = version.split() if isinstance(version, bytes) else []
        return fact(words[2]) if len(words) > 2 else None

    def _processes(self) -> None:
        """The processes that hold a node of a device, by descriptor or by mapping.

        Looked for only where there is such a node. Where nobody holds one, some process is named
        all the same: a reader takes a capture without any to mean that nobody was looked at.
        """
        if not self._nodes and not self._numbers:
            return
        nodes = tuple(self._nodes)
        pids = sorted(filter(str.isdecimal, self._names("/proc")), key=int)
        idle = [pid for pid in pids if not self._process(f"/proc/{pid}", nodes)]
        if idle and idle == pids:
            self.found[f"/proc/{idle[0]}/fd"] = None

    def _process(self, path: str, nodes: tuple[bytes, ...]) -> bool:
        """Take what a process holds; whether it holds something, or cannot be looked into."""
        directory = f"{path}/fd"
        try:
            fds = self._patient.call(self._host.list, directory)
            links = self._look(directory, (), fds)
            maps = self._patient.call(self._host.read, f"{path}/maps", _MAPS_LIMIT)
        except OSError as error:
            if is_absent(error) or error.errno == errno.ESRCH:
                return False  # It has ended meanwhile.
            self.found[directory] = None
            self._note(directory, error, NOT_ENTERED)
            return True
        held = [
            (fd, link)
            for fd, link in zip(fds, links, strict=True)
            if isinstance(link, bytes) and self._is_held(link, f"{directory}/{fd}", nodes)
        ]
        rows = [
            row + b"\n"
            for row in maps.splitlines()
            if self._is_held(mapped := _mapped(row), os.fsdecode(mapped), nodes)
        ]
        if not held and not rows:
            return False
        self.found[directory] = None
        self.found[f"{path}/maps"] = b"".join(rows)
        for fd, link in held:
            self._descriptor(f"{directory}/{fd}", link)
            self._file(f"{path}/fdinfo/{fd}", PAGE)
        self._file(f"{path}/comm", PAGE)
        self._file(f"{path}/status", READ_LIMIT)
        status = self.found.get(f"{path}/status")
        if isinstance(status, bytes):
            kept = [row for row in status.splitlines(keepends=True) if row.startswith(_STATUS)]
            self.found[f"{path}/status"] = b"".join(kept)
        return True

    def _is_held(self, node: bytes, path: str, nodes: tuple[bytes, ...]) -> bool:
        """Whether a descriptor or mapping is of a node, by its name or by its number."""
        if _is_node(node, nodes):
            return True
        if not node.startswith(b"/dev/") or node.startswith(carried.COMMON_NODES):
            return False
        try:
            return self._patient.call(self._host.device_number, path) in self._numbers
        except OSError:
            return False  # Closed meanwhile; or of another mount namespace, and so named otherwise.

    def _descriptor(self, path: str, link: bytes) -> None:
        self.found[path] = Link(os.fsdecode(link))
        try:
            self.numbers[path] = self._patient.call(self._host.device_number, path)
        except OSError:
            return  # Closed meanwhile: its text is all that is left of it.

    # -- how to take it ----------------------------------------------------------------------

    def _some(
        self,
        path: str,
        wanted: Callable[[str], bool] = bool,
        only: frozenset[str] | None = None,
    ) -> None:
        """The wanted ones of the directories in one, and in those `only` some names."""
        for name in self._names(path):
            if wanted(name):
                self._directory(f"{path}/{name}", only)

    def _links(self, path: str) -> list[str]:
        """A directory of links to devices; the names of those."""
        names = self._names(path)
        found = []
        for name, answer in zip(names, self._look(path, (), names), strict=True):
            if isinstance(answer, bytes):
                self._take_link(f"{path}/{name}", answer)
                self._follow(f"{path}/{name}")
                found.append(name)
            elif answer.errno != errno.EINVAL:  # That is a file, as `version` in a class.
                self._note(f"{path}/{name}", answer)
        return found

    def _link(self, path: str) -> None:
        """One link to a device whose node gives access to others."""
        try:
            answer = self._patient.call(self._host.readlink, path)
        except OSError as error:
            self._note(path, error)
            return
        self._take_link(path, os.fsencode(answer))
        self._follow(path)
        self._nodes += [b"/dev/vfio/", b"/dev/iommu"]

    def _take_link(self, path: str, text: bytes) -> None:
        self.found[path] = Link(os.fsdecode(text))

    def _follow(self, path: str) -> None:
        """The device directory that a link names is to be copied."""
        leaf = self.found[path]
        if isinstance(leaf, Link):
            target = follow(path.rpartition("/")[0], leaf.text)
            if target.startswith("/sys/devices/"):
                self._devices.append(target)

    def _directory(
        self,
        path: str,
        only: frozenset[str] | None = None,
        *,
        limit: int = PAGE,
        inside: bool = False,
    ) -> None:
        """A directory and the groups of attributes in it; devices in it are left to their links.

        `inside` is for a directory that was met in another, and may be such a device.
        """
        if path in self._copied:
            return
        try:
            modes = self._patient.call_for(path, self._survey, path)
        except OSError as error:
            self._fail(path, error)
            return
        self.found[path] = None
        own_process = "!" in path[: path.rfind("/")]  # dsa!wq0.0/file1: who has a queue open.
        if inside and ("uevent" in modes or path.count("/") > _DEEPEST) and not own_process:
            self.notes[path] = NOT_ENTERED
            return
        self._copied.add(path)
        self.notes.pop(path, None)
        files, links, directories = self._sort(path, modes, only)
        for name in directories:
            self._directory(f"{path}/{name}", limit=limit, inside=True)
        if limit > PAGE:
            for name in files:
                self._file(f"{path}/{name}", _TABLES[1] if name == _TABLES[0] else limit)
            files = []
        answers = self._look(path, files, links)
        for name, answer in zip((*files, *links), answers, strict=True):
            inner = f"{path}/{name}"
            if isinstance(answer, OSError):
                self.notes[inner] = _why(answer)
            elif stat.S_ISLNK(modes[name]):
                self._take_link(inner, answer)
                if name in ("device", "physfn") or path.endswith("/devices"):
                    self._follow(inner)
            else:
                self.found[inner] = answer

    def _sort(
        self, path: str, modes: dict[str, int], only: frozenset[str] | None
    ) -> tuple[list[str], list[str], list[str]]:
        """The files, links and directories to take; of the others a note."""
        left_alone = self._left_alone(path, modes)
        files: list[str] = []
        links: list[str] = []
        directories: list[str] = []
        for name, mode in modes.items():
            if only is not None and name not in only:
                continue
            if stat.S_ISLNK(mode):
                links.append(name)
            elif stat.S_ISDIR(mode):
                directories.append(name)
            elif not mode & 0o444:
                self.notes[f"{path}/{name}"] = WRITE_ONLY
            elif name in left_alone or name in SIDE_EFFECTS or not stat.S_ISREG(mode):
                self.notes[f"{path}/{name}"] = SKIPPED
            else:
                files.append(name)
        return files, links, directories

    def _survey(self, path: str) -> dict[str, int]:
        """The names in a directory, sorted, with the mode of each."""
        modes = {}
        for name in in_order(self._host.list(path)):
            try:
                modes[name] = self._host.mode(f"{path}/{name}")
            except OSError as error:
                if not is_absent(error):
                    modes[name] = stat.S_IFREG | 0o444  # Reading it will tell why.
        return modes

    def _left_alone(self, path: str, names: Iterable[str]) -> set[str]:
        """The files of a device that are not to be read, or not now."""
        found = {name for name in names if name.startswith("resource") and name[8:9].isdecimal()}
        found |= _HARDWARE
        if "modalias" in names or "mdev_type" in names:
            # It takes the device lock on kernels up to 6.1, and no reader needs it.
            found.add("uevent")
        if "driver_override" in names:
            modalias, power, group = self._look(path, ("modalias", "power_state"), ("iommu_group",))
            if word(power) in ASLEEP:
                found |= WAKES
            if "driver" not in names and self._unbind_waits(path, modalias, group):
                found.add("driver_override")  # So does this: the unbind holds it.
        return found

    def _unbind_waits(self, path: str, modalias: bytes | OSError, group: bytes | OSError) -> bool:
        """Whether an unbind of this device waits for a holder, or may."""
        if isinstance(modalias, OSError):
            return not is_absent(modalias)
        arguments = (self._host, path, modalias, number_of(group))
        try:
            return bool(self._patient.call(side_that_waits, *arguments))
        except OSError:
            return True

    def _names(self, path: str) -> list[str]:
        """The names in a directory, sorted; none, and a note, where it cannot be listed."""
        try:
            names = self._patient.call(self._host.list, path)
        except OSError as error:
            self._fail(path, error)
            return []
        self.found[path] = None
        return in_order(names)

    def _look(
        self, path: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> list[bytes | OSError]:
        """As `Host.look`; a directory that cannot be opened is so for each of its files."""
        if not files and not links:
            return []
        try:
            return self._patient.call_for(path, self._host.look, path, files, links)
        except OSError as error:
            return [error] * (len(files) + len(links))

    def _file(
        self, path: str, limit: int, part: Callable[[bytes], bytes] = lambda text: text
    ) -> None:
        """A file, or what `part` leaves of it."""
        try:
            self.found[path] = part(self._patient.call(self._host.read, path, limit))
        except OSError as error:
            self._note(path, error)

    def _fail(self, path: str, error: OSError) -> None:
        """A directory that cannot be listed."""
        if not is_absent(error):
            self.found[path] = None
        self._note(path, error, NOT_ENTERED)

    def _note(self, path: str, error: OSError, refused: str | None = None) -> None:
        """Note a path that may not even exist; `refused` is the word for EACCES."""
        if is_absent(error):
            self.notes[path] = ABSENT
        elif refused is not None and error.errno == errno.EACCES:
            self.notes[path] = refused
        else:
            self.notes[path] = _why(error)


def _why(error: OSError) -> str:
    words = {errno.ETIMEDOUT: TIMED_OUT, NOT_CAPTURED: SKIPPED}
    return words.get(error.errno or 0) or f"{FAILED}{error.errno or errno.EIO}"


def _nodes_of(kind: str, names: list[str]) -> list[bytes]:
    """How the paths of the nodes begin that the devices of a class or bus have."""
    if kind == "uacce":
        return [os.fsencode(f"/dev/{name}") for name in names]
    if kind == "dsa":  # `dsa!wq0.0` is /dev/dsa/wq0.0.
        parts = {name.partition("!")[0] for name in names if "!" in name}
        return [os.fsencode(f"/dev/{part}/") for part in sorted(parts)]
    return [b"/dev/vfio/"] if names and kind in ("vfio", "vfio-dev") else []


def _is_node(path: bytes, nodes: tuple[bytes, ...]) -> bool:
    """Whether a descriptor or mapping is of a node; in a container its path may be another."""
    return path.startswith((*nodes, _ANONYMOUS)) or b"/vfio/" in path


def _mapped(row: bytes) -> bytes:
    """What a line of /proc/PID/maps maps."""
    parts = row.split(None, 5)
    return parts[5] if len(parts) == 6 else b""


def _is_numa_node(name: str) -> bool:
    return name.startswith("node") and name[4:].isdecimal()
