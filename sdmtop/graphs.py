"""Numbers in few cells: rates, counts, sparklines, and the shades of a heat map."""

from collections.abc import Sequence

SPARK = " ▁▂▃▄▅▆▇█"

HEAT = (
    (1.0, "▁"),
    (10.0, "▂"),
    (100.0, "▃"),
    (1_000.0, "▅"),
    (10_000.0, "▇"),
    (float("inf"), "█"),
)
"""Below so many a second, this stands in a heat map: each step is ten times the one before."""

COLD = "·"
"""Nothing came."""


def heat(rate: float) -> str:
    """The shade of a rate, the same wherever it stands, so that any two can be compared."""
    if rate <= 0:
        return COLD
    return next(shade for below, shade in HEAT if rate < below or shade == "█")


def rate_text(rate: float | None) -> str:
    """A rate in at most seven cells; blank where there is none yet."""
    if rate is None:
        return ""
    if rate < 10:
        return f"{rate:.1f}" if rate else "0"
    for unit in ("", "k", "M"):
        if rate < 10_000:
            return f"{rate:.0f}{unit}"
        rate /= 1000
    return f"{rate:.0f}G"


def count_text(count: int, cells: int = 8) -> str:
    """A count in at most so many cells, five at least."""
    for unit in ("", "k", "M", "G"):
        text = f"{count}{unit}"
        if len(text) <= cells:
            return text
        count //= 1000
    return f"{count}T"


def sparkline(rates: Sequence[float], cells: int) -> str:
    """The rates as blocks, scaled to the highest, right-aligned in so many cells."""
    top = max(rates, default=0.0)
    if top <= 0:
        return ("▁" * len(rates)).rjust(cells)
    steps = len(SPARK) - 1
    bars = (SPARK[max(round(rate / top * steps), 1)] for rate in rates)
    return "".join(bars).rjust(cells)
