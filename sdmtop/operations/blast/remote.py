"""File systems and disks that other machines serve: NFS and its like, iSCSI, NVMe over fabrics."""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from sdmtop.model import Record
from sdmtop.operations.blast.mounts import read_mounts
from sdmtop.operations.blast.nvme import Subsystems
from sdmtop.operations.blast.routes import Address, parse_address
from sdmtop.operations.blast.storage import SOURCE, Loss, Storage, mounted
from sdmtop.operations.blast.survey import Survey
from sdmtop.readers.mounts import Mount
from sdmtop.text import line

_SERVED = ("nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs")
_ADDRESSES = ("addr", "ip")
_SESSION = re.compile(r".*/session\d+/")
_FABRICS = (b"tcp", b"rdma")


class Remote(Record, frozen=True):
    """What is lost when an address cannot be reached any more."""

    address: Address
    losses: tuple[Loss, ...]


def read_remotes(survey: Survey) -> list[Remote]:
    """All that this host has from others, by the address that it is served from."""
    return [*_file_systems(survey), *_iscsi(survey), *_nvme(survey)]


def _file_systems(survey: Survey) -> Iterator[Remote]:
    for mounts in survey.once(read_mounts).by_number.values():
        if mounts[0].type in _SERVED:
            for address in _servers(mounts[0]):
                chain = (f"{mounts[0].type} {address}",)
                yield Remote(address, (mounted(mounts, chain, "unsafe"),))


def _servers(mount: Mount) -> set[Address]:
    """The addresses in the options of a mount, else in what is mounted."""
    options = dict(option.partition("=")[::2] for option in mount.options.split(","))
    texts = [options[key] for key in _ADDRESSES if key in options]
    if not texts:
        source = mount.source.removeprefix("//")
        texts = [source.rpartition(":")[0].strip("[]"), source.partition("/")[0], source]
    return {address for text in texts if (address := parse_address(text)) is not None}


def _iscsi(survey: Survey) -> Iterator[Remote]:
    storage = survey.once(Storage)
    for part in survey.parts.get("iscsi_connection", {}).values():
        text = survey.look(SOURCE, part.path, "address")[0]
        address = parse_address(line(text or b""))
        session = _SESSION.match(part.path)
        if address is None or session is None:
            continue
        losses = [
            loss
            for disk, block in storage.blocks.items()
            if block.path.startswith(session[0]) and storage.is_disk(disk)
            for loss in storage.losses(disk, (f"iscsi {address}",))
        ]
        yield Remote(address, tuple(losses))


def _nvme(survey: Survey) -> Iterator[Remote]:
    """Controllers over a network; with another way to the disk, losing one is no loss of root."""
    storage, subsystems = survey.once(Storage), survey.once(Subsystems)
    for part in survey.parts.get("nvme", {}).values():
        transport, text = survey.look(SOURCE, part.path, "transport", "address")
        options = dict(option.partition("=")[::2] for option in line(text or b"").split(","))
        address = parse_address(options.get("traddr", ""))
        if transport not in _FABRICS or address is None:
            continue
        chain = (f"nvme {address}", part.name)
        losses = [
            loss
            for disk, block in storage.blocks.items()
            if block.path.startswith(f"{part.path}/") and storage.is_disk(disk)
            for loss in storage.losses(disk, chain)
        ]
        for head, _ in subsystems.heads(part.name):
            alone = len(subsystems.paths(head)) < 2
            losses += [
                loss if alone or loss.kind != "refused" else replace(loss, kind="unsafe")
                for loss in storage.losses(head, chain)
            ]
        yield Remote(address, tuple(losses))
