"""Mediated devices: types that a parent offers, and instances that exist.

Sources: `/sys/class/mdev_bus/<parent>/mdev_supported_types`, `/sys/bus/mdev/devices`, and the
parents' own directories, where an mdev stays visible while its removal waits for its holder.
"""

from collections.abc import Mapping

from sdmtop.backends.base import Host
from sdmtop.model import MdevType, Sdmdev
from sdmtop.readers.groups import EMULATED, GROUPS
from sdmtop.readers.sdmdev import SDMDEV_CLASS
from sdmtop.readers.sysfs import (
    is_absent,
    name_of,
    natural,
    number,
    number_of,
    target,
    word,
)
from sdmtop.readers.unknowns import Unknowns, count_or_note, names_or_note
from sdmtop.text import fact

_BUS = "/sys/bus/mdev/devices"
_TYPE_FILES = ("name", "device_api", "available_instances", "flags")
_UUID = 36


def read_mdev_types(
    host: Host, unknowns: Unknowns, parents: Mapping[str, str]
) -> tuple[MdevType, ...]:
    """Every type of every parent, by parent and id; `parents` are those of `parent_paths`."""
    found = [
        _read_type(host, unknowns, parent, path, id_)
        for parent, path in parents.items()
        for id_ in names_or_note(host, unknowns, f"{path}/mdev_supported_types", "mdev types")
    ]
    return tuple(sorted(found, key=lambda type_: (natural(type_.parent), natural(type_.id))))


def read_mdevs(host: Host, unknowns: Unknowns, parents: Mapping[str, str]) -> tuple[Sdmdev, ...]:
    """Every instance, by UUID. `state` and `holders` are left for the join.

    `parents` are those of `parent_paths`.
    """
    paths = {}
    for uuid in names_or_note(host, unknowns, _BUS, "mediated devices"):
        try:
            paths[uuid] = target(host, f"{_BUS}/{uuid}")
        except OSError as error:
            unknowns.note_failure(f"{_BUS}/{uuid}", error, "where this mdev is")
    pending = {
        uuid: f"{path}/{uuid}"
        for path in parents.values()
        for uuid in names_or_note(host, unknowns, path, "mediated devices of this parent")
        if _is_uuid(uuid) and uuid not in paths
    }
    every = {**paths, **pending}
    sharing = names_or_note(host, unknowns, SDMDEV_CLASS, "sdmdev parents") if every else ()
    found = [
        _read_mdev(host, unknowns, uuid, path, frozenset(sharing), pending=uuid in pending)
        for uuid, path in every.items()
    ]
    return tuple(sorted(found, key=lambda mdev: mdev.id))


def _read_type(host: Host, unknowns: Unknowns, parent: str, path: str, id_: str) -> MdevType:
    directory = f"{path}/mdev_supported_types/{id_}"
    answers = _look(host, unknowns, directory, _TYPE_FILES, "mdev type")
    name, device_api, available, flags = answers
    file, what = "available_instances", "available_instances of this mdev type"
    instances = names_or_note(host, unknowns, f"{directory}/devices", "instances of this mdev type")
    return MdevType(
        parent=fact(parent),
        id=fact(id_),
        name=word(name),
        device_api=word(device_api),
        available_instances=count_or_note(unknowns, f"{directory}/{file}", available, what),
        flags=word(flags),
        instances=tuple(sorted(map(fact, instances))),
    )


def _read_mdev(
    host: Host,
    unknowns: Unknowns,
    uuid: str,
    path: str,
    sharing: frozenset[str],
    *,
    pending: bool,
) -> Sdmdev:
    parent_path, _, _ = path.rpartition("/")
    parent = parent_path[parent_path.rfind("/") + 1 :]
    links = _look(host, unknowns, path, (), "mdev", links=("mdev_type", "iommu_group"))
    group = number_of(links[1])
    params = _read_params(host, unknowns, f"{path}/params")
    if pending:
        params["removal"] = "pending: it waits for its holder to let go"
    is_sdmdev = parent in sharing
    return Sdmdev(
        id=fact(uuid),
        kind="sdmdev" if is_sdmdev else "mdev",
        parent=fact(parent),
        type=name_of(links[0]),
        group=group,
        state=None,
        domain_of=_shared_domain(host, unknowns, group, parent_path) if is_sdmdev else None,
        pasid=number(params.get("pasid", "")),
        holders=None,
        params=params,
    )


def _shared_domain(
    host: Host, unknowns: Unknowns, group: int | None, parent_path: str
) -> int | None:
    """The parent's group if the sdmdev shares its domain, as the RFC has it.

    The mdev core of today emulates a container instead, and names the group accordingly.
    """
    if group is None:
        return None
    (name,) = _look(host, unknowns, f"{GROUPS}/{group}", ("name",), "whose domain an mdev uses")
    if word(name) == EMULATED or (isinstance(name, OSError) and not is_absent(name)):
        return None
    what = "group of the parent"
    (link,) = _look(host, unknowns, parent_path, (), what, links=("iommu_group",))
    return number_of(link)


def _read_params(host: Host, unknowns: Unknowns, directory: str) -> dict[str, str]:
    files = sorted(names_or_note(host, unknowns, directory, "parameters of this queue"))
    answers = _look(host, unknowns, directory, files, "parameter of this queue") if files else []
    return {
        fact(file): value
        for file, answer in zip(files, answers, strict=True)
        if (value := word(answer)) is not None
    }


def _look(
    host: Host,
    unknowns: Unknowns,
    directory: str,
    files: "tuple[str, ...] | list[str]",
    what: str,
    *,
    links: tuple[str, ...] = (),
) -> "list[bytes | OSError]":
    """`Host.look` whose failures are noted, a directory that is gone included."""
    try:
        answers = host.look(directory, files, links)
    except OSError as error:
        if not is_absent(error):
            unknowns.note(directory, error, what)
        return [error] * (len(files) + len(links))
    for name, answer in zip((*files, *links), answers, strict=True):
        unknowns.note_failure(f"{directory}/{name}", answer, f"{name} of this {what}")
    return answers


def _is_uuid(name: str) -> bool:
    return len(name) == _UUID and all(name[index] == "-" for index in (8, 13, 18, 23))
