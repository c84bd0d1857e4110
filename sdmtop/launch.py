"""The first lines of the program: a picture on the screen before anything heavy is imported.

`main` recognises the plain call of the console (`sdmtop [--host URL] [--read-only] [--interval
S]`) by itself; every other call goes to `sdmtop.cli`. On the path of the first paint.
"""

import os
import sys

from sdmtop import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdmtop.backends.base import Host
    from sdmtop.terminal import Terminal

DEFAULT_INTERVAL = 1.0


def main() -> int:
    """Run the program; returns its exit status (contract 1)."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        print(f"sdmtop {__version__}")  # noqa: T201
        return 0
    options = console_options(arguments)
    if options is None:
        from sdmtop.cli import run

        return run(arguments)
    return console(*options)


def console_options(arguments: "Sequence[str]") -> "tuple[str, float] | None":
    """(host URL, interval in seconds) of a plain console call, else None.

    None also for anything doubtful: `sdmtop.cli` knows how to say what is wrong with it.
    """
    url, interval = "auto", DEFAULT_INTERVAL
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name == "--read-only" and not equals:
            continue  # This version never changes a host.
        if name not in ("--host", "--interval"):
            return None
        if not equals:
            if not rest:
                return None
            value = rest.pop(0)
        if name == "--host":
            url = value
        else:
            try:
                interval = float(value)
            except ValueError:
                return None
            if not 0.1 <= interval <= 3600:
                return None
    return url, interval


def console(url: str, interval: float) -> int:
    """The console on a terminal; plain output where there is none."""
    if not _on_a_terminal():
        from sdmtop.cli import run

        return run(["snapshot", "--host", url, "--format", "tree"])
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
    """Import and run the console, with as little work as can be."""
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


def _on_a_terminal() -> bool:
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _open(url: str) -> "Host":
    """The host, without the module that knows all kinds of host where it is not needed."""
    kind, _, root = url.partition(":")
    if kind in ("auto", "linux"):
        from sdmtop.backends.linux import open_linux

        return open_linux(root)
    from sdmtop.backends.base import open_host

    return open_host(url)
