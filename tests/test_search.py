"""Which lines answer to a query."""

from typing import Any

import pytest

from sdmtop.facts import FIELDS, READERS
from sdmtop.model import (
    AttachedDomain,
    DevicePasid,
    Interrupt,
    Pasid,
    Process,
    Snapshot,
    Sriov,
    Unknown,
)
from sdmtop.outline import NO_GROUP
from sdmtop.query import parse
from sdmtop.report import outline
from sdmtop.search import Search
from tests.records import device, group, queue, snapshot

ZIP = "0000:75:00.0"
NIC = "0000:02:00.0"
VF = "0000:02:00.1"
LOOSE = "serial8250"
SHARED = "5d3de000-0000-4000-8000-000000000001"
PLAIN = "5d3de000-0000-4000-8000-000000000002"
QEMU = Process(pid=812, name="qemu-system-x86", user="root", holds=("/dev/vfio/2",))
PASID = DevicePasid(capable=True, enabled=True, max=32)
BLIND = Unknown(path="/proc/*/fd", errno="EACCES", what="who holds devices")


def host(**fields: Any) -> Snapshot:
    """A board: an accelerator with two queues, a NIC held by qemu, its VF, a serial port."""
    return snapshot(
        groups=[
            group(1, ZIP, shared_by=(SHARED,)),
            group(2, NIC, VF, owner="vfio", viable=True, domain_type="identity",
                  attached=AttachedDomain(type="unmanaged", evidence="inferred")),
        ],
        devices=[
            device(ZIP, group=1, driver="hisi_zip", numa_node=1, irqs=(40, 41), class_="0x120000",
                   iommu="smmu3.0", name="ZIP Engine"),
            device(NIC, group=2, driver="vfio-pci", driver_override="vfio-pci",
                   sriov=Sriov(total=8, vfs=1), pasid=PASID),
            device(VF, group=2, physfn=NIC),
            device(LOOSE, bus="platform", vendor=None, device=None, class_=None),
        ],
        sdmdevs=[
            queue(SHARED, parent=ZIP, kind="sdmdev", domain_of=1, group=21, pasid=3, holders=(812,),
                  state="started"),
            queue(PLAIN, parent=ZIP, group=22),
        ],
        processes=[QEMU],
        pasids=[Pasid(pasid=7, device=NIC, process=812, source="x")],
        **fields,
    )  # fmt: skip


RATES = {"group/1": 600.0, ZIP: 600.0, "group/2": 2.0, NIC: 2.0, VF: None}


def found(text: str, snap: Snapshot | None = None) -> set[str]:
    snap = snap or host()
    lines = outline(snap)
    return Search(snap, lines, lines.lines()).found(parse(text, FIELDS), RATES.get)


ALL = {"group/1", ZIP, SHARED, PLAIN, "group/2", NIC, VF, NO_GROUP, LOOSE}


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ALL),
        ("hisi", {"group/1", ZIP}),
        ("group/2", {"group/2"}),
        ("02:00", {"group/2", NIC, VF}),
        ("!e !i !r !n !a !u", set()),
        ("driver:vfio", {"group/2", NIC}),
        ("driver:hisi_zip", {"group/1", ZIP, SHARED, PLAIN}),
        ("driver:none", {"group/2", VF, NO_GROUP, LOOSE}),
        ("!driver:vfio-pci", ALL - {NIC}),
        ("override:", {"group/2", NIC}),
        ("group:2", {"group/2", NIC, VF}),
        ("group:21", {"group/1", ZIP, SHARED}),
        ("group:1", {"group/1", ZIP, SHARED, PLAIN}),
        ("group:none", {NO_GROUP, LOOSE}),
        ("domain:DMA", {"group/1", ZIP, SHARED}),
        ("domain:emulated", {"group/1", ZIP, PLAIN}),
        ("!domain:DMA,emulated", {"group/2", NIC, VF}),
        ("attached:unmanaged kind:group", {"group/2"}),
        ("owner:vfio", {"group/2", NIC, VF}),
        ("viable:yes", {"group/2", NIC, VF}),
        ("viable:no kind:device", {"group/1", ZIP}),
        ("shared>0 kind:group", {"group/1"}),
        ("state:bound", {"group/1", ZIP, "group/2", NIC}),
        ("state:orphan", {"group/1", ZIP, PLAIN}),
        ("state:unbound,orphan", {"group/1", ZIP, PLAIN, "group/2", VF, NO_GROUP, LOOSE}),
        ("holder:qemu", {"group/1", ZIP, SHARED, "group/2", NIC, VF}),
        ("holder:812 kind:queue", {"group/1", ZIP, SHARED}),
        ("holder:none", {"group/1", ZIP, PLAIN}),
        ("pasid:7", {"group/2", NIC}),
        ("pasid:3", {"group/1", ZIP, SHARED}),
        ("irq:41", {"group/1", ZIP, SHARED, PLAIN}),
        ("irq/s>100", {"group/1", ZIP}),
        ("irq/s>100 group:2", set()),
        ("irq/s<10", {"group/2", NIC}),
        ("!irq/s>100", {"group/2", NIC}),
        ("numa:1 kind:pci", {"group/1", ZIP}),
        ("kind:vf", {"group/2", VF}),
        ("kind:pf", {"group/2", NIC}),
        ("kind:platform", {NO_GROUP, LOOSE}),
        ("kind:mdev", {"group/1", ZIP, PLAIN}),
        ("type:fact kind:sdmdev", {"group/1", ZIP, SHARED}),
        ('name:"zip engine" kind:device', {"group/1", ZIP}),
        ("address:75", {"group/1", ZIP, SHARED, PLAIN}),
        ("id:8086:10d3 driver:vfio-pci", {"group/2", NIC}),
        ("id:none", {NO_GROUP, LOOSE}),
        ("class:accelerator kind:device", {"group/1", ZIP}),
        ("iommu:smmu3.0 kind:device", {"group/1", ZIP}),
    ],
)
def test_lines_are_found_with_what_they_hang_below(text: str, keys: set[str]) -> None:
    assert found(text) == keys


def test_a_text_finds_a_device_by_the_handlers_of_its_interrupts() -> None:
    rows = [
        Interrupt(
            irq=irq, chip=None, hwirq=None, trigger=None, actions=actions, per_cpu=(), total=0,
            device=address, shared_by=(), affinity=None,
        )
        for irq, actions, address in (
            ("24", ("enp2s0-rx-0",), NIC), ("25", ("enp2s0-tx-0",), NIC), ("4", ("ttyS0",), None),
        )
    ]  # fmt: skip
    snap = host(interrupts=rows)
    assert found("ENP2s0-tx", snap) == {"group/2", NIC}
    assert found("ttys0", snap) == set()


def test_holders_that_cannot_be_told_are_a_question_mark_and_not_none() -> None:
    snap = host(unknown=[BLIND])
    assert "group/2" in found("holder:qemu", snap)
    free = snapshot(groups=[group(2, NIC, owner="vfio")], devices=[device(NIC)], unknown=[BLIND])
    assert found("holder:?", free) == {"group/2"}
    assert found("holder:none", free) == set()


def test_a_driver_that_cannot_be_told_is_a_question_mark_and_not_none() -> None:
    waits = Unknown(path=f"/sys/devices/pci0000:00/{NIC}/driver", errno="EBUSY", what="driver")
    snap = snapshot(devices=[device(NIC)], unknown=[waits])
    assert found("driver:? state:stuck", snap) == {NO_GROUP, NIC}
    assert found("driver:none", snap) == set()


def test_a_device_that_is_not_read_yet_is_found_by_its_address_only() -> None:
    snap = snapshot(groups=[group(1, NIC)])
    assert found(NIC, snap) == {"group/1", NIC}
    assert found("driver:none", snap) == set()


def test_the_values_on_this_host_are_known_for_each_field() -> None:
    snap = host()
    lines = outline(snap)
    search = Search(snap, lines, lines.lines())
    assert search.values("driver") == ["hisi_zip", "vfio-pci"]
    assert search.values("group") == ["1", "2", "21", "22"]
    assert search.values("holder") == ["812", "qemu-system-x86"]
    assert search.values("irq/s") == []


def test_every_field_has_a_reader_and_a_meaning() -> None:
    assert FIELDS.keys() == READERS.keys()
    assert all(field.meaning for field in FIELDS.values())


def test_no_field_is_taken_for_an_address() -> None:
    for name, field in FIELDS.items():
        (term,) = parse(f"{name}:1", FIELDS)
        assert term.field == name == field.name
