"""What a person feels: the console in a pty beside its peers, measured from outside by `ttybench`.

Targets run in turns. What needs numbers that move has a process that moves them.
"""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.trees import Shape, Tree, make_tree
from sdmtop.history import MOST
from tests.tui.session import Session

PROGRAM = f"{os.path.dirname(sys.executable)}/sdmtop"
STATIC = f"{sys.executable} {os.path.dirname(__file__)}/one_static.py"
_TREE = r"0000:00:0[0-9a-f]"
FILLING = MOST * 3 // 2
"""Readings after which the past that can be gone back to is surely as long as it may become."""
_SIGNALS = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGINT")


def sdmtop(name: str, root: str, **more: Any) -> dict[str, Any]:
    """The console on a made-up root."""
    return {"name": name, "cmd": f"{PROGRAM} --host linux:{root}", "ready": _TREE,
            "keys": ["down=sel", "up=sel"], "first_key": "down=sel", "quit": ["q"],
            # Until then sparklines grow, also where nothing comes.
            "settle": 8,
            **more}  # fmt: skip


def peers() -> list[dict[str, Any]]:
    """What it is measured against: those that this machine has."""
    glances = os.environ.get("GLANCES") or shutil.which("glances")
    found: list[dict[str, Any]] = [
        {"name": "one Static", "cmd": STATIC, "ready": "ready", "keys": [], "nkeys": 0,
         "first_key": "j=/answered/", "quit": ["q"]},
    ]  # fmt: skip
    if shutil.which("htop"):
        found.append({"name": "htop", "cmd": "htop -d 10", "ready": "PID",
                      "keys": ["down=sel", "up=sel"], "quit": ["q"]})  # fmt: skip
    if glances:
        found.append({"name": "glances", "cmd": f"{glances} -t 1", "ready": "CPU", "keys": [],
                      "nkeys": 0, "quit": ["q"]})  # fmt: skip
    return found


def run(targets: list[dict[str, Any]], rounds: int, **options: float) -> dict[str, dict[str, Any]]:
    """The aggregate of `ttybench` by target."""
    with tempfile.TemporaryDirectory() as folder:
        spec, result = f"{folder}/spec.json", f"{folder}/result.json"
        with open(spec, "w", encoding="utf-8") as file:
            json.dump(targets, file)
        command = [sys.executable, f"{os.path.dirname(__file__)}/ttybench.py", "--spec", spec,
                   "--reps", str(rounds), "--json", result, "--null-keys", "0"]  # fmt: skip
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(result, encoding="utf-8") as file:
            found: dict[str, dict[str, Any]] = json.load(file)["aggregate"]
    return found


@contextlib.contextmanager
def moving(tree: Tree, every: float = 1.0) -> Iterator[None]:
    """Every interrupt of the tree counts on, each time that so many seconds have passed."""
    process = multiprocessing.get_context("fork").Process(
        target=_move, args=(tree, every), daemon=True
    )
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _move(tree: Tree, every: float) -> None:
    while True:
        time.sleep(every)
        tree.tick()


def endings(root: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from a key or a signal to the end; raises if anything is left behind."""
    found: dict[str, list[float]] = {}
    for ending in ("q", *_SIGNALS) * rounds:
        with Session("--host", f"linux:{root}", program=[PROGRAM]) as session:
            session.wait_for("Inspector")
            session.pump(0.5)
            begin = time.monotonic()
            if ending == "q":
                session.type("q")
            else:
                os.kill(session.pid, signal.Signals[ending])
            while os.waitid(os.P_PID, session.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                session.pump(0.0005)  # A terminal that does not read would hold it up.
            found.setdefault(ending, []).append((time.monotonic() - begin) * 1000)
            session.wait_for_exit()
            if session.leftovers():
                raise AssertionError(f"{ending}: left behind: {session.leftovers()}")
    return found


def soak(tree: Tree, seconds: float) -> list[float]:
    """MiB resident at the end of each tenth of the time, at ten new readings a second.

    It begins after `FILLING` readings.
    """
    found = []
    command = ["--host", f"linux:{tree.root}", "--interval", "0.1"]
    with moving(tree, 0.1), Session(*command, program=[PROGRAM]) as session:
        session.wait_for("Inspector")
        session.pump(FILLING * 0.1)
        for _ in range(10):
            session.pump(seconds / 10)
            with open(f"/proc/{session.pid}/smaps_rollup", encoding="ascii") as file:
                rss = next(line for line in file if line.startswith("Rss:"))
            found.append(int(rss.split()[1]) / 1024)
        session.type("q")
        session.wait_for_exit()
    return found


def rows_tree(root: str, rows: int) -> Tree:
    """A root of `rows` lines: half groups, half devices with an interrupt each."""
    return make_tree(root, Shape(groups=rows // 2, devices=rows // 2, irqs=rows // 2, cpus=2))


def median(figures: dict[str, Any], key: str) -> float | None:
    """The median of a metric of an aggregate; of keys, the p95 of all rounds."""
    if key == "key_p95":
        return figures["key_pooled"]["p95"] if "key_pooled" in figures else None
    return figures[key]["median"] if key in figures else None


def spread(values: list[float]) -> str:
    """`median (least-most)`."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"
