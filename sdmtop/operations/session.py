"""Operations that somebody watches: planned and carried out in a thread, and told of as they go."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.backends.base import Host, open_host
from sdmtop.errors import NothingToDoError, RefusedError, UsageError, sentence
from sdmtop.operations.execute import Consent, Progress, Result, begin, follow
from sdmtop.operations.kept import Kept
from sdmtop.operations.plan import Plan
from sdmtop.operations.recovery import look_back, settle
from sdmtop.operations.store import Store, open_journal, open_store
from sdmtop.operations.undo import attached
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.model import Snapshot
    from sdmtop.operations.journal import Entry, Journal
    from sdmtop.timeline import Kind


class Means(NamedTuple):
    """What a plan is made from."""

    host: Host
    snapshot: Snapshot
    entries: tuple[Entry, ...]
    kept: Kept


class Failed(NamedTuple):
    """Why there is no plan, or why it was not begun."""

    why: str


class Late(NamedTuple):
    """A step that had hung has returned."""

    what: str


Update = Plan | Progress | Result | Failed | Late


class Session:
    """All operations of a console. What it tells comes from threads of its own."""

    def __init__(self, host: Host) -> None:
        # The sampler's watchdog follows what its own host reads: of a kernel we take another.
        self.host = open_host(host.url) if host.backend == "linux" else host
        self.host.disarmed = host.disarmed
        self.kept = Kept(self.host)
        self.attached: frozenset[str] | None = None if host.backend == "linux" else frozenset()
        """What the journal had as attached when it was read last; None: that is not known."""
        self._stopped = False
        self._idle = threading.Event()
        self._idle.set()

    @cached_property
    def store(self) -> Store:
        """The journal and the locks. Raises `OSError` where they cannot be made."""
        store = open_store(self.host)
        settle(self.host, store.journal)
        return store

    @property
    def journal(self) -> Journal:
        """The journal, whether or not it may be written. Raises `OSError`."""
        return self.store.journal if self.host.refusal() is None else open_journal(self.host)

    def entries(self) -> tuple[Entry, ...]:
        """All that it says. Raises `OSError`."""
        return self.journal.entries()

    def _recall(self) -> tuple[Entry, ...]:
        """The same, for a thread of ours: a file of the host tells which of it is of this boot."""
        self.attached = None  # If it cannot be read.
        journal = self.journal
        found = journal.entries()
        if not journal.damaged:
            self.attached = attached(self.host, found)
        return found

    def look_back(self) -> list[tuple[Kind, str]]:
        """What an earlier run has left, and what was done about it. Raises `OSError`."""
        told = [*look_back(self.host, self.journal, lambda: self.store)]
        self._recall()
        return told

    def plan(self, make: Callable[[Means], Plan], tell: Callable[[Update], None]) -> None:
        """Make a plan; ends with it, or with `Failed`."""

        def work() -> None:
            entries = self._recall()
            tell(
                patiently(
                    self.host,
                    lambda: make(Means(self.host, read_snapshot(self.host), entries, self.kept)),
                )
            )

        self._start(work, tell)

    def carry_out(self, plan: Plan, consent: Consent, tell: Callable[[Update], None]) -> None:
        """Do what a plan says; ends with a `Result`, or with `Failed` if it was not begun.

        If a step hangs, `Late` tells of its return, whenever that is.
        """
        self._stopped = False
        self._idle.clear()

        def work() -> None:
            try:
                result = begin(
                    self.host,
                    plan,
                    store=self.store,
                    kept=self.kept,
                    consent=consent,
                    tell=tell,
                    stop=lambda: self._stopped,
                )
            finally:
                self._idle.set()
                with suppress(OSError):  # `attached` says it; the plan has its own end.
                    self._recall()
            tell(result)
            late = follow(self.host, result, self.store, plan)
            if late is not None:
                tell(Late(late))

        self._start(work, tell)

    def stop(self) -> None:
        """Undo what was done, from the step on that is under way."""
        self._stopped = True

    @property
    def is_busy(self) -> bool:
        """Whether a plan is being carried out."""
        return not self._idle.is_set()

    def wait(self) -> None:
        """Wait for the plan that is being carried out, if one is."""
        self._idle.wait()

    @staticmethod
    def _start(work: Callable[[], None], tell: Callable[[Update], None]) -> None:
        def run() -> None:
            try:
                work()
            except (RefusedError, NothingToDoError, UsageError) as error:
                tell(Failed(str(error)))
            except (OSError, ValueError) as error:
                tell(Failed(sentence("it failed", error)))

        threading.Thread(target=run, name="sdmtop-operation", daemon=True).start()
