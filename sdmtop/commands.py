"""The one registry of commands: bindings, footer, palette, help and docs/keys.md come from it.

It knows nothing of Textual, so that the configuration can be checked without the console.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from sdmtop import reasons
from sdmtop.keys import shown
from sdmtop.model import Snapshot

Scope = Literal["console", "pane", "tree", "field", "columns"]
"""Where a key works: everywhere, in a pane of lines, in the tree only, in the filter's field, where
columns are chosen."""

SCOPES: Mapping[Scope, str] = {
    "console": "everywhere",
    "pane": "in a pane",
    "tree": "in the tree",
    "field": "while a filter is typed",
    "columns": "where columns are chosen",
}
"""Where keys work, in words."""


class Now(NamedTuple):
    """What decides which commands can be given: where the operator is, and what is selected.

    `typing` a filter, or on a `page` above the panes (its id); `pane` has the focus, and is `alone`
    where there is room for one only; `foldable` is the selected line of the tree, and that of
    another pane `leads` to one of the tree; a filter may be kept after it was typed (`filtered`).
    Time may be `paused`; that of a capture `stands`, and a `replay` has its own. There may be a
    `tour`, which may be at its `last_step`, or no IOMMU. `target` is what is selected in the tree,
    `interrupt` in the pane of interrupts (`irq/24`), `marked` what attach, attach to a driver,
    detach and remove are for instead, and `snapshot` what is shown. `refusal` says why nothing can
    be changed on this host, and is None where the program is armed. `kept` are the queues that this
    process holds, `attached` what the journal has as attached; None where that is not known.
    """

    pane: str = "tree"
    alone: bool = False
    typing: bool = False
    page: str = ""
    foldable: bool = False
    leads: bool = False
    filtered: bool = False
    paused: bool = False
    stands: bool = False
    replay: bool = False
    tour: bool = False
    last_step: bool = False
    without_iommu: bool = False
    origins: bool = False
    mapped: bool = False
    zoomed: bool = False
    target: str | None = None
    interrupt: str | None = None
    marked: tuple[str, ...] = ()
    snapshot: Snapshot | None = None
    refusal: str | None = None
    kept: tuple[str, ...] = ()
    attached: frozenset[str] | None = None


def _nowhere(_now: Now) -> str:
    return ""


def _always(_now: Now) -> None:
    return None


class Command(NamedTuple):
    """Something that an operator can do; `action` is a method `action_...` of its scope's widget.

    `word` names it in the footer, as things are now: empty where the key has no meaning, or is
    not worth the room. `why_not` is a sentence that says why it cannot be done now, or None where
    it can. A command that cannot be done is dimmed in the footer, and its key tells why.
    """

    id: str
    keys: str
    action: str
    title: str
    help: str
    word: Callable[[Now], str] = _nowhere
    why_not: Callable[[Now], str | None] = _always
    scope: Scope = "console"


def in_panes(word: str) -> Callable[[Now], str]:
    """The footer's word for a key that works in every pane."""
    return lambda now: "" if now.typing or now.page else word


def _on_page(page: str, word: str) -> Callable[[Now], str]:
    """The footer's word for a key that works on one page."""
    return lambda now: word if now.page == page else ""


def _enter(now: Now) -> str:
    """Folds in the tree, goes to what a line is about elsewhere; the inspector is about one."""
    if now.typing or now.page or now.pane == "inspector":
        return ""
    if now.pane == "tree":
        return "Fold" if now.foldable else ""
    return "Go to" if now.leads else ""


def _no_way(now: Now) -> str | None:
    elsewhere = now.pane != "tree" and not now.leads
    return "this line is about nothing in the tree" if elsewhere else None


_SORTS = {"interrupts": "Sort rate", "events": "Last minute"}


def _in_interrupts(now: Now) -> str:
    word = "Numbers" if now.mapped else "CPU map"
    return in_panes(word)(now) if now.pane == "interrupts" else ""


def _escape(now: Now) -> str:
    if now.page:
        return "Close"
    if now.typing or now.filtered:
        return "Clear"
    return "Unmark" if now.marked and now.pane == "tree" else ""


def _not_to_be_tested(now: Now) -> str | None:
    """Tests take devices and give them back: that is a change, too."""
    return now.refusal if now.target else "select a device, a group or a queue first"


def _offered(word: str, why_not: Callable[[Now], str | None]) -> Callable[[Now], str]:
    """The footer's word for an operation: only where it would do something, or nearly.

    It says if that is for the marked lines: a filter may hide them.
    """

    def shown_word(now: Now) -> str:
        on_something = now.target is not None and now.snapshot is not None
        said = f"{word} {len(now.marked)} marked" if now.marked else word
        return in_panes(said)(now) if on_something and why_not(now) is None else ""

    return shown_word


def _refused(why_not: Callable[[Now], str | None]) -> Callable[[Now], str | None]:
    """Why an operation cannot be begun: first what is so on this host, then on the selection."""

    def reason(now: Now) -> str | None:
        if now.replay:
            return "a recording cannot be changed"
        return now.refusal or why_not(now)

    return reason


def _change(word: str, why_not: Callable[[Snapshot, str], str | None]) -> Callable[[Now], str]:
    """The footer's word for an operation of which the snapshot tells enough."""
    return _offered(word, lambda now: _reason(now, why_not))


def _no_change(why_not: Callable[[Snapshot, str], str | None]) -> Callable[[Now], str | None]:
    """Why such an operation cannot be begun."""
    return _refused(lambda now: _reason(now, why_not))


def _no_detach(now: Now) -> str | None:
    """Of several, a plan leaves alone what is not attached: there must be nothing else."""
    why = _reason(now, lambda snapshot, one: reasons.not_to_detach(snapshot, one, now.kept))
    if why is not None or now.snapshot is None or now.attached is None:
        return why
    whys = [reasons.not_attached(now.snapshot, one, now.attached) for one in _targets(now)]
    return whys[0] if all(whys) else None


def _no_change_of_one(
    why_not: Callable[[Snapshot, str], str | None],
) -> Callable[[Now], str | None]:
    """The same of an operation that is for the selected line, whatever is marked."""
    reason = _no_change(why_not)
    return lambda now: reason(now._replace(marked=()))


_no_steering_of_one = _no_change_of_one(reasons.not_to_steer)


def _no_steering(now: Now) -> str | None:
    """In the pane of interrupts it is about the one that is selected there."""
    return _no_steering_of_one(
        now._replace(target=now.interrupt) if now.pane == "interrupts" else now
    )


def _change_of_one(
    word: str, why_not: Callable[[Snapshot, str], str | None]
) -> Callable[[Now], str]:
    """The footer's word for such an operation."""
    shown_word = _change(word, why_not)
    return lambda now: shown_word(now._replace(marked=()))


def _targets(now: Now) -> tuple[str, ...]:
    return now.marked or ((now.target,) if now.target else ())


def _reason(now: Now, why_not: Callable[[Snapshot, str], str | None]) -> str | None:
    targets = _targets(now)
    if not targets or now.snapshot is None:
        return "select a device, a group or a queue first"
    return next((why for one in targets if (why := why_not(now.snapshot, one))), None)


def _no_undo(now: Now) -> str | None:
    return "a recording cannot be changed" if now.replay else now.refusal


def _tour(now: Now) -> str:
    return "End tour" if now.tour else "Tour" if now.without_iommu else ""


def _no_tour(now: Now) -> str | None:
    return None if now.tour else "there is no tour: w begins one"


def _go_on(now: Now) -> str:
    return "Play" if now.replay else "Go on"


def _no_time(now: Now) -> str | None:
    return "a capture is one moment" if now.stands else None


def _in_a_replay(word: str) -> Callable[[Now], str]:
    return lambda now: in_panes(word)(now) if now.replay else ""


def _only_in_a_replay(now: Now) -> str | None:
    return None if now.replay else "only a recording can do that: sdmtop replay FILE"


def _only_when_simulated(now: Now) -> str | None:
    if _is_simulated(now):
        return None
    return "only a simulated host can do that: sdmtop --host sim:"


_NO_ROOM = "there is room for one pane only, and it has all of it"


def _is_simulated(now: Now) -> bool:
    return now.snapshot is not None and now.snapshot.host.backend == "simulator" and not now.replay


COMMANDS = (
    Command("up", "up,k", "move(-1)", "Up", "move the selection up", scope="pane"),
    Command("down", "down,j", "move(1)", "Down", "move the selection down", scope="pane"),
    Command("page_up", "pageup", "page(-1)", "Page up", "move up by a page", scope="pane"),
    Command("page_down", "pagedown", "page(1)", "Page down", "move down by a page", scope="pane"),
    Command("half_up", "ctrl+u", "half(-1)", "Half up", "move up by half a page", scope="pane"),
    Command("half_down", "ctrl+d", "half(1)", "Half down", "move down by half a page",
            scope="pane"),
    Command("first", "home,g", "edge(-1)", "First", "move to the first line", scope="pane"),
    Command("last", "end,G", "edge(1)", "Last", "move to the last line", scope="pane"),
    Command("outwards", "left,h", "outwards", "Outwards",
            "fold the line, or go to what it hangs below", scope="tree"),
    Command("inwards", "right,l", "inwards", "Inwards",
            "unfold the line, or go to the first that hangs below it", scope="tree"),
    Command("keep", "enter", "submit", "Keep the filter", "keep the filter that was typed",
            lambda now: "Keep" if now.typing else "", scope="field"),
    Command("complete", "tab", "complete", "Complete", "complete the word; again for the next",
            lambda now: "Complete" if now.typing else "", scope="field"),
    Command("toggle", "space,x", "show_or_hide", "Show or hide", "show or hide the column",
            _on_page("columns", "Show/hide"), scope="columns"),
    Command("earlier", "K,shift+up", "shift(-1)", "Earlier", "put the column further left",
            _on_page("columns", "Left"), scope="columns"),
    Command("later", "J,shift+down", "shift(1)", "Later", "put the column further right",
            _on_page("columns", "Right"), scope="columns"),
    Command("write", "w", "write", "Keep", "keep the choice in the configuration",
            _on_page("columns", "Keep"), scope="columns"),
    Command("clear", "escape", "clear", "Clear the filter",
            "clear the filter, close a page, go back to the tree from a pane that covers it; "
            "unmark all lines",
            _escape),
    Command("help", "question_mark", "help", "Help", "show this page", in_panes("Help")),
    Command("quit", "q,ctrl+c", "leave", "Quit", "leave the console", in_panes("Quit")),
    Command("filter", "slash", "filter", "Filter", "show only lines that answer to a query",
            in_panes("Filter")),
    Command("sort", "s", "sort", "Sort",
            "the tree by its next column; interrupts by number or rate; of events the last minute, "
            "ten minutes, all",
            lambda now: in_panes(_SORTS.get(now.pane, "Sort"))(now)),
    Command("turn", "r", "turn", "Turn", "sort the tree the other way round"),
    Command("columns", "C", "columns", "Columns", "choose the columns of the tree"),
    Command("pause", "p", "pause", "Pause", "freeze what is shown; reading goes on",
            lambda now: in_panes(_go_on(now) if now.paused else "" if now.stands else "Pause")(now),
            _no_time),
    Command("back", "left_square_bracket", "step(-1)", "Step back",
            "show the moment before; reading goes on",
            lambda now: in_panes("Back")(now) if now.paused else "", _no_time),
    Command("forward", "right_square_bracket", "step(1)", "Step forward", "show the next moment",
            why_not=_no_time),
    Command("event_before", "left_curly_bracket", "leap(-1)", "Event before",
            "show the moment of the event before", why_not=_no_time),
    Command("event_after", "right_curly_bracket", "leap(1)", "Event after",
            "show the moment of the next event", why_not=_no_time),
    Command("slower", "less_than_sign", "faster(-1)", "Slower", "play a recording slower",
            why_not=_only_in_a_replay),
    Command("faster", "greater_than_sign", "faster(1)", "Faster", "play a recording faster",
            _in_a_replay("Faster"), _only_in_a_replay),
    Command("skip_back", "left_parenthesis", "skip(-1)", "Skip back",
            "go back by a twentieth of a recording", why_not=_only_in_a_replay),
    Command("skip", "right_parenthesis", "skip(1)", "Skip",
            "go on by a twentieth of a recording",
            _in_a_replay("Skip"), _only_in_a_replay),
    Command("selftest", "t", "selftest", "Self-test",
            "known-answer tests of the selected device, group or queue",
            lambda now: in_panes("Test")(now) if now.target else "", _not_to_be_tested),
    Command("attach", "a", "attach", "Attach",
            "give what is selected or marked to VFIO; open and hold a queue",
            _change("Attach", reasons.not_to_attach), _no_change(reasons.not_to_attach)),
    Command("detach", "d", "detach", "Detach", "give it back to the driver that it had",
            _offered("Detach", _no_detach), _refused(_no_detach)),
    Command("create", "c", "create", "Create", "make a mediated device of the selected parent",
            _change_of_one("Create", reasons.not_to_create),
            _no_change_of_one(reasons.not_to_create)),
    Command("remove", "x", "remove", "Remove", "remove the selected or marked mediated devices",
            _change("Remove", reasons.not_to_remove), _no_change(reasons.not_to_remove)),
    Command("attach_to", "A", "ask('attach_to')", "Attach to a driver",
            "give what is selected or marked to a driver of your choice, not to VFIO's",
            why_not=_no_change(reasons.not_to_attach_to)),
    Command("sriov", "V", "ask('sriov')", "SR-IOV",
            "make or remove the virtual functions (VFs) of the selected physical function",
            why_not=_no_change_of_one(reasons.not_to_make_vfs)),
    Command("affinity", "P", "ask('affinity')", "Affinity",
            "say to which CPUs the interrupts of the selected device may come; in the interrupts "
            "pane the selected one",
            why_not=_no_steering),
    Command("domain_type", "D", "ask('domain_type')", "Domain type",
            "set the default domain of the selected group, or of the device's",
            why_not=_no_change_of_one(reasons.not_to_set_domain_type)),
    Command("reset", "R", "reset", "Reset", "reset the selected PCI device",
            why_not=_no_change_of_one(reasons.not_to_reset)),
    Command("mark", "v", "mark", "Mark",
            "mark the selected line, or no longer: attach, attach to a driver, detach and remove "
            "are for all that are marked"),
    Command("undo", "u", "undo", "Undo", "undo the last plan of the journal",
            why_not=_no_undo),
    Command("journal", "J", "journal", "Journal", "what was done, and what became of it"),
    Command("origin", "o", "origin", "Origin",
            "where and when each value was read, instead of what it means",
            lambda now: in_panes("Meaning" if now.origins else "Origin")(now)),
    Command("copy", "y", "copy", "Copy",
            "copy what the selected line is about; in the inspector its value (OSC 52)"),
    Command("save", "S", "save", "Save the screen", "save the screen, as a picture and as text"),
    Command("inspector", "2", "pane('inspector')", "Inspector", "go to the inspector",
            lambda now: in_panes("Inspector")(now) if now.alone and now.pane == "tree" else ""),
    Command("pasids", "3", "pane('pasids')", "PASIDs", "go to the PASIDs"),
    Command("interrupts", "4", "pane('interrupts')", "Interrupts", "go to the interrupts"),
    Command("events", "5,e", "pane('events')", "Events", "go to the events"),
    Command("domains", "6", "pane('domains')", "Domains",
            "go to the domains: who shares which table",
            lambda now: in_panes("Domains")(now) if now.pane != "domains" else ""),
    Command("map", "m", "map", "CPU map",
            "interrupts: which CPUs take them, or how many there are", _in_interrupts),
    Command("zoom", "z", "zoom", "Zoom", "give the pane the whole screen, or give it back",
            lambda now: in_panes("Back" if now.zoomed else "" if now.alone else "Zoom")(now),
            lambda now: _NO_ROOM if now.alone and not now.zoomed else None),
    Command("simulate", "i", "simulate", "Simulate",
            "a simulated host: inject a fault, stop its time or let it run faster",
            lambda now: in_panes("Simulate")(now) if _is_simulated(now) else "",
            _only_when_simulated),
    Command("repaint", "ctrl+l", "repaint", "Repaint", "draw the whole screen again"),
    Command("theme", "T", "theme", "Theme", "colours for a light, or for a dark background"),
    Command("palette", "ctrl+p", "command_palette", "Palette",
            "find a command by its name, or by what it does"),
    Command("suspend", "ctrl+z", "suspend_process", "Suspend", "stop; the shell's `fg` goes on"),
    Command("tour", "w", "tour", "Tour",
            "a simulated host, and six steps through the console; again: back",
            lambda now: in_panes(_tour(now))(now),
            lambda now: "this is a replay" if now.replay else None),
    Command("tour_next", "n", "tour_step(1)", "Next step", "the next step of the tour",
            lambda now: in_panes("Next")(now) if now.tour and not now.last_step else "", _no_tour),
    Command("tour_back", "b", "tour_step(-1)", "Step before", "the step of the tour before",
            why_not=_no_tour),
    # These come and go: last in the footer, so that the others stay where they are.
    Command("fold", "enter,space", "enter", "Fold, go to",
            "in the tree fold or unfold; elsewhere go to what the line is about", _enter,
            _no_way),
    Command("tree", "1", "pane('tree')", "Tree", "go to the tree",
            lambda now: "" if now.pane == "tree" else in_panes("Tree")(now)),
)  # fmt: skip


FOCUS_KEYS = (("tab, shift+tab", "next pane, previous pane"),)
"""Keys that are Textual's own."""

FIXED = ("keep", "clear")
"""Commands whose keys are as in every program."""

_APART = ("field", "columns")
"""Scopes in which no other keys work."""


def overlapping(one: Scope, other: Scope) -> bool:
    """Whether keys of two scopes work at the same time."""
    return one == other if one in _APART or other in _APART else True


def key_names(command: Command) -> str:
    """All keys of a command as a person reads them: `5 e`."""
    return " ".join(shown(key) for key in command.keys.split(",") if key)


class Hint(NamedTuple):
    """What the footer says of a key; `works` is False where it would only tell why not."""

    text: str
    works: bool
    key: str


def footer(width: int, now: Now, commands: Sequence[Command] = COMMANDS) -> list[Hint]:
    """What the keys do now, as much as fits; those that work come first.

    Where there is no room for all, ways out and operations have it before what only looks on.
    """
    found: list[tuple[int, Hint]] = []
    for command in sorted(commands, key=lambda command: _is_less(command, now)):
        word = command.word(now) if command.keys else ""
        if word:
            key = command.keys.split(",", 1)[0]
            works = command.why_not(now) is None
            text = f"{shown(key)} {word}"
            # Never a colour alone: what does not work stands in parentheses.
            hint = Hint(f" {text} " if works else f" ({text})", works, key)
            found.append((_LESS_NEEDED.get(command.id, 0) if works else _LEAST_NEEDED, hint))
    found.sort(key=lambda one: not one[1].works)
    fitting = set()
    for _, hint in sorted(found, key=lambda one: one[0]):
        if len(hint.text) <= width:
            width -= len(hint.text)
            fitting.add(hint)
    return [hint for _, hint in found if hint in fitting]


_LESS_NEEDED = {"pause": 1, "sort": 2, "domains": 2, "origin": 3, "map": 3,
                "simulate": 4, "fold": 4, "tour": 4}  # fmt: skip
"""Commands that the footer leaves out first, the last of them before all others."""

_LEAST_NEEDED = 9
"""Rank of a key that does not work now."""


def _is_less(command: Command, now: Now) -> bool:
    """A pane that is alone on the screen has the way to the others first."""
    return not now.alone or command.id not in ("inspector", "tree")


def help_lines(now: Now, commands: Sequence[Command] = COMMANDS) -> list[tuple[str, str]]:
    """(keys, what they do) of everything, below a line for each scope.

    With the reason, of what cannot be done now.
    """
    lines = []
    for scope, title in SCOPES.items():
        lines.append((f"Keys {title}", ""))
        lines += FOCUS_KEYS if scope == "console" else ()
        for command in commands:
            if command.scope == scope and command.keys:
                reason = command.why_not(now)
                note = f" (not now: {reason})" if reason else ""
                lines.append((key_names(command), command.help + note))
        lines.append(("", ""))
    return lines


def with_keys(keymap: Mapping[str, str]) -> tuple[Command, ...]:
    """The registry with other keys, by the ids of commands; keys are separated by commas."""
    return tuple(
        command._replace(keys=keymap.get(command.id, command.keys)) for command in COMMANDS
    )
