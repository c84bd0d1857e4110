"""A plan: what would be done to a host, in which order, and how each step is checked and undone.

Plans are records, so that what was shown, what runs and what the journal holds is the same thing.
They are made by pure functions of a Snapshot and what is read of the Host; only
`operations.execute` carries one out.
"""

from __future__ import annotations

from typing import Literal

from sdmtop.model import Record

VerdictKind = Literal["safe", "unsafe", "unknown", "refused"]
WORST_FIRST: tuple[VerdictKind, ...] = ("refused", "unknown", "unsafe", "safe")
FactKind = Literal["link", "text", "cpus", "names", "count", "exists", "config", "status", "open"]
Operation = Literal[
    "attach", "detach", "create", "remove", "domain-type", "affinity", "reset", "sriov", "undo",
    "selftest",
]  # fmt: skip


class Verdict(Record, frozen=True):
    """What a plan would cost in one respect, and how that is known.

    `subject` is the TARGET that it is about. `safe`: was looked at, and nothing stands against
    it. `unsafe`: in use; what is to be done must be typed in full. `unknown`: could not be told,
    which counts as unsafe. `refused`: no confirmation helps. `evidence` leads from the subject to
    what would be lost, each a path or a fact: `/sys/block/sda`, `sda1`, `md0`, `/`.
    """

    kind: VerdictKind
    subject: str
    sentence: str
    evidence: tuple[str, ...] = ()


ANY = "*"
"""The value of a `Fact` that may be anything, or nothing: the kernel decides."""


class Fact(Record, frozen=True):
    """Something that can be read again at any time: what `path` is said to be.

    `value` is None for what is not there. By `kind`: `link` is the last part of a symbolic
    link's target, `text` the one line of a file, `cpus` the same as a set of numbers (`0-3,8`),
    `names` the names in a directory (sorted, with blanks between), `count` how many names in
    the directory of `path` begin with its last part, `exists` is "yes" for what is there,
    `config` the ids and the class in PCI configuration space (`8086:10d3 class 020000`). Of a
    kept node, whose name is then the path: `open` is "yes" while it is, `status` is what VFIO
    says of a group.
    """

    kind: FactKind
    path: str
    value: str | None


class Write(Record, frozen=True, tag="write"):
    """Text written to a file, as `echo -n` would; it may hang, so it gets its own process."""

    path: str
    data: str


class Load(Record, frozen=True, tag="load"):
    """A kernel module, loaded as `modprobe` does."""

    module: str


class Open(Record, frozen=True, tag="open"):
    """A node that is opened, and kept open under a name for the calls that follow."""

    node: str
    path: str


class Call(Record, frozen=True, tag="call"):
    """An ioctl of a kept node, by the kernel's name for it.

    `argument` is a number, a text, or the name of another kept node; `result` is the name under
    which a descriptor that it returns is kept.
    """

    node: str
    request: str
    argument: str | int | None = None
    result: str | None = None


class Close(Record, frozen=True, tag="close"):
    """A kept node that is closed."""

    node: str


Action = Write | Load | Open | Call | Close


class Step(Record, frozen=True):
    """One change of the host.

    `before` must hold when it begins, `after` when it has ended: success of a write proves
    nothing. `inverse` undoes it, None where nothing can or nothing need. Undone, `after` is what
    must hold first, and `before` what must hold then. `subject` is the device or queue that it
    is about.
    """

    subject: str
    title: str
    inverse_title: str
    action: Action
    before: tuple[Fact, ...]
    after: tuple[Fact, ...]
    inverse: Action | None


class Plan(Record, frozen=True, kw_only=True):
    """Ordered steps for all targets, with what they cost.

    `command` is the command line of sdmtop that makes the same plan. `locks` are the groups and
    devices that nobody else may operate on meanwhile. `identity` is what the devices of these
    groups are: it is read again before each step, as it should be by then. `decisions` say of
    every other device of the groups what becomes of it. `equivalents` are the commands of known
    tools that do the same. `notes` are what an operator should know besides. `undoes` is the
    number in the journal of the plan that this one undoes, `finishes` of the one of which it does
    the rest.
    """

    operation: Operation
    targets: tuple[str, ...]
    command: str
    locks: tuple[str, ...]
    identity: tuple[Fact, ...]
    decisions: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    steps: tuple[Step, ...]
    equivalents: tuple[str, ...]
    notes: tuple[str, ...] = ()
    undoes: int | None = None
    finishes: int | None = None

    @property
    def phrase(self) -> str:
        """What is typed in full to go on with a plan about which there are doubts."""
        return " ".join(self.targets)

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        """Why it cannot be carried out, whatever the operator says."""
        return tuple(verdict for verdict in self.verdicts if verdict.kind == "refused")

    @property
    def doubts(self) -> tuple[Verdict, ...]:
        """Why its targets have to be typed in full."""
        return tuple(verdict for verdict in self.verdicts if verdict.kind in ("unsafe", "unknown"))
