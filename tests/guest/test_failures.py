"""What goes wrong with a guest ends in time, in one line that says which, and where the log is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.guest.cache import cache, filling
from tests.guest.conftest import EVERY_KERNEL
from tests.guest.failure import GuestError, LackingError, UnavailableError
from tests.guest.guest import Guest
from tests.guest.packages import find_version, install_tools, unpack
from tests.guest.scenes import QUEUE, create_queues, holding, load_sdmdev
from tests.guest.topologies import EDU, TOPOLOGIES
from tests.guest.witnesses import groups_of_mdevs

pytestmark = pytest.mark.guest

every_kernel = pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join)
one_kernel = pytest.mark.parametrize("guest", EVERY_KERNEL[:1], indirect=True, ids="-".join)


def log_of(error: GuestError) -> Path:
    """The path that the one line names."""
    assert "\n" not in str(error)
    match = re.search(r"; see (\S+)$", str(error))
    assert match
    return Path(match[1])


@every_kernel
def test_a_job_that_hangs_is_reported_and_killed(guest: Guest) -> None:
    with pytest.raises(GuestError, match=r"'sleep 1000' did not end in 1 s: it was S") as caught:
        guest.run("sleep", "1000", timeout=1)
    assert "was killed" in str(caught.value)
    assert (log_of(caught.value) / "kernel.log").stat().st_size > 0
    assert guest.run("echo", "on with it").text == "on with it\n"


@every_kernel
def test_a_job_that_fails_says_why(guest: Guest) -> None:
    with pytest.raises(GuestError, match="No such file or directory"):
        guest.run("cat", "/no/such/file")
    with pytest.raises(GuestError, match="exited with 127"):
        guest.run("/no/such/program")


@every_kernel
def test_an_unbind_that_never_returns_is_reported_and_others_go_on(guest: Guest) -> None:
    load_sdmdev(guest)
    create_queues(guest)
    unbind = f"echo {EDU} > /sys/bus/pci/drivers/sdmdev_edu/unbind"
    with holding(guest, groups_of_mdevs(guest)[QUEUE], "--device", QUEUE):
        with pytest.raises(GuestError, match="cannot be killed"):
            guest.run("sh", "-c", unbind, timeout=2)
        assert guest.run("echo", "on with it").text == "on with it\n"
    guest.run("sh", "-c", f"while [ -e /sys/class/sdmdev/{EDU} ]; do sleep 0.02; done")
    guest.write("/sys/bus/pci/drivers/sdmdev_edu/bind", EDU)


@one_kernel
def test_what_a_machine_cannot_plug_is_refused(guest: Guest) -> None:
    with pytest.raises(GuestError, match="QEMU refused device_add"):
        guest.plug("no-such-device", id="nothing", bus="vacant")


@every_kernel
def test_a_kernel_without_a_module_says_so(guest: Guest) -> None:
    with pytest.raises(LackingError, match="is built without no_such_module"):
        guest.kernel.with_dependencies("no_such_module")


@one_kernel
def test_a_panic_ends_the_guest_and_names_itself(guest: Guest) -> None:
    """In a machine of its own."""
    with Guest(guest.kernel, TOPOLOGIES["none"]) as victim:
        with pytest.raises(GuestError, match="kernel panic: sysrq triggered crash") as caught:
            victim.run("sh", "-c", "echo c > /proc/sysrq-trigger")
        assert "sysrq triggered crash" in (log_of(caught.value) / "console.log").read_text()


@one_kernel
def test_a_machine_that_qemu_refuses_says_why(guest: Guest) -> None:
    broken = TOPOLOGIES["none"]._replace(iommu=("no-such-iommu",))
    with pytest.raises(GuestError, match=r"QEMU did not start: .*no-such-iommu") as caught:
        Guest(guest.kernel, broken)
    assert (log_of(caught.value) / "exit-status").read_text() == "1\n"


@one_kernel
def test_a_boot_that_takes_too_long_is_given_up(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.guest.guest.BOOT_TIMEOUT", 1.0)
    with pytest.raises(GuestError, match="no first command in 1 s") as caught:
        Guest(guest.kernel, TOPOLOGIES["none"])
    assert (log_of(caught.value) / "exit-status").exists()


@one_kernel
def test_a_disk_of_the_guest_that_is_full_is_reported(guest: Guest) -> None:
    guest.run("mount", "-t", "tmpfs", "-o", "size=64k", "small", "/mnt")
    with pytest.raises(GuestError, match=r"exited with 1: .*No space left on device"):
        guest.run("cp", "/bin/bash", "/mnt/bash")
    guest.run("umount", "/mnt")


def on_a_disk_of(size: str, guest: Guest, *command: str) -> subprocess.CompletedProcess[str]:
    """One command in a guest whose logs and output have so little room."""
    runs = cache() / "runs"
    runs.mkdir(exist_ok=True)
    script = 'mount -t tmpfs -o "size=$1" small "$2" && shift 2 && exec "$@"'
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "-r"]
    place = ("--kernel", guest.kernel.series, "--topology", "none", "--")
    program = (sys.executable, "-m", "tests.guest", "run", *place, *command)
    return subprocess.run(
        [*alone, "sh", "-c", script, "sh", size, str(runs), *program],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@one_kernel
def test_a_disk_too_full_to_start_is_reported(guest: Guest) -> None:
    done = on_a_disk_of("64k", guest, "true")
    assert done.returncode == 1
    assert re.fullmatch(r"guest: cannot start a guest: \S+: No space left on device\n", done.stderr)


@one_kernel
def test_a_disk_that_runs_full_under_a_job_is_reported(guest: Guest) -> None:
    done = on_a_disk_of("8M", guest, "head", "--bytes=20M", "/dev/zero")
    assert done.returncode == 1
    cut_short = r"guest: .*'head .*' printed may be cut short: no space left .*; see \S+\n"
    assert re.fullmatch(cut_short, done.stderr)


def test_a_package_that_is_nowhere_is_reported() -> None:
    install_tools()
    with pytest.raises(UnavailableError, match=r"linux-image-amd64 0\.1 is in no suite"):
        find_version("linux-image-amd64", "0.1", refresh=False)
    with pytest.raises(GuestError, match="failed: E: Unable to locate package"):
        unpack("no-such-package", "1")


def test_a_tool_that_cannot_be_installed_is_a_reason_to_skip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.guest.packages.TOOLS", {"no-such-tool": "no-such-package"})
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match="only root can install: apt-get install no-such-"):
        install_tools()


def test_of_two_workers_that_miss_the_same_tool_one_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed: list[list[str]] = []

    def install(command: list[str]) -> None:
        time.sleep(0.2)
        installed.append(command)

    monkeypatch.setattr("tests.guest.packages._apt", install)
    monkeypatch.setattr("tests.guest.packages._is_there", lambda _name: bool(installed))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    workers = [threading.Thread(target=install_tools) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(installed) == 1


def test_a_cache_that_could_not_be_filled_is_not_taken_for_full(tmp_path: Path) -> None:
    place = tmp_path / "kernel"

    def fill_a_full_disk() -> None:
        with filling(place) as work:
            (work / "half").write_text("of it")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_a_full_disk()
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDMTOP_GUEST_CACHE", str(tmp_path / "here"))
    assert cache() == tmp_path / "here"
    assert cache().is_dir()
