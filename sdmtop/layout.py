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
    return columns if columns < WIDE else max(60, columns * 57 // 100)


def tree_rows(columns: int, rows: int) -> int:
    """Rows of the tree pane, its heading included; header and footer take one each."""
    return rows - 2 - (EVENT_ROWS if rows >= TALL and columns >= WIDE else 0)
