"""What stands on a block device: partitions, holders, file systems, loops, overlays, swap.

The chain is followed downwards from a disk to whatever would be lost with it, as
`nvme0n1`, `nvme0n1p2`, `md0 (raid1)`, `/`.
"""

from collections import defaultdict
from collections.abc import Iterator

from sdmtop.carried import POOLS
from sdmtop.model import Record
from sdmtop.operations.blast.lazy import lazy
from sdmtop.operations.blast.mounts import SOURCE as MOUNTS
from sdmtop.operations.blast.mounts import read_active, read_mounts, read_swaps
from sdmtop.operations.blast.signatures import read_content
from sdmtop.operations.blast.survey import Part, Survey
from sdmtop.operations.plan import VerdictKind
from sdmtop.readers.mounts import Mount
from sdmtop.readers.sysfs import is_absent
from sdmtop.text import fact, line

SOURCE = "disks"

_SYSTEM = (
    "/", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib",
    "/usr/lib64", "/nix", "/nix/store", "/gnu", "/gnu/store", "/sysroot", "/etc", "/var",
    "/var/lib", "/boot", "/boot/efi", "/efi",
)  # fmt: skip
"""Mount points without which the machine does not go on, or does not come back."""

_UNTOLD = ("iso9660", "squashfs", "vfat", "exfat", "ntfs", "erofs")
"""File systems of which sysfs does not tell that they are mounted."""

BELOW = "may be below the root, an overlay of which not all layers can be seen"
_BTRFS = "/sys/fs/btrfs"
_LAYERS = ("upperdir", "lowerdir", "datadir")
_NAMED = 3
_DM_KINDS = {"LVM": "LVM", "CRYPT": "crypt", "mpath": "multipath", "DMRAID": "raid"}


class Loss(Record, frozen=True):
    """Something on a disk that would be lost with it: `chain` leads to it."""

    kind: VerdictKind
    sentence: str
    chain: tuple[str, ...]


class Storage:
    """The block devices of a host and what is on them."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._mounts = survey.once(read_mounts)
        if "block" not in survey.parts:
            survey.say_doubt(SOURCE, "there is no /sys/class/block")
        self.blocks: dict[str, Part] = survey.parts.get("block", {})
        by_path = {part.path: name for name, part in self.blocks.items()}
        self._partitions: dict[str, list[str]] = defaultdict(list)
        for name, part in sorted(self.blocks.items()):
            disk = by_path.get(part.path.rpartition("/")[0])
            if disk is not None:
                self._partitions[disk].append(name)
        self._whole = self.blocks.keys() - {
            name for partitions in self._partitions.values() for name in partitions
        }

    def is_disk(self, name: str) -> bool:
        """Whether it is a whole disk, and not the hidden half of an NVMe path."""
        if name not in self._whole:
            return False
        return self._survey.look(SOURCE, self.blocks[name].path, "hidden")[0] != b"1"

    def nodes(self, disk: str) -> Iterator[str]:
        """The disk and its partitions."""
        yield disk
        yield from self._partitions.get(disk, ())

    def losses(self, disk: str, chain: tuple[str, ...] = ()) -> list[Loss]:
        """What would be lost with a disk, each once; `safe` for what holds nothing."""
        walk = _Walk(frozenset(self.nodes(disk)))
        return list(self._on_block(disk, (*chain, disk), "unsafe", walk))

    def losses_of_system(self, number: str, chain: tuple[str, ...]) -> list[Loss]:
        """What would be lost with a mounted file system that is on no disk."""
        return list(self._on_file_system(number, chain, "unsafe", _Walk(frozenset())))

    # -- block devices -----------------------------------------------------------------------

    def _on_block(
        self, name: str, chain: tuple[str, ...], kind: VerdictKind, walk: "_Walk"
    ) -> Iterator[Loss]:
        """What is on a block device; `kind` is `refused` below a holder."""
        if name in walk.blocks:
            return
        walk.blocks.add(name)
        part = self.blocks.get(name)
        if part is None:
            self._survey.say_doubt(SOURCE, f"{name} is not in /sys/class/block")
            return
        found = [
            *self._held(name, part, chain, walk),
            *self._used(name, part, chain, kind, walk),
        ]
        for partition in self._partitions.get(name, ()):
            found += self._on_block(partition, (*chain, partition), kind, walk)
        if not found and name in walk.own:
            found += self._unused(name, part, chain)
        yield from found

    def _held(self, name: str, part: Part, chain: tuple[str, ...], walk: "_Walk") -> Iterator[Loss]:
        holders = sorted(self._survey.names(SOURCE, f"{part.path}/holders"))
        for holder in (*holders, *self._zrams_on_block.get(name, ())):
            label = self._label(holder)
            deeper = list(self._on_block(holder, (*chain, label), "refused", walk))
            yield from deeper or [Loss("refused", f"{label} is built on {name}", (*chain, label))]

    def _used(
        self, name: str, part: Part, chain: tuple[str, ...], kind: VerdictKind, walk: "_Walk"
    ) -> Iterator[Loss]:
        if name in self._swaps:
            yield Loss("refused", f"{name} is swapped to", (*chain, "swap"))
        number = (self._survey.look(SOURCE, part.path, "dev")[0] or b"").decode("ascii", "replace")
        systems = {number, *self._systems_of.get(name, ())} & self._mounts.by_number.keys()
        for system in sorted(systems):
            yield from self._on_file_system(system, chain, kind, walk)
        if not systems and name in self._active:
            yield self._unseen(self._active[name], name, chain)
        for loop in self._loops_on_block.get(name, ()):
            yield from self._on_block(loop, (*chain, loop), kind, walk)

    def _unused(self, name: str, part: Part, chain: tuple[str, ...]) -> Iterator[Loss]:
        """Nobody uses it now: what do its blocks say? Nothing, and a doubt, if they are unread."""
        content = read_content(self._survey, f"content {name}", name, part.path)
        if content is None:
            return
        if content.type is None:
            sentence = f"{name} holds data of a kind unknown to sdmtop"
            yield Loss("unknown", sentence, (*chain, content.source))
        elif not content.type:
            yield Loss("safe", f"{name} holds nothing", (*chain, content.source))
        elif content.type == "zfs_member" and (pools := self._pools_of(content.pool)):
            points = [mount.point for pool in pools for mount in self._mounts_of_pool(pool)]
            ends = (f"pool {', '.join(pools)}", *points[:1])
            yield Loss("refused", f"{name} is in an imported ZFS pool", (*chain, *ends))
        elif self.hides_root and content.type in _UNTOLD:
            sentence = f"{name} holds {content.type}, which {BELOW}"
            yield Loss("refused", sentence, (*chain, content.type, "/"))
        else:
            sentence = f"{name} holds {content.type}, which nobody uses now"
            yield Loss("unsafe", sentence, (*chain, content.type, content.source))

    # -- file systems ------------------------------------------------------------------------

    def _on_file_system(
        self, number: str, chain: tuple[str, ...], kind: VerdictKind, walk: "_Walk"
    ) -> Iterator[Loss]:
        if number in walk.systems:
            return
        walk.systems.add(number)
        mounts = sorted(self._mounts.by_number[number], key=_rank)
        loss = mounted(mounts, chain, kind)
        yield loss
        chain = loss.chain
        for path in self._swaps:
            if self._is_on(path, number):
                yield Loss("refused", f"{path} is swapped to", (*chain, path, "swap"))
        for path in self._survey.own:
            # Of what is refused anyway this is no news.
            if loss.kind != "refused" and self._is_on(path, number):
                yield Loss("refused", f"sdmtop itself needs {path}", (*chain, path))
        for loop, path in self._loop_files.items():
            if self._is_on(path, number):
                yield from self._on_block(loop, (*chain, path, loop), kind, walk)
        for overlay, layers in self._overlays:
            if any(self._is_on(layer, number) for layer in layers):
                yield from self._on_file_system(overlay, (*chain, "overlay"), kind, walk)

    def _unseen(self, type_: str, name: str, chain: tuple[str, ...]) -> Loss:
        """Mounted, but in no mount namespace that we see."""
        if self.hides_root:
            return Loss("refused", f"{name} ({type_}) {BELOW}", (*chain, type_, "/"))
        return Loss("unsafe", f"{name} ({type_}) is mounted out of sight", (*chain, type_))

    @lazy
    def hides_root(self) -> bool:
        """Whether the root is an overlay of which we do not see a layer.

        An initramfs has mounted it, then: its path leads back to the overlay itself, or nowhere.
        """
        root = self._mounts.of_path("/")
        if root is None:
            return True
        layers = dict(self._overlays).get(root.number, ())
        return any(self._is_on(layer, root.number) for layer in layers)

    def _is_on(self, path: str, number: str) -> bool:
        mount = self._mounts.of_path(path)
        return mount is not None and mount.number == number

    # -- joins -------------------------------------------------------------------------------

    @lazy
    def _swaps(self) -> list[str]:
        """Names of block devices, and paths of files."""
        found = []
        for path in read_swaps(self._survey):
            name = self._block_of(path)
            if name is None and path.startswith("/dev/"):
                self._survey.say_doubt(MOUNTS, f"{path} in /proc/swaps is no known disk")
            found.append(name or path)
        return found

    @lazy
    def _active(self) -> dict[str, str]:
        """Block devices of file systems that the kernel says are mounted."""
        found = read_active(self._survey)
        for name in self._btrfs:
            found.setdefault(name, "btrfs")
        return found

    @lazy
    def _btrfs(self) -> dict[str, str]:
        """Block device -> UUID, of the btrfs file systems that are mounted."""
        return {
            name: uuid
            for uuid in self._survey.names(MOUNTS, _BTRFS, optional=True)
            if uuid != "features"
            for name in self._survey.names(MOUNTS, f"{_BTRFS}/{uuid}/devices", optional=True)
        }

    @lazy
    def _systems_of(self) -> dict[str, set[str]]:
        """Block device -> numbers of file systems that do not have its own.

        Those on several devices (btrfs, bcachefs), and those with a log or more data elsewhere.
        """
        found: dict[str, set[str]] = defaultdict(set)
        uuids: dict[str, set[str]] = defaultdict(set)
        for mount in self._mounts.all():
            values = [option.partition("=")[2] for option in mount.options.split(",")]
            for path in (*mount.source.split(":"), *values):
                if path.startswith("/dev/") and (name := self._block_of(path)):
                    found[name].add(mount.number)
                    if name in self._btrfs:
                        uuids[self._btrfs[name]].add(mount.number)
        for name, uuid in self._btrfs.items():
            found[name] |= uuids[uuid]
        return found

    @lazy
    def _loop_files(self) -> dict[str, str]:
        """Loop device -> path of the file behind it."""
        found = {}
        for name, part in self.blocks.items():
            if name.startswith("loop") and name in self._whole:
                path = self._survey.look(SOURCE, part.path, "loop/backing_file")[0]
                if path:
                    found[name] = fact(path).removesuffix(" (deleted)")
        return found

    @lazy
    def _loops_on_block(self) -> dict[str, list[str]]:
        """Block device -> loops whose file is its node."""
        found: dict[str, list[str]] = defaultdict(list)
        for loop, path in self._loop_files.items():
            if path.startswith("/dev/") and (name := self._block_of(path)):
                found[name].append(loop)
        return found

    @lazy
    def _zrams_on_block(self) -> dict[str, list[str]]:
        """Block device -> compressed memory that pages are written out of to it.

        No holder is listed for it (Documentation/admin-guide/blockdev/zram.rst, `backing_dev`).
        """
        found: dict[str, list[str]] = defaultdict(list)
        for zram, part in self.blocks.items():
            if not zram.startswith("zram"):
                continue
            path = fact(self._survey.look(SOURCE, part.path, "backing_dev")[0] or b"none")
            if path != "none":
                if name := self._block_of(path):
                    found[name].append(zram)
                else:
                    self._survey.say_doubt(SOURCE, f"{path}, behind {zram}, is no known disk")
        return found

    @lazy
    def _overlays(self) -> list[tuple[str, list[str]]]:
        """Number of each overlay -> the paths of its layers."""
        found = []
        for mount in self._mounts.all():
            if mount.type == "overlay":
                options = [option.partition("=") for option in mount.options.split(",")]
                layers = [
                    layer
                    for key, _, value in options
                    if key.rstrip("+") in _LAYERS
                    for layer in value.split(":")
                ]
                found.append((mount.number, layers))
        return found

    def _pools_of(self, pool: str | None) -> list[str]:
        """The imported ZFS pools, or the one of this name."""
        names = self._survey.names(SOURCE, POOLS, optional=True)
        pools = [name for name in names if self._is_directory(f"{POOLS}/{name}")]
        return [name for name in pools if pool in (None, name)]

    def _mounts_of_pool(self, pool: str) -> list[Mount]:
        mounts = [mount for mount in self._mounts.all() if mount.type == "zfs"]
        return sorted((mount for mount in mounts if mount.source.split("/")[0] == pool), key=_rank)

    def _is_directory(self, path: str) -> bool:
        try:
            self._survey.host.list(path)
        except OSError as error:
            if not is_absent(error):
                self._survey.doubt(SOURCE, path, error)
            return False
        return True

    @lazy
    def _mapped(self) -> dict[str, str]:
        """Name in /dev/mapper -> dm device."""
        return {
            line(name): block
            for block, part in self.blocks.items()
            if block.startswith("dm-")
            and (name := self._survey.look(SOURCE, part.path, "dm/name")[0])
        }

    def _block_of(self, node: str) -> str | None:
        """The block device of a node in /dev."""
        name = node.removeprefix("/dev/").replace("/", "!")
        if name in self.blocks:
            return name
        mapped = self._mapped.get(name.removeprefix("mapper!"))
        if mapped is not None:
            return mapped
        try:
            rdev = self._survey.host.device_number(node)
        except OSError as error:
            if not is_absent(error):  # Without a node the number of the file system counts.
                self._survey.doubt(SOURCE, node, error)
            return None
        return self._by_rdev.get(rdev)

    @lazy
    def _by_rdev(self) -> dict[int, str]:
        found = {}
        for name, part in self.blocks.items():
            rdev = self._survey.rdev(SOURCE, part.path)
            if rdev is not None:
                found[rdev] = name
        return found

    def _label(self, name: str) -> str:
        """A holder for a person: `dm-0 (LVM vg-root)`, `md0 (raid1)`."""
        part = self.blocks.get(name)
        if part is None:
            return name
        if name.startswith("dm-"):
            title, uuid = self._survey.look(SOURCE, f"{part.path}/dm", "name", "uuid")
            kind = _DM_KINDS.get(line(uuid or b"").partition("-")[0], "")
            return f"{name} ({' '.join(filter(None, (kind, line(title or b''))))})"
        if name.startswith("md"):
            level = self._survey.look(SOURCE, f"{part.path}/md", "level")[0]
            return f"{name} ({line(level or b'md')})"
        return name


class _Walk:
    """What has been met on the way from one disk; `own` are its nodes."""

    def __init__(self, own: frozenset[str]) -> None:
        self.own = own
        self.blocks: set[str] = set()
        self.systems: set[str] = set()


def _rank(mount: Mount) -> tuple[bool, bool, int, str]:
    return (not _is_system(mount), mount.pid is not None, len(mount.point), mount.point)


def _is_system(mount: Mount) -> bool:
    """Whether the machine, or a container, stands on it."""
    return mount.point in (_SYSTEM if mount.pid in (None, 1) else ("/",))


def mounted(mounts: list[Mount], chain: tuple[str, ...], kind: VerdictKind) -> Loss:
    """The loss of a file system, which is mounted here and there."""
    first = mounts[0]
    points = list(dict.fromkeys(mount.point for mount in mounts))
    named = ", ".join(points[:_NAMED])
    if len(points) > _NAMED:
        named += f" and {len(points) - _NAMED} more"
    where = f", for process {first.pid} among others" if first.pid is not None else ""
    return Loss(
        "refused" if _is_system(first) else kind,
        f"{named} {'is' if len(points) == 1 else 'are'} mounted from it ({first.type}){where}",
        (*chain, first.point),
    )
