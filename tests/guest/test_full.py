"""What stock kernels lack: tables of Intel's units, iommufd, nodes of devices, uacce, dmatest."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.guest import witnesses
from tests.guest.conftest import FULL_KERNEL, group_with, queue_of, snapshot_of
from tests.guest.scenes import (
    ACCELERATOR,
    CHANNELS,
    QUEUE,
    holding,
    holding_cdev,
    load_engines,
    load_sdmdev,
    remove_queues,
)
from tests.guest.topologies import EDU, NIC, VIRTIO_NIC

if TYPE_CHECKING:
    from tests.guest.conftest import Sight
    from tests.guest.guest import Guest, Job

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", FULL_KERNEL, indirect=True, ids="-".join),
]


def translated(guest: Guest) -> set[str]:
    """`grep`: the devices that have a row in the tables of the units (of segment 0)."""
    tables = "/sys/kernel/debug/iommu/intel/dmar_translation_struct"
    lines = witnesses.lines_of(guest, f"grep -o '^[0-9a-f]*:[0-9a-f]*\\.[0-7]' {tables}")
    return {f"0000:{line}" for line in lines}


def node_of(guest: Guest, device: str) -> str:
    """`ls`: the node of a device of VFIO, an mdev included."""
    names = guest.run("sh", "-c", f"ls /sys/bus/*/devices/{device}/vfio-dev").text.split()
    return f"/dev/vfio/devices/{names[-1]}"


def test_where_a_driver_has_a_device_its_domain_is_known_and_only_to_root(sight: Sight) -> None:
    assert sight.ask(translated) >= sight.ask(witnesses.pci_devices).keys()
    evidence = "inferred" if sight.ordinary else "known"
    for group in sight.snapshot["groups"]:
        if group["owner"] == "kernel":
            attached = {"type": group["domain_type"], "evidence": evidence}
            assert group["attached"] == attached, group["id"]
    refused = [entry for entry in sight.snapshot["unknown"] if "debug/iommu" in entry["path"]]
    assert [entry["errno"] for entry in refused] == ["EACCES"] * sight.ordinary


def test_a_group_on_its_identity_domain_is_known_to_pass_through(guest: Guest) -> None:
    driver = f"/sys/bus/pci/devices/{VIRTIO_NIC}/driver"
    virtio = "/sys/bus/pci/drivers/virtio-pci/bind"
    type_ = f"/sys/bus/pci/devices/{VIRTIO_NIC}/iommu_group/type"
    guest.write(f"{driver}/unbind", VIRTIO_NIC)
    guest.write(type_, "identity")
    guest.write(virtio, VIRTIO_NIC)
    group = group_with(snapshot_of(guest), VIRTIO_NIC)
    assert (group["domain_type"], group["owner"]) == ("identity", "kernel")
    assert group["attached"] == {"type": "identity", "evidence": "known"}
    guest.write(f"{driver}/unbind", VIRTIO_NIC)
    guest.write(type_, "auto")
    guest.write(virtio, VIRTIO_NIC)


def test_a_device_that_is_claimed_and_not_attached_is_known_to_be_blocked(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, NIC), "--bind"):
        assert NIC not in translated(busy)
        group = group_with(snapshot_of(busy), NIC)
        assert group["attached"] == {"type": "blocked", "evidence": "known"}


def test_a_device_in_an_address_space_of_its_holder_is_on_a_foreign_domain(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, NIC), "--attach"):
        assert NIC in translated(busy)
        group = group_with(snapshot_of(busy), NIC)
        assert (group["owner"], group["attached"]) == (
            "vfio", {"type": "unmanaged", "evidence": "inferred"}
        )  # fmt: skip
    group = group_with(snapshot_of(busy), NIC)
    assert group["attached"] == {"type": group["domain_type"], "evidence": "inferred"}


def test_who_holds_iommufd_and_the_node_of_a_device_is_named(busy: Guest) -> None:
    node = node_of(busy, NIC)
    with holding_cdev(busy, node, "--attach") as holder:
        (process,) = snapshot_of(busy)["processes"]
        assert process["pid"] == holder.pid
        assert process["holds"] == ["/dev/iommu", f"{node} {NIC}"]


def test_a_mapping_of_a_node_tells_which_device_it_is_of(busy: Guest) -> None:
    node = node_of(busy, NIC)
    with holding_cdev(busy, node, "--only-mmap") as holder:
        snapshot = snapshot_of(busy)
        (process,) = snapshot["processes"]
        assert (process["pid"], process["holds"]) == (holder.pid, [f"{node} (mmap) {NIC}"])
        assert queue_of(snapshot, QUEUE)["state"] == "orphan"


def test_a_device_that_was_opened_through_its_group_is_named_by_the_kernel(busy: Guest) -> None:
    group = group_with(snapshot_of(busy), NIC)["id"]
    with holding(busy, group, "--device", NIC):
        (process,) = snapshot_of(busy)["processes"]
        assert f"anon_inode:[vfio-device] {NIC}" in process["holds"]


def test_a_queue_that_is_bound_through_its_node_has_started(busy: Guest) -> None:
    with holding_cdev(busy, node_of(busy, QUEUE), "--bind") as holder:
        queue = queue_of(snapshot_of(busy), QUEUE)
        assert (queue["state"], queue["holders"]) == ("started", [holder.pid])
        assert queue["params"] == {"pid": str(holder.pid)}
    assert queue_of(snapshot_of(busy), QUEUE)["state"] == "orphan"


def test_an_accelerator_of_class_uacce_reads_as_its_files_do(guest: Guest) -> None:
    load_engines(guest)
    folder = f"/sys/class/uacce/{ACCELERATOR}"
    lines = witnesses.lines_of(guest, f"cd {folder} && grep -H '' *")
    files: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        files.setdefault(name, text)  # Newer kernels end a list of algorithms with an empty line.
    queue = queue_of(snapshot_of(guest), ACCELERATOR)
    assert (queue["kind"], queue["parent"], queue["type"]) == ("uacce", "engines", files["api"])
    told = ("algorithms", "available_instances", "flags")
    assert queue["params"] == {name: files[name] for name in told}
    assert (queue["state"], queue["holders"]) == ("idle", [])


def test_who_has_a_queue_of_an_accelerator_open_has_started_it(guest: Guest) -> None:
    load_engines(guest)
    node = f"/dev/{ACCELERATOR}"
    holder = guest.start("sh", "-c", f"exec 3<> {node}; echo holding; exec sleep 1000")
    holder.wait_for_output("holding")
    snapshot = snapshot_of(guest)
    holder.kill()
    holder.wait()
    queue = queue_of(snapshot, ACCELERATOR)
    assert (queue["state"], queue["holders"]) == ("started", [holder.pid])
    assert queue["params"]["available_instances"] == "3"
    assert [process["holds"] for process in snapshot["processes"]] == [[node]]


def test_a_queue_of_an_accelerator_is_attached_until_a_signal_lets_it_go(guest: Guest) -> None:
    load_engines(guest)
    job = attached(guest, ACCELERATOR)
    queue = queue_of(snapshot_of(guest), ACCELERATOR)
    assert (queue["state"], queue["holders"]) == ("started", [job.pid])
    assert queue["params"]["available_instances"] == "3"
    job.kill(signal.SIGINT)
    assert job.wait().status == 0
    queue = queue_of(snapshot_of(guest), ACCELERATOR)
    assert (queue["state"], queue["params"]["available_instances"]) == ("idle", "4")


def test_without_a_node_of_its_group_a_queue_is_attached_through_its_own(busy: Guest) -> None:
    node = f"/dev/vfio/{queue_of(snapshot_of(busy), QUEUE)['group']}"
    busy.run("mv", node, f"{node}.away")
    try:
        job = attached(busy, QUEUE)
        (process,) = snapshot_of(busy)["processes"]
        job.kill(signal.SIGINT)
        assert job.wait().status == 0
    finally:
        busy.run("mv", f"{node}.away", node)
    assert (process["pid"], process["holds"]) == (
        job.pid, ["/dev/iommu", f"{node_of(busy, QUEUE)} {QUEUE}"]
    )  # fmt: skip
    assert queue_of(snapshot_of(busy), QUEUE)["state"] == "orphan"


def attached(guest: Guest, target: str) -> Job:
    """`sdmtop attach` that holds a queue."""
    job = guest.start_python("sdmtop", "attach", target, "--yes")
    job.wait_for_output("holding")
    return job


@pytest.mark.parametrize(("spoil", "verdict"), [("0", "0 failures"), ("1", "3 failures")])
def test_dmatest_finds_a_channel_that_copies_wrongly(
    guest: Guest, spoil: str, verdict: str
) -> None:
    """That the machine can show both is what self-tests of it build on."""
    load_engines(guest)
    test = "/sys/module/dmatest/parameters"
    guest.write("/sys/module/engines/parameters/spoil", spoil)
    guest.write(f"{test}/iterations", "3")
    guest.write(f"{test}/channel", CHANNELS[0])
    guest.write(f"{test}/run", "1")
    guest.run("cat", f"{test}/wait")
    guest.write("/sys/module/engines/parameters/spoil", "0")
    last = guest.run("dmesg").text.rpartition(f"dmatest: {CHANNELS[0]}-copy0: summary ")[2]
    assert last.startswith(f"3 tests, {verdict} ")


# -- self-tests of it --


def results_of(guest: Guest, *arguments: str) -> dict[str, Any]:
    """The results of `sdmtop selftest`, by the name of the test; a test that fails is no error."""
    done = guest.python("sdmtop", "selftest", *arguments, "--format", "json", check=False)
    return {one["test"]: one for one in json.loads(done.text)["results"]}


def drivers(guest: Guest) -> list[tuple[str, str | None, str | None]]:
    devices = snapshot_of(guest)["devices"]
    return [(one["address"], one["driver"], one["driver_override"]) for one in devices]


def verdicts(results: dict[str, Any]) -> dict[str, str]:
    return {name: one["result"] for name, one in results.items()}


def test_iommufd_carries_a_device_and_its_interrupts(guest: Guest) -> None:
    load_sdmdev(guest)
    remove_queues(guest)
    before = drivers(guest)
    results = results_of(guest, EDU, "--test", "iommufd", "--yes")
    assert verdicts(results) == {
        "iommufd.bind": "pass",
        "iommufd.dma": "pass",
        "iommufd.interrupt": "pass",
        "iommufd.hardware": "pass",
        "iommufd.pasid": "skip",
    }, results
    assert "no PASIDs" in results["iommufd.pasid"]["reason"]
    assert drivers(guest) == before


def test_a_queue_of_class_uacce_is_taken_started_once_and_given_back(guest: Guest) -> None:
    load_engines(guest)
    results = results_of(guest, ACCELERATOR)
    assert verdicts(results) == {"uacce.queue": "pass", "uacce.job": "skip"}, results
    assert results["uacce.queue"]["reason"] == "3 queues left"
    assert results["uacce.job"]["reason"] == "no answer is known to what it computes"
    assert queue_of(snapshot_of(guest), ACCELERATOR)["params"]["available_instances"] == "4"


@pytest.mark.parametrize(("spoil", "verdict"), [("0", "pass"), ("1", "fail")])
def test_a_channel_copies_as_the_module_says_whose_settings_come_back(
    guest: Guest, spoil: str, verdict: str
) -> None:
    load_engines(guest)
    settings = "cd /sys/module/dmatest/parameters && grep -H '' iterations timeout test_buf_size"
    before = guest.run("sh", "-c", settings).text
    guest.write("/sys/module/engines/parameters/spoil", spoil)
    result = results_of(guest, CHANNELS[1], "--yes")["dmatest.copy"]
    guest.write("/sys/module/engines/parameters/spoil", "0")
    assert result["result"] == verdict, result
    if verdict == "fail":
        assert result["reason"] == "copy0: failures: expected 0, got 100"
    assert guest.run("sh", "-c", settings).text == before


def test_a_channel_that_a_killed_test_had_is_to_be_had_again(guest: Guest) -> None:
    load_engines(guest)
    for name, value in (("iterations", "3"), ("channel", CHANNELS[1]), ("run", "1")):
        guest.write(f"/sys/module/dmatest/parameters/{name}", value)
    guest.run("cat", "/sys/module/dmatest/parameters/wait")
    assert guest.run("cat", f"/sys/class/dma/{CHANNELS[1]}/in_use").text.strip() == "1"
    assert results_of(guest, CHANNELS[1], "--yes")["dmatest.copy"]["result"] == "pass"
    assert guest.run("cat", f"/sys/class/dma/{CHANNELS[1]}/in_use").text.strip() == "0"
