"""Faults that step in between a process and the kernel."""

from __future__ import annotations

import errno

import pytest

from sdmtop.backends.simulator.processes import MOST_OPEN
from sdmtop.backends.simulator.scenario import Fault
from sdmtop.backends.simulator.syscalls import Trap
from sdmtop.vfio import Container, Group
from tests.backends.simulator.machines import (
    EDU,
    NIC,
    PCI,
    begin,
    claim,
    driver_of,
    guest,
    refused,
    text,
    to_vfio,
    write,
)


def test_an_operation_fails_as_often_as_it_was_asked_to() -> None:
    host = guest()
    host.inject(Fault("errno", target=NIC, operation="unbind", errno="EIO", times=2))
    for _ in range(2):
        with refused(errno.EIO, "unbind was made to fail"):
            write(host, f"{PCI}/{NIC}/driver/unbind", NIC)
        assert driver_of(host, NIC) == "e1000e"
    write(host, f"{PCI}/{NIC}/driver/unbind", NIC)
    assert driver_of(host, NIC) is None


def test_an_operation_fails_as_long_as_it_was_asked_to() -> None:
    host = guest()
    host.inject(Fault("errno", operation="driver_override", errno="EACCES", lasts=5))
    host.step(4)
    with refused(errno.EACCES):
        write(host, f"{PCI}/{NIC}/driver_override", "x")
    host.step(2)
    write(host, f"{PCI}/{NIC}/driver_override", "x")
    assert text(host, f"{PCI}/{NIC}/driver_override") == "x"


@pytest.mark.parametrize("target", [NIC, f"{NIC}x", "0000"])
def test_a_fault_is_for_its_target_only(target: str) -> None:
    host = guest()
    host.system.set(Trap("unbind", target, errno.EIO, None))
    write(host, f"{PCI}/{EDU}/driver/unbind", EDU)
    assert driver_of(host, EDU) is None


def test_an_operation_that_hangs_goes_on_when_the_fault_is_over() -> None:
    host = guest()
    host.inject(Fault("hang", target=NIC, operation="unbind", lasts=30))
    pending = begin(host, f"{PCI}/{NIC}/driver/unbind", NIC)
    assert not pending.wait(20)
    assert driver_of(host, NIC) == "e1000e"
    with refused(errno.EINPROGRESS):
        pending.result()
    assert pending.wait(20)
    pending.result()
    assert driver_of(host, NIC) is None


def test_what_hung_can_be_refused_in_the_end() -> None:
    host = guest()
    host.inject(Fault("hang", operation="bind", lasts=1))
    pending = begin(host, "/sys/bus/pci/drivers/e1000e/bind", EDU)
    assert pending.wait(2)
    with refused(errno.ENODEV):
        pending.result()


def test_a_command_on_a_descriptor_fails_too() -> None:
    host = guest()
    group = to_vfio(host, NIC)
    host.inject(Fault("errno", operation="SET_CONTAINER", errno="ENOMEM", times=1))
    container, opened = Container.open(host), Group.open(host, f"/dev/vfio/{group}")
    with refused(errno.ENOMEM):
        opened.set_container(container)
    opened.set_container(container)


def test_opening_a_node_fails_too() -> None:
    host = guest()
    group = to_vfio(host, NIC)
    host.inject(Fault("errno", target=group, operation="open", errno="EMFILE", times=1))
    with refused(errno.EMFILE):
        host.open(f"/dev/vfio/{group}")
    host.open(f"/dev/vfio/{group}").close()


def test_a_process_without_a_free_descriptor_takes_nothing() -> None:
    host = guest()
    container, group = claim(host, to_vfio(host, NIC))
    other = to_vfio(host, EDU)
    signals = [host.signal() for _ in range(MOST_OPEN - 2)]
    with refused(errno.EMFILE):
        group.device(NIC)
    with refused(errno.EMFILE):
        host.open(f"/dev/vfio/{other}")
    signals.pop().close()
    host.open(f"/dev/vfio/{other}")
    group.close()
    container.close()
    assert begin(host, f"{PCI}/{NIC}/driver/unbind", NIC).wait(1)
