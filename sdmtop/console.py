"""The console from the first paint to the exit status, with as little work as can be.

A picture stands on the screen before anything heavy is imported. On the path of the first paint.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.terminal import Terminal

DEFAULT_INTERVAL = 1.0
"""Seconds between two readings of the counters."""


def on_a_terminal() -> bool:
    """Whether standard input and output are a terminal that can place its cursor."""
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def console(url: str, interval: float) -> int:
    """Run the console on a terminal; returns only where the host cannot be opened."""
    try:
        host = _open(url)
    except (OSError, ValueError) as error:
        from sdmtop.errors import complain

        return complain(url, error)
    from sdmtop.terminal import Terminal

    terminal = Terminal()
    try:
        if host.backend == "linux":
            from sdmtop.glance import first_frame

            terminal.paint(first_frame(host, terminal.columns, terminal.rows))
        status = _run(terminal, host, interval)
    except BaseException:
        terminal.restore()
        raise
    # Nothing is left to do: the interpreter's own farewell would keep the prompt waiting.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(terminal: "Terminal", host: "Host", interval: float) -> int:
    import gc

    # The collector would walk every class that Textual makes, several times over.
    gc.disable()
    # asyncio can do without TLS, and we never use it: 4 MiB and 5 ms less.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        from sdmtop.sampler import Sampler

        sampler = Sampler(host, interval=interval)
        sampler.start()  # It reads while Textual is imported.
        from sdmtop.tui.run import run_console
    finally:
        del sys.modules["ssl"]
    return run_console(terminal, sampler)


def _open(url: str) -> "Host":
    """The host, without the module that knows all kinds of host where it is not needed."""
    kind, _, root = url.partition(":")
    if kind in ("auto", "linux"):
        from sdmtop.backends.linux import open_linux

        return open_linux(root)
    from sdmtop.backends.base import open_host

    return open_host(url)
