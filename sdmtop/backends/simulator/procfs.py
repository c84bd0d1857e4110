"""/proc: processes, interrupts, and the kernel itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator import crypto
from sdmtop.backends.simulator.carried import mountinfo, mounts, routes
from sdmtop.backends.simulator.interrupts import as_list
from sdmtop.backends.simulator.vfio import ANONYMOUS
from sdmtop.backends.simulator.vfs import Computed, Directory, File, Fixed, Link, Listing

if TYPE_CHECKING:
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.vfs import Node


def procfs(kernel: Kernel) -> Directory:
    """The whole of it."""
    return Directory(
        Fixed(
            interrupts=File(kernel.interrupts.table),
            stat=File(lambda: _stat(kernel)),
            version=File(lambda: f"Linux version {kernel.release} (sdmtop@simulator)\n"),
            cmdline=File(lambda: "console=ttyS0\n"),
            uptime=File(lambda: f"{kernel.clock.now:.2f} 0.00\n"),
            modules=File(
                lambda: "".join(f"{name} 16384 0 - Live 0x0\n" for name in kernel.modules)
            ),
            mounts=File(lambda: mounts(kernel)),
            net=Directory(
                Fixed(
                    route=File(lambda: routes(kernel)),
                    tcp=File(lambda: "  sl  local_address rem_address   st\n"),
                )
            ),
            bus=Directory(Fixed(input=Directory(Fixed(devices=File(lambda: ""))))),
            swaps=File(lambda: "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
            crypto=File(lambda: crypto.table(kernel)),
            irq=Directory(Listing(kernel.interrupts.lines, lambda line: _irq(kernel, line))),
            sys=Directory(Fixed(kernel=_kernel(kernel))),
            self=Link(str(kernel.processes.own.pid)),
        ),
        Computed(
            lambda: {str(process.pid): _process(kernel, process) for process in kernel.processes}
        ),
    )


def _kernel(kernel: Kernel) -> Directory:
    boot_id = "5d3de000-0000-4000-8000-0000000b0070"
    return Directory(
        Fixed(
            hostname=File(lambda: f"{kernel.scenario.hostname}\n"),
            osrelease=File(lambda: f"{kernel.release}\n"),
            tainted=File(lambda: f"{kernel.taint}\n"),
            random=Directory(Fixed(boot_id=File(lambda: f"{boot_id}\n"))),
        )
    )


def _stat(kernel: Kernel) -> str:
    ticks = int(kernel.clock.now * 100)
    cpus = "".join(f"cpu{cpu} 0 0 0 {ticks} 0 0 0 0 0 0\n" for cpu in kernel.interrupts.online)
    total = ticks * len(kernel.interrupts.online)
    return (
        f"cpu  0 0 0 {total} 0 0 0 0 0 0\n{cpus}{kernel.interrupts.stat_line()}\n"
        f"ctxt {ticks}\nbtime {kernel.clock.booted}\nprocesses 100\n"
    )


def _irq(kernel: Kernel, line: Interrupt) -> Directory:
    def set_affinity(data: bytes) -> None:
        kernel.interrupts.set_affinity(line, data)

    return Directory(
        Fixed(
            smp_affinity_list=File(lambda: f"{as_list(line.affinity)}\n", set_affinity),
            effective_affinity_list=File(lambda: f"{line.cpu}\n"),
            node=File(lambda: "0\n"),
            spurious=File(
                lambda: f"count {line.spurious}\nunhandled {line.spurious}\nlast_unhandled 0 ms\n"
            ),
        ),
        Fixed({line.action.replace("/", "!"): Directory()} if line.action else {}),
    )


def _process(kernel: Kernel, process: Process) -> Directory:
    entries: dict[str, Node] = {
        "comm": File(lambda: f"{process.name}\n"),
        "cmdline": File(lambda: f"{process.name}\0"),
        "status": File(lambda: _status(process)),
        "stat": File(
            lambda: f"{process.pid} ({process.name}) {_state(process)} 1 {process.pid} 0 0 -1 0\n"
        ),
        "mountinfo": File(lambda: mountinfo(kernel)),
        "maps": File(lambda: _maps(process)),
        "stack": File(lambda: _stack(process)),
        "wchan": File(lambda: process.waits_for.wchan if process.waits_for is not None else "0"),
        "fd": Directory(
            Computed(
                lambda: {
                    str(number): Link(file.name, file.number or None)
                    for number, file in process.files.items()
                }
            )
        ),
        "fdinfo": Directory(
            Computed(
                lambda: {
                    str(number): File(
                        lambda file=file: f"pos:\t0\nflags:\t02000002\n{file.fdinfo()}"  # type: ignore[misc]
                    )
                    for number, file in process.files.items()
                }
            )
        ),
    }
    return Directory(Fixed(entries))


def _state(process: Process) -> str:
    return "D" if process.is_unkillable else "S"


def _status(process: Process) -> str:
    word = "D (disk sleep)" if process.is_unkillable else "S (sleeping)"
    uid = process.uid
    return (
        f"Name:\t{process.name}\nState:\t{word}\nPid:\t{process.pid}\n"
        f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmLck:\t{process.pinned // 1024:8} kB\n"
    )


def _maps(process: Process) -> str:
    rows = []
    for area in process.memory:
        name = area.file.name if area.file is not None else ""
        device = "00:0f" if name == ANONYMOUS else "00:06" if name else "00:00"
        rows.append(
            f"{area.start:x}-{area.end:x} rw-{'s' if name else 'p'} {area.offset:08x} {device} 0"
            f"{' ' * 26}{name}\n" if name
            else f"{area.start:x}-{area.end:x} rw-p 00000000 00:00 0 \n"
        )  # fmt: skip
    return "".join(rows)


def _stack(process: Process) -> str:
    wchan = process.waits_for.wchan if process.waits_for is not None else ""
    return f"[<0>] {wchan}+0x9a/0xf0\n" if wchan else ""
