"""Plans on captured hosts: nothing can be done there, and everything can be planned."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sdmtop.backends.base import Host, open_host
from sdmtop.operations.plan import Load, Plan, Write
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from sdmtop.model import Snapshot

BUSY = "guest-6.12-intel-busy"
PLAIN = "debian-6.1-intel-plain"


@cache
def captured(name: str) -> tuple[Host, Snapshot]:
    host = open_host(f"capture:tests/trees/{name}.tar.xz")
    return host, read_snapshot(host)


def writes(plan: Plan) -> list[tuple[str, str]]:
    """(last two parts of the path, data) of each write; a module is `("modprobe", name)`."""
    found = []
    for step in plan.steps:
        if isinstance(step.action, Write):
            found.append(("/".join(step.action.path.split("/")[-2:]), step.action.data))
        elif isinstance(step.action, Load):
            found.append(("modprobe", step.action.module))
    return found


def refusals(plan: Plan) -> list[str]:
    return [f"{verdict.subject}: {verdict.sentence}" for verdict in plan.refusals]
