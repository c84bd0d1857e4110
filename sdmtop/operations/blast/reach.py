"""Which devices lose their drivers when some do: these, and what cannot do without them."""

from sdmtop.backends.base import Host
from sdmtop.errors import sentence
from sdmtop.lookup import devices_of
from sdmtop.model import Device, Record, Snapshot
from sdmtop.operations.plan import Verdict, VerdictKind
from sdmtop.readers.sysfs import follow, is_absent, natural
from sdmtop.text import fact

_CONSUMER = "consumer:"
_UNTRACKED = b"not tracked"


class Touched(Record, frozen=True):
    """A device that is to leave its driver. `by` leads to it from one that was asked for.

    `doubt` is why it cannot be told what else goes with it.
    """

    address: str
    path: str
    driver: str | None
    class_: str | None
    by: tuple[str, ...]
    doubt: str | None = None

    def verdict(self, kind: VerdictKind, sentence: str, *evidence: str) -> Verdict:
        """A verdict about this device; `evidence` goes on from it."""
        return Verdict(
            kind=kind,
            subject=self.address,
            sentence=sentence,
            evidence=(*self.by, self.address, *evidence),
        )

    def is_of_class(self, *prefixes: str) -> bool:
        """Whether its PCI class begins with one of these digits: `02` or `0604`."""
        return self.class_ is not None and self.class_.removeprefix("0x").startswith(prefixes)


def reach(host: Host, snapshot: Snapshot, addresses: tuple[str, ...]) -> tuple[Touched, ...]:
    """The devices of these addresses, their virtual functions, what is behind them, and consumers.

    A driver that lets a physical function go takes its virtual ones away; what is behind a bridge
    loses its way to memory; and the kernel unbinds the consumers of a device link first
    (`consumer:*`, drivers/base/core.c), unless the link is not tracked. Addresses that the
    snapshot does not have are left out. Raises nothing.
    """
    known = devices_of(snapshot)
    by_path = {device.path: device for device in snapshot.devices}
    found: dict[str, Touched] = {}
    todo: list[tuple[Device, tuple[str, ...]]] = [
        (known[address], ()) for address in addresses if address in known
    ]
    while todo:
        device, by = todo.pop(0)
        if device.address in found:
            continue
        consumers, doubt = _consumers(host, device.path)
        found[device.address] = Touched(
            device.address, device.path, device.driver, device.class_, by, doubt
        )
        by = (*by, device.address)
        below = f"{device.path}/"
        todo += [
            (other, by)
            for other in snapshot.devices
            if other.physfn == device.address or other.path.startswith(below)
        ]
        for path in consumers:
            if path in by_path:
                todo.append((by_path[path], by))
            else:
                name = path[path.rfind("/") + 1 :]
                found[path] = Touched(name, path, None, None, by)
    return tuple(sorted(found.values(), key=lambda one: (bool(one.by), natural(one.address))))


def _consumers(host: Host, path: str) -> tuple[list[str], str | None]:
    """The devices that the kernel unbinds before this one; and why they may not be all."""
    found = []
    try:
        for name in host.list(path):
            if name.startswith(_CONSUMER):
                link = follow(path, host.readlink(f"{path}/{name}"))
                status, early = host.look(link, ("status", "sync_state_only"))
                if isinstance(status, OSError):
                    raise status
                if status.strip() != _UNTRACKED and early != b"1\n":
                    found.append(fact(follow(link, host.readlink(f"{link}/consumer"))))
    except OSError as error:
        if not is_absent(error):  # A device or a link that has gone meanwhile.
            return found, sentence(fact(error.filename or path), error)
    return found, None
