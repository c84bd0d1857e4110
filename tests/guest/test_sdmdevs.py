"""A real sdmdev: its queue, its interrupt, its holders, and what the screen may claim of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.guest import witnesses
from tests.guest.conftest import EVERY_KERNEL, queue_of, snapshot_of
from tests.guest.eyes import glance
from tests.guest.scenes import (
    FACTORIALS,
    PLAIN,
    QUEUE,
    SECOND_QUEUE,
    VIRTUAL,
    create_queues,
    holding,
    load_sdmdev,
)
from tests.guest.topologies import BRIDGED_EDU, EDU

if TYPE_CHECKING:
    from tests.guest.conftest import Json
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
    pytest.mark.usefixtures("queues"),
]


@pytest.fixture
def queues(guest: Guest) -> None:
    load_sdmdev(guest)
    create_queues(guest)


def group_of(guest: Guest, uuid: str) -> int:
    return witnesses.groups_of_mdevs(guest)[uuid]


def interrupts_of(snapshot: Json, address: str) -> int:
    return sum(row["total"] for row in snapshot["interrupts"] if row["device"] == address)


def test_a_queue_computes_factorials_and_wakes_on_the_interrupt_of_its_parent(
    guest: Guest,
) -> None:
    before = interrupts_of(glance(guest), EDU)
    group = str(group_of(guest, QUEUE))
    done = guest.python("tests.guest.inside.factorials", group, QUEUE, "5", "9", "12")
    assert done.text.splitlines() == ["5! = 120", "9! = 362880", "12! = 479001600"]
    assert interrupts_of(glance(guest), EDU) == before + 3


def test_the_one_interrupt_is_shared_by_both_queues_of_the_parent(guest: Guest) -> None:
    rows = [row for row in glance(guest)["interrupts"] if row["device"] == EDU]
    assert [(row["actions"], row["shared_by"]) for row in rows] == [
        (["sdmdev_edu"], [QUEUE, SECOND_QUEUE])
    ]


def test_every_parent_is_a_device_even_without_hardware_or_group(guest: Guest) -> None:
    devices = {device["address"]: device for device in glance(guest)["devices"]}
    assert devices[VIRTUAL]["bus"] == devices[PLAIN]["bus"] == "platform"
    assert devices[VIRTUAL]["group"] is None
    assert devices[VIRTUAL]["sdmdev"] == {"iommu_type": 1, "dma_flags": ["MULTI_PROC_MAP"]}
    assert devices[PLAIN]["sdmdev"] is None
    assert devices[BRIDGED_EDU]["sdmdev"] is not None


def test_a_third_instance_is_refused(guest: Guest) -> None:
    create = f"/sys/class/mdev_bus/{EDU}/mdev_supported_types/{FACTORIALS}/create"
    third = "5d3de000-0000-4000-8000-00000000000f"
    assert guest.python("tests.guest.inside.poke", third, create).text == "EUSERS\n"
    types = glance(guest)["mdev_types"]
    (type_,) = (type_ for type_ in types if type_["parent"] == EDU)
    assert (type_["available_instances"], type_["instances"]) == (0, [QUEUE, SECOND_QUEUE])


def test_a_second_process_with_the_group_open_holds_the_queue(guest: Guest) -> None:
    group = group_of(guest, QUEUE)
    with holding(guest, group) as holder:
        snapshot = glance(guest)
        queue = queue_of(snapshot, QUEUE)
        assert (queue["state"], queue["holders"]) == ("held", [holder.pid])
        assert [(process["pid"], process["user"], process["holds"])
                for process in snapshot["processes"]] == [
            (holder.pid, "root", [f"/dev/vfio/{group}"])
        ]  # fmt: skip
    queue = queue_of(glance(guest), QUEUE)
    assert (queue["state"], queue["holders"]) == ("orphan", [])


def test_a_second_process_with_the_device_open_has_started_the_queue(guest: Guest) -> None:
    with holding(guest, group_of(guest, QUEUE), "--device", QUEUE) as holder:
        snapshot = glance(guest)
        queue = queue_of(snapshot, QUEUE)
        assert (queue["state"], queue["holders"]) == ("started", [holder.pid])
        assert queue["params"] == {"pid": str(holder.pid)}
        other = queue_of(snapshot, SECOND_QUEUE)
        assert (other["state"], other["holders"]) == ("orphan", [])


def test_a_mapping_alone_makes_every_queue_one_that_cannot_be_told_free(guest: Guest) -> None:
    with holding(guest, group_of(guest, QUEUE), "--device", QUEUE, "--only-mmap") as holder:
        snapshot = glance(guest)
        (process,) = snapshot["processes"]
        assert process["pid"] == holder.pid
        assert process["holds"] == ["anon_inode:[vfio-device] (mmap)"]
        # These kernels do not say which device the mapping is of.
        for uuid in (QUEUE, SECOND_QUEUE):
            queue = queue_of(snapshot, uuid)
            assert (queue["state"], queue["holders"]) == (None, None)


def test_an_ordinary_user_cannot_tell_who_holds(guest: Guest) -> None:
    with holding(guest, group_of(guest, QUEUE), "--device", QUEUE):
        snapshot = snapshot_of(guest, ordinary=True)
        queue = queue_of(snapshot, QUEUE)
        assert (queue["state"], queue["holders"]) == (None, None)
        assert snapshot["processes"] == []
        (why,) = (e for e in snapshot["unknown"] if e["path"] == "/proc/*/fd")
        assert why["errno"] == "EACCES"


def test_a_removal_that_waits_for_its_holder_is_shown_as_pending(guest: Guest) -> None:
    remove = f"/sys/bus/mdev/devices/{SECOND_QUEUE}/remove"
    with holding(guest, group_of(guest, SECOND_QUEUE), "--device", SECOND_QUEUE):
        removal = guest.start("sh", "-c", f"echo 1 > {remove}")
        gone = f"while [ -e {remove} ]; do sleep 0.02; done"
        guest.run("sh", "-c", gone)
        queue = queue_of(glance(guest), SECOND_QUEUE)
        assert queue["params"]["removal"].startswith("pending")
        assert removal.status is None
    assert removal.wait().status == 0
    left = {queue["id"] for queue in glance(guest)["sdmdevs"]}
    assert SECOND_QUEUE not in left
