"""What changes of a single setting would do, on captured kernels."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.model import Process
from sdmtop.operations.plan import ANY, Fact, Write
from sdmtop.operations.settings import (
    as_count,
    plan_affinity,
    plan_domain_type,
    plan_reset,
    plan_sriov,
)
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.captured import BUSY, PLAIN, captured, refusals, writes

ON_VFIO, ON_NVME = "group/15", "group/14"


# -- domain type --


def test_the_type_of_a_group_is_written_and_read_again() -> None:
    plan = plan_domain_type(*captured(BUSY), ON_VFIO, "identity")
    (step,) = plan.steps
    path = "/sys/kernel/iommu_groups/15/type"
    assert (step.action, step.inverse) == (Write(path, "identity"), Write(path, "DMA"))
    assert (step.before, step.after) == (
        (Fact("text", path, "DMA"),),
        (Fact("text", path, "identity"),),
    )
    assert refusals(plan) == []


def test_what_auto_means_is_for_the_kernel_to_say() -> None:
    (step,) = plan_domain_type(*captured(BUSY), ON_VFIO, "auto").steps
    assert step.after[0].value == ANY


def test_a_bound_driver_forbids_it_by_name() -> None:
    plan = plan_domain_type(*captured(BUSY), ON_NVME, "identity")
    (refusal,) = refusals(plan)
    assert refusal.startswith(f"{ON_NVME}: 0000:02:00.0 is bound to nvme")


def test_from_dma_to_dma_fq_it_changes_under_a_driver() -> None:
    plan = plan_domain_type(*captured(BUSY), ON_NVME, "DMA-FQ")
    assert refusals(plan) == []
    assert any("no way back" in note for note in plan.notes)


def test_a_holder_forbids_it_by_name() -> None:
    host, snapshot = captured(BUSY)
    holder = Process(pid=7, name="qemu", user="root", holds=("/dev/vfio/15",))
    plan = plan_domain_type(host, replace(snapshot, processes=(holder,)), ON_VFIO, "identity")
    assert refusals(plan) == [f"{ON_VFIO}: qemu 7 holds it, and so it keeps its type"]


def test_a_group_without_a_default_domain_has_nothing_to_change() -> None:
    plan = plan_domain_type(*captured(BUSY), "group/20", "identity")
    assert "no default domain" in refusals(plan)[0]


@pytest.mark.parametrize("word", ["", "dma", "DMA-SQ", "unmanaged"])
def test_a_word_that_no_kernel_takes(word: str) -> None:
    with pytest.raises(UsageError, match="no domain type"):
        plan_domain_type(*captured(BUSY), ON_VFIO, word)


def test_a_type_that_it_has_already() -> None:
    with pytest.raises(NothingToDoError):
        plan_domain_type(*captured(BUSY), ON_VFIO, "DMA")


# -- affinity --


def test_all_interrupts_of_a_device_move_together() -> None:
    plan = plan_affinity(*captured(BUSY), "0000:02:00.0", "0")
    assert writes(plan) == [("38/smp_affinity_list", "0")]  # 37 is there already.
    assert plan.steps[0].inverse == Write("/proc/irq/38/smp_affinity_list", "1")


def test_an_interrupt_is_named_by_its_number() -> None:
    plan = plan_affinity(*captured(BUSY), "irq/38", "0,1")
    assert writes(plan) == [("38/smp_affinity_list", "0-1")]
    assert plan.locks == ("irq/38",)


def test_cpus_that_are_not_online_are_refused() -> None:
    plan = plan_affinity(*captured(BUSY), "irq/38", "77")
    assert refusals(plan) == ["irq/38: none of the CPUs 77 is online"]


@pytest.mark.parametrize("cpus", ["", "x", "3-1", "9000", "0-8191," * 9000 + "1"])
def test_what_is_no_list_of_cpus(cpus: str) -> None:
    with pytest.raises(UsageError):
        plan_affinity(*captured(BUSY), "irq/38", cpus)


@pytest.mark.parametrize("name", ["irq/NMI", "irq/9999", "0000:00:01.9", "irq/"])
def test_an_interrupt_that_is_not_there(name: str) -> None:
    with pytest.raises(NothingToDoError):
        plan_affinity(*captured(BUSY), name, "0")


# -- reset --


def test_a_device_under_its_driver_is_reset_only_when_typed() -> None:
    plan = plan_reset(*captured(BUSY), "0000:02:00.0")
    assert writes(plan) == [("0000:02:00.0/reset", "1")]
    assert any("nvme is bound to it" in verdict.sentence for verdict in plan.doubts)
    assert plan.steps[0].inverse is None
    assert "a reset cannot be undone" in plan.notes


def test_where_nothing_tells_whether_a_device_answers_it_has_to_be_typed() -> None:
    plan = plan_reset(*captured(PLAIN), "0000:02:00.0")  # A capture without `config`.
    config = "/sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/config"
    (doubt,) = [one for one in plan.doubts if config in one.evidence]
    assert (doubt.kind, doubt.evidence) == ("unknown", (config, "ENODATA"))
    assert plan.steps[0].after == (Fact("config", config, "1b36:0010 class 010802"),)
    assert (plan.command, refusals(plan)) == ("sdmtop reset 0000:02:00.0", [])


def test_a_reset_takes_no_queue_away() -> None:
    host = open_host("sim:default")
    plan = plan_reset(host, read_snapshot(host), "0000:75:00.0")
    costs = [one.sentence for one in plan.doubts if "queue" in one.sentence]
    assert any("which nobody holds, is lost" in cost for cost in costs)
    assert not any("goes with it" in cost for cost in costs)


def test_a_device_that_cannot_be_reset() -> None:
    with pytest.raises(RefusedError, match="no way to be reset"):
        plan_reset(*captured(BUSY), "0000:06:02.0")


# -- SR-IOV --


def test_vfs_are_made_and_counted() -> None:
    plan = plan_sriov(*captured(PLAIN), "0000:02:00.0", 1)
    (step,) = plan.steps
    assert isinstance(step.action, Write)
    assert step.action.data == "1"
    assert Fact("count", step.action.path.replace("sriov_numvfs", "virtfn"), "1") in step.after


def test_from_one_number_to_another_it_goes_by_way_of_none() -> None:
    plan = plan_sriov(*captured(BUSY), "0000:02:00.0", 1)
    assert [data for _, data in writes(plan)] == ["0", "1"]


def test_vfs_that_somebody_was_given_stay() -> None:
    host, snapshot = captured(BUSY)
    devices = tuple(
        replace(one, driver="vfio-pci") if one.address == "0000:02:00.1" else one
        for one in snapshot.devices
    )
    plan = plan_sriov(host, replace(snapshot, devices=devices), "0000:02:00.0", 0)
    assert "0000:02:00.1: this VF is bound to vfio-pci: detach it first" in refusals(plan)


@pytest.mark.parametrize("count", [-1, 99])
def test_a_number_that_it_cannot_have(count: int) -> None:
    with pytest.raises(UsageError, match="VFs"):
        plan_sriov(*captured(BUSY), "0000:02:00.0", count)


def test_what_is_no_physical_function() -> None:
    with pytest.raises(RefusedError, match="no physical function"):
        plan_sriov(*captured(BUSY), "0000:03:00.0", 1)


@pytest.mark.parametrize("typed", ["", "x", "-1", "1_0", "\u0663", "9" * 20])
def test_what_is_no_number_of_vfs(typed: str) -> None:
    with pytest.raises(UsageError):
        as_count(typed)
    assert as_count("4") == 4
