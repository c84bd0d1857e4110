"""How the operator reaches this host: the terminals and connections of our own ancestors."""

import os
from ipaddress import IPv6Address

from msgspec.structs import replace

from sdmtop.model import Record
from sdmtop.operations.blast.lazy import lazy
from sdmtop.operations.blast.routes import (
    Address,
    Connection,
    parse_address,
    parse_if_inet6,
    parse_tcp,
    scoped,
)
from sdmtop.operations.blast.survey import Survey
from sdmtop.readers.mounts import LARGEST
from sdmtop.readers.sysfs import is_absent, number
from sdmtop.text import line

SOURCE = "session"

_SSH = b"SSH_CONNECTION="
_SSH_PORT = 22
_MULTIPLEXERS = ("tmux", "screen", "zellij", "dtach", "abduco")
_SERVERS = ("sshd", "dropbear")
_SOCKET = b"socket:["
_DEEPEST = 64


class Ancestor(Record, frozen=True):
    """A process above ours, or ours: its name, and the number of its terminal (0: none)."""

    pid: int
    name: str
    parent: int
    terminal: int


class Session:
    """The operator's session, as far as it can be told.

    On a host that is not the one we run on there is none; where `/proc/self` was not captured,
    that is a doubt.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self.ancestors = self._ancestors()

    @property
    def terminals(self) -> frozenset[int]:
        """`st_rdev` of the terminals that we were started from."""
        return frozenset(one.terminal for one in self.ancestors if one.terminal)

    @lazy
    def mine(self) -> dict[Address, str]:
        """Where the operator sits, each with how that is known; also where that may only be."""
        found = dict.fromkeys(self._named, "SSH_CONNECTION")
        for connection in self._connections:
            if connection.inode in self._inodes:
                found[connection.remote] = "a connection of our own ancestors"
        found = {address: how for address, how in found.items() if not address.is_loopback}
        if self._is_multiplexed or (self._by_pty and not found):
            # Behind tmux or screen nobody tells whose terminal shows us: it may be any.
            for address in self.others:
                found[address] = "an ssh session, which may be yours"
        return found

    @lazy
    def others(self) -> frozenset[Address]:
        """The far ends of all incoming ssh connections."""
        ports = {_SSH_PORT, *self._named.values()}
        return frozenset(
            connection.remote
            for connection in self._connections
            if (connection.port in ports or connection.inode in self._served)
            and not connection.remote.is_loopback
        )

    @lazy
    def _served(self) -> frozenset[int]:
        """The sockets of ssh servers, which may listen on any port."""
        found: set[int] = set()
        for pid in filter(str.isdecimal, self._survey.names(SOURCE, "/proc")):
            if self._survey.enough():
                self._survey.say_doubt(SOURCE, "not all processes were looked at: out of time")
                break
            try:
                name = line(self._survey.host.read(f"/proc/{pid}/comm"))
            except OSError as error:
                self._doubt_unless_refused(f"/proc/{pid}/comm", error)
                continue
            if name.startswith(_SERVERS):
                found |= self._sockets(pid)
        return frozenset(found)

    @property
    def _is_multiplexed(self) -> bool:
        return any(one.name.startswith(_MULTIPLEXERS) for one in self.ancestors)

    @property
    def _by_pty(self) -> bool:
        """Whether our terminal is none of the machine's own."""
        return any(os.major(terminal) in range(136, 144) for terminal in self.terminals)

    @lazy
    def _connections(self) -> list[Connection]:
        return [
            self._with_scope(connection)
            for table in ("tcp", "tcp6")
            for connection in parse_tcp(
                self._survey.read(SOURCE, f"/proc/net/{table}", optional=table == "tcp6")
            )
        ]

    def _with_scope(self, connection: Connection) -> Connection:
        """Of a link-local connection no table tells the interface: our own address there does."""
        if not connection.local.is_link_local:
            return connection
        names = [name for name, address in self._ours if address == connection.local]
        if len(names) != 1:
            return connection
        return replace(connection, remote=scoped(connection.remote, names[0]))

    @lazy
    def _ours(self) -> list[tuple[str, IPv6Address]]:
        return parse_if_inet6(self._survey.read(SOURCE, "/proc/net/if_inet6", optional=True))

    @lazy
    def _named(self) -> dict[Address, int]:
        """Far end -> near port of each `SSH_CONNECTION` in the environment of an ancestor."""
        found = {}
        for one in self.ancestors:
            try:
                environment = self._survey.host.read(f"/proc/{one.pid}/environ", LARGEST)
            except OSError as error:
                # Another user's: sshd's itself, which knows it by its socket.
                self._doubt_unless_refused(f"/proc/{one.pid}/environ", error)
                continue
            for entry in environment.split(b"\0"):
                if entry.startswith(_SSH):
                    words = line(entry[len(_SSH) :]).split()
                    address = parse_address(words[0]) if len(words) == 4 else None
                    if address is not None:
                        found[address] = number(words[3]) or _SSH_PORT
        return found

    @lazy
    def _inodes(self) -> frozenset[int]:
        """The sockets of our ancestors."""
        return frozenset(inode for one in self.ancestors for inode in self._sockets(str(one.pid)))

    def _sockets(self, pid: str) -> set[int]:
        directory = f"/proc/{pid}/fd"
        try:
            links = self._survey.host.look(directory, (), self._survey.host.list(directory))
        except OSError as error:
            # Another user's: sshd's; SSH_CONNECTION then tells.
            self._doubt_unless_refused(directory, error)
            return set()
        return {
            number(link[len(_SOCKET) : -1]) or 0
            for link in links
            if isinstance(link, bytes) and link.startswith(_SOCKET)
        }

    def _doubt_unless_refused(self, path: str, error: OSError) -> None:
        if not (is_absent(error) or isinstance(error, PermissionError)):
            self._survey.doubt(SOURCE, path, error)

    def _ancestors(self) -> tuple[Ancestor, ...]:
        """Ours, and those above it, from `/proc/PID/stat`."""
        found: list[Ancestor] = []
        pid: str | int = "self"
        while len(found) < _DEEPEST:
            try:
                stat = self._survey.host.read(f"/proc/{pid}/stat")
            except OSError as error:
                if not found and (self._survey.host.backend == "linux" or not is_absent(error)):
                    self._survey.doubt(SOURCE, f"/proc/{pid}/stat", error)
                break
            one = parse_stat(stat)
            if one is None:
                self._survey.say_doubt(SOURCE, f"/proc/{pid}/stat has another form")
                break
            found.append(one)
            if one.parent <= 0:
                break
            pid = one.parent
        if not found and self._survey.host.backend == "capture":
            self._survey.say_doubt(SOURCE, "a capture does not tell whose session it is")
        return tuple(found)


def parse_stat(text: bytes) -> Ancestor | None:
    """`/proc/PID/stat`: a name may contain blanks and brackets of its own."""
    head, _, tail = text.rpartition(b")")
    pid, _, name = head.partition(b"(")
    fields = tail.split()
    numbers = [number(field) for field in (pid, *fields[1:2], *fields[4:5])]
    if len(numbers) < 3 or any(value is None for value in numbers):
        return None
    own, parent, terminal = (value or 0 for value in numbers)
    return Ancestor(own, line(name), parent, _terminal(terminal))


def _terminal(value: int) -> int:
    """`tty_nr` as `st_rdev`: the kernel's new encoding, minor in bits 0-7 and 20-31."""
    value &= 0xFFFFFFFF
    major, minor = value >> 8 & 0xFFF, (value & 0xFF) | (value >> 12 & 0xFFF00)
    return os.makedev(major, minor) if value else 0
