"""The console from the first paint to the exit status, with as little work as can be.

A picture stands on the screen before anything heavy is imported. On the path of the first paint.
"""

import os
import sys

from sdmtop.places import config_file
from sdmtop.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from typing import Any

    from sdmtop.backends.base import Host
    from sdmtop.glance import Glance
    from sdmtop.replay import Replayer
    from sdmtop.sampler import Sampler
    from sdmtop.terminal import Terminal

FLAGS = {
    "--read-only": ("read_only", True),
    "--ascii": ("glyphs", "ascii"),
    "--no-mouse": ("mouse", False),
}
"""Options without a value -> the setting that each gives, and its value."""

SELDOM_USED = (
    "asyncio.sslproto",
    "bz2",
    "ipaddress",
    "locale",
    "lzma",
    "mimetypes",
    "msgspec.inspect",
)
"""Modules that asyncio, Textual and msgspec import, and the console seldom uses: 1 MiB."""

PATIENCE = 1.0
"""Seconds that the first reading may take before the console opens without it."""


def on_a_terminal() -> bool:
    """Whether standard input and output are a terminal that can place its cursor."""
    if os.environ.get("TERM", "dumb") in ("dumb", ""):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def settings_given(options: "Namespace") -> "dict[str, Any]":
    """The settings that the command line gives."""
    chosen: dict[str, Any] = {
        name: value
        for flag, (name, value) in FLAGS.items()
        if getattr(options, flag.removeprefix("--").replace("-", "_"))
    }
    return chosen if options.interval is None else {**chosen, "interval": options.interval}


def console(url: str, given: "Mapping[str, Any]", *, tour: bool = False) -> int:
    """Run the console on a terminal; returns only where it cannot be opened.

    `given` are settings of the command line, which go before those of the configuration; `tour`
    begins with the tour.
    """
    try:
        settings = load_settings(given)
    except (OSError, ValueError) as error:
        from sdmtop.errors import complain

        return complain(config_file(), error)
    try:
        source, host = _opened(url, settings)
    except (OSError, ValueError) as error:
        from sdmtop.errors import complain

        return complain(url, error)
    return _run(source, host, settings, tour=tour)


def conversation(url: str, given: "Mapping[str, Any]") -> int:
    """The console in lines, on standard input and output; returns the exit status.

    Raises `OSError` or `ValueError` for a host that cannot be opened.
    """
    from sdmtop.plain.talk import converse

    try:
        settings = load_settings(given)
    except (OSError, ValueError) as error:
        from sdmtop.errors import complain

        return complain(config_file(), error)
    return converse(url, settings.interval, disarmed=settings.disarmed)


def load_settings(given: "Mapping[str, Any]") -> Settings:
    """What the user has set, and what is given besides.

    Raises `UsageError` with the line of the configuration that is wrong, `OSError` where it
    cannot be read.
    """
    chosen = {}
    path = config_file()
    if os.path.lexists(path):
        # Costs what reading TOML costs: not without a file.
        from sdmtop.config import read

        chosen = read(path)
    return Settings({**chosen, **given}, remote="SSH_TTY" in os.environ)


def _opened(url: str, settings: Settings) -> "tuple[Callable[[], Sampler | Replayer], Host | None]":
    """What makes the samples, to be called when the screen stands; a host that has a glance."""
    if url.startswith("replay:"):
        from sdmtop.replay import Replayer

        replayer = Replayer(url)
        return lambda: replayer, None
    host = _open(url)
    host.disarmed = settings.disarmed
    return lambda: _sampler(host, settings.interval), host if host.backend == "linux" else None


def _run(
    source: "Callable[[], Sampler | Replayer]",
    host: "Host | None",
    settings: Settings,
    *,
    tour: bool,
) -> int:
    """Show what a source tells; of a host, a glance before anything else."""
    from sdmtop.terminal import Terminal

    terminal = Terminal(ascii_only=settings.is_ascii(os.environ))
    glance = None
    try:
        if host is not None:
            glance = _glance(host, terminal, settings)
        if glance is not None:
            terminal.paint(glance.frame())
        status = _show(terminal, source, glance, settings, tour=tour)
    except BaseException:
        terminal.restore()
        raise
    # Nothing is left to do: the interpreter's own farewell would keep the prompt waiting.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _glance(host: "Host", terminal: "Terminal", settings: Settings) -> "Glance | None":
    """What fits on the screen; None where a read does not return: the sampler will tell of it."""
    # `threading` wraps this in classes, which costs a tenth of the first paint.
    import _thread

    from sdmtop.glance import Glance

    found: list[Glance | Exception] = []
    done = _thread.allocate_lock()
    done.acquire()

    def look() -> None:
        try:
            found.append(Glance(host, terminal.columns, terminal.rows, settings.columns))
        except Exception as error:  # noqa: BLE001 - raised again below, where it ends the program
            found.append(error)
        done.release()

    _thread.start_new_thread(look, ())
    done.acquire(timeout=PATIENCE)
    result = found[0] if found else None
    if isinstance(result, Exception):
        raise result
    return result


def _show(
    terminal: "Terminal",
    source: "Callable[[], Sampler | Replayer]",
    glance: "Glance | None",
    settings: Settings,
    *,
    tour: bool,
) -> int:
    import gc

    from sdmtop.postponed import postponed

    # The collector would walk every class that Textual makes, several times over.
    gc.disable()
    # asyncio can do without TLS, and we never use it: 4 MiB and 5 ms less.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        with postponed(*SELDOM_USED):
            from sdmtop.tui.run import run_console
    finally:
        del sys.modules["ssl"]
    return run_console(terminal, source(), glance, settings, tour=tour)


def _sampler(host: "Host", interval: float) -> "Sampler":
    from sdmtop.sampler import Sampler

    return Sampler(host, interval=interval)


def _open(url: str) -> "Host":
    """The host, without the module that knows all kinds of host where it is not needed."""
    kind, _, root = url.partition(":")
    if kind == "linux" or url == "auto":
        from sdmtop.backends.linux import open_linux

        return open_linux(root)
    from sdmtop.backends.base import open_host

    return open_host(url)
