"""What the modelled kernel shows has the names and the form of what a real one shows."""

from __future__ import annotations

import os
import re
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.capture import CaptureHost
from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from sdmtop.readers.snapshot import read_snapshot
from tests.backends.simulator.machines import EDU, NVME, PCI, create, guest, machine, text, to_vfio

if TYPE_CHECKING:
    from sdmtop.backends.base import Host

PLACES = (
    "/sys/bus/pci/devices/0000:02:00.0/.",
    "/sys/bus/pci/devices/0000:01:00.0/.",
    "/sys/bus/pci/drivers/nvme",
    "/sys/kernel/iommu_groups/0",
    "/sys/class/iommu/dmar0/.",
    "/sys/bus/mdev/devices/5d3de000-0000-4000-8000-000000000001/.",
)
OURS = re.compile(
    # What another driver of sdmdevs shows, or a scenario has decided; numbers that are the kernel's
    # choice; what a driver of disks or networks adds.
    r"^/(.*/)?(description|params/[a-z]+|nvme0n1|net/eth1?.*|virtfn\d|\d+|devices/[0-9a-f:.-]+|[0-9a-f-]{36})"
    r"(/.*)?$"
)


@pytest.fixture(scope="module")
def real() -> CaptureHost:
    return CaptureHost("tests/trees/guest-6.12-intel-busy.tar.xz")


@pytest.fixture(scope="module")
def simulated() -> SimulatorHost:
    host = guest()
    create(host, 1, EDU)
    return host


def entries(host: Host, directory: str, below: str = "") -> dict[str, int]:
    """Every path below a directory, with what it is; none below one that was not captured."""
    found: dict[str, int] = {}
    try:
        names = host.list(directory + below)
    except PermissionError:
        return found
    for name in names:
        path = f"{below}/{name}"
        found[path] = kind = stat.S_IFMT(host.mode(directory + path))
        if kind == stat.S_IFDIR:
            found |= entries(host, directory, path)
    return found


def form(line: bytes | str) -> str:
    """A text without its numbers and names of drivers."""
    words = line if isinstance(line, str) else line.decode("utf-8", "replace")
    words = re.sub(r"0x[0-9a-f]+|[0-9A-F]*[0-9][0-9A-F]*", "#", words)
    return re.sub(r"sdmdev_(edu|sample)\w*", "driver", words)


@pytest.mark.parametrize("place", PLACES)
def test_there_is_no_file_that_a_real_kernel_has_not(
    real: CaptureHost, simulated: SimulatorHost, place: str
) -> None:
    theirs = entries(real, place)
    ours = {path: kind for path, kind in entries(simulated, place).items() if not OURS.search(path)}
    assert ours
    assert {path: kind for path, kind in ours.items() if theirs.get(path) != kind} == {}


@pytest.mark.parametrize("address", [EDU, NVME])
@pytest.mark.parametrize("file", ["modalias", "class", "vendor", "numa_node", "enable",
                                  "reset_method", "driver_override", "local_cpulist", "msi_bus",
                                  "irq", "power_state"])  # fmt: skip
def test_an_attribute_reads_as_that_of_a_real_kernel(
    real: CaptureHost, simulated: SimulatorHost, address: str, file: str
) -> None:
    path = f"{PCI}/{address}/{file}"
    assert form(simulated.read(path)) == form(real.read(path))


@pytest.mark.parametrize("address", [EDU, NVME])
def test_a_uevent_reads_as_that_of_a_real_kernel(simulated: SimulatorHost, address: str) -> None:
    # Our own captures have none: to read it would wait for the lock of the device.
    real = CaptureHost("tests/trees/debian-6.12-intel-sdmdev.tar.xz")
    path = f"{PCI}/{address}/uevent"
    assert form(simulated.read(path)) == form(real.read(path))


def test_interrupts_stand_in_the_columns_of_a_real_kernel(
    real: CaptureHost, simulated: SimulatorHost
) -> None:
    def row(host: Host, action: bytes) -> str:
        lines = host.read("/proc/interrupts", 1 << 20).split(b"\n")
        (line,) = (line for line in lines if line.endswith(action))
        # A count is as wide as its column, whatever it is.
        return re.sub(
            r"^ *\d+(?=:)| +\d+(?= )", lambda found: "#".rjust(len(found[0])), line.decode()
        )

    for action in (b" nvme0q0", b" timer"):
        assert row(simulated, action) == row(real, action)
    header = [host.read("/proc/interrupts").split(b"\n")[0] for host in (simulated, real)]
    assert header[0] == header[1]


def test_on_arm_the_columns_are_those_of_arm() -> None:
    host = machine(
        'title = "t"\n[[unit]]\nname = "smmu3.0x1"\ndriver = "arm-smmu-v3"\n'
        '[[device]]\naddress = "0000:75:00.0"\nunit = "smmu3.0x1"\ndriver = "hisi_zip"\n'
        'interrupts = { actions = ["hisi_zip"] }\n'
        '[[device]]\naddress = "0000:07:01.0"\nunit = "smmu3.0x1"\ndriver = "e1000"\n'
        'interrupts = { kind = "intx", actions = ["enp7s1"] }\n'
    )
    rows = {
        row.actions: (row.chip, row.hwirq, row.trigger, row.device)
        for row in read_snapshot(host).interrupts
        if row.chip
    }
    assert rows == {
        ("hisi_zip",): ("ITS-PCI-MSI-0000:75:00.0", "0", "Edge", "0000:75:00.0"),
        ("enp7s1",): ("GICv3", "16", "Level", "0000:07:01.0"),
    }


def test_readers_and_writers_in_many_threads_do_not_disturb_each_other() -> None:
    host = guest()
    host.run(50)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                name = create(host, 100 * number + turn, EDU) if number < 2 else ""
                text(host, "/proc/interrupts")
                host.list("/sys/bus/mdev/devices")
                host.sleep(0.05)
                if name:
                    host.write(f"/sys/bus/mdev/devices/{name}/remove", b"1").result()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert host.list("/sys/bus/mdev/devices") == []


@pytest.mark.parametrize("name", ["edu", "default", "idxd", "uacce"])
def test_every_character_node_is_found_by_its_number(name: str) -> None:
    host = SimulatorHost(scenario_of(name))
    if name == "edu":
        to_vfio(host, EDU)
    numbers = host.list("/sys/dev/char")
    for number in numbers:
        assert text(host, f"/sys/dev/char/{number}/dev") == number
    nodes = [one for one in nodes_below(host, "/dev") if stat.S_ISCHR(host.mode(one))]
    rdevs = [host.device_number(node) for node in nodes]
    assert sorted(f"{os.major(one)}:{os.minor(one)}" for one in rdevs) == sorted(numbers)


def nodes_below(host: Host, directory: str) -> list[str]:
    found = []
    for name in host.list(directory):
        path = f"{directory}/{name}"
        found += nodes_below(host, path) if stat.S_ISDIR(host.mode(path)) else [path]
    return found
