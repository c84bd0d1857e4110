"""Who holds a device: processes with a node open, or only mapped.

A mapping alone keeps a VFIO device after its descriptor is closed, so both `/proc/*/fd` and
`/proc/*/maps` are looked at. What cannot be read is never "free": an answer can be "cannot tell".
"""

import errno
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from sdmtop.backends.base import Host
from sdmtop.model import Process, Record
from sdmtop.readers.sysfs import index, is_absent
from sdmtop.readers.unknowns import Unknowns
from sdmtop.readers.vfio import Node
from sdmtop.text import fact, line

ANONYMOUS = "anon_inode:[vfio-device]"
"""What the kernel calls the descriptor of an open VFIO device."""

CDEVS = "/dev/vfio/devices/"
MAPPED = " (mmap)"
_SYSPATH = b"vfio-device-syspath:"
_MAPS_LIMIT = 16 * 1024 * 1024
_PLAIN = (b"/dev/null", b"/dev/zero", b"/dev/tty", b"/dev/pts/", b"/dev/ptmx", b"/dev/urandom",
          b"/dev/random", b"/dev/shm/")  # fmt: skip
"""What most processes have open, and need not be asked for its number."""

_ALL_PROCESSES = "pid:[4026531836]"
"""The PID namespace in which every process is seen (PROC_PID_INIT_INO, linux/proc_ns.h)."""


class Holdings(Record, frozen=True):
    """`by_node` is node path -> pids; `devices` are the addresses and UUIDs that are open.

    `anonymous` are the pids with a VFIO device open that the kernel does not name; `stray` says
    that one of them holds no node that would tell which device it is (a mapping that outlived its
    descriptors). `gone` are nodes of devices that are held although the nodes are no more: they
    go first when a device is unbound. `unreadable` counts the processes that could not be looked
    into.
    """

    by_node: dict[str, tuple[int, ...]]
    devices: frozenset[str]
    anonymous: frozenset[int]
    stray: bool
    unreadable: int
    processes: tuple[Process, ...]
    gone: tuple[Node, ...] = ()

    def holders(self, path: str) -> tuple[int, ...] | None:
        """The pids that hold a node; empty: nobody; None: cannot tell."""
        pids = self.by_node.get(path, ())
        return pids if pids or not (self.unreadable or self.stray) else None

    def device_open(self, name: str, pids: Iterable[int] = ()) -> bool | None:
        """Whether the device itself is open, not only its group; None: cannot tell.

        `pids` are the holders of its group: on kernels that do not say which device a descriptor
        is, one of them having any VFIO device open counts.
        """
        if name in self.devices or not self.anonymous.isdisjoint(pids):
            return True
        return None if self.unreadable else False


_NOBODY = Holdings(
    by_node={},
    devices=frozenset(),
    anonymous=frozenset(),
    stray=False,
    unreadable=0,
    processes=(),
)


def read_holders(host: Host, nodes: Sequence[Node], unknowns: Unknowns) -> Holdings:
    """Look through all processes for the nodes; returns at once where there are none.

    Sources: `/proc/PID/fd`, `/proc/PID/fdinfo`, `/proc/PID/maps`. Processes that end meanwhile are
    nobody's holders. Raises nothing.
    """
    if not nodes:
        return _NOBODY
    try:
        pids = sorted(pid for name in host.list("/proc") if (pid := index(name)) is not None)
    except OSError as error:
        unknowns.note("/proc", error, "who holds devices")
        return replace(_NOBODY, unreadable=1)
    scan = _Scan(host, nodes)
    for pid in pids:
        scan.look_into(pid)
    if not pids:
        # A capture without processes, or a foreign root: nobody seen is not nobody there.
        scan.unreadable = 1
        unknowns.note(
            "/proc/*/fd", OSError(errno.ENOENT, ""), "who holds devices: no process is listed"
        )
    elif hidden := _hidden(host, pids):
        scan.unreadable += 1
        unknowns.note("/proc", OSError(errno.EACCES, ""), f"who holds devices: {hidden}")
    elif scan.unreadable:
        what = f"who holds devices: {scan.unreadable} processes cannot be looked into"
        unknowns.note("/proc/*/fd", scan.refusal, what)
    elif strays := scan.strays:
        mapping = ", ".join(map(str, strays))
        what = f"who holds devices: the kernel does not say which one process {mapping} has mapped"
        unknowns.note("/proc/*/maps", OSError(errno.ENODATA, ""), what)
    return Holdings(
        by_node={path: tuple(sorted(set(found))) for path, found in scan.by_node.items()},
        devices=frozenset(scan.devices),
        anonymous=frozenset(scan.anonymous),
        stray=bool(scan.strays),
        unreadable=scan.unreadable,
        processes=tuple(_process(host, unknowns, pid, held) for pid, held in scan.holds.items()),
        gone=tuple(scan.gone.values()),
    )


def _hidden(host: Host, pids: Sequence[int]) -> str:
    """Why there may be processes that /proc does not list; empty where it lists all."""
    try:
        if host.readlink("/proc/self/ns/pid") != _ALL_PROCESSES:
            return "processes outside of this PID namespace are not seen"
        mounts = host.read("/proc/self/mountinfo", _MAPS_LIMIT) if 1 not in pids else b""
    except OSError:
        return ""  # A capture, or a kernel without namespaces.
    hides = any(
        b" - proc " in row and b"hidepid=" in row and b"hidepid=0" not in row
        for row in mounts.split(b"\n")
    )
    return "/proc is mounted with hidepid and hides processes of others" if hides else ""


class _Scan:
    """One walk over the processes."""

    def __init__(self, host: Host, nodes: Sequence[Node]) -> None:
        self._host = host
        self._paths: Mapping[str, Node] = {node.path: node for node in nodes}
        self._numbers = {node.number: node for node in nodes if node.number is not None}
        self._marks = [ANONYMOUS.encode(), *(node.path.encode() for node in nodes)]
        self.by_node: dict[str, list[int]] = {}
        self.devices: set[str] = set()
        self.anonymous: set[int] = set()
        self.gone: dict[str, Node] = {}
        self._named: set[int] = set()
        """The processes that hold a node or a descriptor which says what its device is."""
        self._sure: set[int] = set()
        """Those that have a device open which is named: a mapping will be of that."""
        self.holds: dict[int, list[str]] = {}
        self.unreadable = 0
        self.refusal = OSError()

    @property
    def strays(self) -> list[int]:
        """The processes with a VFIO device open, but no node or name that would say which."""
        return sorted(self.anonymous - self._named)

    def look_into(self, pid: int) -> None:
        """Descriptors, then mappings."""
        refusals: list[OSError] = []
        for part in (self._descriptors, self._mappings):
            try:
                part(pid, refusals)
            except OSError as error:
                refusals.append(error)
        # Absent is what has been closed, or has ended, meanwhile.
        refusals = [one for one in refusals if not is_absent(one) and one.errno != errno.ESRCH]
        if refusals:
            self.unreadable += 1
            self.refusal = refusals[0]

    def _descriptors(self, pid: int, refusals: list[OSError]) -> None:
        directory = f"/proc/{pid}/fd"
        fds = self._host.list(directory)
        for fd, link in zip(fds, self._host.look(directory, (), fds), strict=True):
            if isinstance(link, OSError):
                refusals.append(link)
            elif link == ANONYMOUS.encode():
                self._hold_device(pid, ANONYMOUS, self._device_of(pid, fd, refusals))
            elif _may_be_node(link):
                node = self._node(f"{directory}/{fd}", link)
                if node is not None:
                    self._hold_node(pid, node)
                elif link.startswith(CDEVS.encode()):
                    self._hold_gone(pid, fact(link), self._device_of(pid, fd, refusals))

    def _hold_node(self, pid: int, node: Node) -> None:
        self.by_node.setdefault(node.path, []).append(pid)
        self._hold(pid, node.path, node.device if node.kind == "cdev" else None)
        if node.group is not None or node.kind in ("cdev", "noiommu-group"):
            self._named.add(pid)

    def _hold_gone(self, pid: int, path: str, device: str | None) -> None:
        """A cdev whose node is no more, while an unbind waits for this process."""
        if device is not None:
            self.gone[path] = Node(path, "cdev", None, device, None)
            self.by_node.setdefault(path, []).append(pid)
        self._hold_device(pid, path, device)

    def _hold_device(self, pid: int, what: str, device: str | None) -> None:
        """A device itself, which may be one that the kernel does not name."""
        if device is None:
            self.anonymous.add(pid)
        else:
            self._named.add(pid)
            self._sure.add(pid)
        self._hold(pid, what, device)

    def _node(self, path: str, link: bytes) -> Node | None:
        """The node behind a descriptor: by number, since a container sees other paths."""
        try:
            number = self._host.device_number(path)
        except OSError:
            number = None
        if number is not None and number in self._numbers:
            return self._numbers[number]
        return self._paths.get(fact(link.removesuffix(b" (deleted)")))

    def _device_of(self, pid: int, fd: str, refusals: list[OSError]) -> str | None:
        """Which device an anonymous descriptor is; kernels since about 6.18 say so."""
        try:
            info = self._host.read(f"/proc/{pid}/fdinfo/{fd}", 4096)
        except OSError as error:
            refusals.append(error)
            return None
        for row in info.split(b"\n"):
            if row.startswith(_SYSPATH):
                return line(row[len(_SYSPATH) :]).rpartition("/")[2]
        return None

    def _mappings(self, pid: int, refusals: list[OSError]) -> None:
        maps = self._host.read(f"/proc/{pid}/maps", _MAPS_LIMIT)
        if len(maps) == _MAPS_LIMIT:
            refusals.append(OSError(errno.EFBIG, "cut short"))
        if not any(mark in maps for mark in self._marks):
            return
        for row in maps.split(b"\n"):
            parts = row.split(None, 5)
            if len(parts) < 6:
                continue
            path = fact(parts[5])
            if path == ANONYMOUS:
                if pid not in self._sure:
                    self.anonymous.add(pid)
                self._hold(pid, ANONYMOUS + MAPPED, None)
            elif path in self._paths:
                node = self._paths[path]
                self.by_node.setdefault(path, []).append(pid)
                self._hold(pid, path + MAPPED, node.device)
                if node.device is not None:
                    self._named.add(pid)

    def _hold(self, pid: int, what: str, device: str | None) -> None:
        held = self.holds.setdefault(pid, [])
        if device is not None:
            self.devices.add(device)
            if what == ANONYMOUS or what.startswith(CDEVS):
                what = f"{what} {device}"  # Which device it is, the path alone does not say.
        if what not in held:
            held.append(what)


def _may_be_node(link: bytes) -> bool:
    """Whether a descriptor may be of a node: a container, or a rule of udev, has other paths."""
    return link.startswith(b"/") and (
        b"/vfio" in link or (b"/dev/" in link and not link.startswith(_PLAIN))
    )


def _process(host: Host, unknowns: Unknowns, pid: int, holds: list[str]) -> Process:
    """Who a holder is: from psutil on this machine, else from `comm` and `status`."""
    name, user = _ask_psutil(pid) if host.url == "linux:" else (None, None)
    if name is None:
        name = line(_read(host, unknowns, f"/proc/{pid}/comm", "name of a holder")) or None
    if user is None:
        user = _uid(_read(host, unknowns, f"/proc/{pid}/status", "user of a holder"))
    return Process(pid=pid, name=name, user=user, holds=tuple(sorted(holds)))


def _ask_psutil(pid: int) -> tuple[str | None, str | None]:
    import psutil

    try:
        process = psutil.Process(pid)
        return fact(process.name()), fact(process.username())
    except psutil.Error:
        return None, None


def _read(host: Host, unknowns: Unknowns, path: str, what: str) -> bytes:
    """A file of a process; nothing where it has ended, or a capture does not have it."""
    try:
        return host.read(path, 8192)
    except OSError as error:
        unknowns.note_failure(path, error, what)
        return b""


def _uid(status: bytes) -> str | None:
    for row in status.split(b"\n"):
        if row.startswith(b"Uid:"):
            fields = row.split()
            return fact(fields[1]) if len(fields) > 1 else None
    return None
