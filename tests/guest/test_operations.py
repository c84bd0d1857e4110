"""Operations on real kernels: done and undone, held, stuck, killed, and two hundred times over."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.guest import witnesses
from tests.guest.conftest import EVERY_KERNEL, group_with, queue_of
from tests.guest.eyes import glance
from tests.guest.kernels import STOCK
from tests.guest.scenes import (
    QUEUE,
    VIRTUAL,
    create_queues,
    holding,
    load_sdmdev,
    make_idle,
    remove_queues,
)
from tests.guest.topologies import BRIDGED_NIC, EDU, NIC, NVME, TWINS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]

NEW = "5d3de000-0000-4000-8000-0000000000aa"

CYCLES = 200
"""Of attaching and detaching, on all stock kernels together: every other one is of a queue."""


@pytest.fixture
def ready(guest: Guest) -> Guest:
    """The machine with parents of sdmdevs, and queues of theirs."""
    load_sdmdev(guest)
    make_idle(guest)
    create_queues(guest)
    guest.run("modprobe", "vfio-pci")
    return guest


@pytest.fixture
def unbound(ready: Guest) -> Iterator[Guest]:
    """The same, but the edu has no driver."""
    remove_queues(ready)
    ready.write(f"/sys/bus/pci/devices/{EDU}/driver/unbind", EDU)
    yield ready
    ready.write("/sys/bus/pci/drivers_probe", EDU)


def state(guest: Guest) -> set[tuple[Any, ...]]:
    """What operations change, and nothing that time alone does."""
    snapshot = glance(guest)
    told = ("address", "driver", "driver_override", "group", "sriov")
    return {
        *(tuple(str(one[key]) for key in told) for one in snapshot["devices"]),
        *((one["id"], one["domain_type"], one["owner"]) for one in snapshot["groups"]),
        *((one["id"], one["state"]) for one in snapshot["sdmdevs"]),
    }


def drivers(guest: Guest) -> dict[str, str | None]:
    return {one["address"]: one["driver"] for one in glance(guest)["devices"]}


def starts_of_nvme(guest: Guest) -> int:
    """Its driver says each time that it has set up the queues of a disk."""
    return guest.run("dmesg").text.count("default/read/poll queues")


def operate(guest: Guest, *arguments: str, confirm: str, status: int = 0) -> str:
    done = guest.python("sdmtop", *arguments, "--confirm", confirm, check=False)
    assert done.status == status, done.text + done.err.decode()
    return done.text


@pytest.mark.parametrize("target", [NIC, BRIDGED_NIC, EDU, NVME])
def test_what_is_attached_is_on_vfio_and_undone_all_is_as_before(ready: Guest, target: str) -> None:
    before = state(ready)
    operate(ready, "attach", target, confirm=target)
    assert drivers(ready)[target] == "vfio-pci"
    assert group_with(glance(ready), target)["viable"] is True
    operate(ready, "undo", confirm=target)
    assert state(ready) == before


def test_a_detach_finds_the_driver_in_the_journal(ready: Guest) -> None:
    before = state(ready)
    operate(ready, "attach", NIC, confirm=NIC)
    operate(ready, "detach", NIC, confirm=NIC)
    assert state(ready) == before


def test_vfs_go_and_come_back_with_their_pf(ready: Guest) -> None:
    before = state(ready)
    operate(ready, "sriov", NVME, "2", confirm=NVME)
    with_vfs = state(ready)
    assert with_vfs != before
    operate(ready, "attach", NVME, confirm=NVME)
    assert drivers(ready)[NVME] == "vfio-pci"
    operate(ready, "undo", confirm=NVME)
    assert len(state(ready)) == len(with_vfs)
    operate(ready, "sriov", NVME, "0", confirm=NVME)
    assert state(ready) == before


def test_a_mediated_device_is_made_and_removed(ready: Guest) -> None:
    before = state(ready)
    kind = f"{VIRTUAL}/sdmdev_virtual-fact"
    operate(ready, "create", kind, "--uuid", NEW, confirm=kind)
    assert queue_of(glance(ready), NEW)["parent"] == VIRTUAL
    operate(ready, "remove", NEW, confirm=NEW)
    assert state(ready) == before


def test_a_dry_run_leaves_no_trace(ready: Guest) -> None:
    before = state(ready)
    kept = ready.run("ls", "-lR", "--full-time", "/var/lib/sdmtop").text
    assert "Steps" in ready.python("sdmtop", "attach", NIC, "--dry-run").text
    assert state(ready) == before
    assert ready.run("ls", "-lR", "--full-time", "/var/lib/sdmtop").text == kept


def test_an_ordinary_user_is_refused_before_the_first_step(ready: Guest) -> None:
    done = ready.python("sdmtop", "attach", NIC, "--confirm", NIC, check=False, ordinary=True)
    assert done.status == 3
    assert drivers(ready)[NIC] != "vfio-pci"


def test_the_kernels_rule_for_domain_types_is_named(ready: Guest) -> None:
    group = f"group/{group_with(glance(ready), NIC)['id']}"
    done = ready.python("sdmtop", "domain-type", group, "identity", "--dry-run", check=False)
    assert done.status == 3
    assert f"{NIC} is bound to e1000e" in done.text


def test_a_domain_type_is_changed_and_changed_back(unbound: Guest) -> None:
    before = state(unbound)
    group = group_with(glance(unbound), EDU)["id"]
    operate(unbound, "domain-type", f"group/{group}", "identity", confirm=f"group/{group}")
    assert unbound.run("cat", f"/sys/kernel/iommu_groups/{group}/type").text == "identity\n"
    assert group_with(glance(unbound), EDU)["domain_type"] == "identity"
    operate(unbound, "undo", confirm=f"group/{group}")
    assert state(unbound) == before


def test_interrupts_come_to_a_chosen_cpu_until_that_is_undone(ready: Guest) -> None:
    (irq,) = witnesses.msi_vectors(ready)[EDU]
    affinity = f"/proc/irq/{irq}/smp_affinity_list"
    before = ready.run("cat", affinity).text
    operate(ready, "affinity", EDU, "1", confirm=EDU)
    assert ready.run("cat", affinity).text == "1\n"
    operate(ready, "undo", confirm=EDU)
    assert ready.run("cat", affinity).text == before == "0-1\n"


def test_an_interrupt_that_the_kernel_manages_stays_where_it_is(ready: Guest) -> None:
    irq = witnesses.msi_vectors(ready)[NVME][-1]
    affinity = f"/proc/irq/{irq}/smp_affinity_list"
    before = ready.run("cat", affinity).text
    told = operate(ready, "affinity", f"irq/{irq}", "0", confirm=f"irq/{irq}", status=1)
    assert ("EIO" if ready.kernel.series == "6.1" else "EPERM") in told
    assert ready.run("cat", affinity).text == before


def test_a_reset_is_done_and_the_driver_goes_on(ready: Guest) -> None:
    before, starts = state(ready), starts_of_nvme(ready)
    operate(ready, "reset", NVME, confirm=NVME)
    assert starts_of_nvme(ready) == starts + 1
    assert state(ready) == before


def test_what_cannot_be_reset_is_refused(ready: Guest) -> None:
    refused = ready.python("sdmtop", "reset", TWINS[0], "--dry-run", check=False)
    assert refused.status == 3
    assert "it has no way to be reset" in refused.text + refused.err.decode()


def test_a_queue_is_held_in_the_foreground_and_let_go_by_a_signal(ready: Guest) -> None:
    job = ready.start(ready.program, "attach", QUEUE, "--yes")
    job.wait_for_output("holding")
    queue = queue_of(glance(ready), QUEUE)
    assert (queue["state"], queue["holders"]) == ("started", [job.pid])
    refused = ready.python("sdmtop", "remove", QUEUE, "--confirm", QUEUE, check=False)
    assert refused.status == 3
    assert "holds it" in refused.text
    job.kill(2)
    assert job.wait().status == 0
    assert queue_of(glance(ready), QUEUE)["state"] == "orphan"


@pytest.mark.parametrize("how", [(), ("--only-mmap",)], ids=["descriptor", "mapping"])
def test_a_stuck_unbind_is_told_with_its_holder_and_undone_when_it_returns(
    ready: Guest, how: tuple[str, ...]
) -> None:
    before = state(ready)
    operate(ready, "attach", NIC, confirm=NIC)
    id_ = group_with(glance(ready), NIC)["id"]
    with holding(ready, id_, "--device", NIC, *how) as holder:
        # Back to its driver would be refused: the kernel takes none that does DMA into the group.
        # A newer kernel says which device a descriptor is of, and would wait for that to be closed.
        if not how and ready.kernel.series in STOCK:
            refused = ready.python("sdmtop", "detach", NIC, "--confirm", NIC, check=False)
            assert refused.status == 3, refused.text
            assert f"{holder.pid} holds its group {id_}" in refused.text
        unsure = ready.python("sdmtop", "attach", NIC, "--driver", "pci-stub", "--yes", check=False)
        assert unsure.status == 3, unsure.text
        assert f"process {holder.pid}" in unsure.text
        told = operate(ready, "attach", NIC, "--driver", "pci-stub", confirm=NIC, status=1)
        assert "it does not return" in told
        assert f"{holder.pid}" in told
        # Somebody else sees it too, and begins nothing that would hang.
        again = ready.python("sdmtop", "attach", NIC, "--confirm", NIC, check=False)
        assert again.status == 3
        assert "under way" in again.text
    assert ready.wait_until(lambda: drivers(ready)[NIC] is None, 30)
    operate(ready, "undo", confirm=NIC)
    assert drivers(ready)[NIC] == "vfio-pci"
    operate(ready, "detach", NIC, confirm=NIC)
    assert state(ready) == before


def test_killed_at_any_moment_the_journal_takes_it_back(ready: Guest) -> None:
    before = state(ready)
    for pause in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8):
        job = ready.start_python("sdmtop", "attach", NIC, "--confirm", NIC)
        job.wait_for_output("begins")
        time.sleep(pause)
        job.kill()
        job.wait()
        # The write that was under way has a process of its own, and comes to its end.
        assert ready.wait_until(lambda: not writing(ready), 30)
        done = ready.python("sdmtop", "undo", "--confirm", NIC, check=False)
        assert done.status in (0, 4), done.text
        assert state(ready) == before


def writing(guest: Guest) -> bool:
    found = guest.run("pgrep", "--full", r"^\S+python\S* -I -S -c", check=False)
    return found.status == 0


def test_cycle_after_cycle_leaves_nothing_behind(ready: Guest) -> None:
    before = state(ready)
    count = str(CYCLES // len(STOCK))
    job = ready.start_python("tests.guest.inside.cycles", count, NIC, QUEUE)
    done = job.wait(900)
    assert done.status == 0, done.err.decode()
    told = json.loads(done.text.splitlines()[-1])
    assert told["endings"] == ["done"]
    assert told["after"] == told["before"]
    assert state(ready) == before
