"""Routes, addresses and connections of our network namespace, as /proc/net prints them."""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sdmtop.model import Record
from sdmtop.readers.sysfs import number
from sdmtop.text import fact, line

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ESTABLISHED = b"01"
_UP, _REJECT = 0x1, 0x200


class Route(Record, frozen=True):
    """A way to a network through an interface; the smaller `metric` is preferred."""

    interface: str
    network: Network
    metric: int


class Connection(Record, frozen=True):
    """An established TCP connection; `inode` is that of its socket."""

    local: Address
    port: int
    remote: Address
    inode: int


def parse_route(text: bytes) -> list[Route]:
    """`/proc/net/route`: words in the order of the CPU's bytes; other lines are left out."""
    found = []
    for row in text.split(b"\n")[1:]:
        fields = row.split()
        if len(fields) < 8:
            continue
        destination, mask = _ipv4(fields[1]), _ipv4(fields[7])
        flags, metric = number(fields[3], 16), number(fields[6])
        if destination is None or mask is None or flags is None or not flags & _UP:
            continue
        if not flags & _REJECT and (network := _network(destination, str(mask))):
            found.append(Route(fact(fields[0]), network, metric or 0))
    return found


def parse_ipv6_route(text: bytes) -> list[Route]:
    """`/proc/net/ipv6_route`; other lines are left out."""
    found = []
    for row in text.split(b"\n"):
        fields = row.split()
        if len(fields) < 10:
            continue
        destination, length = _ipv6(fields[0]), number(fields[1], 16)
        metric, flags = number(fields[5], 16), number(fields[8], 16)
        if destination is None or length is None or metric is None or flags is None:
            continue
        usable = flags & _UP and not flags & _REJECT
        if usable and (network := _network(destination, str(length))):
            found.append(Route(fact(fields[9]), network, metric))
    return found


def parse_if_inet6(text: bytes) -> list[tuple[str, IPv6Address]]:
    """Interface and address of each line of `/proc/net/if_inet6`."""
    found = []
    for row in text.split(b"\n"):
        fields = row.split()
        if len(fields) == 6 and (address := _ipv6(fields[0])):
            found.append((fact(fields[5]), address))
    return found


def parse_local_ipv4(text: bytes) -> list[IPv4Address]:
    """The addresses that are ours in `/proc/net/fib_trie`: those followed by `host LOCAL`."""
    found: dict[IPv4Address, None] = {}
    address = ""
    for row in text.split(b"\n"):
        word = line(row)
        if word.startswith("|-- "):
            address = word[4:]
        elif word == "/32 host LOCAL":
            try:
                found[IPv4Address(address)] = None
            except ValueError:
                continue
    return [*found]


def parse_tcp(text: bytes) -> Iterator[Connection]:
    """The established connections of `/proc/net/tcp` or `tcp6`."""
    for row in text.split(b"\n")[1:]:
        fields = row.split()
        if len(fields) < 10 or fields[3] != ESTABLISHED:
            continue
        local, port = _endpoint(fields[1])
        remote, _ = _endpoint(fields[2])
        inode = number(fields[9])
        if local is not None and remote is not None and inode is not None:
            yield Connection(local, port, remote, inode)


def parse_address(text: str) -> Address | None:
    """An address as a program spells it, with its scope (`fe80::1%eth0`); else None."""
    try:
        return plain(ip_address(text))
    except ValueError:
        return None


def plain(address: Address) -> Address:
    """The IPv4 address in an IPv6 one that only stands for it."""
    return getattr(address, "ipv4_mapped", None) or address


def scope_of(address: Address) -> str | None:
    """The interface by which alone a link-local address is reached, if it is told (RFC 4007)."""
    return address.scope_id if isinstance(address, IPv6Address) else None


def scoped(address: Address, interface: str) -> Address:
    """A link-local IPv6 address, reached by an interface; others as they are."""
    if isinstance(address, IPv6Address) and address.is_link_local:
        return parse_address(f"{address}%{interface}") or address
    return address


def ways(routes: list[Route], address: Address) -> list[Route]:
    """The routes that could carry what goes to an address, the one that does first."""
    scope = scope_of(address)
    fitting = [
        route for route in routes if address in route.network and scope in (None, route.interface)
    ]
    return sorted(fitting, key=lambda route: (-route.network.prefixlen, route.metric))


def _endpoint(field: bytes) -> tuple[Address | None, int]:
    address, _, port = field.partition(b":")
    if len(address) == 8:
        return _ipv4(address), number(port, 16) or 0
    if len(address) != 32:
        return None, 0
    words = [number(address[start : start + 8], 16) for start in range(0, 32, 8)]
    data = b"".join((word or 0).to_bytes(4, sys.byteorder) for word in words)
    return plain(IPv6Address(data)), number(port, 16) or 0


def _ipv4(digits: bytes) -> IPv4Address | None:
    value = number(digits, 16)
    if value is None or not 0 <= value < 1 << 32:
        return None
    return IPv4Address(value.to_bytes(4, sys.byteorder))


def _ipv6(digits: bytes) -> IPv6Address | None:
    try:
        return IPv6Address(int(digits, 16)) if len(digits) == 32 else None
    except ValueError:
        return None


def _network(address: Address, length: str) -> Network | None:
    try:
        return ip_network(f"{address}/{length}", strict=False)
    except ValueError:
        return None
