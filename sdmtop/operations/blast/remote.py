"""File systems and disks that other machines serve: NFS and its like, iSCSI, NVMe, NBD, AoE."""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from sdmtop.model import Record
from sdmtop.operations.blast.mounts import read_mounts
from sdmtop.operations.blast.nvme import Subsystems
from sdmtop.operations.blast.routes import Address, parse_address
from sdmtop.operations.blast.storage import SOURCE, Loss, Storage
from sdmtop.operations.blast.survey import Part, Survey
from sdmtop.readers.mounts import Mount
from sdmtop.readers.sysfs import number
from sdmtop.text import fact, line

_SERVED = ("nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs")
_ADDRESSES = ("addr", "ip", "mon_addr")
_SESSION = re.compile(r".*/session\d+/")
_FABRICS = (b"tcp", b"rdma")
_UNTOLD = re.compile(r"(nbd|rbd)\d+")
"""Disks of which the kernel does not tell who serves them (drivers/block/nbd.c, rbd.c)."""

_AOE = "etherd!"


class Remote(Record, frozen=True):
    """What is lost when an address, or these interfaces, cannot be reached any more.

    Without either it is not known by which way it comes. `others` are the addresses of other ways
    to the same.
    """

    address: Address | None
    losses: tuple[Loss, ...]
    interfaces: tuple[str, ...] = ()
    others: tuple[Address, ...] = ()


def read_remotes(survey: Survey) -> list[Remote]:
    """All that this host has from others, by the address that it is served from."""
    return [*_file_systems(survey), *_iscsi(survey), *_nvme(survey), *_blocks(survey)]


def _file_systems(survey: Survey) -> Iterator[Remote]:
    storage = survey.once(Storage)
    for system, mounts in survey.once(read_mounts).by_number.items():
        mount = mounts[0]
        if mount.type not in _SERVED:
            continue
        servers = _servers(mount)
        for address in servers:
            chain = (f"{mount.type} {address}",)
            yield Remote(address, tuple(storage.losses_of_system(system, chain)))
        if not servers and mount.type != "9p":  # That one is a share of the hypervisor.
            chain = (f"{mount.type} {mount.source}",)
            yield Remote(None, tuple(storage.losses_of_system(system, chain)))


def _servers(mount: Mount) -> list[Address]:
    """The addresses in the options of a mount, else in what is mounted."""
    options = dict(option.partition("=")[::2] for option in mount.options.split(","))
    texts = [text for key in _ADDRESSES for text in options.get(key, "").split("/") if text]
    if not texts:
        source = mount.source.removeprefix("//")
        # Ceph has several monitors: Documentation/filesystems/ceph.rst.
        texts = [*source.rpartition(":")[0].split(","), source.partition("/")[0], source]
    addresses = (parse_address(_without_port(text)) for text in texts)
    return [*dict.fromkeys(address for address in addresses if address is not None)]


def _without_port(text: str) -> str:
    """The host of `192.0.2.1:6789`, `[2001:db8::1]:6789`, or of an address without a port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _iscsi(survey: Survey) -> Iterator[Remote]:
    storage = survey.once(Storage)
    for part in survey.parts.get("iscsi_connection", {}).values():
        text = survey.look(SOURCE, part.path, "address")[0]
        address = parse_address(line(text or b""))
        session = _SESSION.match(part.path)
        if session is None:
            continue
        losses = [
            loss
            for disk, block in storage.blocks.items()
            if block.path.startswith(session[0]) and storage.is_disk(disk)
            for loss in storage.losses(disk, (f"iscsi {address or part.name}",))
        ]
        yield Remote(address, tuple(losses))


def _nvme(survey: Survey) -> Iterator[Remote]:
    """Controllers over a network; with another way to the disk, losing one is no loss of root."""
    storage, subsystems = survey.once(Storage), survey.once(Subsystems)
    for part in survey.parts.get("nvme", {}).values():
        if survey.look(SOURCE, part.path, "transport")[0] not in _FABRICS:
            continue
        address = _target(survey, part)
        chain = (f"nvme {address}" if address else "nvme", part.name)
        losses = [
            loss
            for disk, block in storage.blocks.items()
            if block.path.startswith(f"{part.path}/") and storage.is_disk(disk)
            for loss in storage.losses(disk, chain)
        ]
        yield Remote(address, tuple(losses))
        for head, _ in subsystems.heads(part.name):
            paths = [path for path in subsystems.paths(head) if path.name != part.name]
            targets = [_target(survey, path) for path in paths]
            others = tuple(target for target in targets if target is not None)
            # A path that is not over a network stays, unless its own device goes.
            stays = any(
                target is None and not subsystems.goes(path)
                for path, target in zip(paths, targets, strict=True)
            )
            head_losses = (
                replace(loss, kind="unsafe") if stays and loss.kind == "refused" else loss
                for loss in storage.losses(head, chain)
            )
            yield Remote(address, tuple(head_losses), others=others)


def _target(survey: Survey, controller: Part) -> Address | None:
    """The address at which a controller is reached; None for one that is no matter of routes."""
    text = survey.look(SOURCE, controller.path, "address")[0]
    options = dict(option.partition("=")[::2] for option in line(text or b"").split(","))
    return parse_address(options.get("traddr", ""))


def _blocks(survey: Survey) -> Iterator[Remote]:
    """Disks that tell no address: of AoE at least the interfaces (drivers/block/aoe/aoeblk.c)."""
    storage = survey.once(Storage)
    for disk, part in storage.blocks.items():
        is_aoe = disk.startswith(_AOE)
        if not (is_aoe or _UNTOLD.fullmatch(disk)) or not storage.is_disk(disk):
            continue
        size, netif = survey.look(SOURCE, part.path, "size", "netif")
        if number(size or b"") == 0:  # One that is not connected.
            continue
        interfaces = tuple(fact(one) for one in (netif or b"").split(b",") if one)
        kind = "AoE" if is_aoe else disk.rstrip("0123456789")
        losses = tuple(storage.losses(disk, (kind,)))
        yield Remote(None, losses, interfaces if is_aoe else ())
