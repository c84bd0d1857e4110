"""The console. The app only wires: samples to panes, keys to panes, signals to a clean exit."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from signal import SIGHUP, signal
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.command import Provider
from textual.message import Message
from textual.screen import Screen

from sdmtop.backends.base import open_host
from sdmtop.collector import Focus, Sample
from sdmtop.commands import Command, Now, footer, help_lines, with_keys
from sdmtop.errors import sentence
from sdmtop.glance import Glance
from sdmtop.headline import HELP_ROWS, headline, iommu_kind, is_without_iommu, no_iommu_help
from sdmtop.layout import EVENT_ROWS, LEAST, TALL, WIDE, tree_columns
from sdmtop.lookup import device_of_interrupt
from sdmtop.places import config_file, screens_directory
from sdmtop.query import QueryError
from sdmtop.sampler import DEADLINE, Sampler, Stall
from sdmtop.screens import save_screen
from sdmtop.settings import Settings
from sdmtop.terminal import SIGNALS, way_of_a_copy
from sdmtop.text import printable
from sdmtop.tour import HERE, HOST, STEPS
from sdmtop.tui.bars import MOST_ROWS, Bar, FooterBar, Scrubber, TourPanel
from sdmtop.tui.bindings import bindings
from sdmtop.tui.domains import Domains
from sdmtop.tui.events import Events
from sdmtop.tui.field import QueryField
from sdmtop.tui.ground import Column, Ground, Palette, Row
from sdmtop.tui.interrupts import Interrupts
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.palette import Commands, Entry
from sdmtop.tui.panes import Inspector, Pasids, SamplePane
from sdmtop.tui.themes import DARK, LIGHT, OTHER
from sdmtop.tui.tree import TreePane

if TYPE_CHECKING:
    from types import FrameType

    from textual.timer import Timer

    from sdmtop.backends.base import Host
    from sdmtop.backends.simulator.control import Request
    from sdmtop.backends.simulator.host import SimulatorHost
    from sdmtop.operations.session import Session as OperationSession

    # It brings SQLite, which the live console does without.
    from sdmtop.replay import Replayer
    from sdmtop.selftests.session import Session as TestSession
    from sdmtop.tui.operations import Maker

PANES = ("tree", "inspector", "pasids", "interrupts", "events", "domains")

_PATIENCE = 0.15
"""Seconds that leaving may take: a lost terminal can block the thread that writes to it."""

_DEAF = 2.0
"""Seconds after which a signal that the loop has not taken up ends the program all the same."""

_BLANK = 1.0
"""Seconds after which the panes are shown even if nothing has been read yet."""

_SAID = 6.0
"""Seconds that a sentence stands in the footer, unless a key is pressed before."""

_WATCHDOG = 5.0
"""Seconds between two looks of the watchdog while nothing is suspect; each costs a wake-up."""

_TIDY = 100
"""Samples from one search for rings of garbage to the next: Textual's lines are such."""

_NO_KEY = "no_key"
"""What no terminal sends: with nothing Textual would leave a command the key that it had."""

_SETTLED = 3
"""The sample with which the first search comes: the start leaves many, and wants no delay."""


def clock() -> str:
    """The time of day, to the minute."""
    return time.strftime("%H:%M")


def _to_nobody(_sample: Sample) -> None:
    """Another host is looked at."""


class Console(App[None]):
    """The console on one host, whose samples come from a Sampler."""

    CSS = f"""
    #header {{ text-style: bold; background: $primary; }}
    #header:ansi {{ text-style: bold reverse; background: ansi_default; }}
    #body {{ height: 1fr; }}
    #side {{ width: 1fr; }}
    #inspector {{ height: 1fr; }}
    #pasids {{ height: 5; }}
    #interrupts {{ height: 1fr; }}
    #events {{ height: {EVENT_ROWS}; }}
    .help {{ display: none; }}
    .help.-shown {{ display: block; }}
    .-narrow #side, .-narrow #events, .-low #events {{ display: none; }}
    .-narrow #tree {{ width: 1fr; }}
    .-narrow.-side #tree {{ display: none; }}
    .-narrow.-side #side {{ display: block; }}
    .-narrow.-side #side LinesPane {{ display: none; height: 1fr; }}
    .-narrow.-side #side .-front {{ display: block; }}
    .-alone #body {{ display: none; }}
    .-alone #events {{ display: block; height: 1fr; }}
    #domains {{ display: none; height: 1fr; }}
    .-domains #body, .-domains #events {{ display: none; }}
    .-domains #domains {{ display: block; }}
    ModalScreen, CommandPalette {{ background: transparent; }}
    #room {{ display: none; }}
    .-tiny > *, .-tiny #domains, .-tiny #events {{ display: none; }}
    .-tiny #room {{ display: block; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("console")]
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Commands}
    ENABLE_COMMAND_PALETTE = True
    TITLE = "sdmtop"

    class Fresh(Message):
        """A new sample has been read. A newer one replaces it in the queue."""

        def __init__(self, sampler: "Sampler | Replayer", sample: Sample) -> None:
            super().__init__()
            self.sampler = sampler
            self.sample = sample

        def can_replace(self, message: Message) -> bool:
            """Only the newest sample is worth showing."""
            return isinstance(message, Console.Fresh)

    def __init__(
        self,
        sampler: "Sampler | Replayer",
        *,
        settings: Settings | None = None,
        glance: Glance | None = None,
        tour: bool = False,
        has_journal: bool = False,
        force: Callable[[int], None] | None = None,
        **options: Any,
    ) -> None:
        """Make the app for a sampler, or a recording in its place, which it starts.

        `glance` is what stands on the screen already; `tour` begins with the tour; with
        `has_journal` an earlier run may have left something half-done; `force` ends the program
        when leaving in good order takes too long.
        """
        super().__init__(**options)
        self._glance = glance
        self._begins_tour = tour
        self._has_journal = has_journal
        self._tour: int | None = None
        self._home: Sampler | Replayer = sampler
        self.greeting = ""
        """What the operator is told first."""
        self.sampler = sampler
        self._replayer = None if isinstance(sampler, Sampler) else sampler
        self.sample: Sample | None = None
        self._taken = 0
        self._stall: Stall | None = None
        self._shown_state = ""
        self._shown_target: str | None = None
        self._without_iommu = False
        self._room = (0, 0)
        self._told: tuple[int, Now] | None = None
        """What the footer was made of."""
        self._zoomed = False
        self._asked_pane: TreePane | Events | None = None
        self._force = force
        self._settings = settings = settings or Settings()
        self._commands = {command.id: command for command in with_keys(settings.keys)}
        self.set_keymap({id_: keys or _NO_KEY for id_, keys in settings.keys.items()})
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name
        if not settings.animation:
            self.animation_level = "none"
        self._sessions: dict[Host, OperationSession] = {}
        self._tests: TestSession | None = None
        self._stops = False
        self._leaves = False
        self._refusal = sampler.host.refusal()
        self._silence: Timer | None = None
        self._veil = ExitStack()

    # -- structure -----------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """What the panes stand on."""
        return Ground(id="_default")  # Textual's own name of it.

    def compose(self) -> ComposeResult:
        """Header, help for a host without IOMMU, the panes, footer."""
        yield Bar(id="header")
        if self._replayer is not None:
            yield Scrubber(id="scrubber")
        for number in range(HELP_ROWS):
            bar = Bar(id=f"help-{number}")
            bar.add_class("help")
            yield bar
        with Row(id="body"):
            yield TreePane(id="tree", columns=self._settings.columns, order=self._settings.sort)
            with Column(id="side"):
                yield Inspector(id="inspector")
                yield Pasids(id="pasids")
                yield Interrupts(id="interrupts")
        yield Events(id="events")
        yield Domains(id="domains")
        yield QueryField(id="filter")
        yield TourPanel(id="tour")
        yield FooterBar(id="footer")
        yield Bar(id="room")

    def on_load(self) -> None:
        """Leave the screen as it is until there is something to show."""
        self._veil.enter_context(self.batch_update())

    def _unveil(self) -> None:
        """Show the panes."""
        self._veil.close()
        if self._stands:
            self.screen_stack[0].refresh(layout=True)
            self.call_after_refresh(self._look)

    @property
    def _stands(self) -> bool:
        """Whether the panes are there: when we leave, timers outlive them for a moment."""
        # Not `query`, which walks through all there is below them as well.
        panes = self.screen_stack[0].children if self.screen_stack else ()
        return any(pane.id == "header" for pane in panes)

    def on_mount(self) -> None:
        """Start reading, and make every way to die leave a clean terminal."""
        self.query_one("#tree").focus()
        self._arrange(self.size.width, self.size.height)
        if not self.is_headless:
            for number in SIGNALS:
                signal(number, self._obey_signal)
        self._watch_later()
        self.say(self.greeting)
        self._listen()
        if self._begins_tour:
            self.action_tour()
        if self._glance is None:
            self.set_timer(_BLANK, self._unveil)
            self.sampler.start()
            return
        self._tree.begin(self._glance.outline, self._glance.seen)
        self.query_one("#header", Bar).show(self._glance.head)
        self._show_help(missing=bool(self._glance.help))
        self._unveil()
        # Reading takes the time of the interpreter: it begins when keys are obeyed.
        self.call_after_refresh(self.sampler.start)

    def on_resize(self, event: events.Resize) -> None:
        """Give the panes the room that there is now."""
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, columns: int, rows: int) -> None:
        self._room = (columns, rows)
        screen = self.screen_stack[0]
        tiny = columns < LEAST[0] or rows < LEAST[1]
        narrow = columns < WIDE or self._zoomed
        screen.set_class(tiny, "-tiny")
        screen.set_class(narrow, "-narrow")
        screen.set_class(rows < TALL, "-low")
        room = f" q quits; sdmtop needs {LEAST[0]}x{LEAST[1]}, this is {columns}x{rows}"
        screen.query_one("#room", Bar).show(room)
        if not narrow:
            screen.query_one("#tree").styles.width = tree_columns(columns)
            screen.remove_class("-side", "-alone", "-domains")
        else:
            screen.query_one("#tree").styles.width = "1fr"
        self._show_help(missing=self._without_iommu)
        self._show_footer()
        self._show_header()
        self.call_after_refresh(self._look)

    # -- samples -------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Have the samples of the sampler that there is now."""
        self.sampler.playhead.show = self._show
        self.sampler.subscribe(partial(self._publish, self.sampler))

    def _publish(self, sampler: "Sampler | Replayer", sample: Sample) -> None:
        """Called in the sampler's thread."""
        self.post_message(self.Fresh(sampler, sample))

    def on_console_fresh(self, message: Fresh) -> None:
        """Take a new sample, and show it unless the view is frozen."""
        if message.sampler is not self.sampler or not self._stands:
            return  # The last of a host that is looked at no more, or of all: we leave.
        self._taken += 1
        if self._taken % _TIDY == _SETTLED:
            gc.collect()  # By itself the collector would come much later, and memory creep up.
        first = self.sample is None
        if first and self._glance is None:
            self.call_after_refresh(self._unveil)
        self._glance = None  # It has served, and holds what it has read.
        if self._has_journal and message.sample.complete:
            self._has_journal = False
            threading.Thread(target=self._look_back, name="sdmtop-look-back", daemon=True).start()
        if first or not self.sampler.playhead.frozen:
            self._show(message.sample)
        else:
            self._show_header()

    def _show(self, sample: Sample) -> None:
        """Show a sample; it is `sample` until the next is shown."""
        first = self.sample is None
        self.sample = sample
        self._tree.show(sample)
        if first and self._tour is not None:
            self._tree.select(STEPS[self._tour].target)
            self._show_footer()
        self._show_sides(sample)
        snapshot = sample.snapshot
        self._show_help(missing=is_without_iommu(snapshot.iommu_units, snapshot.groups))
        self._show_header()
        self._show_footer()

    def _show_help(self, *, missing: bool) -> None:
        """What to do where there is no IOMMU."""
        self._without_iommu = missing
        lines = no_iommu_help(*self._room) if missing else ()
        for number in range(HELP_ROWS):
            bar = self.screen_stack[0].query_one(f"#help-{number}", Bar)
            bar.set_class(number < len(lines), "-shown")
            if number < len(lines):
                bar.show(f" {lines[number]}")

    def _now(self) -> Now:
        """What decides which commands can be given."""
        screen = self.screen_stack[0]
        focused = screen.focused
        pane = focused.id if focused is not None and focused.id in PANES else "tree"
        interrupts = screen.query_one(Interrupts)
        in_interrupts = pane == "interrupts" and interrupts.cursor is not None
        session = self._sessions.get(self.sampler.host)
        return Now(
            pane=pane,
            alone=self._room[0] < WIDE,
            typing=self._filter_is_open,
            page=(self.screen.id or "page") if len(self.screen_stack) > 1 else "",
            foldable=self._tree.foldable,
            leads=isinstance(focused, SamplePane) and focused.goal is not None,
            filtered=bool((screen.query_one(Events) if pane == "events" else self._tree).filter),
            zoomed=self._zoomed,
            mapped=interrupts.as_map,
            paused=self.sampler.playhead.paused,
            replay=self._replayer is not None,
            stands=self.sampler.host.taken_at is not None,
            tour=self._tour is not None,
            last_step=self._tour == len(STEPS) - 1,
            without_iommu=self._without_iommu,
            origins=screen.query_one(Inspector).origins,
            target=self._tree.cursor,
            interrupt=f"irq/{interrupts.cursor}" if in_interrupts else None,
            marked=self._tree.marked,
            snapshot=self.sample.snapshot if self.sample is not None else None,
            refusal=self._refusal,
            kept=tuple(session.kept.plans) if session is not None else (),
            attached=session.attached if session is not None else self._unasked,
        )

    def _show_footer(self) -> None:
        """The keys that work now."""
        told = self._room[0], self._now()
        if told != self._told:
            self._told = told
            bar = self.screen_stack[0].query_one(FooterBar)
            bar.show(footer(*told, tuple(self._commands.values())))

    def say(self, text: str) -> None:
        """Tell the operator something, in the footer; text from outside is made printable."""
        if self._silence is not None:
            self._silence.stop()
        self.screen_stack[0].query_one(FooterBar).say(printable(text))
        self._silence = self.set_timer(_SAID, self._fall_silent) if text else None

    def _fall_silent(self) -> None:
        self.say("")

    def on_descendant_focus(self) -> None:
        """Other keys work in another pane."""
        self._show_footer()

    def _show_sides(self, sample: Sample) -> None:
        target = self._shown_target = self._tree.cursor
        screen = self.screen_stack[0]
        stands = self.sampler.playhead.paused or self.sampler.host.taken_at is not None
        screen.query_one(Events).live = not stands and not self._replayer
        for kind in (Inspector, Pasids, Interrupts, Events, Domains):
            screen.query_one(kind).show(sample, target)
        self._look()

    def _look(self) -> None:
        """Have read what is looked at: the selected object, the interrupts on the screen."""
        if self.sample is not None and self._stands:
            irqs = self.screen_stack[0].query_one(Interrupts).visible_irqs()
            self.sampler.look_at(Focus(self._tree.cursor, tuple(irqs)))

    def _show_header(self) -> None:
        sample = self.sample
        if sample is None:
            return
        host = sample.snapshot.host
        self._shown_state = self._state(sample)
        header = self.screen_stack[0].query_one("#header", Bar)
        header.show(
            headline(
                name=host.name,
                kernel=host.kernel,
                iommu=iommu_kind([unit.name for unit in sample.snapshot.iommu_units]),
                backend=host.backend if self._replayer is None else "replay",
                read_only=host.read_only or self._replayer is not None,
                state=self._shown_state,
                width=self._room[0],
            )
        )
        if self._replayer is not None:
            line = self._replayer.line(self._room[0])
            self.screen_stack[0].query_one(Scrubber).show(line)

    def _state(self, sample: Sample) -> str:
        """How fresh the screen is. No seconds: a clock that ticks would draw when nothing does."""
        if self._stall is not None:
            more = f" and {len(self._stall.paths) - 1} more" if len(self._stall.paths) > 1 else ""
            return f"STALE {self._stall.seconds:.0f}s: {self._stall.paths[0]}{more}"
        held = self.sampler.playhead.state()
        if held:
            return held
        if not sample.complete:
            return "reading"
        taken_at = self.sampler.host.taken_at
        if taken_at is not None:
            when = printable(taken_at)[:16].replace("T", " ")
            return f"taken {when}" if when else "taken some time ago"
        return f"{clock()} every {self.sampler.interval:g}s"

    def _watch_later(self) -> None:
        # Not by a timer of Textual's, each beat of which is a message to be queued and passed on.
        pace = DEADLINE if self.sampler.suspects else _WATCHDOG
        asyncio.get_running_loop().call_later(pace, self._beat)

    def _beat(self) -> None:
        try:
            self._watch()
        except Exception as error:  # noqa: BLE001 - ends the console, as one in a message does
            self._handle_exception(error)
        else:
            self._watch_later()

    def _watch(self) -> None:
        self._stall = self.sampler.watch()
        if self.sample is not None and self._stands:
            # All else in the header comes with a sample, but a recording that is replayed grows.
            if self._state(self.sample) != self._shown_state or self._replayer is not None:
                self._show_header()
            self.screen_stack[0].query_one("#events", Events).pass_time()

    def on_lines_pane_selected(self, message: LinesPane.Selected) -> None:
        """Show what is selected in the tree, once the selection itself is on the screen."""
        if self._stands and message.pane is self._tree:
            self.call_after_refresh(self._follow_selection)
        elif self._stands:
            self._show_footer()  # Not from every line does enter lead to the tree.

    def _follow_selection(self) -> None:
        if not self._stands:
            return
        if self.sample is not None and self._tree.cursor != self._shown_target:
            self._show_sides(self.sample)
        self._show_footer()

    # -- keys ----------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """See `App.on_event`; a key for a pane or for the filter is obeyed here.

        Textual passes it from queue to queue, down to the pane and up to here again, where it can
        overtake the key before, which has not yet moved the focus.
        """
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            focused = self.focused
            if isinstance(focused, LinesPane) and isinstance(event, events.Key):
                await self._obey(event.key, focused)
                return
            if isinstance(focused, QueryField):
                await self._write(event, focused)
                return
        await super().on_event(event)

    async def _write(self, event: events.Key | events.Paste, field: QueryField) -> None:
        """Do what a key means while a filter is typed: a letter is one, whatever else it does."""
        if isinstance(event, events.Key):
            if await self._check_bindings(event.key, priority=True):
                return
            if not event.is_printable:
                await self._check_bindings(event.key)
                return
        await field.write(event)

    async def _obey(self, key: str, pane: LinesPane) -> None:
        """Do what a key means to a pane, and show at once where the selection has moved to.

        Unless other keys wait: of many that come together the last is what will be looked at.
        """
        before = pane.cursor
        for action, node in pane.actions.get(key, ()):
            if await self.run_action(action, node):
                break
        if pane.cursor != before and not self.message_queue_size:
            pane.draw()

    @property
    def _tree(self) -> TreePane:
        return self.screen_stack[0].query_one(TreePane)

    def action_leave(self) -> None:
        """Quit."""
        self._leave(0)

    async def action_quit(self) -> None:
        """Quit by Textual's own key, `ctrl+q`."""
        self._leave(0)

    def terminal_lost(self) -> None:
        """The terminal is gone: so are we."""
        self._leave(128 + SIGHUP)

    def action_help(self) -> None:
        """Show keys and words."""
        from sdmtop.tui.help import HelpScreen

        self.push_screen(HelpScreen(help_lines(self._now(), tuple(self._commands.values()))))
        self._show_footer()

    def action_selftest(self) -> None:
        """Test what is selected."""
        from sdmtop.tui.selftests import SelftestScreen

        target = self._tree.cursor
        if target is not None:
            self._tree.settle()
            screen = SelftestScreen(self._session, target)
            self._tests = screen.session
            self.push_screen(screen, self._tested)
            self._show_footer()

    def _tested(self, why_not: str | None) -> None:
        self.say(f"Self-test: {why_not}" if why_not else "")

    # -- operations --

    @property
    def _unasked(self) -> frozenset[str] | None:
        """What is attached by the journal of a host that has no session yet: a model's is empty."""
        return None if self.sampler.host.backend == "linux" else frozenset()

    @property
    def _session(self) -> "OperationSession":
        """The operations on the host that is looked at; made when first needed."""
        from sdmtop.operations.session import Session

        host = self.sampler.host
        if host not in self._sessions:
            self._sessions[host] = Session(host)
        return self._sessions[host]

    def _look_back(self) -> None:
        """Tell what an earlier run has left; in a thread, for it takes a while."""
        try:
            left = self._session.look_back()
        except OSError as error:
            left = [("trouble", sentence("the journal", error))]
        for kind, text in left:
            self.sampler.timeline.add(kind, None, text)
        if left:
            self.call_from_thread(self.say, left[-1][1])

    def _operate(
        self, title: str, make: "Maker", targets: Sequence[str] = (), *, siblings: bool = False
    ) -> None:
        """Show a plan for these targets, and have it carried out if the operator says so."""
        from sdmtop.tui.operations import PlanScreen

        sampler = self.sampler
        self._tree.settle()
        about = targets[0] if targets else self._tree.cursor
        if self.sample is not None and about is not None and about.startswith("irq/"):
            about = device_of_interrupt(self.sample.snapshot, about)

        def happened(text: str) -> None:
            sampler.timeline.add("changed", about, text)
            if isinstance(sampler, Sampler):
                sampler.hurry()

        def closed(done: bool | None) -> None:
            if done and self._tree.marked == tuple(targets):
                self._tree.unmark()
                self._show_footer()

        self.push_screen(
            PlanScreen(self._session, title, make, happened, siblings=siblings), closed
        )
        self._show_footer()

    @property
    def _targets(self) -> tuple[str, ...]:
        """What attach, detach and remove are for: all that is marked, else what is selected."""
        cursor = self._tree.cursor
        return self._tree.marked or ((cursor,) if cursor is not None else ())

    def action_mark(self) -> None:
        """Mark the selected line, or no longer."""
        self._tree.mark()
        self._show_footer()

    def action_attach(self) -> None:
        """Plan to attach what is selected."""
        from sdmtop.operations.attach import plan_attach

        targets = self._targets
        self._operate(
            "Attach",
            lambda means, only: plan_attach(
                means.host, means.snapshot, targets, only=only, kept=means.kept
            ),
            targets,
            siblings=True,
        )

    def action_detach(self) -> None:
        """Plan to detach what is selected."""
        from sdmtop.operations.undo import plan_detach

        targets = self._targets
        self._operate(
            "Detach",
            lambda means, only: plan_detach(
                means.host, means.snapshot, targets, entries=means.entries, kept=means.kept,
                only=only,
            ),
            targets,
            siblings=True,
        )  # fmt: skip

    def action_create(self) -> None:
        """Plan to make a mediated device; ask of which type where there are several."""
        from sdmtop.tui.operations import TypeScreen

        types = self.sample.snapshot.mdev_types if self.sample is not None else ()
        offered = [
            (f"{one.parent}/{one.id}", f"{one.name or ''}, {one.available_instances} left")
            for one in types
            if one.parent == self._tree.cursor
        ]
        if len(offered) == 1:
            self._create(offered[0][0])
        elif offered:
            self.push_screen(TypeScreen(offered), self._create)

    def _create(self, name: str | None) -> None:
        from sdmtop.operations.mdevs import plan_create

        if name is not None:
            self._operate("Create", lambda means, _: plan_create(means.host, means.snapshot, name))

    def action_remove(self) -> None:
        """Plan to remove what is selected."""
        from sdmtop.operations.mdevs import plan_remove

        targets = self._targets
        self._operate(
            "Remove", lambda means, _: plan_remove(means.host, means.snapshot, targets), targets
        )

    def action_ask(self, operation: str) -> None:
        """Ask what an operation wants to know, and plan it."""
        from sdmtop.tui.asking import QUESTIONS, AskScreen

        if self.sample is None:
            return  # Nothing is selected yet.
        self._tree.settle()
        question = QUESTIONS[operation](self.sample, self._now())

        def answered(answer: str | None) -> None:
            if answer is not None:
                make = partial(question.plan, answer)
                self._operate(question.title, make, question.targets, siblings=question.siblings)

        self.push_screen(AskScreen(question), answered)
        self._show_footer()

    def action_reset(self) -> None:
        """Plan to reset what is selected."""
        from sdmtop.operations.settings import plan_reset

        target = self._tree.cursor or ""
        self._operate(
            "Reset", lambda means, _: plan_reset(means.host, means.snapshot, target), (target,)
        )

    def action_undo(self) -> None:
        """Plan to undo the last plan."""
        self._undo(None)

    def _undo(self, number: int | None) -> None:
        from sdmtop.operations.undo import plan_undo

        self._operate(
            "Undo",
            lambda means, _: plan_undo(
                means.host, means.snapshot, means.entries, kept=means.kept, number=number
            ),
        )

    def _finish(self, number: int) -> None:
        from sdmtop.operations.undo import plan_finish

        self._operate(
            "Finish",
            lambda means, _: plan_finish(means.host, means.snapshot, means.entries, number=number),
        )

    def action_journal(self) -> None:
        """Show the journal."""
        from sdmtop.tui.operations import Chosen, JournalScreen

        try:
            entries = self._session.entries()
        except OSError as error:
            self.say(sentence("Journal", error))
            return

        def chosen(plan: Chosen | None) -> None:
            if plan is not None:
                do = {"undo": self._undo, "finish": self._finish}[plan.what]
                do(plan.number)

        if entries:
            self.push_screen(JournalScreen(self._session, entries), chosen)
            self._show_footer()
        else:
            self.say("the journal has no plans")

    def action_command_palette(self) -> None:
        """Find a command by its name."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))  # Textual's own name of it.
        self._show_footer()

    def pop_screen(self) -> AwaitComplete:
        """Close a page."""
        closed = super().pop_screen()
        self._show_footer()
        return closed

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A slash is a letter like any other while a filter is typed or a page is open."""
        if (action, parameters) != ("do", ("filter",)):
            return True
        return len(self.screen_stack) == 1 and not self._filter_is_open

    async def action_do(self, id_: str) -> None:
        """Give a command, or say why it cannot be given now."""
        command = self._commands[id_]
        now = self._now()
        reason = command.why_not(now)
        # Whatever is shown, some things cannot be done here.
        passes = now.paused and reason != command.why_not(now._replace(snapshot=None))
        past = " (at the moment that is shown: p goes on)" if passes else ""
        self.say(f"{command.title}: {reason}{past}" if reason else "")
        if not reason:
            await self.run_action(command.action)

    def action_filter(self) -> None:
        """Ask for a text to find."""
        self._asked_pane = asked = self.query_one(Events) if self._is_in_events else self._tree
        self._bring_forward(asked)
        self._field.open(asked.filter, asked.fields, asked.values, self._keep_filter)
        self._show_footer()

    @property
    def _asked(self) -> TreePane | Events:
        """The pane that a query is for."""
        return self._asked_pane or self._tree

    @property
    def _is_in_events(self) -> bool:
        return isinstance(self.focused, Events)

    def on_input_changed(self, event: QueryField.Changed) -> None:
        """Find while it is typed; what makes no sense yet changes nothing."""
        if not self._field.display:
            return  # Closed meanwhile.
        error = None
        try:
            self._asked.find(event.value)
        except QueryError as wrong:
            error = wrong
        hint = self._field.hint(error, self._room[0])
        # Words to go on with change with each key: for them the panes do not move.
        most = MOST_ROWS if error is not None else 1
        self.screen_stack[0].query_one(FooterBar).say(hint, most=most)

    def _keep_filter(self) -> None:
        """Keep the filter and go back to the tree, unless it makes no sense."""
        try:
            self._asked.find(self._field.value)
        except QueryError:
            return  # It stands below the field what is wrong.
        if self._asked is self._tree:
            self._tree.settle()
        self._close_filter()

    def action_clear(self) -> None:
        """Show all lines again, of the pane that was asked."""
        if not self._filter_is_open:
            self._asked_pane = self.query_one(Events) if self._is_in_events else self._tree
        if self._asked.filter or self._filter_is_open:
            self._asked.find("")
            self._close_filter()
        elif self._is_covered and self._now().pane != "tree":
            self.action_pane("tree")
        elif self._tree.marked:
            self._tree.unmark()
            self._show_footer()

    @property
    def _is_covered(self) -> bool:
        """Whether one pane has taken the place of the others."""
        return any(map(self.screen_stack[0].has_class, ("-narrow", "-alone", "-domains")))

    def action_focus_next(self) -> None:
        """Go to the next pane."""
        self._to_neighbour(1, super().action_focus_next)

    def action_focus_previous(self) -> None:
        """Go to the pane before."""
        self._to_neighbour(-1, super().action_focus_previous)

    def _to_neighbour(self, step: int, otherwise: Callable[[], None]) -> None:
        """Go to another pane, also where only one is on the screen."""
        if len(self.screen_stack) > 1 or not self._is_covered:
            otherwise()
            return
        self.action_pane(PANES[(PANES.index(self._now().pane) + step) % len(PANES)])

    @property
    def _filter_is_open(self) -> bool:
        return self._field.display

    @property
    def _field(self) -> QueryField:
        return self.screen_stack[0].query_one(QueryField)

    def _close_filter(self) -> None:
        self._field.display = False
        self.say("")
        self.screen.set_focus(self._asked)
        self._show_footer()

    def action_sort(self) -> None:
        """Sort the pane that has the focus, or the tree; of events, show more or less of time."""
        interrupts = self.query_one(Interrupts)
        events_ = self.query_one(Events)
        if self.focused is events_:
            events_.next_span()
            self._show_footer()
        elif self.focused is interrupts and self.sample is not None:
            interrupts.toggle_order()
            interrupts.show(self.sample, self._tree.cursor)
        else:
            self._tree.next_order()

    def action_map(self) -> None:
        """Show which CPUs take the interrupts, or how many there are."""
        self.action_pane("interrupts")
        self.query_one(Interrupts).toggle_map()
        self._show_footer()

    def action_zoom(self) -> None:
        """Give the pane with the focus the whole screen, or give it back."""
        self._zoomed = not self._zoomed
        pane = self.focused if isinstance(self.focused, LinesPane) else self._tree
        self._arrange(*self._room)
        self._bring_forward(pane)
        self._show_footer()

    def action_enter(self) -> None:
        """Fold or unfold in the tree; elsewhere, go to what the line is about."""
        pane = self.focused
        if not isinstance(pane, SamplePane):
            self._tree.fold()
        elif (target := pane.goal) is not None:
            if self._tree.select(target):
                self.action_pane("tree")
            else:
                self.say(f"{target} is not among the lines of the tree")

    def action_turn(self) -> None:
        """Sort the tree the other way round."""
        self._tree.turn()

    def action_columns(self) -> None:
        """Choose the columns of the tree."""
        from sdmtop.tui.choices import ColumnsScreen

        self.push_screen(ColumnsScreen(self._tree.columns, self._tree.choose, self._keep_columns))
        self._show_footer()

    def _keep_columns(self, columns: Sequence[str]) -> None:
        """Write the choice into the configuration."""
        from sdmtop.config import save

        path = config_file()
        try:
            save(path, "columns", columns)
        except (OSError, ValueError) as error:
            self.say(sentence(path, error))
        else:
            self.say(f"columns are kept in {path}")

    def action_theme(self) -> None:
        """Take the colours for the other kind of background."""
        self.theme = OTHER[self.theme]

    def action_repaint(self) -> None:
        """Draw everything again: something else has written on the terminal."""
        self.screen.refresh()

    def action_pause(self) -> None:
        """Freeze the view; reading goes on."""
        self.sampler.playhead.toggle()
        self._show_time()

    def action_step(self, count: int) -> None:
        """Show an earlier or a later moment."""
        if not self.sampler.playhead.step(count):
            self.say(f"no {'older' if count < 0 else 'newer'} moment is kept")
        self._show_time()

    def action_leap(self, step: int) -> None:
        """Show the moment of the event before, or after."""
        if not self.sampler.playhead.leap(step):
            self.say(f"no {'earlier' if step < 0 else 'later'} event is kept")
        self._show_time()

    def action_tour(self) -> None:
        """Begin the tour, on its own host; or end it, and go back to where it began."""
        if self._tour is None:
            self._tour = 0
            self._tree.find("")  # Or it might hide what the tour shows.
            if self.sampler.host.url not in HERE:
                host = open_host(HOST)
                host.disarmed = self.sampler.host.disarmed
                self._go_to(Sampler(host, interval=self.sampler.interval))
            self.action_tour_step(0)
        else:
            self._tour = None
            self.query_one(TourPanel).display = False
            if self.sampler is not self._home:
                self.sampler.stop()
                self._go_to(self._home)
        self._show_footer()

    def action_tour_step(self, count: int) -> None:
        """Go on with the tour, or back."""
        if self._tour is not None:
            self._tour = min(max(self._tour + count, 0), len(STEPS) - 1)
            self.query_one(TourPanel).tell(self._tour)
            self._tree.select(STEPS[self._tour].target)
            self._show_footer()

    def _go_to(self, sampler: "Sampler | Replayer") -> None:
        """Look at another host; the one before is still read, and its minutes are kept."""
        self.sampler.playhead.show = _to_nobody
        self.sampler.subscribe(_to_nobody)
        self.sampler, self.sample, self._stall = sampler, None, None
        self._refusal = sampler.host.refusal()
        self._listen()
        if sampler is not self._home:
            sampler.start()

    def action_skip(self, step: int) -> None:
        """Go through a recording in large steps."""
        if self._replayer is not None:
            self._replayer.skip(step)
            self._show_time()

    def action_faster(self, step: int) -> None:
        """Play a recording faster or slower."""
        if self._replayer is not None:
            if not self._replayer.faster(step):
                self.say("it plays no slower" if step < 0 else "it plays no faster")
            self._show_time()

    def on_footer_bar_pressed(self, message: FooterBar.Pressed) -> None:
        """Press the key that was clicked."""
        self.simulate_key(message.key)

    def on_scrubber_sought(self, message: Scrubber.Sought) -> None:
        """Go to the place in the recording that was clicked."""
        if self._replayer is not None:
            self._replayer.seek(message.cell, message.width)
            self._show_time()

    def _show_time(self) -> None:
        """Show which moment this is, before the moment itself has come."""
        self._show_header()
        self._show_footer()

    def action_simulate(self) -> None:
        """Offer what can be done to a simulated host."""
        from sdmtop.backends.simulator.host import SimulatorHost
        from sdmtop.tui.simulation import SimulationScreen, choices

        host = self.sampler.host
        if isinstance(host, SimulatorHost):
            snapshot = self.sample.snapshot if self.sample is not None else None
            offered = choices(snapshot, self._tree.cursor, host.rate)

            def chosen(request: "Request | None") -> None:
                if request is not None:
                    # A minute of a large host takes seconds.
                    threading.Thread(
                        target=self._simulate,
                        args=(host, request),
                        name="sdmtop-simulate",
                        daemon=True,
                    ).start()

            self.push_screen(SimulationScreen(offered), chosen)
            self._show_footer()

    def _simulate(self, host: "SimulatorHost", request: "Request") -> None:
        """Do what was chosen; in a thread."""
        from sdmtop.backends.simulator.control import perform

        try:
            told = perform(host, request)
        except (OSError, ValueError) as error:
            told = sentence("Simulate", error)
        self.call_from_thread(self.say, told)

    def action_origin(self) -> None:
        """Show where values were read."""
        self.query_one(Inspector).toggle_origins()
        self._show_footer()

    def action_copy(self) -> None:
        """Copy what the selected line is about, and say which way it went."""
        pane = self.focused if isinstance(self.focused, SamplePane) else None
        text = pane.copied() if pane is not None else self._tree.cursor
        if not text:
            self.say("there is nothing to copy on this line")
            return
        self.copy_to_clipboard(text)
        self.say(f"copied {way_of_a_copy(os.environ)}: {text}")

    def action_save(self) -> None:
        """Save the screen as a picture and as text."""
        # Textual exports pictures only; this is where it makes their lines.
        strips = self.screen._compositor.render_strips()
        lines = [strip.text for strip in strips]
        try:
            saved = save_screen(screens_directory(), self.export_screenshot(), lines, time.time())
        except OSError as error:
            self.say(sentence("the screen cannot be saved", error))
        else:
            self.say(f"saved {saved}.svg and .txt")

    def action_pane(self, name: str) -> None:
        """Go to a pane."""
        pane = self.screen.query_one(f"#{name}", LinesPane)
        self._bring_forward(pane)
        self.screen.set_focus(pane)  # At once: the next key may be there already.

    def _bring_forward(self, pane: LinesPane) -> None:
        """Have a pane on the screen; where there is room for one only, instead of the others."""
        screen = self.screen
        one = screen.has_class("-narrow")
        screen.set_class(pane.id == "domains", "-domains")
        if isinstance(pane, Domains) and self.sample is not None:
            pane.show(self.sample, self._tree.cursor)
        screen.set_class(pane.id == "events" and (one or screen.has_class("-low")), "-alone")
        screen.set_class(one and pane.id in ("inspector", "pasids", "interrupts"), "-side")
        for other in screen.query("#side LinesPane"):
            other.set_class(other is pane, "-front")
        pane.call_after_refresh(pane.redraw)
        self.call_after_refresh(self._look)

    def palette_entries(self) -> Iterable[Entry]:
        """The palette: what the registry has for the whole console."""
        now = self._now()._replace(page="")
        for command in self._commands.values():
            if command.scope == "console" and command.id not in ("palette", "clear"):
                yield self._palette_entry(command, command.why_not(now))

    def _palette_entry(self, command: Command, reason: str | None) -> Entry:
        help_ = f"not now: {printable(reason)}" if reason else command.help
        return Entry(
            command.title,
            help_,
            f"{command.id} {command.help}",
            lambda: self.run_action(f"do('{command.id}')"),
        )

    def _obey_signal(self, number: int, _frame: "FrameType | None") -> None:
        """Have the loop leave; without it if it never gets to that, whatever keeps it busy."""
        status = 128 + number
        self._leaves = False
        asyncio.get_running_loop().call_soon_threadsafe(self._leave, status)

        def insist() -> None:
            if not self._leaves and self._force is not None:
                self._force(status)

        timer = threading.Timer(_DEAF, insist)
        timer.daemon = True
        timer.start()

    def _stop(self, busy: "list[OperationSession | TestSession]", status: int) -> None:
        """Have plans and tests stop that are under way, and leave once they have."""
        if self._stops:
            return  # A terminal that goes says so, and sends a signal as well.
        self._stops = True
        self.say("stopping: what was done is taken back")

        def wait() -> None:
            for session in busy:
                session.stop()
                session.wait()
            self.call_from_thread(self._leave, status)

        threading.Thread(target=wait, name="sdmtop-leave", daemon=True).start()

    def _leave(self, status: int) -> None:
        """End in good order; by force if that takes longer than a person would wait.

        But not in the middle of a plan, or of tests: what was done is taken back first.
        """
        self._leaves = True
        busy: list[OperationSession | TestSession] = [
            session for session in self._sessions.values() if session.is_busy
        ]
        if self._tests is not None and self._tests.is_busy:
            busy.append(self._tests)
        if busy:
            self._stop(busy, status)
            return
        self.sampler.stop()
        self._home.stop()
        if self._force is not None:
            timer = threading.Timer(_PATIENCE, self._force, (status,))
            timer.daemon = True
            timer.start()
        self.exit(return_code=status)
