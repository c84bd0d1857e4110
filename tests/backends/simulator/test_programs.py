"""Programs with scripted lives: what they do on the machine, as everybody sees it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.completion import Completion
from sdmtop.backends.simulator.scenario import Fault
from sdmtop.readers.snapshot import read_snapshot
from tests.backends.simulator.machines import PCI, begin, machine, refused, text, write

if TYPE_CHECKING:
    from sdmtop.backends.simulator.host import SimulatorHost
    from sdmtop.model import Sdmdev, Snapshot

ZIP = "0000:01:00.0"
BOARD = """
title = "A board with one accelerator"
[[unit]]
name = "smmu3.0x0000000140000000"
driver = "arm-smmu-v3"
pasid_bits = {bits}
[[load]]
name = "steady"
high = 20
[[device]]
address = "0000:01:00.0"
unit = "smmu3.0x0000000140000000"
driver = "hisi_zip"
vendor = 0x19e5
device = 0xa250
pasid_bits = 16
accelerator = "zip"
queues = 4
interrupts = {{ actions = ["hisi_zip"] }}
sdmdev = {{}}
uacce = {{ name = "hisi_zip-0" }}
[[device.mdev_type]]
id = "zlib"
device_api = "hisi_qm_v1"
"""


def board(programs: str, bits: int = 16) -> SimulatorHost:
    return machine(BOARD.format(bits=bits) + programs)


def process(name: str, life: str = "", use: str = "") -> str:
    return f"""
[[process]]
name = "{name}"
{life}
[[process.use]]
sdmdev = "{ZIP}"
type = "zlib"
job = "deflate"
load = "steady"
{use}
"""


def after(host: SimulatorHost, seconds: float) -> Snapshot:
    host.step(seconds)
    return read_snapshot(host)


def queues(snapshot: Snapshot) -> list[Sdmdev]:
    return [queue for queue in snapshot.sdmdevs if queue.kind == "sdmdev"]


def names(snapshot: Snapshot) -> list[str | None]:
    return [process.name for process in snapshot.processes]


def log(host: SimulatorHost) -> str:
    return b"".join(host.kernel_log()).decode()


def test_a_program_makes_its_queue_and_works_through_it() -> None:
    snapshot = after(board(process("zipd", "pid = 1812")), 10)
    (queue,) = queues(snapshot)
    assert (queue.state, queue.holders, queue.type) == ("started", (1812,), "hisi_zip-zlib")
    (interrupt,) = (row for row in snapshot.interrupts if row.device == ZIP)
    # One interrupt a batch, and at this tick a batch is two jobs.
    assert 80 <= interrupt.total <= 110
    assert interrupt.shared_by == (queue.id,)


def test_each_process_has_a_pasid_of_its_own() -> None:
    snapshot = after(board(process("one", "pid = 11") + process("two", "pid = 12")), 1)
    assert {(row.pasid, row.process) for row in snapshot.pasids} == {(1, 11), (2, 12)}


def test_two_queues_of_a_process_have_one_pasid() -> None:
    two = process("zipd", "pid = 11").rstrip() + "\n" + process("x").partition("[[process]]")[2]
    two = two.replace('name = "x"', "")
    snapshot = after(board(two), 1)
    assert len(queues(snapshot)) == 2
    assert [(row.pasid, row.process) for row in snapshot.pasids] == [(1, 11)]


def test_a_program_that_ends_takes_its_queue_along() -> None:
    host = board(process("zipd", "lives = 5"))
    assert len(queues(after(host, 4))) == 1
    assert queues(after(host, 2)) == []
    assert text(host, f"/sys/class/mdev_bus/{ZIP}/mdev_supported_types/hisi_zip-zlib/"
                      "available_instances") == "4"  # fmt: skip


def test_one_that_keeps_it_leaves_an_orphan() -> None:
    host = board(process("zipd", "lives = 5", "keep = true"))
    (queue,) = queues(after(host, 6))
    assert (queue.state, queue.holders) == ("orphan", ())


def test_a_program_comes_again_as_another_process() -> None:
    host = board(process("job", "lives = 5\nagain = 20"))
    first = after(host, 1)
    assert names(after(host, 9)) == []
    second = after(host, 11)
    assert names(first) == names(second) == ["job"]
    assert first.processes[0].pid != second.processes[0].pid


def test_a_program_begins_at_its_time() -> None:
    host = board(process("late", "begin = 7"))
    assert names(after(host, 6)) == []
    assert names(after(host, 2)) == ["late"]


@pytest.mark.parametrize("path", [f"driver/unbind={ZIP}", "remove=1"])
def test_a_program_whose_device_is_not_there_gives_up_and_comes_again(path: str) -> None:
    host = board(process("late", "begin = 7\nagain = 20"))
    file, _, data = path.partition("=")
    write(host, f"{PCI}/{ZIP}/{file}", data)
    assert names(after(host, 10)) == []
    (line,) = (line for line in log(host).splitlines() if "late[" in line)
    assert ZIP in line
    if file == "remove":
        write(host, "/sys/bus/pci/rescan", "1")
    else:
        write(host, "/sys/bus/pci/drivers/hisi_zip/bind", ZIP)
    assert names(after(host, 20)) == ["late"]


def test_a_program_that_has_given_up_uses_nothing_more() -> None:
    uses = (
        f'[[process.use]]\nsdmdev = "{ZIP}"\ntype = "zlib"\n[[process.use]]\nuacce = "hisi_zip-0"\n'
    )
    gone = "0000:02:00.0"
    second = BOARD.partition("[[device]]")[2].format(bits=16).replace(ZIP, gone)
    second = second.replace('uacce = { name = "hisi_zip-0" }', "")
    program = f'[[process]]\nname = "late"\nbegin = 1\n{uses}'.replace(ZIP, gone)
    host = board(f"[[device]]{second}{program}")
    write(host, f"{PCI}/{gone}/driver/unbind", gone)
    assert names(after(host, 2)) == []
    assert text(host, "/sys/class/uacce/hisi_zip-0/available_instances") == "4"


def test_a_group_can_be_held_without_opening_the_queue() -> None:
    (queue,) = queues(after(board(process("standby", "", "started = false")), 1))
    assert queue.state == "held"


def test_without_pasids_the_second_process_is_refused_and_says_why() -> None:
    programs = process("first", "pid = 11") + process("second", "pid = 12\nbegin = 3")
    host = board(programs, bits=0)
    snapshot = after(host, 5)
    assert names(snapshot) == ["first"]
    assert len(queues(snapshot)) == 1  # What it had made before it was refused, it has removed.
    assert "second[12]: group 0's domain is shared by first (pid 11) already" in log(host)
    assert "(EBUSY)" in log(host)


def test_a_program_above_its_limit_of_locked_memory_is_refused() -> None:
    host = board(process("zipd", "memlock = 4096"))
    assert names(after(host, 1)) == []
    assert "may not lock 65536 more: RLIMIT_MEMLOCK is 4096 (ENOMEM)" in log(host)


@pytest.mark.parametrize("job", ["deflate", "inflate"])
def test_uacce_queues_work_in_the_address_space_of_the_process(job: str) -> None:
    host = board(
        f"""
[[process]]
name = "zipd"
pid = 11
[[process.use]]
uacce = "hisi_zip-0"
job = "{job}"
load = "steady"
"""
    )
    snapshot = after(host, 10)
    (queue,) = (queue for queue in snapshot.sdmdevs if queue.kind == "uacce")
    assert (queue.state, queue.holders) == ("started", (11,))
    (interrupt,) = (row for row in snapshot.interrupts if row.device == ZIP)
    assert interrupt.total > 80


@pytest.mark.parametrize("operation", ["open", "START_Q"])
def test_a_program_that_is_killed_while_a_call_hangs_has_nothing_afterwards(operation: str) -> None:
    host = board('[[process]]\nname = "tool"\nbegin = 1\n[[process.use]]\nuacce = "hisi_zip-0"\n')
    host.inject(Fault("hang", target="tool", operation=operation, lasts=10))
    host.step(2)
    host.inject(Fault("kill", target="tool"))
    host.step(20)
    assert text(host, "/sys/class/uacce/hisi_zip-0/available_instances") == "4"
    assert host.kernel.uacce["hisi_zip-0"].device.accelerator().started == {}


def test_a_command_that_hangs_is_not_done_on_a_descriptor_that_was_closed() -> None:
    host = board("")
    host.inject(Fault("hang", operation="START_Q", lasts=5))
    queue = host.open("/dev/hisi_zip-0")
    pending = host.system.ioctl(host.kernel.processes.own, queue.number, uapi.UACCE_START)
    queue.close()
    again = host.open("/dev/hisi_zip-0")
    host.step(10)
    assert isinstance(pending, Completion)
    with refused(errno.EBADF, "has closed /dev/hisi_zip-0 meanwhile"):
        pending.result()
    again.ioctl(uapi.UACCE_START)


def test_a_program_writes_files_and_waits_for_what_they_do() -> None:
    host = board(
        """
[[process]]
name = "bash"
pid = 77
[[process.write]]
path = "/sys/bus/pci/drivers/hisi_zip/unbind"
data = "0000:01:00.0"
after = 5
"""
        + process("zipd")
    )
    host.step(6)
    # The queue is open: the unbind waits for it, and the writer with it.
    assert text(host, "/proc/77/wchan") == "vfio_unregister_group_dev"


GUEST = """
[[unit]]
name = "dmar0"
[[load]]
name = "guest"
high = 50
[[device]]
address = "0000:05:00.0"
unit = "dmar0"
driver = "vfio-pci"
vendor = 0x8086
bars = [0x4000]
reset = ["flr"]
interrupts = { kind = "msix", actions = ["rx", "tx"], load = "guest" }
[[process]]
name = "qemu"
pid = 22
[[process.use]]
vfio = ["0000:05:00.0"]
"""


def test_a_guest_holds_its_device_and_takes_its_interrupts() -> None:
    snapshot = after(machine(f'title = ""\n{GUEST}'), 10)
    (group,) = snapshot.groups
    assert (group.owner, names(snapshot)) == ("vfio", ["qemu"])
    rows = [row for row in snapshot.interrupts if row.device == "0000:05:00.0"]
    assert [row.actions for row in rows] == [
        ("vfio-msix[0](0000:05:00.0)",),
        ("vfio-msix[1](0000:05:00.0)",),
    ]
    assert sum(row.total for row in rows) > 200


@pytest.mark.parametrize(("polite", "returns"), [("polite = true", True), ("", False)])
def test_a_polite_guest_lets_its_device_go_when_it_is_asked(polite: str, returns: bool) -> None:
    host = machine(f'title = ""\n{GUEST}{polite}\n')
    host.step(1)
    pending = begin(host, "/sys/bus/pci/drivers/vfio-pci/unbind", "0000:05:00.0")
    assert pending.wait(5) is returns


DSA = "0000:6a:01.0"
MOVER = """
title = ""
[[unit]]
name = "dmar0"
pasid_bits = 20
[[load]]
name = "steady"
high = 20
[[device]]
address = "0000:6a:01.0"
unit = "dmar0"
driver = "idxd"
vendor = 0x8086
pasid_bits = 20
accelerator = "dsa"
queues = 1
interrupts = { kind = "msix", actions = ["idxd-portal"] }
[device.idxd]
name = "dsa0"
[[device.idxd.queues]]
type = "user"
mode = "shared"
enabled = true
[[process]]
name = "spdk"
pid = 33
[[process.use]]
idxd = "wq0.0"
job = "copy"
load = "steady"
"""


def test_an_idxd_queue_moves_memory_for_its_process() -> None:
    host = machine(MOVER)
    snapshot = after(host, 10)
    (queue,) = snapshot.sdmdevs
    assert (queue.state, queue.holders) == ("started", (33,))
    (interrupt,) = (row for row in snapshot.interrupts if row.device == DSA)
    assert interrupt.total == pytest.approx(200, abs=5)
    assert "DMAR" not in log(host)  # Nothing missed.


def test_what_was_set_up_on_an_idxd_queue_goes_with_its_driver() -> None:
    host = machine(MOVER)
    host.step(1)
    assert begin(host, "/sys/bus/pci/drivers/idxd/unbind", DSA).wait(5)
    assert after(host, 1).sdmdevs == ()
    assert begin(host, "/sys/bus/pci/drivers/idxd/bind", DSA).wait(5)
    first, second = after(host, 1), after(host, 10)
    (queue,) = second.sdmdevs
    assert (queue.type, queue.params["size"], queue.params["state"]) == (
        "none/shared", "0", "disabled"
    )  # fmt: skip
    assert (queue.params["device_state"], queue.holders) == ("disabled", ())
    assert [process.name for process in second.processes] == []  # Its node is gone.
    counts = [
        [row.total for row in snapshot.interrupts if row.device == DSA]
        for snapshot in (first, second)
    ]
    assert counts[0] == counts[1]


def test_a_process_that_comes_when_an_idxd_queue_is_gone_is_refused() -> None:
    host = machine(MOVER.replace("pid = 33", "pid = 33\nbegin = 5"))
    host.step(1)
    assert begin(host, "/sys/bus/pci/drivers/idxd/unbind", DSA).wait(1)
    after(host, 10)
    assert "spdk[33]" in log(host)
    assert "(ENOENT)" in log(host)


def test_queues_of_two_idxd_devices_have_numbers_of_their_own() -> None:
    device = MOVER[MOVER.index("[[device]]") : MOVER.index("[[process]]")]
    second = device.replace(DSA, "0000:6a:02.0").replace("dsa0", "iax1")
    host = machine(MOVER + second)
    handle = host.open("/dev/iax/wq1.0")
    snapshot = after(host, 1)
    assert {queue.id: queue.holders for queue in snapshot.sdmdevs} == {
        "wq0.0": (33,),
        "wq1.0": (4242,),
    }
    handle.close()
    assert text(host, "/sys/bus/dsa/devices/wq1.0/cdev_minor") == "1"


def test_without_pasids_no_idxd_queue_is_for_processes() -> None:
    snapshot = after(machine(MOVER.replace("pasid_bits = 20", "pasid_bits = 0")), 1)
    (queue,) = snapshot.sdmdevs
    assert (queue.params["state"], names(snapshot)) == ("disabled", [])
    assert queue.params["cmd_status"].startswith("0x80110000 (a user queue needs")
