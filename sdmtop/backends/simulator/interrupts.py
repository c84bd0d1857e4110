"""Interrupt lines: who handles them, how often they came on which CPU, where they may be sent."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.kernel import Kernel

FIRST_MSI = 24
_WRAP = 1 << 32


class Interrupt:
    """A line. `hwirq` counts within the chip; `affinity` are the CPUs it may be sent to.

    The CPU of one that `is_managed` is the kernel's choice, as is that of the timer.
    """

    __slots__ = ("action", "affinity", "chip", "cpu", "handler", "hwirq", "is_managed", "lost",
                 "number", "per_cpu", "spurious", "trigger")  # fmt: skip

    def __init__(
        self, number: int, chip: str, hwirq: int, trigger: str, cpus: int, *, managed: bool = False
    ) -> None:
        self.number = number
        self.chip = chip
        self.hwirq = hwirq
        self.trigger = trigger
        self.per_cpu = [0] * cpus
        self.affinity: tuple[int, ...] = tuple(range(cpus))
        self.cpu = number % cpus
        self.is_managed = managed
        self.action = ""
        self.handler: Callable[[], None] | None = None
        self.spurious = 0
        self.lost = 0
        """How many are to be lost yet (an injected fault)."""

    @property
    def total(self) -> int:
        """How often it came."""
        return sum(self.per_cpu) % _WRAP


class Interrupts:
    """All lines, by number."""

    def __init__(self, kernel: Kernel, cpus: int) -> None:
        self._kernel = kernel
        self.possible = cpus
        self.online = tuple(range(cpus))
        self.lines: dict[str, Interrupt] = {}
        self._lowest = FIRST_MSI
        self._stat = ""
        self._dirty = True

    def allocate(
        self,
        chip: str,
        hwirq: int,
        action: str,
        handler: Callable[[], None] | None = None,
        *,
        number: int | None = None,
        trigger: str = "edge",
        managed: bool = False,
    ) -> Interrupt:
        """A line with a handler: of this number, else of the lowest that is free."""
        if number is None:
            while str(self._lowest) in self.lines:
                self._lowest += 1
            number = self._lowest
        line = Interrupt(number, chip, hwirq, trigger, self.possible, managed=managed)
        line.action = action
        line.handler = handler
        self.lines[str(number)] = line
        self._dirty = True
        return line

    def free(self, line: Interrupt) -> None:
        """The line is given back, with its counts."""
        del self.lines[str(line.number)]
        self._lowest = min(self._lowest, max(line.number, FIRST_MSI))
        self._dirty = True

    def fire(self, line: Interrupt, times: int = 1) -> None:
        """It comes: counted once each time, and handled once for all of them."""
        if line.lost:
            line.lost -= 1
            return
        line.per_cpu[line.cpu] = (line.per_cpu[line.cpu] + times) % _WRAP
        self._dirty = True
        if line.handler is not None:
            line.handler()

    def spurious(self, line: Interrupt, times: int = 1) -> None:
        """It comes though its device has raised none: counted, and nobody is woken."""
        line.per_cpu[line.cpu] = (line.per_cpu[line.cpu] + times) % _WRAP
        line.spurious += times
        self._dirty = True

    def set_affinity(self, line: Interrupt, text: bytes) -> None:
        """`smp_affinity_list`. Raises EINVAL without an online CPU, EPERM or EIO if managed."""
        if line.is_managed:
            number = self._kernel.behaviour.managed_affinity
            raise refusal(number, f"interrupt {line.number} is managed: the kernel places it")
        words = text.strip().decode("ascii", "replace")
        cpus = cpu_list(words, self.possible)
        usable = [cpu for cpu in cpus if cpu in self.online]
        if not usable:
            raise refusal(errno.EINVAL, f"none of the CPUs {words} is online")
        line.affinity = cpus
        line.cpu = usable[line.number % len(usable)]

    def set_online(self, cpu: int, *, online: bool) -> None:
        """A CPU goes or comes; lines move off one that goes."""
        others = tuple(one for one in self.online if one != cpu)
        self.online = tuple(sorted((*others, cpu))) if online else others
        for line in self.lines.values():
            if line.cpu not in self.online:
                usable = [one for one in line.affinity if one in self.online] or [*self.online]
                line.cpu = usable[line.number % len(usable)]

    # -- texts ---------------------------------------------------------------------------------

    def stat_line(self) -> str:
        """The `intr` line of /proc/stat: the total, then every number from 0."""
        if self._dirty:
            numbers = [line.number for line in self.lines.values()]
            totals = [0] * (max(numbers, default=-1) + 1)
            for line in self.lines.values():
                totals[line.number] = line.total
            self._stat = f"intr {sum(totals)} {' '.join(map(str, totals))}"
            self._dirty = False
        return self._stat

    def table(self) -> str:
        """/proc/interrupts."""
        is_arm = self._kernel.is_arm
        blank = "" if self._kernel.behaviour.narrow_rows else " "
        rows = ["".join(["           ", *(f"CPU{cpu:<8}" for cpu in self.online)])]
        for line in sorted(self.lines.values(), key=lambda line: line.number):
            counts = "".join(f"{line.per_cpu[cpu]:>10} " for cpu in self.online)[:-1]
            if is_arm:
                trigger = "Edge" if line.trigger == "edge" else "Level"
                tail = f"{line.chip:>10} {line.hwirq:>3} {trigger:<8}"
                tail += f"  {line.action}"
            else:
                tail = f"{line.chip:>8} {line.hwirq:>3}-{line.trigger:<8}  {line.action}"
            rows.append(f"{line.number:>3}: {counts} {blank}{tail}")
        rows += self._summary(is_arm=is_arm)
        return "\n".join(rows) + "\n"

    def _summary(self, *, is_arm: bool) -> list[str]:
        ticks = int(self._kernel.clock.now * 250)
        rows = [("RES", ticks // 7, "Rescheduling interrupts")]
        last = ["ERR:          0", "MIS:          0"]
        if is_arm:
            rows = [("IPI0", ticks // 7, "Rescheduling interrupts")]
            last = ["Err:          0"]
        else:
            rows += [
                ("NMI", 0, "Non-maskable interrupts"),
                ("LOC", ticks, "Local timer interrupts"),
            ]
        return [
            f"{name}: " + "".join(f"{count:>10} " for _ in self.online) + f"  {what}"
            for name, count, what in rows
        ] + last


def cpu_list(text: str, most: int) -> tuple[int, ...]:
    """CPUs of `0-3,8`. Raises EINVAL for another form, or a CPU that there is not."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal()) or not int(first) <= int(last) < most:
            raise refusal(errno.EINVAL, f"{text!r} is no list of CPUs below {most}")
        cpus.update(range(int(first), int(last) + 1))
    return tuple(sorted(cpus))


def as_list(cpus: tuple[int, ...]) -> str:
    """`0-3,8`."""
    parts: list[str] = []
    first = last = -2
    for cpu in (*cpus, -2):
        if cpu == last + 1:
            last = cpu
            continue
        if first >= 0:
            parts.append(str(first) if first == last else f"{first}-{last}")
        first = last = cpu
    return ",".join(parts)
