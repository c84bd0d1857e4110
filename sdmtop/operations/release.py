"""What this process holds is let go when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdmtop.operations.execute import Consent, Result, execute
from sdmtop.operations.undo import plan_detach
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.plan import Plan
    from sdmtop.operations.store import Store


class Released(NamedTuple):
    """The plan, and how it has ended."""

    plan: Plan
    result: Result


def let_go(host: Host, store: Store, kept: Kept) -> Released:
    """Let go all that is held, of which there is something. Raises as `plan_detach`, `execute`."""
    held = tuple(kept.plans)
    plan = patiently(host, lambda: plan_detach(host, read_snapshot(host), held, kept=kept))
    consent = Consent(confirmed=True, typed=plan.phrase)  # Nobody else's, and the only way out.
    return Released(plan, execute(host, plan, store=store, kept=kept, consent=consent))
