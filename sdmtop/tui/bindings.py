"""The commands of a scope as Textual bindings."""

from textual.binding import Binding, BindingType

from sdmtop.commands import COMMANDS, Scope


def bindings(scope: Scope) -> list[BindingType]:
    """A binding for each command of a scope, under its id.

    Those of the console go through `Console.action_do`, which asks first whether they can be done.
    """
    return [
        Binding(
            command.keys,
            f"do('{command.id}')" if scope == "console" else command.action,
            command.title,
            id=command.id,
            show=False,
            # Acts before the next key is looked at: what is typed after `/` belongs to the filter.
            priority=command.id == "filter",
        )
        for command in COMMANDS
        if command.scope == scope
    ]
