"""Self-tests in the console: what would be taken, then tests beside targets, live."""

import time
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.message import Message
from textual.screen import Screen

from sdmtop.operations import session as operations
from sdmtop.operations.journal import Judged
from sdmtop.selftests.records import Result
from sdmtop.selftests.reports import age, evidence_lines, history_line, summary
from sdmtop.selftests.runner import Job, Step
from sdmtop.selftests.session import Ended, Ready, Session, Update
from sdmtop.text import cell, printable
from sdmtop.tui.bars import Bar
from sdmtop.tui.ground import Fitting
from sdmtop.tui.lines import Content, LinesPane
from sdmtop.tui.told import Lines

_MARKS = {"pass": ("✓ pass", "good"), "fail": ("✗ FAIL", "bad"), "skip": ("- skip", "dim")}
_RUNNING = ("▸ runs", "accent")
_WAITING = ("· waits", "dim")
_NAME, _CELL = 26, 14


class Matrix(LinesPane):
    """A line a test, a column a target."""

    marks_always = True

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self.targets: list[str] = []
        self.jobs: frozenset[tuple[str, str]] = frozenset()
        self.results: dict[tuple[str, str], Result] = {}
        self.before: dict[tuple[str, str], Judged] = {}
        """What came of earlier runs; it stands in the cells until one begins."""
        self.has_begun = False
        self.running: tuple[str, str] | None = None

    def take(self, jobs: Sequence[Job], before: dict[tuple[str, str], Judged]) -> None:
        """Have a line for each of their tests."""
        self.before = before
        self.targets = list(dict.fromkeys(job.target for job in jobs))
        self.jobs = frozenset((job.test.name, job.target) for job in jobs)
        self.show_keys(list(dict.fromkeys(job.test.name for job in jobs)))

    def add(self, result: Result) -> None:
        """Have a line, and a column, for one that was not foreseen: something was left behind."""
        if result.target not in self.targets:
            self.targets.append(result.target)
        if result.test not in self.keys:
            self.show_keys([*self.keys, result.test])
        self.results[result.test, result.target] = result

    def title(self) -> str:
        """The targets."""
        heads = "".join(f"{cell(target, _CELL)} " for target in self.targets)
        return f"{'TEST':<{_NAME}} {heads}"

    def content(self, key: str) -> Content:
        """Name, then a cell for each target, then the reason of the first that has one."""
        spans = [(f"{key:<{_NAME}} ", "plain")]
        reason = ""
        for target in self.targets:
            text, style = self._cell(key, target)
            spans.append((f"{text:<{_CELL}} ", style))
            place = key, target
            result = self.results.get(place) or (None if self.has_begun else self.before.get(place))
            reason = reason or (result.reason or "" if result else "")
        room = self.line_width - _NAME - 1 - len(self.targets) * (_CELL + 1)
        return (*spans, (cell(reason, max(room, 0)), "dim"))

    def _cell(self, test: str, target: str) -> tuple[str, str]:
        place = test, target
        if place in self.results:
            return _MARKS[self.results[place].result]
        if place == self.running:
            return _RUNNING
        if place in self.before and not self.has_begun:
            earlier = self.before[place]
            word = _MARKS[earlier.result][0].partition(" ")[2]
            return f"{word} {age(time.time() - earlier.at)}", "dim"
        return _WAITING if place in self.jobs else ("", "plain")


class SelftestScreen(Fitting, Screen[str]):
    """One target: asked, run, watched, cancelled. Its result is why there is nothing to run."""

    CSS = """
    SelftestScreen #tests-head { text-style: bold; background: $primary; }
    SelftestScreen #matrix { height: 2fr; }
    SelftestScreen #evidence { height: 1fr; border-top: solid $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("enter", "begin", "Run"),
        ("c", "cancel", "Cancel"),
        ("escape,q,t", "leave", "Close"),
    ]

    class Told(Message):
        """The session has something to say."""

        def __init__(self, update: Update) -> None:
            super().__init__()
            self.update = update

    def __init__(self, console: operations.Session, target: str) -> None:
        """Of the tests of this target."""
        super().__init__()
        self._target = target
        self.session = Session(console, target, self._told)
        self._is_ready = False
        self._is_running = False
        self._leaves = False
        self._ends = "looking for what applies"

    def compose(self) -> ComposeResult:
        """State, matrix, evidence, keys."""
        yield Bar(id="tests-head")
        yield Matrix(id="matrix")
        yield Lines(id="evidence")
        yield Bar(id="tests-foot")

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(Matrix).focus()
        self._show()
        self.session.prepare()

    def _told(self, update: Update) -> None:
        """Called in the session's thread."""
        self.post_message(self.Told(update))

    # -- what comes of it ----------------------------------------------------------------------

    def on_selftest_screen_told(self, message: Told) -> None:
        """Take an update, and show it."""
        match message.update:
            case Ready() as ready:
                self._take(ready)
            case Step() as step:
                self._matrix.running = step.job.test.name, step.job.target
                self._ends = f"{step.number}/{step.total} {step.job.test.name}: {step.words}"
            case Result() as result:
                self._matrix.add(result)
                if result.result == "fail":
                    self._matrix.select(result.test)
                self._show_evidence()
            case Ended() as ended:
                self._end(ended)
        self._show()

    def _take(self, ready: Ready) -> None:
        self._is_ready = True
        self._matrix.take(ready.jobs, ready.before)
        self._ends = f"{len(ready.jobs)} tests: enter runs them"
        taken = ready.lines or ("nothing: all that is needed is free",)
        lines = [*ready.said, *taken]
        self.query_one(Lines).tell("What is taken first, and given back after", lines)

    def _end(self, ended: Ended) -> None:
        if not self._is_ready:
            self._ends = ended.trouble or self._ends  # It stays below another page.
            self.dismiss(ended.trouble)
            return
        self._is_running = False
        self._matrix.running = None
        results = [*self._matrix.results.values()]
        told = summary(results) if results else None
        self._ends = "; ".join(filter(None, [told, ended.trouble]))
        if self._leaves:
            self.dismiss()

    def _show(self) -> None:
        head = f" Self-tests of {self._target}: {self._ends}"
        self.query_one("#tests-head", Bar).show(printable(head))
        keys = " c Cancel " if self._is_running else " enter Run " if self._is_ready else ""
        self.query_one("#tests-foot", Bar).show(f"{keys} esc Close ")
        self._matrix.redraw()

    def on_lines_pane_selected(self, message: LinesPane.Selected) -> None:
        """Show what the selected test has seen."""
        if message.pane is self._matrix:
            self._show_evidence()

    def _show_evidence(self) -> None:
        test = self._matrix.cursor
        results = [one for place, one in self._matrix.results.items() if place[0] == test]
        if not results:
            return
        lines = []
        for result in results:
            reason = f": {result.reason}" if result.reason else ""
            lines.append(f"{result.target}: {result.result}{reason}")
            lines += evidence_lines(result)
            if earlier := self._matrix.before.get((result.test, result.target)):
                lines.append(f"before: {history_line(earlier)}")
        self.query_one(Lines).tell(f"Evidence of {test}", lines)

    @property
    def _matrix(self) -> Matrix:
        return self.query_one(Matrix)

    # -- keys ----------------------------------------------------------------------------------

    def action_begin(self) -> None:
        """Run, again if need be."""
        if self._is_ready and not self._is_running:
            self._is_running = True
            self._matrix.results.clear()
            self._matrix.has_begun = True
            self.session.run()
            self._show()

    def action_cancel(self) -> None:
        """End the run; what was taken is given back."""
        self.session.cancel()

    def action_leave(self) -> None:
        """Close; a run is cancelled first, and what it had taken given back."""
        if not self._is_running:
            self.dismiss()
            return
        self._leaves = True
        self._ends = "cancelled: giving back"
        self.session.cancel()
        self._show()
