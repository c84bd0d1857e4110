"""What this process holds is let go when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdmtop.errors import RefusedError, sentence
from sdmtop.operations.execute import Consent, execute
from sdmtop.operations.undo import plan_release
from sdmtop.operations.words import result_lines
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.base import Host
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.plan import Plan
    from sdmtop.operations.store import Store


class Released(NamedTuple):
    """Whether a queue has been let go as planned, and how it has ended, in lines."""

    queue: str
    done: bool
    lines: tuple[str, ...]


def let_go(host: Host, store: Store, kept: Kept) -> Iterator[Released]:
    """Let go all that is held, each queue by a plan of its own: one that fails keeps no other."""
    for queue in tuple(kept.plans):
        try:
            plan = patiently(host, _plan, host, kept, queue)
            consent = Consent(confirmed=True, typed=plan.phrase)  # Nobody else's: the only way out.
            result = execute(host, plan, store=store, kept=kept, consent=consent)
        except (OSError, RefusedError) as error:
            yield Released(queue, False, (sentence(f"{queue}: not detached", error),))  # noqa: FBT003
        else:
            yield Released(queue, result.ending == "done", tuple(result_lines(plan, result)))


def _plan(host: Host, kept: Kept, queue: str) -> Plan:
    return plan_release(host, read_snapshot(host), kept, queue)
