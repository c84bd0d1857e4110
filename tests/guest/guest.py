"""A guest: a kernel on a topology, booted once, that runs as many jobs as one likes.

Everything is bounded in time: a boot, a job, an answer. What goes wrong is a `GuestError` of one
line, and the console log, the kernel log, QEMU's own words and all output are kept at its path.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.guest.cache import cache
from tests.guest.failure import GuestError
from tests.guest.initramfs import ROOT_TAG, SHARE_TAG, make_initramfs
from tests.guest.kernels import Kernel
from tests.guest.packages import tool
from tests.guest.qmp import Monitor
from tests.guest.topologies import DEVICES, VIRTIO, Topology

CHECKOUT = Path(__file__).parents[2]
BOOT_TIMEOUT = 120.0
JOB_TIMEOUT = 90.0
_ANSWER_TIMEOUT = 30.0
_KEPT_RUNS = 20
_FULL = 64 * 1024
"""A disk with fewer bytes left counts as full."""

# One thread for both CPUs of a guest: with two, one that waits for a lock of the other's burns what
# another guest needs, and two guests at a time take half as long again.
_MACHINE = (
    "-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=single", "-cpu", "max,la57=off",
    "-smp", "2,sockets=2", "-m", "2048", "-nodefaults", "-no-user-config", "-no-reboot",
    "-display", "none",
    "-object", "memory-backend-ram,id=near,size=1G",
    "-object", "memory-backend-ram,id=far,size=1G",
    "-numa", "node,nodeid=0,cpus=0,memdev=near", "-numa", "node,nodeid=1,cpus=1,memdev=far",
)  # fmt: skip
# With `no_timer_check`: a busy machine runs the guest too seldom for what the kernel expects of the
# timer in its first second, and it would panic. With `norandmaps`: what an emulator has translated
# serves the next process only at the same address, and a start of Python takes half of the time.
# What follows is work at each page or call that no test is about, 8 % of all time.
_BOOT = (
    "console=ttyS0 panic=-1 quiet mitigations=off random.trust_cpu=on 8250.nr_uarts=4 net.ifnames=0"
    " no_timer_check norandmaps init_on_alloc=0 apparmor=0 audit=0 cgroup_disable=memory"
)
_PANIC = re.compile(r"(?:Kernel panic - not syncing: |guest: )(.*)")


class Done(NamedTuple):
    """A job that has ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """What it printed."""
        return self.out.decode("utf-8", "surrogateescape")


class Job:
    """A process in the guest."""

    def __init__(self, guest: "Guest", number: int, command: Sequence[str]) -> None:
        self._guest = guest
        self.number = number
        self.name = " ".join(command)[:200]
        self.pid: int | None = None
        self.status: int | None = None
        self.restored: bool | None = None
        self.state: str | None = None
        self.refusal = ""

    @property
    def out(self) -> bytes:
        """What it has printed so far."""
        return self._file("out")

    @property
    def err(self) -> bytes:
        """What it has complained about so far, or why it could not be started."""
        return self._file("err") + self.refusal.encode()

    def wait(self, timeout: float = JOB_TIMEOUT) -> Done:
        """Until it has ended; one that does not is killed, and reported."""
        if not self._guest.wait_until(lambda: self.status is not None, timeout):
            state = self.describe()
            self.kill()
            ended = self._guest.wait_until(lambda: self.status is not None, 5)
            after = "was killed" if ended else f"cannot be killed ({self.describe()})"
            what = f"{self.name!r} did not end in {timeout:.0f} s: it was {state}, and {after}"
            raise self._guest.failed(what)
        assert self.status is not None
        if self._guest.disk_is_full:
            raise self._guest.failed(f"what {self.name!r} printed may be cut short")
        return Done(self.status, self.out, self.err)

    def describe(self) -> str:
        """What it is doing now: its state and where in the kernel it waits."""
        self.state = None
        self._guest.order(self.number, "describe")
        self._guest.wait_until(lambda: self.state is not None, _ANSWER_TIMEOUT)
        return self._told_state()

    def _told_state(self) -> str:
        return self.state or "not told"

    def kill(self, signal: int = 9) -> None:
        """Send a signal."""
        self._guest.order(self.number, "kill", signal=signal)

    def type(self, keys: str) -> None:
        """Press keys on its terminal."""
        self._guest.order(self.number, "type", keys=keys)

    def wait_for_output(self, text: str, timeout: float = JOB_TIMEOUT) -> None:
        """Until it has printed a text."""
        wanted = text.encode()
        self._guest.wait_until(lambda: wanted in self.out or self.status is not None, timeout)
        if wanted not in self.out:
            raise self._guest.failed(f"{self.name!r} never printed {text!r}: {self.err[-300:]!r}")

    def _file(self, kind: str) -> bytes:
        try:
            return (self._guest.share / f"{self.number}.{kind}").read_bytes()
        except FileNotFoundError:
            return b""


class Guest:
    """A running machine; ended, at once, with the `with` block."""

    def __init__(self, kernel: Kernel, topology: Topology, *, shell: bool = False) -> None:
        self.kernel = kernel
        self.topology = topology
        self._logs = _new_folder(f"{kernel.series}-{topology.name}")
        self.share = self._logs / "jobs"
        self._jobs: dict[int, Job] = {}
        self._ready = False
        self._kept = False
        self._pending = b""
        self._shell = shell
        agent, agent_end = socket.socketpair()
        monitor, monitor_end = socket.socketpair()
        self._agent = agent
        self._monitor = Monitor(monitor)
        with contextlib.ExitStack() as unstarted, agent_end, monitor_end:
            unstarted.callback(shutil.rmtree, self._logs, ignore_errors=True)
            unstarted.callback(agent.close)
            unstarted.callback(monitor.close)
            try:
                self._qemu = self._start(agent_end.fileno(), monitor_end.fileno())
            except OSError as error:
                raise GuestError(f"cannot start a guest: {self._logs}: {error.strerror}") from error
            unstarted.pop_all()
        try:
            self._boot()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.keep()
        self.close()

    # -- jobs --------------------------------------------------------------------------------

    def run(
        self,
        *command: str,
        ordinary: bool = False,
        timeout: float = JOB_TIMEOUT,
        check: bool = True,
    ) -> Done:
        """One command to its end; `ordinary` is not as root. With `check`, it must succeed."""
        job = self.start(*command, ordinary=ordinary)
        return self._checked(job.wait(timeout), job.name, check=check)

    def _checked(self, done: Done, name: str, *, check: bool) -> Done:
        if check and done.status != 0:
            said = done.err.decode("utf-8", "replace").strip().splitlines()
            reason = said[-1] if said else "it said nothing"
            raise self.failed(f"{name!r} exited with {done.status}: {reason}")
        return done

    @property
    def program(self) -> str:
        """The path of sdmtop: that of the virtual environment, as in the host."""
        return str(Path(sys.executable).with_name("sdmtop"))

    def python(
        self, module: str, *arguments: str, ordinary: bool = False, check: bool = True
    ) -> Done:
        """Run a module of this checkout, `sdmtop` for one, to its end: see `start_python`."""
        job = self.start_python(module, *arguments, ordinary=ordinary)
        return self._checked(job.wait(), job.name, check=check)

    def sdmtop(self, *arguments: str, ordinary: bool = False, check: bool = True) -> Done:
        """Run the program as it is installed."""
        return self.run(self.program, *arguments, ordinary=ordinary, check=check)

    def start(
        self,
        *command: str,
        ordinary: bool = False,
        terminal: tuple[int, int] | None = None,
        on_console: bool = False,
        **environment: str,
    ) -> Job:
        """Start a command and let it run; with `terminal` (columns, rows) in a pty of its own.

        Or, `on_console`, on the one that the machine has.
        """
        return self._start_job(
            "start",
            command,
            ordinary=ordinary,
            terminal=terminal,
            on_console=on_console,
            environment=environment,
        )

    def start_python(self, module: str, *arguments: str, ordinary: bool = False) -> Job:
        """Start a module in a fork of the agent's, which has imported most of sdmtop.

        A second earlier than by a command. Its command line and its environment are the agent's.
        """
        return self._start_job("fork", (module, *arguments), ordinary=ordinary)

    def _start_job(self, how: str, command: Sequence[str], **more: Any) -> Job:
        job = Job(self, len(self._jobs) + 1, command)
        self._jobs[job.number] = job
        self.order(job.number, how, command=command, folder=str(CHECKOUT), **more)
        if not self.wait_until(lambda: job.pid is not None, _ANSWER_TIMEOUT):
            raise self.failed(f"{job.name!r} was not started in {_ANSWER_TIMEOUT:.0f} s")
        return job

    def write(self, path: str, text: str) -> None:
        """Write to a file of the guest's kernel; raises `GuestError` where it refuses."""
        self.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path)

    def start_shell(self) -> Job:
        """A shell for a person, on the machine's console."""
        prompt = f"[{self.kernel.series} {self.topology.name}] \\w# "
        command = ("bash", "--norc", "--noprofile", "-i")
        size = os.get_terminal_size() if sys.stdin.isatty() else (80, 24)
        return self.start(
            *command, terminal=(size[0], size[1]), on_console=True, PS1=prompt, TERM=_term()
        )

    # -- hardware ----------------------------------------------------------------------------

    def plug(self, driver: str, **properties: str) -> None:
        """Plug a device in; the kernel learns of it in its own time."""
        self._monitor.execute("device_add", driver=driver, **properties)

    def plug_disk(self, name: str, size: int) -> None:
        """Plug an NVMe disk of so many bytes into the vacant port, all zeros."""
        file = self._logs / f"{name}.disk"
        with file.open("wb") as stream:
            stream.truncate(size)
        self._monitor.execute(
            "blockdev-add", **{"driver": "file", "node-name": name, "filename": str(file)}
        )
        self.plug("nvme", id=name, bus="vacant", serial=name, drive=name)

    def plug_network_card(self, name: str) -> None:
        """Plug a card into the vacant port whose network has this machine at 10.0.2.2."""
        self._monitor.execute("netdev_add", type="user", id=f"{name}-net")
        self.plug("e1000e", id=name, bus="vacant", netdev=f"{name}-net")

    def equip(self, kind: str, **properties: str) -> None:
        """Make something that devices stand on: the other end of a virtio device."""
        self._monitor.execute("object-add", **{"qom-type": kind}, **properties)

    def pull(self, name: str) -> None:
        """Ask for a device back, and wait until the kernel has let it go."""
        self._monitor.execute("device_del", id=name)
        self._monitor.wait_for_event("DEVICE_DELETED", device=name)

    # -- how it goes -------------------------------------------------------------------------

    def order(self, job: int, what: str, **more: Any) -> None:
        """Tell the agent to do something with a job."""
        text = json.dumps({"job": job, "do": what, **more}).encode() + b"\n"
        try:
            self._agent.sendall(text)
        except OSError as error:
            raise self.failed(f"the guest has gone: {self._last_words()}") from error

    def wait_until(self, come: Callable[[], bool], timeout: float) -> bool:
        """Hear the agent until something is true; False when the time is over."""
        deadline = time.monotonic() + timeout
        while not come():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # Files in the shared directory grow without a word: look at them, too.
            self._agent.settimeout(min(left, 0.05))
            try:
                data = self._agent.recv(65536)
            except TimeoutError:
                data = b""
            else:
                if not data:
                    raise self.failed(f"the guest has gone: {self._last_words()}")
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
        return True

    @property
    def disk_is_full(self) -> bool:
        """Whether logs and output of jobs find no room."""
        return shutil.disk_usage(self._logs).free < _FULL

    def failed(self, what: str) -> GuestError:
        """The error to raise; keeps all that may explain it."""
        self.keep()
        place = f"{self.kernel.series} on {self.topology.name}"
        full = ": no space left on the disk of its logs" if self.disk_is_full else ""
        return GuestError(f"guest {place}: {what}{full}", self._logs)

    def keep(self) -> None:
        """Keep the logs after the end, the kernel's own included where it can still be had."""
        if self._kept:
            return
        self._kept = True
        if self._ready and self._qemu.poll() is None:
            with contextlib.suppress(GuestError, OSError):
                (self._logs / "kernel.log").write_bytes(self.run("dmesg", timeout=20).out)

    def close(self) -> None:
        """End the machine: nothing in it is worth an orderly end, and that could hang."""
        if self._qemu.poll() is None:
            with contextlib.suppress(GuestError):
                self._monitor.execute("quit")
            try:
                self._qemu.wait(10)
            except subprocess.TimeoutExpired:
                self._qemu.kill()
                self._qemu.wait()
        self._monitor.close()
        self._agent.close()
        if self._kept:
            with contextlib.suppress(OSError):  # The disk may be full.
                (self._logs / "exit-status").write_text(f"{self._qemu.returncode}\n")
        else:
            shutil.rmtree(self._logs, ignore_errors=True)

    def _start(self, agent: int, monitor: int) -> "subprocess.Popen[bytes]":
        agent_command = [
            "/usr/bin/env", "-i", f"--chdir={CHECKOUT}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root", "LANG=C.UTF-8", "TERM=linux", "PYTHONDONTWRITEBYTECODE=1",
            sys.executable, "-m", "tests.guest.inside.agent",
        ]  # fmt: skip
        self.share.mkdir()
        initramfs = self._logs / "initramfs"
        busybox = Path(tool("busybox") or "busybox")
        initramfs.write_bytes(
            make_initramfs(self.kernel, busybox, self.topology.early, agent_command)
        )
        console = f"file,id=console,path={self._logs / 'console.log'}"
        if self._shell:
            console = f"stdio,id=console,signal=off,logfile={self._logs / 'console.log'}"
        command = [
            tool("qemu-system-x86_64") or "qemu-system-x86_64",
            *_MACHINE,
            *_devices(*DEVICES, *self.topology.iommu),
            *_shared(ROOT_TAG, "/", "0a.0", "readonly=on,"),
            *_shared(SHARE_TAG, str(self.share), "0b.0", ""),
            "-chardev", console, "-serial", "chardev:console",
            "-chardev", f"socket,id=agent,fd={agent}", "-serial", "chardev:agent",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
            "-kernel", str(self.kernel.image), "-initrd", str(initramfs),
            "-append", " ".join((_BOOT, *self.topology.boot)),
        ]  # fmt: skip
        with open(self._logs / "qemu.log", "wb") as log:
            log.write((" ".join(command) + "\n").encode())
            log.flush()
            return subprocess.Popen(
                command,
                stdin=None if self._shell else subprocess.DEVNULL,
                stdout=None if self._shell else log,
                stderr=log,
                pass_fds=(agent, monitor),
            )

    def _boot(self) -> None:
        try:
            self._monitor.greet()
        except (OSError, GuestError) as error:
            raise self.failed(f"QEMU did not start: {self._last_words()}") from error
        if not self.wait_until(lambda: self._ready, BOOT_TIMEOUT):
            raise self.failed(f"no first command in {BOOT_TIMEOUT:.0f} s: {self._last_words()}")

    def _hear(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready = True
            return
        job = self._jobs[message["job"]]
        job.pid = message.get("pid", job.pid)
        job.state = message.get("state", job.state)
        job.status = message.get("status", job.status)
        job.restored = message.get("restored", job.restored)
        job.refusal = message.get("refusal", job.refusal)

    def _last_words(self) -> str:
        """Why the machine is no more, or not yet: the panic, or the last line that there is."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._qemu.wait(5)
        for name in ("console.log", "qemu.log"):
            try:
                text = (self._logs / name).read_text("utf-8", "replace")
            except FileNotFoundError:
                continue
            if match := _PANIC.search(text):
                return f"kernel panic: {match[1].strip()}"
            if lines := text.strip().splitlines():
                return lines[-1].strip()
        return "nothing was said"


def _term() -> str:
    return os.environ.get("TERM", "linux")


def _devices(*devices: str) -> Iterator[str]:
    for device in devices:
        yield from ("-device", device)


def _shared(tag: str, path: str, address: str, options: str) -> Iterator[str]:
    """A directory of this machine as a 9p device."""
    comma = path.replace(",", ",,")
    yield "-fsdev"
    yield f"local,id={tag},path={comma},security_model=none,multidevs=remap,{options}".rstrip(",")
    place = f"bus=pcie.0,addr={address}"
    yield from ("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},{place},{VIRTIO}")


def _new_folder(name: str) -> Path:
    """A folder for one run; the oldest of many are forgotten."""
    runs = cache() / "runs"
    runs.mkdir(exist_ok=True)
    known = sorted(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in known[:-_KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{stamp}-{name}-{os.getpid()}"
    for number in range(1, 1000):
        try:
            folder.mkdir()
        except FileExistsError:
            folder = folder.with_name(f"{stamp}-{name}-{os.getpid()}-{number}")
        else:
            break
    return folder
