"""`sdmtop simulate`: the scenarios that there are, one on disk, faults for one that runs."""

import argparse
from typing import TYPE_CHECKING, Any, get_args

from sdmtop.errors import FAILED, NOTHING_TO_DO, UsageError, complain, put_out, sentence
from sdmtop.subcommands.options import add_host, number_between

if TYPE_CHECKING:
    from pathlib import Path

    from sdmtop.backends.simulator.control import Request

_MOST_SECONDS = 1e9


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the scenarios that come with this program")
    export = actions.add_parser("export", help="write a simulated host to disk, every file of it")
    add_host(export)
    export.add_argument("directory", metavar="DIR", help="a new directory, or FILE.tar.xz")
    _add_inject(actions)
    status = actions.add_parser("status", help="the simulators that run, and their time")
    run = actions.add_parser("run", help="let time pass in a simulator that runs")
    run.add_argument(
        "rate",
        nargs="?",
        type=number_between(0.01, 10_000),
        default=1.0,
        help="virtual seconds a second (default 1)",
    )
    pause = actions.add_parser("pause", help="let time stand still in a simulator that runs")
    step = actions.add_parser("step", help="let some time pass at once")
    step.add_argument(
        "seconds",
        nargs="?",
        type=number_between(0, _MOST_SECONDS),
        default=1.0,
        help="how many (default 1)",
    )
    for action in (status, run, pause, step):
        _add_pid(action)


def _add_inject(actions: Any) -> None:
    from sdmtop.backends.simulator.scenario import FaultKind

    inject = actions.add_parser("inject", help="let something go wrong in a simulator that runs")
    kinds = get_args(FaultKind)
    inject.add_argument("kind", metavar="FAULT", choices=kinds, help=", ".join(kinds))
    inject.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        default="",
        help="a device, an mdev, a queue (0000:75:00.0/3), an interrupt or a process",
    )
    inject.add_argument("--operation", metavar="NAME", help="which fails or hangs: unbind, MAP_DMA")
    inject.add_argument("--errno", metavar="NAME", help="with which it fails: EIO")
    inject.add_argument(
        "--lasts", type=number_between(0, _MOST_SECONDS), metavar="S", help="for how long"
    )
    inject.add_argument(
        "--times", type=number_between(1, 1 << 20), metavar="N", help="how often it fails"
    )
    inject.add_argument(
        "--amount", type=number_between(0, 1e7), metavar="N", help="interrupts a second of a storm"
    )
    _add_pid(inject)


def _add_pid(action: argparse.ArgumentParser) -> None:
    action.add_argument("--to", type=int, metavar="PID", help="which one, if several run")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    if options.action == "list":
        return _list()
    if options.action == "export":
        return _export(options.host, options.directory)
    if options.action == "status" and options.to is None:
        return _status()
    return _tell(options)


def _list() -> int:
    from sdmtop.backends.simulator.host import scenario_names, scenario_of

    names = scenario_names()
    width = max(map(len, names))
    lines = (f"{name:<{width}}  {scenario_of(name).title}\n" for name in names)
    return put_out("".join(lines).encode())


def _export(url: str, directory: str) -> int:
    from sdmtop.backends.base import open_host
    from sdmtop.exporting import export

    host = open_host("sim:" if url == "auto" else url)
    if host.backend != "simulator":
        raise UsageError("only a simulated host can be exported; of others, use 'sdmtop capture'")
    host.run(0)  # type: ignore[attr-defined]
    try:
        report = export(host, directory)
    except (OSError, ValueError) as error:
        return complain(directory, error)
    return put_out(f"{report.sentence()}\n".encode())


def _status() -> int:
    from sdmtop.backends.simulator.control import Request, ask, running

    lines = []
    for pid, path in running().items():
        try:
            lines.append(f"{pid}: {ask(path, Request('status')).text}\n")
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # It was killed, and left this behind.
        except OSError as error:
            lines.append(f"{sentence(str(pid), error)}\n")
    if not lines:
        complain("simulator", ValueError("none is running: start sdmtop --host sim:"))
        return NOTHING_TO_DO
    return put_out("".join(lines).encode())


def _tell(options: argparse.Namespace) -> int:
    from sdmtop.backends.simulator.control import ask, pid_of

    request = _request(options)
    path = _one(options.to)
    if isinstance(path, str):
        complain("simulator", ValueError(path))
        return NOTHING_TO_DO
    try:
        answer = ask(path, request)
    except OSError as error:
        return complain(f"simulator {pid_of(path)}", error)
    if not answer.done:
        complain(options.action, ValueError(answer.text))
        return FAILED
    return put_out(f"{answer.text}\n".encode())


def _request(options: argparse.Namespace) -> "Request":
    from sdmtop.backends.simulator.control import Request
    from sdmtop.backends.simulator.scenario import Fault

    if options.action == "inject":
        fault = Fault(
            kind=options.kind,
            target=options.target,
            operation=options.operation,
            errno=options.errno,
            lasts=options.lasts,
            times=None if options.times is None else int(options.times),
            amount=options.amount,
        )
        return Request("inject", fault=fault)
    if options.action == "step":
        return Request("step", value=options.seconds)
    if options.action == "status":
        return Request("status")
    return Request("run", value=options.rate if options.action == "run" else 0.0)


def _one(pid: int | None) -> "Path | str":
    """The socket of the simulator that is meant; a sentence where that cannot be told."""
    from sdmtop.backends.simulator.control import running

    found = running()
    if pid is not None:
        return found.get(pid) or f"none is running as process {pid}"
    if not found:
        return "none is running: start sdmtop --host sim:"
    if len(found) > 1:
        return f"several are running: say --to {' or '.join(map(str, found))}"
    return next(iter(found.values()))
