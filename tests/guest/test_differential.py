"""Sequences of operations on a kernel and on its model: their outcomes agree, errno by errno."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from tests.guest.conftest import EVERY_KERNEL
from tests.guest.inside.sequences import DRIVERS, IOVAS, QUEUES, Machine, Operation, Writing
from tests.guest.scenes import load_sdmdev
from tests.guest.topologies import BRIDGED_EDU, BRIDGED_NIC, BRIDGED_TESTDEV, EDU, NIC

if TYPE_CHECKING:
    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]

SEQUENCES = 260
"""Of each kernel."""

_VFIO = "vfio-pci"
_DEVICES = st.sampled_from([EDU, NIC, BRIDGED_EDU, BRIDGED_TESTDEV, BRIDGED_NIC])
_HELD = st.sampled_from([EDU, NIC, BRIDGED_TESTDEV, "m0"])
_SLOTS = st.sampled_from(["c0", "c1"])
_QUEUES = st.sampled_from([*QUEUES])


def _operation(name: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), *arguments)


def _given_away(device: str) -> st.SearchStrategy[list[Operation]]:
    """What most sequences begin with: a device is given to VFIO, and perhaps used."""
    steps: list[Operation] = [("override", device, _VFIO)]
    if DRIVERS[device] is not None:
        steps.append(("unbind", device))
    steps.append(("probe", device))
    use: list[Operation] = [
        ("open", device), ("container", "c0"), ("set_container", device, "c0"),
        ("set_iommu", "c0", "3"), ("device", device, device),
    ]  # fmt: skip
    return st.integers(0, len(use)).map(lambda count: [*steps, *use[:count]])


_OPERATIONS = st.one_of(
    _operation("override", _DEVICES, st.sampled_from([_VFIO, "nonsense", ""])),
    _operation("unbind", _DEVICES),
    _operation("bind", _DEVICES, st.sampled_from([_VFIO, "e1000e", "e1000", "sdmdev_edu"])),
    _operation("probe", _DEVICES),
    _operation("type", _DEVICES, st.sampled_from(["identity", "DMA", "DMA-FQ", "auto", "dma"])),
    _operation("open", _HELD),
    _operation("close", _HELD),
    _operation("status", _HELD),
    _operation("container", _SLOTS),
    _operation("close_container", _SLOTS),
    _operation("set_container", _HELD, _SLOTS),
    _operation("unset_container", _HELD),
    _operation("set_iommu", _SLOTS, st.sampled_from(["1", "3", "8", "77"])),
    _operation("device", _HELD, st.sampled_from([EDU, NIC, BRIDGED_TESTDEV, "m0", "nobody"])),
    _operation("close_device", _HELD),
    _operation("map", _SLOTS, st.sampled_from([*IOVAS])),
    _operation("unmap", _SLOTS, st.sampled_from(["low", "next", "odd"])),
    _operation("create", _QUEUES),
    _operation("remove", _QUEUES),
)
_BEGINNINGS = st.one_of(
    st.just([]),
    st.just([("create", "m0")]),
    *(_given_away(device) for device in (EDU, NIC, BRIDGED_TESTDEV)),
)


def sequences(count: int) -> list[list[Operation]]:
    """The same each time."""
    found: list[list[Operation]] = []

    @settings(
        max_examples=count, phases=[Phase.generate], derandomize=True, database=None,
        suppress_health_check=[*HealthCheck], deadline=None,
    )  # fmt: skip
    @given(_BEGINNINGS, st.lists(_OPERATIONS, min_size=3, max_size=12))
    def collect(beginning: list[Operation], rest: list[Operation]) -> None:
        found.append([*beginning, *rest])

    collect()
    return found


def modelled(release: str, sequence: list[Operation]) -> list[str]:
    """The outcomes on the simulator's guest, with this kernel."""
    scenario = msgspec.structs.replace(scenario_of("edu"), kernel=release)
    host = SimulatorHost(scenario)
    host.step(1)

    def write(path: str, data: bytes, *, may_wait: bool) -> Writing:
        del may_wait  # A write of the model is a process of its own in any case.
        return host.write(path, data)

    return Machine(host, write).run(sequence)


def test_kernel_and_model_agree(guest: Guest) -> None:
    load_sdmdev(guest)
    guest.run("modprobe", "vfio-pci")
    made = sequences(SEQUENCES)
    file = guest.share / "sequences.json"
    file.write_text(json.dumps(made))
    job = guest.start_python("tests.guest.inside.sequences", f"/run/guest/{file.name}")
    done = job.wait(600)
    assert done.status == 0, done.err.decode()
    guest.write("/sys/bus/pci/drivers_probe", BRIDGED_EDU)  # The model's has no driver, this had.
    answers = [json.loads(line) for line in done.text.splitlines()]
    assert len(answers) == len(made)
    differences = []
    for sequence, kernel in zip(made, answers, strict=True):
        model = modelled(guest.kernel.release, sequence)
        at = next((i for i, pair in enumerate(zip(kernel, model, strict=True))
                   if pair[0] != pair[1]), None)  # fmt: skip
        if at is not None:
            steps = [f"{' '.join(one)}: {kernel[i]}" for i, one in enumerate(sequence[:at])]
            last = " ".join(sequence[at]) if at < len(sequence) else "state"
            differences.append(
                "\n".join([*steps, f"{last}: kernel {kernel[at]}, model {model[at]}"])
            )
    assert not differences, f"{len(differences)} of {len(made)}:\n" + "\n\n".join(differences[:20])
