"""Network interfaces: what is reached through them, the operator's own session first of all.

Only our own network namespace can be seen: an interface that was moved into another one is gone
from here, and nobody tells where it is.
"""

from collections.abc import Iterator
from typing import Literal

from sdmtop.model import Record
from sdmtop.operations.blast.reach import Touched
from sdmtop.operations.blast.remote import Remote, read_remotes
from sdmtop.operations.blast.routes import (
    Address,
    Route,
    parse_if_inet6,
    parse_ipv6_route,
    parse_local_ipv4,
    parse_route,
    scope_of,
    ways,
)
from sdmtop.operations.blast.session import SOURCE as SESSION
from sdmtop.operations.blast.session import Session
from sdmtop.operations.blast.survey import Survey
from sdmtop.operations.plan import Verdict
from sdmtop.readers.groups import is_vfio
from sdmtop.readers.sysfs import number
from sdmtop.text import fact, line

CLASSES = frozenset({"net"})
SOURCE = "network"

_UP = 0x1  # IFF_UP, include/uapi/linux/if.h
_DEAD = (b"down", b"lowerlayerdown", b"notpresent", b"dormant")
"""What `operstate` says of an interface over which nothing goes (RFC 2863)."""

_NAMED = 4


def verdicts(survey: Survey, device: Touched) -> Iterator[Verdict]:
    """What would be cut off with the interfaces of a device."""
    parts = survey.parts_of(device, "net")
    if not parts:
        if device.is_of_class("02") and device.driver and not is_vfio(device.driver):
            sentence = "no interface of it is in this network namespace: it may be in another"
            yield device.verdict("unknown", sentence, device.driver)
        return
    network = survey.once(Networks)
    in_use = False
    for part in parts:
        for verdict in network.of(device, part.name):
            in_use = in_use or verdict.kind != "safe"
            yield verdict
    yield from survey.doubts(device, "what its interfaces carry", "classes", SOURCE)
    if in_use:
        yield from survey.doubts(device, "whether your session goes through it", SESSION)


class Upper(Record, frozen=True):
    """An interface on top of others: `chain` leads to it, `kept_by` stay below it."""

    name: str
    chain: tuple[str, ...]
    kept_by: tuple[str, ...]


class Networks:
    """The interfaces and routes of our network namespace, and which of them go."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._interfaces = survey.parts.get("net", {})
        read = survey.read
        self._routes: list[Route] = [
            *parse_route(read(SOURCE, "/proc/net/route")),
            *parse_ipv6_route(read(SOURCE, "/proc/net/ipv6_route", optional=True)),
        ]
        self._addresses = self._read_addresses()
        self._listings: dict[str, list[str]] = {}
        self._working: dict[str, bool] = {}
        own = [name for name, part in self._interfaces.items() if survey.owner(part.path)]
        self._uppers: dict[str, list[Upper]] = {name: [] for name in own}
        self._lost = set(own)
        while self._climb(own):
            pass

    def of(self, device: Touched, name: str) -> Iterator[Verdict]:
        """The verdicts on an interface of a touched device."""
        up = self._is_up(name)
        uppers = self._uppers[name]
        gone = [name, *(upper.name for upper in uppers if not upper.kept_by)]
        chains = {name: (name,), **{upper.name: upper.chain for upper in uppers}}
        # Of those that go because several devices go, each device is told.
        for interface in gone:
            yield from self._sessions(device, interface, chains[interface])
            yield from self._far(device, interface, chains[interface])
        for upper in uppers:
            if upper.kept_by:
                rest = ", ".join(upper.kept_by)
                sentence = f"{self._label(upper.name)} loses {name}; {rest} stays below it"
                yield device.verdict("unsafe", sentence, *upper.chain)
        if up is None:
            return  # A doubt, which says why.
        if not up and not uppers:
            yield device.verdict("safe", f"{name} is down", name, f"/sys/class/net/{name}/flags")
            return
        state = "up" if up else "down"
        carried = [detail for interface in gone for detail in self._carries(interface)]
        last = gone[-1]
        on = f" below {', '.join(self._label(upper.name) for upper in uppers)}" if uppers else ""
        what = f"; {'; '.join(carried)}" if carried else ""
        yield device.verdict("unsafe", f"{name} is {state}{on}{what}", *chains[last], *carried)

    # -- what goes through -------------------------------------------------------------------

    def _sessions(
        self, device: Touched, interface: str, chain: tuple[str, ...]
    ) -> Iterator[Verdict]:
        session = self._survey.once(Session)
        for address, how in session.mine.items():
            route, rest = self._way(address)
            near = self._near(address)
            if interface in near and len(near) > 1:
                sentence = (
                    f"your session from {address} ({how}) comes from a neighbour, of "
                    f"{', '.join(near)} nobody tells which: it may go through {interface}"
                )
                yield device.verdict("unknown", sentence, *chain, str(address))
            elif len(near) > 1:
                continue
            elif route is None:
                sentence = f"no route to {address} ({how}) is known: it may go through {interface}"
                yield device.verdict("unknown", sentence, *chain, str(address))
            elif route.interface == interface:
                end = (*chain, f"route to {route.network}", str(address))
                if rest:
                    yield self._other_way(device, address, rest, end)
                else:
                    sentence = f"the last route to your own session, from {address} ({how})"
                    yield device.verdict("refused", sentence, *end)
            elif self._hides(route.interface):
                sentence = (
                    f"your session from {address} comes in through {route.interface}, and what "
                    "carries that cannot be told"
                )
                yield device.verdict("unknown", sentence, *chain, route.interface)
        for address in session.others - session.mine.keys():
            route, _ = self._way(address)
            if route is not None and interface in (route.interface, *self._near(address)):
                sentence = f"an ssh session from {address} comes in here"
                yield device.verdict("unsafe", sentence, *chain, str(address))

    def _near(self, address: Address) -> list[str]:
        """The interfaces by which a link-local address could be reached, if its own is not told."""
        if address.version == 4 or not address.is_link_local or scope_of(address):
            return []
        return [*dict.fromkeys(route.interface for route in ways(self._routes, address))]

    def _other_way(
        self, device: Touched, address: Address, rest: list[Route], end: tuple[str, ...]
    ) -> Verdict:
        """That a session has a second route; `unknown` where that goes through a tunnel."""
        shown = [route.interface for route in rest if not self._hides(route.interface)]
        left = f"your session comes in here; another route to {address} is left, through "
        if shown:
            return device.verdict("unsafe", f"{left}{shown[0]}", *end)
        hidden = f"{left}{rest[0].interface}, and what carries that cannot be told"
        return device.verdict("unknown", hidden, *end)

    def _far(self, device: Touched, interface: str, chain: tuple[str, ...]) -> Iterator[Verdict]:
        """File systems and disks of other machines."""
        for remote in self._survey.once(read_remotes):
            way = self._leads_to(remote, interface)
            for loss in remote.losses:
                if way is None or loss.kind == "safe":
                    continue
                kind, sentence = loss.kind, loss.sentence
                if way == "hidden":
                    if len(chain) > 1:
                        continue  # Said of the interface below it.
                    kind, sentence = (
                        "unknown",
                        f"{interface} may lead to {loss.chain[0]}: {sentence}",
                    )
                elif way == "one of several" and kind == "refused":
                    kind = "unsafe"
                yield device.verdict(kind, sentence, *chain, *loss.chain)

    def _leads_to(
        self, remote: Remote, interface: str
    ) -> Literal["the last", "one of several", "hidden"] | None:
        """What way an interface is to another machine; `hidden` where it may be one."""
        if remote.interfaces:
            if interface not in remote.interfaces:
                return None
            left = [one for one in remote.interfaces if one not in self._lost and self._works(one)]
            return "one of several" if left else "the last"
        if remote.address is not None and remote.address.is_loopback:
            return None
        route, rest = self._way(remote.address) if remote.address else (None, [])
        if route is None or self._hides(route.interface):
            return "hidden" if self._works(interface) else None
        if route.interface != interface:
            return None
        if any(not self._hides(other.interface) for other in rest) or any(
            self._stays_near(other) for other in remote.others
        ):
            return "one of several"
        return "hidden" if rest else "the last"

    def _stays_near(self, address: Address) -> bool:
        """Whether an address is still reached when what is touched is gone."""
        route, rest = self._way(address)
        ways_left = [route, *rest] if route else []
        return any(
            one.interface not in self._lost
            and self._works(one.interface)
            and not self._hides(one.interface)
            for one in ways_left
        )

    def _carries(self, interface: str) -> list[str]:
        """Addresses and routes of an interface, for a sentence."""
        routes = [route for route in self._routes if route.interface == interface]
        found = [str(address) for address in self._addresses.get(interface, ())]
        if any(route.network.prefixlen == 0 for route in routes):
            found.append("the default route")
        nets = dict.fromkeys(
            str(route.network)
            for route in routes
            if 0 < route.network.prefixlen < route.network.max_prefixlen
            and not (route.network.is_link_local or route.network.is_multicast)
        )
        found += [f"the route to {net}" for net in [*nets][:_NAMED]]
        if len(nets) > _NAMED:
            found.append(f"{len(nets) - _NAMED} more routes")
        return found

    def _way(self, address: Address) -> tuple[Route | None, list[Route]]:
        """The route to an address, and those as good that are left when what is touched is gone.

        A wider one is no substitute: that the rest of the world is still reached says nothing of
        a neighbour. Nor is one over an interface that has no carrier or is down.
        """
        found = ways(self._routes, address)
        if not found:
            return None, []
        left = [
            route
            for route in found
            if route.network == found[0].network
            and route.interface not in self._lost
            and self._works(route.interface)
        ]
        return found[0], left

    # -- interfaces --------------------------------------------------------------------------

    def _climb(self, own: list[str]) -> bool:
        """Find what stands on the interfaces that go; whether more is lost than before."""
        before = len(self._lost)
        for name in own:
            found: dict[str, Upper] = {}
            todo: list[tuple[str, tuple[str, ...]]] = [(name, (name,))]
            while todo:
                below, chain = todo.pop()
                for upper in self._links(below, "upper_"):
                    if upper in found or upper in chain:
                        continue
                    way = (*chain, self._label(upper))
                    kept_by = self._kept_by(upper, below)
                    found[upper] = Upper(upper, way, kept_by)
                    if not kept_by:
                        self._lost.add(upper)
                        todo.append((upper, way))
            self._uppers[name] = [*found.values()]
        return len(self._lost) > before

    def _kept_by(self, upper: str, lower: str) -> tuple[str, ...]:
        """The interfaces that still carry an upper one without this lower one.

        One leg of a bond or team stands for another. The ports of a bridge do not: each leads to
        others, and only of one that works not it is known that nothing comes through it.
        """
        if not self._has_legs(upper) and self._works(lower):
            return ()
        return tuple(
            other
            for other in self._links(upper, "lower_")
            if other not in self._lost and self._leads_out(other) and self._works(other)
        )

    def _has_legs(self, name: str) -> bool:
        """Whether it is a bond, or a team, which has no type (drivers/net/team/team.c)."""
        return self._type(name) in ("bond", None)

    def _works(self, name: str) -> bool:
        """Whether an interface is up and has a carrier; one that does not tell counts, too."""
        if name not in self._working:
            self._working[name] = self._is_working(name)
        return self._working[name]

    def _is_working(self, name: str) -> bool:
        part = self._interfaces.get(name)
        if part is None or self._is_up(name) is False:
            return False  # Nor does `carrier` answer while it is down.
        state, carrier = self._survey.look(SOURCE, part.path, "operstate", "carrier")
        if state is None:
            self._survey.say_doubt(SOURCE, f"/sys/class/net/{fact(name)}/operstate is not there")
        return state not in _DEAD and carrier != b"0"

    def _leads_out(self, name: str, deep: int = 8) -> bool:
        """Whether an interface, or one below it, is a piece of hardware."""
        listing = self._listing(name)
        return "device" in listing or (
            deep > 0
            and any(self._leads_out(lower, deep - 1) for lower in self._links(name, "lower_"))
        )

    def _hides(self, name: str) -> bool:
        """Whether an interface, as that of a tunnel, does not tell what carries it."""
        return name not in self._lost and name != "lo" and not self._leads_out(name)

    def _links(self, name: str, prefix: str) -> list[str]:
        return sorted(
            entry.removeprefix(prefix) for entry in self._listing(name) if entry.startswith(prefix)
        )

    def _listing(self, name: str) -> list[str]:
        if name not in self._listings:
            part = self._interfaces.get(name)
            self._listings[name] = self._survey.names(SOURCE, part.path) if part else []
        return self._listings[name]

    def _is_up(self, name: str) -> bool | None:
        text = self._survey.look(SOURCE, self._interfaces[name].path, "flags")[0]
        flags = number(text or b"", 16)
        if flags is None:
            self._survey.say_doubt(SOURCE, f"/sys/class/net/{fact(name)}/flags tells nothing")
        return None if flags is None else bool(flags & _UP)

    def _label(self, name: str) -> str:
        """An interface for a person, with its type: `bond0 (bond)`."""
        type_ = self._type(name)
        return f"{name} ({type_})" if type_ else name

    def _type(self, name: str) -> str | None:
        """What kind of interface it is (DEVTYPE of `uevent`): `bond`, `bridge`, `vlan`."""
        part = self._interfaces.get(name)
        text = self._survey.look(SOURCE, part.path, "uevent")[0] if part else None
        for row in (text or b"").split(b"\n"):
            if row.startswith(b"DEVTYPE="):
                return line(row[8:])
        return None

    def _read_addresses(self) -> dict[str, list[Address]]:
        """The addresses of each interface; those of IPv4 by the network that they are in."""
        found: dict[str, list[Address]] = {}
        read = self._survey.read
        for ours in parse_local_ipv4(read(SOURCE, "/proc/net/fib_trie", optional=True)):
            near = ways(self._routes, ours)
            if near and near[0].network.prefixlen and not ours.is_loopback:
                found.setdefault(near[0].interface, []).append(ours)
        for name, address in parse_if_inet6(read(SOURCE, "/proc/net/if_inet6", optional=True)):
            if not address.is_link_local:
                found.setdefault(name, []).append(address)
        return found
