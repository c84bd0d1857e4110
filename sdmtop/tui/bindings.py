"""The commands of a scope as Textual bindings, and what a key is bound to."""

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from sdmtop.commands import COMMANDS, Scope

Actions = dict[str, list[tuple[str, DOMNode]]]
"""By key, the actions that it is bound to and where, in the order in which they are tried."""


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
        )
        for command in COMMANDS
        if command.scope == scope
    ]


def actions_of(pane: DOMNode) -> Actions:
    """What each key does for who has the focus on a pane, which takes none for itself.

    The order is Textual's (`App._check_bindings`): what has priority from the app down, then the
    rest from the pane up, to the page that covers the others. Textual finds it anew at each key,
    and looks keys up by their Unicode names: a megabyte.
    """
    chain = [(node, node._bindings.copy()) for node in pane.ancestors_with_self]
    for _, bound in chain:
        bound.apply_keymap(pane.app._keymap)
    page = next((place for place, (node, _) in enumerate(chain, 1) if node.is_modal), len(chain))
    found: Actions = {}
    for priority, part in ((True, chain[::-1]), (False, chain[:page])):
        for node, bound in part:
            for key, several in bound.key_to_bindings.items():
                actions = [(one.action, node) for one in several if one.priority == priority]
                found.setdefault(key, []).extend(actions)
    return found
