"""`undo`, `undo --finish` and `detach`: plans made of the steps of an earlier plan.

A step is undone by a step: its inverse, which begins where the step has ended and ends where it
has begun. Undoing goes from the last step to the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.conclusions import untold_drivers
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations import equivalents
from sdmtop.operations.attach import NO_OVERRIDE, override_step, unbind_step
from sdmtop.operations.draft import Draft
from sdmtop.operations.facts import all_hold, now
from sdmtop.operations.journal import boot_id
from sdmtop.operations.plan import ANY, Call, Close, Fact, Open, Step, Write
from sdmtop.operations.targets import find_targets
from sdmtop.readers.groups import is_vfio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, Sdmdev, Snapshot
    from sdmtop.operations.journal import Entry
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.plan import Plan


_Made = dict[tuple[str, str], str | None]
"""What steps make, by kind and path of the facts."""

_LASTING = ("/modalias", "/iommu_group", "/mdev_type", "/api", "/actions")
"""Facts of identity that no step changes: where they differ, it is another device."""


def inverted(steps: Iterable[Step]) -> list[Step]:
    """The steps that undo these, from the last to the first; none for what has no inverse."""
    return [
        Step(
            subject=step.subject,
            title=step.inverse_title,
            inverse_title=step.title,
            action=step.inverse,
            before=step.after,
            after=step.before,
            inverse=step.action,
        )
        for step in reversed(tuple(steps))
        if step.inverse is not None
    ]


# -- undo --


def plan_undo(
    host: Host,
    snapshot: Snapshot,
    entries: Sequence[Entry],
    *,
    kept: Kept | None = None,
    number: int | None = None,
) -> Plan:
    """The plan that undoes a plan of the journal: that of this number, or the last one.

    `kept` is what this process holds. Raises `NothingToDoError` where nothing is left to undo,
    `RefusedError` for what another process holds, and where a damaged journal leaves it open which
    plan is the last.
    """
    entry = _choose(host, entries, number)
    begun = entry.begun
    if entry.finished_by is not None:
        raise RefusedError(
            f"plan {begun.number}: plan {entry.finished_by} has done the rest of it, and is undone "
            f"first: 'sdmtop undo {entry.finished_by}'"
        )
    draft = Draft(host, snapshot, "undo")
    _identify(draft, begun.plan)
    if not _invert(draft, entry, kept):
        others = "" if number is not None else "; an earlier plan is undone by its number"
        raise NothingToDoError(
            f"plan {begun.number} ({begun.plan.command}): nothing is left to undo{others}"
        )
    return draft.finish(f"sdmtop undo {begun.number}", undoes=begun.number)


def plan_finish(
    host: Host, snapshot: Snapshot, entries: Sequence[Entry], *, number: int | None = None
) -> Plan:
    """The plan that does the rest of a plan that was left half-done.

    What its process had opened went with it, and is opened again, by this one. Raises
    `NothingToDoError` for a plan that has ended, `RefusedError` for one whose process still holds
    something.
    """
    entry = _choose(host, entries, number)
    begun = entry.begun
    if entry.finished_by is not None:
        raise NothingToDoError(f"plan {begun.number}: plan {entry.finished_by} has done the rest")
    if entry.ended is not None and entry.ended.ending == "done":
        raise NothingToDoError(
            f"plan {begun.number} ({begun.plan.command}): it was done to the end"
        )
    if entry.ended is not None and entry.ended.ending == "rolled back":
        raise NothingToDoError(
            f"plan {begun.number} ({begun.plan.command}): it was rolled back, so there is no rest"
        )
    if entry.is_running and "stuck" in entry.states.values():
        raise RefusedError(
            f"plan {begun.number} ({begun.plan.command}): a step of it has not returned yet"
        )
    done = steps_done(host, entry)
    draft = Draft(host, snapshot, begun.plan.operation)
    _identify(draft, begun.plan)
    draft.steps += [step for step in begun.plan.steps if step not in done]
    if entry.is_running and any(isinstance(step.action, Open) for step in begun.plan.steps):
        raise RefusedError(
            f"plan {begun.number} ({begun.plan.command}): process {begun.pid} holds what it has "
            "opened, until it ends"
        )
    if not draft.steps:
        raise NothingToDoError(f"plan {begun.number} ({begun.plan.command}): all of it is done")
    return draft.finish(
        f"sdmtop undo --finish {begun.number}",
        undoes=begun.plan.undoes,  # Once it is done, so is the undo of which it is the rest.
        finishes=begun.number,
    )


def is_of_this_boot(host: Host, entry: Entry) -> bool:
    """Whether a plan was carried out on this host since it was booted."""
    return (entry.begun.host, entry.begun.boot) == (host.url, boot_id(host))


def steps_done(host: Host, entry: Entry) -> tuple[Step, ...]:
    """The steps of a plan that are in force, as far as the journal and their facts tell.

    A step that was under way when its process was killed has no record: it counts as done if
    what it makes is so, and what it begins with is not. What a process had opened is gone with it.
    """
    found = []
    alive = entry.is_running
    for index, step in enumerate(entry.begun.plan.steps):
        if isinstance(step.action, Open | Call | Close) and not alive:
            continue
        state = entry.states.get(index)
        if state in ("done", "left") or (
            state != "undone"
            and not all_hold(host, step.before)
            and step.after
            and all_hold(host, step.after)
        ):
            found.append(step)
    return tuple(found)


def in_force(host: Host, entry: Entry) -> tuple[Step, ...]:
    """The steps of a plan that are done, and have an inverse that would change something."""
    return tuple(
        step
        for step in steps_done(host, entry)
        if step.inverse is not None and not (step.before and all_hold(host, step.before))
    )


def _choose(host: Host, entries: Sequence[Entry], number: int | None) -> Entry:
    """The plan of this number, or the last one that can be undone. Raises what says why not."""
    if number is not None:
        entry = next((one for one in entries if one.begun.number == number), None)
        if entry is None:
            raise NothingToDoError(f"the journal has no plan {number}")
        if not is_of_this_boot(host, entry):
            raise NothingToDoError(f"plan {number}: a reboot has undone it")
        if entry.undone_by is not None:
            raise NothingToDoError(f"plan {number}: plan {entry.undone_by} has undone it")
        return entry
    for entry in reversed(entries):
        begun = entry.begun
        if entry.doubtful and is_of_this_boot(host, entry):
            # The last plan may be one that cannot be read.
            raise RefusedError(
                f"the journal is damaged behind plan {begun.number} ({begun.plan.command}): what "
                "came after it is not known, so name the plan to undo ('sdmtop journal' lists them)"
            )
        ended = entry.ended.ending if entry.ended is not None else None
        if entry.finished_by is not None:
            ended = "done"
        if (
            is_of_this_boot(host, entry)
            and entry.undone_by is None
            and ended != "rolled back"
            and (begun.plan.operation != "undo" or ended != "done")
        ):
            if steps_done(host, entry):
                return entry
            if ended is None and not entry.is_running:
                # Whoever wants that one undone does not mean the plan before it.
                raise NothingToDoError(
                    f"plan {begun.number} ({begun.plan.command}): it was cut short before it had "
                    "done anything; an earlier plan is undone by its number"
                )
    damaged = " that can be read: it is damaged" if entries and entries[-1].doubtful else ""
    raise NothingToDoError(f"the journal has nothing to undo since this host was booted{damaged}")


def _identify(draft: Draft, plan: Plan) -> None:
    """The same devices as then: what they are is compared, what their state is is read anew."""
    for name in plan.targets:
        draft.target(name)
    for name in plan.locks:
        draft.lock(name)
    for fact in plan.identity:
        current = now(draft.host, fact.kind, fact.path)
        draft.identify(current)
        if fact.path.endswith(_LASTING) and current.value not in (fact.value, None):
            draft.refuse(
                fact.path.rsplit("/", 2)[1],
                f"it is not what it was: {current.value} instead of {fact.value}",
                fact.path,
            )


def _invert(
    draft: Draft, entry: Entry, kept: Kept | None, subjects: frozenset[str] | None = None
) -> bool:
    """Add the inverses of all steps in force (of these subjects); whether all were inverted."""
    plan = entry.begun.plan
    complete = True
    made: _Made = {
        (fact.kind, fact.path): fact.value for step in draft.steps for fact in step.after
    }
    for step in reversed(steps_done(draft.host, entry)):
        if subjects is not None and step.subject not in subjects:
            complete = False
        elif isinstance(step.action, Open | Call | Close):
            if kept is not None and step.subject in kept.plans:
                draft.steps += inverted([step])
            elif entry.is_running and kept is None:
                raise RefusedError(
                    f"{step.subject}: process {entry.begun.pid} holds it until it ends"
                )
        elif _is_in_force(draft.host, step, made):
            for back in inverted([step]):
                draft.steps.append(back)
                made.update(((fact.kind, fact.path), fact.value) for fact in back.after)
    if plan.operation == "reset":
        draft.note("a reset cannot be undone")
    return complete and bool(draft.steps)


def _is_in_force(host: Host, step: Step, made: _Made) -> bool:
    """Whether a step that was done would still have to be undone, after steps that make this."""
    if made.keys().isdisjoint((fact.kind, fact.path) for fact in (*step.before, *step.after)):
        return not (step.before and all_hold(host, step.before))
    # An earlier plan had done the same, and what has been done since is undone already.
    return all(
        made[fact.kind, fact.path] in (fact.value, ANY)
        if (fact.kind, fact.path) in made and fact.value != ANY
        else all_hold(host, [fact])
        for fact in step.after
    )


# -- detach --


def plan_detach(
    host: Host,
    snapshot: Snapshot,
    names: Sequence[str],
    *,
    entries: Sequence[Entry] = (),
    kept: Kept | None = None,
    only: bool = False,
) -> Plan:
    """The plan that gives devices back to the drivers that they had, and lets queues go.

    Which drivers those are is in the journal (`entries`); if it is not, the kernel looks for one.
    All devices of a group go together unless `only` those that were named.

    Raises `NothingToDoError` where nothing is attached, `RefusedError` for what another process
    holds, and for a device of which nobody can tell whether it is attached.
    """
    targets = find_targets(snapshot, names)
    draft = Draft(host, snapshot, "detach")
    untold = untold_drivers(snapshot)
    covered: list[int] = []
    for queue in targets.queues:
        draft.target(queue.id)
        _let_go(draft, queue, kept)
    named = {device.address for device in targets.devices}
    for device in targets.devices:
        if device.address in untold:
            raise RefusedError(f"{device.address}: {untold[device.address]}")
        draft.target(device.address)
        if not is_vfio(device.driver or "") and not any(
            _has_attached(host, entry, device) for entry in entries
        ):
            draft.note(f"{device.address} stays as it is: it is not attached")
            continue
        members = [device]
        if not only:
            others = [
                other
                for other in snapshot.devices
                if other.group == device.group is not None and other.address not in named
            ]
            for other in others:
                draft.refuse_stuck(other)
            members += [other for other in others if is_vfio(other.driver or "")]
        for member in members:
            named.add(member.address)
            if member is not device:
                draft.decide(member.address, "given back as well: it is in the same group")
        group = frozenset(
            other.address for other in snapshot.devices if other.group == device.group is not None
        )
        covered += _give_back_all(draft, members, entries, frozenset() if only else group)
    if not draft.steps:
        raise NothingToDoError(f"{', '.join(names)}: not attached")
    return draft.finish(
        f"sdmtop detach {' '.join(names)}" + (" --only" if only else ""),
        undoes=covered[0] if len(set(covered)) == 1 else None,
    )


def plan_release(host: Host, snapshot: Snapshot, kept: Kept, queue: str) -> Plan:
    """The plan that closes what this process has opened of a queue, which may be gone by now."""
    draft = Draft(host, snapshot, "detach")
    draft.target(queue)
    _close(draft, queue, kept.plans[queue])
    return draft.finish(f"sdmtop detach {queue}")


def _let_go(draft: Draft, queue: Sdmdev, kept: Kept | None) -> None:
    """Close what this process has opened of a queue."""
    plan = kept.plans.get(queue.id) if kept is not None else None
    if plan is None:
        if queue.holders:
            raise RefusedError(f"{queue.id}: process {queue.holders[0]} holds it until it lets go")
        return
    _close(draft, queue.id, plan)


def _close(draft: Draft, queue: str, plan: Plan) -> None:
    """Undo what a plan has done to open a queue, but for what is not so any more."""
    for name in plan.locks:
        draft.lock(name)
    for back in inverted(step for step in plan.steps if step.subject == queue):
        if isinstance(back.action, Write) and not all_hold(draft.host, back.before):
            draft.note(f"left out, for it is not, or cannot be read to be, as made: {back.title}")
        else:
            draft.steps.append(back)


def _give_back_all(
    draft: Draft, devices: Sequence[Device], entries: Sequence[Entry], group: frozenset[str]
) -> Iterator[int]:
    """Give devices back; the numbers of the plans that are undone by that.

    What a plan has done to others of the `group` for their sake is undone, too.
    """
    rest = list(devices)
    given: set[str] = set()
    begun: set[int] = set()
    """Plans that were cut off, of which one that is undone did the rest."""
    for entry in reversed(entries):
        mine = [device for device in rest if _has_attached(draft.host, entry, device)]
        if not mine and entry.begun.number not in begun:
            continue
        given.update(device.address for device in mine)
        begun.update(filter(None, [entry.begun.plan.finishes]))
        for device in mine:
            draft.identify_device(device)
            draft.lock_device(device)
            rest.remove(device)
        if _invert(draft, entry, None, group | given):
            yield entry.begun.number
    for device in rest:
        if device.driver is not None and is_vfio(device.driver):
            _probe(draft, device, device.driver)


def attached(host: Host, entries: Iterable[Entry]) -> frozenset[str]:
    """All that plans of the journal may have attached since this host was booted.

    It is told without reading a fact of the host, so there may be less to give back.
    """
    here = host.url, boot_id(host)
    return frozenset(
        step.subject
        for entry in entries
        if entry.begun.plan.operation == "attach"
        and (entry.begun.host, entry.begun.boot) == here
        and entry.undone_by is None
        and (entry.ended is None or entry.ended.ending != "rolled back")
        for step in entry.begun.plan.steps
    )


def _has_attached(host: Host, entry: Entry, device: Device) -> bool:
    """Whether a plan of the journal has bound the device to the driver that it has now."""
    if not is_of_this_boot(host, entry) or entry.undone_by is not None:
        return False
    bound = Fact("link", f"{device.path}/driver", device.driver)
    identity = Fact("text", f"{device.path}/modalias", None)
    known = next((fact for fact in entry.begun.plan.identity if fact.path == identity.path), None)
    return (
        device.driver is not None
        and entry.begun.plan.operation == "attach"
        and any(bound in step.after for step in steps_done(host, entry))
        and (known is None or all_hold(host, [known]))
    )


def _probe(draft: Draft, device: Device, driver: str) -> None:
    """Without a memory of it: take the override away, and let the kernel look for a driver."""
    path = device.path
    draft.identify_device(device)
    draft.lock_device(device)
    steps = [unbind_step(draft, device, driver)]
    override = now(draft.host, "text", f"{path}/driver_override")
    if override.value not in (None, NO_OVERRIDE):
        title = f"let any driver bind to {device.address}"
        steps.append(override_step(draft, device, override, NO_OVERRIDE, title))
    probe = draft.step(
        device.address,
        f"have the kernel look for a driver for {device.address}",
        Write(f"/sys/bus/{device.bus}/drivers_probe", device.address),
        before=(Fact("link", f"{path}/driver", None),),
        after=(Fact("link", f"{path}/driver", ANY),),
        inverse=Write(f"{path}/driver/unbind", device.address),
        inverse_title=f"unbind {device.address} from what was found",
    )
    for command in equivalents.give_back(device):
        draft.equivalent(command, *steps, probe)
    draft.note(f"the journal does not know which driver {device.address} had")
