"""Operations in the console: the plan before anything is done, its steps, the journal."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content as Text
from textual.message import Message
from textual.screen import ModalScreen
from textual.visual import VisualType
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from sdmtop.operations.execute import Consent, Progress, Result, gate
from sdmtop.operations.journal import Entry
from sdmtop.operations.plan import Plan
from sdmtop.operations.session import Failed, Late, Means, Session, Update
from sdmtop.operations.words import (
    demand,
    entry_lines,
    plan_lines,
    progress_line,
    result_lines,
    state_of,
)
from sdmtop.text import printable
from sdmtop.tui.bars import Bar
from sdmtop.tui.ground import Fitting
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.told import Lines

Maker = Callable[[Means, bool], Plan]
"""Makes a plan; True: for the targets only, not for what else is in their groups."""

_STOPPING = "stopping: what was done is taken back once this step has ended"


class Choice(Button):
    """A button that tells without a colour that enter presses it, or that nothing does."""

    def render(self) -> VisualType:
        """The label, marked."""
        label = str(self.label)
        return f"▸ {label} ◂" if self.has_focus else f"({label})" if self.disabled else label


class PlanScreen(Fitting, ModalScreen[bool]):
    """One operation: shown, confirmed, carried out. Its result is whether anything was done."""

    CSS = """
    PlanScreen { align: center middle; }
    PlanScreen > Vertical {
        width: 110; max-width: 100%; height: 90%; border: round $primary; background: $surface;
        border-subtitle-color: $text;
    }
    PlanScreen.-brief > Vertical { height: 9; }
    PlanScreen Lines { height: 1fr; }
    PlanScreen #demand { height: auto; max-height: 6; padding: 0 1; background: $panel; }
    PlanScreen Input { visibility: hidden; width: 1fr; }
    PlanScreen Input.-asked { visibility: visible; background: $boost; }
    PlanScreen Horizontal { height: 1; }
    PlanScreen Choice { height: 1; width: 12; min-width: 12; border: none; margin: 0 1; }
    PlanScreen Choice:focus { text-style: bold reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "cancel", "Cancel"),
        ("o", "only", "Only"),
        ("up", "read(-1)", "Up"),
        ("down", "read(1)", "Down"),
        ("pageup", "read(-1, True)", "Page up"),
        ("pagedown", "read(1, True)", "Page down"),
    ]

    class Told(Message):
        """The session has something to say."""

        def __init__(self, update: Update) -> None:
            super().__init__()
            self.update = update

    def __init__(
        self,
        session: Session,
        title: str,
        make: Maker,
        happened: Callable[[str], None],
        *,
        siblings: bool,
    ) -> None:
        """Of the plan that `make` makes; `siblings`: it may be for the targets only.

        `happened` is told what comes of it, when it comes and from any thread.
        """
        super().__init__()
        self._session = session
        self._title = title
        self._make = make
        self._siblings = siblings
        self._only = False
        self._plan: Plan | None = None
        self._begun = False
        self._stops = False
        self._ended = False
        self._told: list[str] = []
        self._happened = happened

    def compose(self) -> ComposeResult:
        """The plan, what it asks for, and two buttons."""
        with Vertical():
            plan = Lines(id="plan")
            plan.can_focus = False  # It scrolls by keys of the dialog; enter is for a button.
            yield plan
            yield Static(id="demand", markup=False)
            with Horizontal():
                yield Choice("Cancel", id="cancel")
                yield Input(id="typed", placeholder="tab, and type it here", compact=True)
                yield Choice("Go on", id="go", disabled=True)

    def on_mount(self) -> None:
        """Begin to plan. Whoever presses enter without reading has done nothing."""
        self.query_one("#cancel", Button).focus()
        self._begin_to_plan()

    def _begin_to_plan(self) -> None:
        self._plan = None
        self.query_one("#go", Button).disabled = True
        self.query_one(Lines).tell(f" {self._title}", ["", "  looking at what it would cost"])
        only = self._only
        self._session.plan(lambda means: self._make(means, only), self._tell)

    def _tell(self, update: Update) -> None:
        """Called in the session's thread; the dialog may be closed by then."""
        if isinstance(update, Result) and self._plan is not None:
            for line in [*result_lines(self._plan, update)][:2]:
                self._happened(line.strip())
        elif isinstance(update, Late):
            self._happened(update.what)
        self.post_message(self.Told(update))

    # -- what comes of it --

    def on_plan_screen_told(self, message: Told) -> None:
        """Take an update, and show it."""
        match message.update:
            case Plan() as plan:
                self._show_plan(plan)
            case Progress() as progress:
                self._show_progress(progress)
            case Result() as result:
                self._show_result(result)
            case Failed(why=why):
                self.set_class(self._plan is None, "-brief")
                self._finish([f"  not done: {why}"])
            case Late(what=what):
                self._finish([*self._told, f"  {what}"])

    def _show_plan(self, plan: Plan) -> None:
        self._plan = plan
        why = gate(self._session.host, plan)
        lines = [f" {line}" for line in plan_lines(plan)]
        self.query_one(Lines).tell(f" {self._title}: the plan", lines)
        self._demand(f"Refused: {why}" if why is not None else demand(plan))
        other = "o all of the group" if self._only else "o only the targets"
        self._hint(f"pgdn read on   {other if self._siblings else ''}".rstrip())
        self._ask(typed=bool(plan.doubts) and why is None)
        self.query_one("#go", Button).disabled = why is not None or bool(plan.doubts)

    def _show_progress(self, progress: Progress) -> None:
        if self._plan is None:
            return
        line = progress_line(self._plan, progress)
        if progress.phase in ("begins", "waits"):
            self._demand(f"{line}\n{_STOPPING}" if self._stops else line)
        else:
            self._told.append(f"  {line}")
            self.query_one(Lines).tell(f" {self._title}: under way", self._told, end=True)

    def _show_result(self, result: Result) -> None:
        assert self._plan is not None  # noqa: S101 - a result is that of a plan
        lines = [f"  {line}" for line in result_lines(self._plan, result)]
        self._finish([*self._told, "", *lines])

    def _finish(self, lines: Sequence[str]) -> None:
        self._told = list(lines)
        self._ended = True
        self.query_one(Lines).tell(f" {self._title}", lines, end=True)
        self._demand("")
        self._hint("")
        self._ask(typed=False)
        self.query_one("#go", Button).display = False
        button = self.query_one("#cancel", Button)
        button.label = "Close"
        button.focus()

    def _ask(self, *, typed: bool) -> None:
        """Have the field for what is typed in full, or not."""
        field = self.query_one(Input)
        field.set_class(typed, "-asked")
        field.disabled = not typed

    def _demand(self, text: str) -> None:
        self.query_one("#demand", Static).update("\n".join(map(printable, text.split("\n"))))

    def _hint(self, text: str) -> None:
        """Tell on the border what a key does now."""
        self.query_one(Vertical).border_subtitle = text

    # -- what the operator says --

    def on_input_changed(self, event: Input.Changed) -> None:
        """What is in doubt goes on only when it is typed in full."""
        event.stop()  # It is not the filter.
        self.query_one("#go", Button).disabled = not self._plan or event.value != self._plan.phrase

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the button, and not on."""
        event.stop()
        go = self.query_one("#go", Button)
        if not go.disabled:
            go.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """One of the two."""
        if event.button.id == "cancel":
            self.action_cancel()
        elif self._plan is not None and not self._begun:
            self._begun = True
            self.query_one("#go", Button).disabled = True
            consent = Consent(confirmed=True, typed=self.query_one(Input).value)
            self._ask(typed=False)
            self._hint("esc stop, and take back what was done")
            self._session.carry_out(self._plan, consent, self._tell)

    def action_cancel(self) -> None:
        """Close; while steps are done, have them taken back instead."""
        if self._begun and not self._ended:
            self._stops = True
            self._session.stop()
            self._demand(_STOPPING)
        else:
            self.dismiss(self._begun)

    def action_read(self, step: int, page: bool = False) -> None:
        """Scroll the plan, while a button or the field has the focus."""
        lines = self.query_one(Lines)
        lines.scroll_relative(y=step * (lines.size.height - 2 if page else 1), animate=False)

    def action_only(self) -> None:
        """Plan for the targets only, or for all that is in their groups."""
        if self._siblings and self._plan is not None and not self._begun:
            self._only = not self._only
            self._begin_to_plan()


class Chosen(NamedTuple):
    """A plan of the journal, and what to do about it."""

    number: int
    what: Literal["undo", "finish"]


class JournalScreen(Fitting, ModalScreen[Chosen | None]):
    """The plans of the journal; its result is what to do about one."""

    CSS = """
    JournalScreen { align: center middle; }
    JournalScreen > Vertical {
        width: 110; max-width: 100%; height: 90%; border: round $primary; background: $surface;
    }
    JournalScreen #plans { height: 1fr; }
    JournalScreen #entry { height: 2fr; border-top: solid $primary; }
    JournalScreen Bar { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,J", "leave", "Close"),
        ("u", "choose('undo')", "Undo"),
        ("f", "choose('finish')", "Finish"),
    ]

    def __init__(self, session: Session, entries: Sequence[Entry]) -> None:
        """Of these plans."""
        super().__init__()
        self._session = session
        self._entries = {f"{index}": entry for index, entry in enumerate(entries)}

    def compose(self) -> ComposeResult:
        """The plans, and all of the one that is selected."""
        with Vertical():
            yield Lines(id="plans")
            yield Lines(id="entry")
            yield Bar(id="keys")

    def on_mount(self) -> None:
        """The newest is selected."""
        host = self._session.host
        lines = [
            f" {entry.begun.number:>4}  {state_of(host, entry):<18}  {entry.begun.plan.command}"
            for entry in self._entries.values()
        ]
        plans = self.query_one("#plans", Lines)
        plans.tell(" Journal", lines, end=True)
        plans.focus()
        self.query_one("#keys", Bar).show(
            " u Undo the selected plan   f Finish it, if it was cut off   esc Close"
        )

    def on_lines_pane_selected(self, message: LinesPane.Selected) -> None:
        """Show what is selected."""
        if message.pane.id == "plans":
            lines = entry_lines(self._session.host, self._entries[message.key.partition(".")[0]])
            self.query_one("#entry", Lines).tell("", [f" {line}" for line in lines])

    def action_choose(self, what: Literal["undo", "finish"]) -> None:
        """Undo the selected plan, or do the rest of it."""
        key = self.query_one("#plans", Lines).cursor
        if key is not None:
            self.dismiss(Chosen(self._entries[key.partition(".")[0]].begun.number, what))

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)


class TypeScreen(Fitting, ModalScreen[str | None]):
    """Which type of mediated device to make; its result is `PARENT/TYPE`."""

    CSS = """
    TypeScreen { align: center middle; }
    TypeScreen OptionList {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
        border-title-color: $text;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "leave", "Close")]

    def __init__(self, types: Sequence[tuple[str, str]]) -> None:
        """Of these: (`PARENT/TYPE`, what it is)."""
        super().__init__()
        self._types = types

    def compose(self) -> ComposeResult:
        """One list."""
        yield OptionList(
            *(Option(Text(printable(f"{name}  {what}"))) for name, what in self._types),
            markup=False,
        )

    def on_mount(self) -> None:
        """It has the keys."""
        menu = self.query_one(OptionList)
        menu.border_title = "Create"
        menu.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was chosen."""
        self.dismiss(self._types[event.option_index][0])

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)
