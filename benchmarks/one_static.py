"""The least that Textual can be: an app of one Static that obeys one key."""

import gc

gc.disable()

from textual.app import App, ComposeResult  # noqa: E402
from textual.widgets import Static  # noqa: E402


class OneStatic(App[None]):
    """What any console in Textual costs before it has done anything."""

    BINDINGS = [("q", "quit", "Quit"), ("j", "answer", "Answer")]

    def compose(self) -> ComposeResult:
        yield Static("ready")

    def action_answer(self) -> None:
        self.query_one(Static).update("answered")


if __name__ == "__main__":
    OneStatic().run()
