"""The field in which a query is typed: it completes words, and points at what is wrong."""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.widgets import Input

from sdmtop.query import Completion, Field, QueryError, completion
from sdmtop.text import printable
from sdmtop.tui.bindings import bindings

_NOTHING = Completion(0, ())


class QueryField(Input):
    """One line at the bottom of the screen. What it knows of fields is told when it is opened."""

    DEFAULT_CSS = """
    QueryField { display: none; }
    QueryField.-textual-compact { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("field")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(
            id=id,
            select_on_focus=False,
            compact=True,
            placeholder="a text, or driver:vfio-pci !state:bound irq/s>100",
        )
        self._fields: Mapping[str, Field] = {}
        self._values: Callable[[str], Sequence[str]] = dict[str, Sequence[str]]().__getitem__
        self._round = _NOTHING
        self._turn = 0
        self._completed = ""
        self._keep: Callable[[], None] = _nobody_asks

    def open(
        self,
        text: str,
        fields: Mapping[str, Field],
        values: Callable[[str], Sequence[str]],
        keep: Callable[[], None],
    ) -> None:
        """Show the field with a query in it; `values` tells those that a field has on the host.

        `keep` is called when enter is pressed.
        """
        self._fields, self._values, self._completed = fields, values, ""
        self._keep = keep
        self.value = text
        self.cursor_position = len(text)
        # At once, not at the next refresh: what is typed right after the key belongs here.
        self.display = True
        self.screen.set_focus(self)

    async def write(self, event: events.Key | events.Paste) -> None:
        """Take what is typed or pasted, before anything that comes after it."""
        if isinstance(event, events.Paste):
            self._on_paste(event)
        else:
            await self._on_key(event)

    async def action_submit(self) -> None:
        """Have the query kept. At once: the next key may be there already, and is for a pane."""
        self._keep()

    def hint(self, error: QueryError | None, cells: int) -> str:
        """What is wrong, below the column that it is about; else how the last word can go on."""
        if self._is_completed:
            words = list(map(printable, self._round.words))
            words[self._turn] = f"[{words[self._turn]}]"
            return "  ".join(words)
        if error is not None:
            # The line begins with a blank, as the field does.
            return pointing(str(error), error.column, cells - 1)
        return "  ".join(map(printable, self._completion().words))

    def action_complete(self) -> None:
        """Complete the last word; pressed again, with the next word that fits."""
        if not self._is_completed:
            self._round, self._turn = self._completion(), -1
        if self._round.words:
            self._turn = (self._turn + 1) % len(self._round.words)
            self._completed = self.value[: self._round.start] + self._round.words[self._turn]
            self.value = self._completed
            self.cursor_position = len(self.value)

    @property
    def _is_completed(self) -> bool:
        """Whether the text is as the last completion has left it."""
        return bool(self._completed) and self.value == self._completed

    def _completion(self) -> Completion:
        return completion(self.value, self._fields, self._values)


def _nobody_asks() -> None:
    pass


def pointing(sentence: str, column: int, cells: int) -> str:
    """A line of so many cells with a caret below a column, and a sentence beside it."""
    sentence = printable(sentence)
    if column + 2 + len(sentence) <= cells or column < cells // 2:
        return f"{' ' * column}^ {sentence}"
    return f"{sentence} ^".rjust(column + 1)
