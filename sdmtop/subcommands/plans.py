"""What all commands share that change a host: the plan is shown, confirmed, carried out, told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sdmtop.errors import FAILED, REFUSED, RefusedError, UsageError, complain, put_out
from sdmtop.subcommands.options import add_host, add_read_only, why_disarmed

SCHEMA = "sdmtop.operation/1"

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot
    from sdmtop.operations.execute import Progress, Result
    from sdmtop.operations.journal import Entry
    from sdmtop.operations.plan import Plan
    from sdmtop.operations.release import Released

    Maker = Callable[[Host, Snapshot, tuple[Entry, ...]], Plan]


def add_confirmation(parser: argparse.ArgumentParser) -> None:
    """`--host`, `--read-only`, `--dry-run`, `--yes`, `--confirm`, `--format`."""
    add_host(parser)
    add_read_only(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, and do nothing"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask where nothing is in use")
    parser.add_argument(
        "--confirm",
        metavar="TARGETS",
        help="the plan's targets, typed in full with blanks between: go on without asking, in use "
        "or not",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text, or JSON for scripts: the plan and what came of it; nothing is asked then "
        "(default text)",
    )


def carry_out(options: argparse.Namespace, make: Maker) -> int:
    """Make a plan, show it, and unless it is a dry run have it confirmed and carry it out."""
    from sdmtop.backends.base import open_host
    from sdmtop.operations.words import demand, plan_lines
    from sdmtop.patience import patiently
    from sdmtop.readers.snapshot import read_snapshot

    host = open_host(options.host)
    host.disarmed = why_disarmed(options)
    entries = _entries(host)
    try:
        plan = patiently(host, lambda: make(host, read_snapshot(host), entries))
    except UsageError as error:  # Of the arguments, not of the host.
        return complain(options.command, error)
    in_text = options.format == "text"
    status = 0
    if in_text:
        status = _print((*plan_lines(plan), "", demand(plan)))
    elif options.dry_run:
        status = _print_json(plan, None)
    if options.dry_run or status:
        return status or (REFUSED if plan.refusals else 0)
    try:
        return _execute(host, plan, options)
    except RefusedError:
        if not in_text:
            _print_json(plan, None)
        raise


def _entries(host: Host) -> tuple[Entry, ...]:
    from sdmtop.operations.store import open_journal

    return open_journal(host).entries()


def _execute(host: Host, plan: Plan, options: argparse.Namespace) -> int:
    from sdmtop.operations.execute import Consent, execute, gate
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.recovery import settle
    from sdmtop.operations.release import let_go
    from sdmtop.operations.stopping import stopping
    from sdmtop.operations.store import open_store
    from sdmtop.operations.words import progress_line, result_lines

    why = gate(host, plan)
    if why is not None:
        raise RefusedError(why)
    consent = Consent(*_consent(plan, options))
    store, kept = open_store(host), Kept(host)
    settle(host, store.journal)

    in_text = options.format == "text"

    def tell(progress: Progress) -> None:
        if in_text:
            _print([progress_line(plan, progress)])

    with stopping() as stopped:
        result = execute(
            host, plan, store=store, kept=kept, consent=consent, tell=tell, stop=stopped.is_set
        )
        if in_text:
            _print(result_lines(plan, result))
        else:
            _print_json(plan, result)
        if result.ending == "done" and kept.plans:
            if in_text:
                _print([f"holding {', '.join(kept.plans)}; ctrl+c lets go"])
            stopped.wait()
            return _tell_released(let_go(host, store, kept), in_text=in_text)
    return 0 if result.ending == "done" else FAILED


def _tell_released(all_released: Iterable[Released], *, in_text: bool) -> int:
    """Tell how what was held was let go; the exit status. In JSON there is no word for it."""
    status = 0
    for queue, done, lines in all_released:
        if in_text:
            _print(lines)
        elif not done:
            complain(queue, RefusedError("; ".join(map(str.strip, lines))))
        status = status if done else FAILED
    return status


def _consent(plan: Plan, options: argparse.Namespace) -> tuple[bool, str]:
    """(confirmed, what was typed in full): from the options, else from the terminal."""
    if options.confirm is not None:
        # In doubt or not: a script that means something else must not change whatever this is.
        if options.confirm != plan.phrase:
            raise RefusedError(
                f"not confirmed: '{plan.phrase}' has to be typed in full, not '{options.confirm}'"
            )
        return True, options.confirm
    if not plan.doubts and options.yes:
        return True, ""
    if options.format == "json" or sys.stdin is None or not sys.stdin.isatty():
        asked = f"--confirm '{plan.phrase}'" if plan.doubts else "--yes"
        raise RefusedError(f"not confirmed: nobody can be asked, and there is no {asked}")
    if plan.doubts:
        typed = _ask("> ")
        return typed == plan.phrase, typed
    return _ask("Go on? [y/N] ").lower() in ("y", "yes"), ""


def _ask(prompt: str) -> str:
    put_out(prompt.encode())
    return sys.stdin.readline().strip()


def _print(lines: Iterable[str]) -> int:
    from sdmtop.text import printable

    return put_out("".join(f"{printable(line)}\n" for line in lines).encode())


def _print_json(plan: Plan, result: Result | None) -> int:
    """The plan, what `--confirm` would have to be, and what came of it."""
    import msgspec

    told = ("number", "ending", "trouble", "left", "mend", "remarks")
    data = msgspec.json.encode(
        {
            "schema": SCHEMA,
            "confirm": plan.phrase if plan.doubts else None,
            "plan": plan,
            "result": result and {name: getattr(result, name) for name in told},
        }
    )
    return put_out(msgspec.json.format(data, indent=2) + b"\n")
