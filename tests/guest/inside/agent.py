"""The first process of a guest: sets the machine up as an init would, then runs jobs.

Orders come over a serial line, one JSON object a line, and answers go back the same way. What jobs
print goes to files in the shared directory, so nothing large travels over the line. The agent never
waits for a job: a job that cannot be ended must not keep others from running.

A job is a command, or a module of Python that runs in a fork of this process: what it imports has
been imported, which takes an emulated machine a second.
"""

import fcntl
import gc
import importlib
import json
import os
import pkgutil
import pty
import runpy
import select
import signal
import struct
import subprocess
import sys
import termios
import traceback
import tty
from pathlib import Path
from typing import Any, NoReturn

from tests.guest.initramfs import SHARE

LINE = "/dev/ttyS1"
CONSOLE = "/dev/ttyS0"
_ORDINARY = 65534
"""The user `nobody`: the only ordinary one that every system has."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_NOT_LOADED = ("sdmtop.__main__", "sdmtop.backends.simulator", "sdmtop.plain", "sdmtop.tui")


def main() -> None:
    """Never returns: the runner ends the machine."""
    _set_up()
    line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    Agent(line).serve()


class Agent:
    """Runs jobs; knows them by the number that the runner gave them."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._jobs: dict[int, int] = {}
        self._terminals: dict[int, tuple[int, int, list[Any]]] = {}
        wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake = wake
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Obey for ever."""
        self._say(ready=True)
        pending = b""
        while True:
            masters = {master: job for job, (master, _, _) in self._terminals.items()}
            ready, _, _ = select.select([self._line, self._wake, *masters], [], [])
            for fd in ready:
                if fd in masters:
                    self._copy(masters[fd])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._line in ready:
                *lines, pending = (pending + os.read(self._line, 65536)).split(b"\n")
                for text in lines:
                    self._obey(json.loads(text))

    def _obey(self, order: dict[str, Any]) -> None:
        job = order["job"]
        match order["do"]:
            case "start":
                self._start(job, order)
            case "fork":
                self._fork(job, order)
            case "kill":
                if job in self._jobs:
                    os.kill(self._jobs[job], order["signal"])
            case "type":
                os.write(self._terminals[job][0], order["keys"].encode())
            case "describe":
                self._say(job=job, state=_state(self._jobs[job]) if job in self._jobs else "gone")

    def _start(self, job: int, order: dict[str, Any]) -> None:
        out = err = master = slave = -1
        user = _ORDINARY if order["ordinary"] else None
        size = order["terminal"]
        try:
            out = os.open(f"{SHARE}/{job}.out", _CREATE, 0o644)
            err = os.open(f"{SHARE}/{job}.err", _CREATE, 0o644)
            if order["on_console"]:
                slave = os.open(CONSOLE, os.O_RDWR | os.O_NOCTTY)
            elif size:
                master, slave = pty.openpty()
            if size:
                fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
            process = subprocess.Popen(
                order["command"],
                stdin=slave if size else subprocess.DEVNULL,
                stdout=slave if size else out,
                stderr=slave if size else err,
                user=user,
                group=user,
                extra_groups=[] if order["ordinary"] else None,
                cwd=order["folder"],
                env={**os.environ, **order["environment"]},
                start_new_session=not size,
                preexec_fn=_take_terminal if size else None,  # noqa: PLW1509 (there are no threads)
            )
        except OSError as error:
            self._say(job=job, pid=0, status=127, refusal=f"{order['command'][0]}: {error}")
        else:
            self._jobs[job] = process.pid
            process.returncode = 0  # Reaped by us, as all orphans are.
            self._say(job=job, pid=process.pid)
            if master >= 0:
                self._terminals[job] = (master, os.dup(out), termios.tcgetattr(slave))
        finally:
            for fd in (out, err, slave):
                if fd >= 0:
                    os.close(fd)

    def _fork(self, job: int, order: dict[str, Any]) -> None:
        _load()
        pid = os.fork()
        if pid == 0:
            _become(order, f"{SHARE}/{job}")
        self._jobs[job] = pid
        self._say(job=job, pid=pid)

    def _copy(self, job: int) -> bool:
        """What a terminal shows, to the job's file; False when there is no more."""
        master, out, _ = self._terminals[job]
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: nobody has the other side open.
            data = b""
        if data:
            try:
                os.write(out, data)
            except OSError as error:  # ENOSPC: the machine outside has no room for it.
                self._say(job=job, refusal=f"what it shows is lost: {error.strerror}")
        elif job not in self._jobs:
            return False
        return bool(data)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = next((job for job, known in self._jobs.items() if known == pid), None)
            if job is None:
                continue  # An orphan of some job.
            del self._jobs[job]
            restored = None
            if job in self._terminals:
                while self._copy(job):
                    pass
                master, out, before = self._terminals.pop(job)
                restored = termios.tcgetattr(master) == before
                os.close(master)
                os.close(out)
            self._say(job=job, status=os.waitstatus_to_exitcode(status), restored=restored)

    def _say(self, **what: Any) -> None:
        data = json.dumps(what).encode() + b"\n"
        while data:
            data = data[os.write(self._line, data) :]


def _load() -> None:
    """Import what forks run, once: all of the program but its screens and its model of a kernel."""
    if "sdmtop" in sys.modules:
        return
    package = importlib.import_module("sdmtop")
    for module in pkgutil.walk_packages(package.__path__, "sdmtop."):
        if not module.name.startswith(_NOT_LOADED):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # A collection in a fork would copy every page that it looks at.


def _become(order: dict[str, Any], output: str) -> NoReturn:
    """In the fork: the module that was asked for, as `python -m` would run it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _redirect(output)
        # Descriptors of the agent's are none of its own: a test may count them.
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if order["ordinary"]:
            os.setgroups([])
            os.setgid(_ORDINARY)
            os.setuid(_ORDINARY)
        os.chdir(order["folder"])
        status = _run_module(*order["command"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _redirect(output: str) -> None:
    """Standard streams of a process that has just been started, into files."""
    files = ((os.devnull, os.O_RDONLY), (f"{output}.out", _CREATE), (f"{output}.err", _CREATE))
    for number, (path, flags) in enumerate(files):
        fd = os.open(path, flags, 0o644)
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (they are open to the end)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _run_module(module: str, *arguments: str) -> int:
    """The exit status that an interpreter would end with."""
    sys.argv[1:] = arguments
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001 (so does an interpreter)
        traceback.print_exc()
        return 1
    return 0


def _take_terminal() -> None:
    """In the child: the terminal is its own, as for the shell of a login."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _state(pid: int) -> str:
    """What a process is doing: its state, and where in the kernel it waits."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        state = next(line.split(None, 1)[1] for line in status.splitlines() if line[:6] == "State:")
        return f"{state} in {Path(f'/proc/{pid}/wchan').read_text() or 'nothing known'}"
    except OSError as error:
        return f"cannot tell: {error}"


def _set_up() -> None:
    # With a state of its own: the machine outside may have a journal.
    for kind, place in (
        ("debugfs", "/sys/kernel/debug"), ("devpts", "/dev/pts"), ("tmpfs", "/var/lib/sdmtop")
    ):  # fmt: skip
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, place], check=True)
    Path("/proc/sys/kernel/hostname").write_text("guest\n")
    os.chmod(SHARE, 0o755)
    # An ordinary user must reach the interpreter and the checkout, wherever they are.
    for path in (Path(sys.executable), Path(sys.executable).resolve(), Path.cwd() / "tests"):
        for folder in path.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    _load_drivers()


def _load_drivers() -> None:
    """What udev does at boot: each device asks for its driver by its modalias."""
    seen: set[str] = set()
    # A driver may bring a bus of its own to life (virtio): look until nothing new appears.
    while new := _aliases() - seen:
        seen |= new
        subprocess.run(
            ["modprobe", "--all", "--use-blacklist", "--quiet", *sorted(new)], check=False
        )


def _aliases() -> set[str]:
    found = set()
    for bus in ("pci", "virtio"):
        for file in Path(f"/sys/bus/{bus}/devices").glob("*/modalias"):
            found.add(file.read_text().strip())
    return found


if __name__ == "__main__":
    main()
