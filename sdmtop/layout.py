"""Where the panes are, for the first paint and the console alike, so that nothing jumps.

On the path of the first paint: imports nothing.
"""

WIDE = 100
"""Columns from which the other panes stand beside the tree instead of taking its place."""

TALL = 30
"""Rows from which the events have a place of their own below."""

EVENT_ROWS = 7
"""Rows of the events pane, its title included."""

LEAST = (40, 10)
"""Columns and rows below which the console only says how much room it needs."""


def tree_columns(columns: int) -> int:
    """Columns of the tree pane on a terminal this wide."""
    if columns < WIDE:
        return columns
    return min(columns * 62 // 100, 74 + max(columns - 120, 0) // 2)


def line_columns(pane: int) -> int:
    """Columns of a line of the tree, in a pane this wide.

    Without the mark of folds; and the place of the scrollbar is kept free, for whether there is
    one is known only when all lines are.
    """
    return max(pane - 3, 0)


def tree_rows(columns: int, rows: int) -> int:
    """Rows of the tree pane, its heading included; header and footer take one each."""
    return rows - 2 - (EVENT_ROWS if rows >= TALL and columns >= WIDE else 0)
