"""Guests by hand: `python -m tests.guest COMMAND`."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

from tests.guest.captures import refresh
from tests.guest.failure import GuestError
from tests.guest.guest import Guest
from tests.guest.kernels import SERIES, STOCK, Kernel, build_full, get_kernel
from tests.guest.module import module_for
from tests.guest.packages import install_tools
from tests.guest.scenes import make_busy
from tests.guest.topologies import TOPOLOGIES


def parser() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    place = argparse.ArgumentParser(add_help=False)
    place.add_argument("--kernel", choices=SERIES, default=STOCK[-1])
    place.add_argument("--topology", choices=TOPOLOGIES, default="intel")
    place.add_argument("--busy", action="store_true", help="with VFs, vfio-pci, mdevs, sdmdevs")
    top = argparse.ArgumentParser(prog="python -m tests.guest", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="kernels and topologies")
    prepare = commands.add_parser("prepare", help="fetch and build all that guests need")
    build = commands.add_parser("build", help="build the full kernel, if it is not there yet")
    for command in (prepare, build):
        command.add_argument("--refresh", action="store_true", help="look for newer kernels")
    commands.add_parser("shell", parents=[place], help="a shell in a guest; ends with it")
    run = commands.add_parser("run", parents=[place], help="one command in a guest")
    run.add_argument("--ordinary", action="store_true", help="not as root")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    commands.add_parser("captures", help="refresh the captured hosts in tests/trees")
    return top


def main(arguments: Sequence[str]) -> int:
    """Carry out one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except (GuestError, OSError) as error:
        print(f"guest: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "list":
        print("kernels: ", *SERIES)
        print("topologies: ", *TOPOLOGIES)
        return 0
    install_tools()
    if options.command == "prepare":
        for series in STOCK:
            _make_ready(get_kernel(series, refresh=options.refresh))
        return 0
    if options.command == "build":
        print("building the full kernel, unless it is there: about ten minutes", flush=True)
        _make_ready(build_full(refresh=options.refresh))
        return 0
    if options.command == "captures":
        refresh()
        return 0
    shell = options.command == "shell"
    kernel, topology = get_kernel(options.kernel), TOPOLOGIES[options.topology]
    with Guest(kernel, topology, shell=shell) as guest:
        if options.busy:
            make_busy(guest)
        if shell:
            return _shell(guest)
        words = options.words[options.words[:1] == ["--"] :]
        done = guest.run(*words, ordinary=options.ordinary, timeout=3600, check=False)
        sys.stdout.buffer.write(done.out)
        sys.stderr.buffer.write(done.err)
        return done.status


def _make_ready(kernel: Kernel) -> None:
    module_for(kernel)
    print(f"{kernel.release} {kernel.version}: ready")


def _shell(guest: Guest) -> int:
    """A shell on the machine's console, which is this terminal."""
    interactive = sys.stdin.isatty()
    before = subprocess.run(["stty", "-g"], stdout=subprocess.PIPE, check=True).stdout.strip() \
        if interactive else b""  # fmt: skip
    try:
        if interactive:
            # Every key is for the guest, ctrl-C included.
            subprocess.run(["stty", "raw", "-echo"], check=True)
        return guest.start_shell().wait(timeout=float("inf")).status
    finally:
        if interactive:
            subprocess.run(["stty", before], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
