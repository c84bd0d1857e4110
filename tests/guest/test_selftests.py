"""Self-tests on real hardware models: all pass, all is as before, also after a kill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.guest.conftest import EVERY_KERNEL
from tests.guest.eyes import glance
from tests.guest.failure import LackingError
from tests.guest.scenes import load_sdmdev, make_idle
from tests.guest.topologies import BRIDGED_EDU, EDU

if TYPE_CHECKING:
    from tests.guest.guest import Guest, Job

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]


@pytest.fixture
def free(guest: Guest) -> Guest:
    """The edu has the driver that serves its queues, and none of them is made."""
    load_sdmdev(guest)
    make_idle(guest)
    guest.run("modprobe", "vfio-pci")
    return guest


def facts(guest: Guest) -> list[Any]:
    """What a self-test may not change."""
    found = glance(guest)
    devices = [
        (one["address"], one["driver"], one["driver_override"], one["group"])
        for one in found["devices"]
    ]
    types = [(one["id"], one["available_instances"]) for one in found["mdev_types"]]
    return [devices, types, [one["id"] for one in found["sdmdevs"]]]


def results_of(text: str) -> dict[str, Any]:
    return {one["test"]: one for one in json.loads(text)["results"]}


def test_every_test_of_an_edu_passes_and_leaves_it_as_it_was(free: Guest) -> None:
    before = facts(free)
    done = free.python("sdmtop", "selftest", EDU, "--yes", "--format", "json", check=False)
    results = results_of(done.text)
    failed = {name: one for name, one in results.items() if one["result"] == "fail"}
    assert done.status == 0, failed
    skipped = {name for name, one in results.items() if one["result"] == "skip"}
    assert all(name.startswith("iommufd.") for name in skipped), skipped
    assert facts(free) == before


DEVICE = f"/sys/bus/pci/devices/{EDU}"


def kill_when(guest: Guest, run: Job, has_come: str) -> None:
    """Kill a run at the moment when a shell's command (`$1` is its pid) succeeds."""
    guest.run(
        "sh", "-c", f"until {has_come}; do sleep 0.02; done; kill -KILL $1", "sh", str(run.pid)
    )
    run.wait()


def test_a_killed_run_is_given_back_by_the_next(free: Guest) -> None:
    before = facts(free)
    run = free.start_python("sdmtop", "selftest", EDU, "--yes", "--test", "edu.dma")
    kill_when(free, run, f"readlink {DEVICE}/driver | grep -q vfio-pci")
    assert facts(free) != before
    done = free.python("sdmtop", "selftest", EDU, "--yes", "--test", "sdmdev.job")
    assert b"given back" in done.err
    assert facts(free) == before


MOMENTS = {
    "its driver has lost it": ("edu", f"grep -q vfio-pci {DEVICE}/driver_override"),
    "the tests have it": ("edu", "ls -l /proc/$1/fd | grep -q anon_inode:.vfio-device"),
    "one of two queues is made": ("sdmdev", "ls /sys/bus/mdev/devices | grep -qvF -f /tmp/before"),
}
"""What is tested, and what is so from that moment on."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_moment_is_given_back_by_the_next_start_of_a_console(
    free: Guest, moment: str
) -> None:
    before = facts(free)
    family, has_come = MOMENTS[moment]
    free.run("sh", "-c", "ls /sys/bus/mdev/devices > /tmp/before")
    run = free.start_python("sdmtop", "selftest", EDU, "--yes", "--test", family)
    kill_when(free, run, has_come)
    assert facts(free) != before
    started = free.run("sh", "-c", f"echo quit | {free.program} --plain")
    assert "left by a self-test that was killed: given back" in started.text
    assert facts(free) == before


def test_a_device_whose_sibling_is_in_use_is_not_taken(free: Guest) -> None:
    before = facts(free)
    done = free.python("sdmtop", "selftest", BRIDGED_EDU, "--test", "edu", check=False)
    assert done.status == 4
    assert facts(free) == before


def test_a_cipher_of_hardware_gives_the_examples_of_nist(free: Guest) -> None:
    try:
        free.kernel.with_dependencies("virtio_crypto")
    except LackingError as lack:  # The full kernel is.
        pytest.skip(str(lack))
    address = "0000:07:00.0"
    device = f"/sys/bus/pci/devices/{address}"
    free.equip("cryptodev-backend-builtin", id="cryptodev0")
    free.plug(
        "virtio-crypto-pci", id="crypto", bus="vacant", cryptodev="cryptodev0",
        iommu_platform="on", **{"disable-legacy": "on"},
    )  # fmt: skip
    free.run("sh", "-c", f"until [ -e {device}/driver ]; do sleep 0.02; done")
    # The driver wants to know its node; firmware would have told it.
    free.write(f"{device}/numa_node", "0")
    free.write(f"{device}/driver/unbind", address)
    free.write("/sys/bus/pci/drivers_probe", address)
    free.run("modprobe", "--all", "virtio_crypto", "algif_skcipher")
    free.run("sh", "-c", "until grep -q virtio_crypto_aes_cbc /proc/crypto; do sleep 0.02; done")
    done = free.python("sdmtop", "selftest", address, "--test", "crypto.cipher", "--format", "json")
    evidence = results_of(done.text)["crypto.cipher"]["evidence"]
    assert {one["what"].split(",")[0] for one in evidence} == {"virtio_crypto_aes_cbc"}
    free.pull("crypto")
