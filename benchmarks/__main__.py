"""`make bench`: measures everything that has a target, and writes `benchmarks/RESULTS.md`.

Every figure is a ratio taken side by side in this run. A peer that is not installed leaves its
rows out, and says so.
"""

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import reading, simulating, terminal
from benchmarks.trees import LARGE, MANY_INTERRUPTS, SMALL, Shape, Tree, make_tree

HERE = Path(__file__).parent
CHANGING_ROWS = 10_000

STARTS = 4
"""Starts a round: a start is one figure, and one that the machine was late with is a third more."""


class Row(NamedTuple):
    """A line of the table; `limit` is what `value` should not exceed."""

    what: str
    value: float | None
    limit: float
    unit: str
    how: str


def main() -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=float, default=60.0, help="seconds of the test of growth")
    options = parser.parse_args()
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        floor = f"{folder}/floor"
        subprocess.run(["cc", "-O2", "-o", floor, HERE / "floor.c"], check=True)
        busy = os.getloadavg()[0]
        rows = [*_reading(folder, floor, options.rounds),
                *_commands(options.rounds * 2),
                *_simulating(options.rounds),
                *_terminal(folder, options.rounds, options.soak)]  # fmt: skip
    text = _page(rows, options.rounds, busy)
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    return 0


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


def _tree(folder: str, name: str, shape: Shape) -> Tree:
    root = f"{folder}/{name}"
    os.mkdir(root)
    return make_tree(root, shape)


def _reading(folder: str, floor: str, rounds: int) -> Iterator[Row]:
    """The readers beside C."""
    _say("readings of 4,096 groups and 8,192 devices")
    large = _tree(folder, "large", LARGE).root
    for what, title, limit in (
        ("snapshot", "full snapshot, 4,096 groups, 8,192 devices", 1.3),
        ("topology", "topology only, the same", 1.3),
    ):
        calls = f"{folder}/{what}.calls"
        reading.record(what, large, calls)
        pair = reading.measure(what, large, (floor, "replay", calls), rounds)
        yield _pair(title, pair, limit)
    files = f"{folder}/files"
    Path(files).write_text("\n".join(reading.counter_files(large, reading.COUNTERS // 2)))
    pair = reading.measure("counters", large, (floor, "counters", files, "9"), rounds)
    yield _pair("refresh of 16,384 kept values", pair, 1.5)
    _say("interrupts")
    many = _tree(folder, "interrupts", MANY_INTERRUPTS).root
    # As cold as the reading beside it finds them: another process has just written the table.
    moving = shlex.join(reading.let_come(many, share=4))
    parse = (floor, "interrupts", f"{many}/proc/interrupts", "9", moving)
    pair = reading.measure("visible", many, parse, rounds)
    yield _pair("2,000 interrupts x 256 CPUs: totals and 40 visible rows", pair, 0.3)
    pair = reading.measure("interrupts", many, parse, rounds)
    yield _pair("the same, whole table, a quarter of the lines new", pair, 2.0)


def _pair(title: str, pair: reading.Pair, limit: float) -> Row:
    how = f"{terminal.spread(pair.ours)} ms; C {terminal.spread(pair.c)} ms"
    return Row(title, pair.ratio, limit, "x C", how)


def _commands(rounds: int) -> Iterator[Row]:
    _say("--version")
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        for command, times in (
            ([sys.executable, "-c", "pass"], bare),
            ([terminal.PROGRAM, "--version"], ours),
        ):
            begin = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append((time.perf_counter() - begin) * 1000)
    ratio = statistics.median(ours) / statistics.median(bare)
    how = f"{terminal.spread(ours)} ms; {terminal.spread(bare)} ms"
    yield Row("`--version`", ratio, 3.0, "x `python -c pass`", how)


def _simulating(rounds: int) -> Iterator[Row]:
    """What the simulator costs, without a console."""
    _say("simulated hosts")
    large = [simulating.costs("large", 10) for _ in range(rounds)]
    small = [simulating.costs("default", 60) for _ in range(rounds)]
    start = [one.start for one in large]
    yield Row("`sim:large` starts", statistics.median(start), 2, "s", _spread(start, "s"))
    second = [one.second for one in large]
    yield Row("a virtual second of `sim:large`", statistics.median(second), 50, "ms of CPU",
              _spread(second, "ms"))  # fmt: skip
    rss = [one.rss for one in large]
    yield Row("memory (RSS) of `sim:large`", statistics.median(rss), 400, "MiB",
              _spread(rss, "MiB"))  # fmt: skip
    share = [one.second / 10 for one in small]
    yield Row("`sim:default` at the pace of life", statistics.median(share), 1, "% of a core",
              _spread(share, "%"))  # fmt: skip


def _spread(figures: list[float], unit: str) -> str:
    return f"{_figure(min(figures))}-{_figure(max(figures))} {unit}"


def _terminal(folder: str, rounds: int, soak: float) -> Iterator[Row]:
    small, large = _tree(folder, "small", SMALL), f"{folder}/large"
    peers = terminal.peers()
    names = {peer["name"] for peer in peers}
    for peer in ("htop", "glances"):
        if peer not in names:
            _say(f"{peer} is not installed: its rows are left out")
    all_of_them = [*peers, terminal.sdmtop("256", small.root), terminal.sdmtop("8192", large)]
    _say("starts")
    started = terminal.run(
        [{**target, "only_start": True} for target in all_of_them], rounds * STARTS
    )
    for title, name, limit in (("256", "256", 0.3), ("8,192", "8192", 0.8)):
        yield _ratio(f"first useful paint, {title} devices", started[name], started.get("htop"),
                     "useful_ms", limit, "ms", "htop")  # fmt: skip
    for title, name in (("256", "256"), ("8,192", "8192")):
        yield _ratio(f"first key obeyed, {title} devices", started[name], started["one Static"],
                     "interactive_ms", 1.3, "ms", "one Static")  # fmt: skip
    _say("idle, keys, memory")
    # So long that each holds one of the readings that come every thirty seconds.
    still = terminal.run(all_of_them, rounds, steady=30, nkeys=100)
    htop, glances = still.get("htop"), still.get("glances")
    ours, big = still["256"], still["8192"]
    yield _ratio("key to paint, p95", ours, htop, "key_p95", 1.0, "ms", "htop")
    yield _ratio("memory (RSS), 256 devices", ours, glances, "rss_mib", 1.0, "MiB", "glances")
    yield _plain("memory (RSS), 8,192 devices", big, "rss_mib", 45, "MiB")
    yield _plain("CPU, nothing changing", ours, "cpu_pct", 0.05, "%")
    # The clock is of use, and shows minutes: a run of thirty seconds may have one that turns.
    yield _plain("bytes a second, nothing changing, no minute turning", ours, "bytes_per_s", 0,
                 "B/s", "min")  # fmt: skip
    yield _plain("wake-ups a second, nothing changing", ours, "wakeups_per_s", 2, "/s")
    _say("CPU with all counters changing")
    with terminal.moving(small):
        moving = terminal.run([*peers, terminal.sdmtop("256", small.root)], rounds, steady=8,
                              nkeys=0)  # fmt: skip
    yield _ratio("CPU at 1 Hz, 256 devices, all counters changing", moving["256"],
                 moving.get("htop"), "cpu_pct", 2.0, "%", "htop")  # fmt: skip
    _say("keys with all rows changing")
    with contextlib.ExitStack() as all_the_time:
        targets = []
        for count in (100, CHANGING_ROWS):
            tree = terminal.rows_tree(_made(f"{folder}/rows{count}"), count)
            # Who moves the large tree slows this machine for both.
            all_the_time.enter_context(terminal.moving(tree))
            targets.append(terminal.sdmtop(str(count), tree.root))
        rows = terminal.run(targets, rounds, steady=1, nkeys=100)
    yield _ratio("key to paint, p95, 10,000 rows all changing", rows[str(CHANGING_ROWS)],
                 rows["100"], "key_p95", 1.5, "ms", "100 rows")  # fmt: skip
    _say("exits")
    for ending, times in terminal.endings(small.root, rounds).items():
        yield Row(f"exit on {ending}", statistics.median(times), 50, "ms",
                  f"{terminal.spread(times)} ms, terminal clean")  # fmt: skip
    _say("growth")
    sizes = terminal.soak(small, soak)
    yield Row(f"growth over {soak * 10:.0f} readings, after the first {terminal.FILLING}",
              sizes[-1] - sizes[0], 0.5, "MiB",
              ", ".join(f"{size:.1f}" for size in sizes))  # fmt: skip


def _made(path: str) -> str:
    os.mkdir(path)
    return path


def _ratio(
    title: str, ours: dict[str, Any], peer: dict[str, Any] | None, key: str, limit: float,
    unit: str, name: str,
) -> Row:  # fmt: skip
    mine = terminal.median(ours, key)
    theirs = terminal.median(peer, key) if peer else None
    value = mine / theirs if mine is not None and theirs else None
    how = f"{_figure(mine)} {unit}; {name} {_figure(theirs)} {unit}"
    return Row(title, value, limit, f"x {name}", how)


def _plain(
    title: str, ours: dict[str, Any], key: str, limit: float, unit: str, which: str = "median"
) -> Row:
    figures = ours[key]
    how = f"{_figure(figures['median'])} ({_figure(figures['min'])}-{_figure(figures['max'])})"
    return Row(title, figures[which], limit, unit, how)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _page(rows: list[Row], rounds: int, busy: float) -> str:
    lines = [
        "# Results of `make bench`",
        "",
        f"Machine: {os.cpu_count()} CPUs, {_model()}, kernel {platform.release()}, Python"
        f" {platform.python_version()}, {time.strftime('%Y-%m-%d')}. Load before: {busy:.2f}.",
        f"{rounds} rounds, ours and the peer in turns, medians (least-most in brackets). The noise",
        "of this machine is about 15 % for times above a millisecond, more for a p95.",
        "",
        "| what | measured | target | met | figures: ours; theirs |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if row.value is None:
            measured, met = "-", "not measured"
        else:
            measured = f"{_figure(row.value)} {row.unit}"
            met = "yes" if row.value <= row.limit else "**no**"
        lines.append(f"| {row.what} | {measured} | <= {row.limit:g} | {met} | {row.how} |")
    notes = HERE / "NOTES.md"
    return "\n".join([*lines, "", notes.read_text()])


def _model() -> str:
    text = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else shutil.which("uname") or "unknown"


if __name__ == "__main__":
    sys.exit(main())
