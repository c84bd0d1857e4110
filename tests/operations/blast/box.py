"""A machine whose devices carry something: built part by part, as sysfs and procfs show it."""

import errno
import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network

from sdmtop.backends.tree import Directory, Entry, Failure, Link, Node, TreeHost
from sdmtop.model import Backend
from sdmtop.operations.blast import blast_radius
from sdmtop.operations.plan import Verdict, VerdictKind
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading

ROOT = "/sys/devices/pci0000:00"
GROUPS = "/sys/kernel/iommu_groups"
DISK, NIC, OTHER_NIC = "0000:00:01.0", "0000:00:02.0", "0000:00:03.0"
SSHD, SHELL, SDMTOP = 800, 900, 901
OPERATOR, FRIEND = "198.51.100.7", "203.0.113.9"
BLANK = bytes(4096)
HERE = IPv4Address("192.0.2.1")

_ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
_TCP = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"


class Box:
    """A quiet machine: a RAM disk, a root in memory, no interface; `init`, `bash` and sdmtop."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {
            "/proc/sys/kernel/osrelease": "6.12.0\n",
            "/proc/interrupts": " CPU0\n",
            "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
            "/proc/crypto": "",
            "/proc/bus/input/devices": "",
            "/proc/self": Link(str(SDMTOP)),
            "/sys/class/tty/console/active": "tty0\n",
            "/sys/dev/char/1:3": Link("../../devices/virtual/mem/null"),
        }
        self._mounts: dict[int, list[str]] = {}
        self._routes = _ROUTES
        self._tcp = _TCP
        self._paths: dict[str, str] = {}
        self.block("ram0", "/sys/devices/virtual/block/ram0", "1:0")
        self.process(1, "init", parent=0)
        self.process(SHELL, "bash", parent=1)
        self.process(SDMTOP, "sdmtop", parent=SHELL)
        self.mount("0:5 / / rw - tmpfs tmpfs rw")

    def put(self, path: str, entry: Entry) -> None:
        self.entries[path] = entry

    # -- devices -----------------------------------------------------------------------------

    def device(
        self,
        address: str,
        class_: str = "0x020000",
        driver: str | None = "e1000e",
        group: int | None = None,
    ) -> str:
        """A PCI device, alone in its group unless that is named; its directory."""
        path = f"{ROOT}/{address}"
        if group is None:
            group = int(address[8:10], 16)
        bound = f"DRIVER={driver}\n" if driver else ""
        self.entries |= {
            f"/sys/bus/pci/devices/{address}": Link(f"../../../devices/pci0000:00/{address}"),
            f"{path}/uevent": f"{bound}PCI_CLASS={class_[2:]}\nPCI_ID=8086:10D3\n",
            f"{path}/subsystem": Link("../../../bus/pci"),
            f"{path}/driver_override": "(null)\n",
            f"{path}/iommu_group": Link(f"../../../kernel/iommu_groups/{group}"),
            f"{GROUPS}/{group}/devices/{address}": Link(f"../../../..{path[4:]}"),
            f"{GROUPS}/{group}/type": "DMA\n",
            f"{GROUPS}/{group}/reserved_regions": "",
        }
        if driver:
            self.put(f"{path}/driver", Link(f"../../../bus/pci/drivers/{driver}"))
            self.put(f"/sys/bus/pci/drivers/{driver}/module", Link(f"../../../../module/{driver}"))
        return path

    def part(self, class_: str, name: str, path: str, /, **files: str) -> str:
        """A class device in a directory of sysfs; its directory."""
        self.put(f"/sys/class/{class_}/{name}", Link(f"../..{path[4:]}"))
        self.put(f"{path}/subsystem", Link(f"/sys/class/{class_}"))
        for file, text in files.items():
            self.put(f"{path}/{file}", f"{text}\n")
        self._paths[name] = path
        return path

    def node(self, path: str, number: str, place: str) -> None:
        """A character node of what is in a directory of sysfs."""
        self.put(f"/sys/dev/char/{number}", Link(f"../..{path[4:]}"))
        self.put(f"{path}/dev", f"{number}\n")
        self.put(place, Node(rdev(number)))

    def disk(
        self,
        name: str = "nvme0n1",
        number: str = "259:0",
        data: bytes = BLANK,
        group: int | None = None,
    ) -> str:
        """A disk behind `DISK`."""
        path = self.device(DISK, "0x010802", "nvme", group)
        return self.block(name, f"{path}/nvme/nvme0/{name}", number, data)

    def partition(self, name: str, number: str, data: bytes = BLANK) -> str:
        """A partition of the disk whose name its own begins with."""
        disk = max((one for one in self._paths if name.startswith(one)), key=len)
        return self.block(name, f"{self._paths[disk]}/{name}", number, data)

    def block(self, name: str, path: str, number: str, data: bytes = BLANK) -> str:
        self.part("block", name, path, dev=number, size=str(len(data) // 512))
        self.put(f"{path}/holders", Directory())
        self.put(f"/dev/{name}", Node(rdev(number), data=data))
        return path

    def holder(self, name: str, number: str, *below: str, **files: str) -> str:
        """A block device that is made of others, such as md0."""
        path = self.block(name, f"/sys/devices/virtual/block/{name}", number)
        for one in below:
            self.put(f"{self._paths[one]}/holders/{name}", Link(f"/sys/class/block/{name}"))
        for file, text in files.items():
            self.put(f"{path}/{file.replace('__', '/')}", f"{text}\n")
        return path

    def interface(
        self, name: str = "eth0", address: str = NIC, *, up: bool = True, below: str = ""
    ) -> str:
        """The interface of a network card; or, `below`, of what is behind it."""
        path = self._paths.get(address) or self.device(address)
        self._paths[address] = path
        return self._interface(f"{path}{below}/net/{name}", name, up, device=True)

    def upper(self, name: str, *lowers: str, type_: str = "bond") -> str:
        """An interface on top of others."""
        path = self._interface(f"/sys/devices/virtual/net/{name}", name, up=True)
        self.put(f"{path}/uevent", f"DEVTYPE={type_}\nINTERFACE={name}\n")
        for lower in lowers:
            self.put(f"{path}/lower_{lower}", Link(f"/sys/class/net/{lower}"))
            self.put(f"{self._paths[lower]}/upper_{name}", Link(f"/sys/class/net/{name}"))
        return path

    def _interface(self, path: str, name: str, up: bool, *, device: bool = False) -> str:
        state = "up" if up else "down"
        self.part("net", name, path, flags="0x1003" if up else "0x1002", operstate=state)
        self.put(f"{path}/carrier", "1\n" if up else Failure(errno.EINVAL))
        if device:
            self.put(f"{path}/device", Link("../.."))
        return path

    # -- what is done with them --------------------------------------------------------------

    def mount(self, text: str, pid: int = 1) -> None:
        """A line of `mountinfo`, without its two numbers; those of `init` are ours, too."""
        lines = self._mounts.setdefault(pid, [])
        lines.append(f"{pid}{len(lines):02} 1 {text}\n")
        for process in (1, SDMTOP) if pid == 1 else (pid,):
            self.put(f"/proc/{process}/mountinfo", "".join(lines))

    def swap(self, path: str) -> None:
        """One more line of `/proc/swaps`."""
        self.put("/proc/swaps", f"{self.entries['/proc/swaps']!s}{path} partition\t8\t0\t-2\n")

    def process(
        self, pid: int, name: str, *, parent: int = 1, terminal: str = "0:0", **fds: str
    ) -> None:
        """A process, with descriptors such as `fd3="/dev/x"`."""
        major, minor = map(int, terminal.split(":"))
        tty = (minor & 0xFF) | major << 8
        self.entries |= {
            f"/proc/{pid}/comm": f"{name}\n",
            f"/proc/{pid}/stat": f"{pid} ({name}) S {parent} {pid} {pid} {tty} {pid} 0\n",
            f"/proc/{pid}/maps": "",
            f"/proc/{pid}/environ": "",
            f"/proc/{pid}/fd": Directory(),
        }
        for fd, text in fds.items():
            self.put(f"/proc/{pid}/fd/{fd.removeprefix('fd')}", Link(text))

    def route(self, interface: str, network: str = "0.0.0.0/0", *, metric: int = 0) -> None:
        """One more line of `/proc/net/route`."""
        net = IPv4Network(network)
        self._routes += (
            f"{interface}\t{word(net.network_address)}\t00000000\t0003\t0\t0\t{metric}\t"
            f"{word(net.netmask)}\t0\t0\t0\n"
        )
        self.put("/proc/net/route", self._routes)

    def connect(self, remote: str, *, inode: int, port: int = 22) -> None:
        """An established connection to a port of ours."""
        self._tcp += (
            f"   0: {word(HERE)}:{port:04X} {word(IPv4Address(remote))}:C001 01 "
            f"00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000 20 4 30 10 -1\n"
        )
        self.put("/proc/net/tcp", self._tcp)

    def log_in(self, remote: str = OPERATOR) -> None:
        """The operator comes through ssh: sshd, with its socket, is above the shell."""
        self.connect(remote, inode=4242)
        self.process(SSHD, "sshd", fd3="socket:[4242]")
        self.process(SHELL, "bash", parent=SSHD, terminal="136:0")
        self.process(SDMTOP, "sdmtop", parent=SHELL, terminal="136:0")

    # -- asking ------------------------------------------------------------------------------

    def host(self, backend: Backend = "linux") -> TreeHost:
        self.entries.setdefault("/proc/net/route", self._routes)
        self.entries.setdefault("/proc/net/tcp", self._tcp)
        return TreeHost(self.entries, backend=backend)

    def radius(
        self,
        *addresses: str,
        backend: Backend = "linux",
        resets: Sequence[str] = (),
        own: Sequence[str] = (),
        enough: Callable[[], bool] = lambda: False,
    ) -> tuple[Verdict, ...]:
        host = self.host(backend)
        reading = Reading(host, Names((), hwdb=False))
        reading.read_all()
        return blast_radius(
            host, reading.snapshot(), addresses, resets=resets, own=own, enough=enough
        )


def of_kind(verdicts: Sequence[Verdict], kind: VerdictKind) -> list[str]:
    """What the verdicts of a kind say."""
    return [verdict.sentence for verdict in verdicts if verdict.kind == kind]


def kinds(verdicts: Sequence[Verdict]) -> set[VerdictKind]:
    return {verdict.kind for verdict in verdicts}


def chain(verdicts: Sequence[Verdict], text: str) -> tuple[str, ...]:
    """The evidence of the one verdict whose sentence contains a text."""
    (found,) = [verdict for verdict in verdicts if text in verdict.sentence]
    return found.evidence


def rdev(number: str) -> int:
    major, minor = number.split(":")
    return os.makedev(int(major), int(minor))


def word(address: IPv4Address) -> str:
    """An address as `/proc/net` prints it: a word of the CPU."""
    return f"{int.from_bytes(address.packed, sys.byteorder):08X}"


def system_disk() -> Box:
    """An NVMe disk, half of a mirror with the root."""
    box = Box()
    box.disk()
    box.partition("nvme0n1p2", "259:2")
    box.holder("md0", "9:0", "nvme0n1p2", md__level="raid1")
    box.mount("9:0 / / rw - ext4 /dev/md0 rw")
    return box
