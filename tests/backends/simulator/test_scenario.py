"""Scenarios: what is read, and what is refused with the line of the mistake."""

import pytest
from hypothesis import given
from hypothesis.strategies import text

from sdmtop.backends.simulator.scenario import Scenario, ScenarioError, read_scenario

GOOD = """title = "A small host"
[[unit]]
name = "dmar0"
pasid_bits = 20

[[load]]
name = "busy"
high = 100

[[device]]
address = "0000:01:00.0"
unit = "dmar0"
queues = 2
interrupts = { actions = ["zip"], load = "busy" }
accelerator = "zip"
driver = "zip"
[[device.mdev_type]]
id = "zip"

[[mdev]]
parent = "0000:01:00.0"
type = "zip"
uuid = "5d3de000-0000-4000-8000-000000000001"

[[process]]
name = "zipper"
[[process.use]]
sdmdev = "0000:01:00.0"
type = "zip"
load = "busy"

[[fault]]
kind = "stall"
target = "0000:01:00.0"
at = 3
"""


def read(text: str) -> Scenario:
    return read_scenario(text, "a.toml")


def test_a_scenario_is_read_with_its_defaults() -> None:
    scenario = read(GOOD)
    (device,) = scenario.devices
    assert (scenario.kernel, scenario.units[0].driver) == ("6.12", "intel")
    assert (device.bus, device.mdev_types[0].costs, device.interrupts.kind) == ("pci", 1, "msi")
    assert scenario.processes[0].uses[0].started


def test_a_repeated_device_takes_the_slots_behind_it() -> None:
    scenario = read('title = ""\n[[device]]\naddress = "0000:01:1e.0"\nqueues = 3\nrepeat = 4\n')
    assert [device.address for device in scenario.devices] == [
        "0000:01:1e.0",
        "0000:01:1f.0",
        "0000:02:00.0",
        "0000:02:01.0",
    ]
    assert {device.queues for device in scenario.devices} == {3}


def test_repeated_devices_go_over_into_the_next_segment() -> None:
    scenario = read('title = ""\n[[device]]\naddress = "0000:ff:1f.1"\nrepeat = 2\n')
    assert scenario.devices[1].address == "0001:00:00.1"


def test_a_repeated_mdev_counts_its_uuid_up() -> None:
    scenario = read(GOOD.replace('0000001"', '00000ff"\nrepeat = 2'))
    assert [mdev.uuid[-4:] for mdev in scenario.mdevs] == ["00ff", "0100"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pasid_bits", "pasid_bit", "a.toml:4: pasid_bit: there is no such key"),
        ("title = ", "# ", "a.toml:1: the table has no title"),
        ('"A small host"', "3", "a.toml:1: title: expected str, got int"),
        ('name = "dmar0"', "", "a.toml:2: unit: the table has no name"),
        ("pasid_bits = 20", "pasid_bits = 21", "a.toml:4: pasid_bits: expected int <= 20"),
        ("high = 100", "high = -1", "a.toml:8: high: expected float >= 0.0"),
        ("0000:01:00.0", "1:0.0", "a.toml:11: address: 1:0.0 is no PCI address, such as"),
        ('unit = "dmar0"', 'unit = "x"', "a.toml:12: unit: there is no unit x"),
        ("queues = 2", "queues = 2 3", "a.toml:13: expected newline or end of document"),
        ("queues = 2", "numa_node = 1", "a.toml:13: numa_node: the last node is 0"),
        ('"busy" }', '"idle" }', "a.toml:14: load: there is no load idle"),
        ('id = "zip"', 'id = "a/b"', "a.toml:18: id: expected a name of at most"),
        ('type = "zip"', 'type = "z"', "a.toml:22: type: 0000:01:00.0 offers no type z"),
        ("5d3de000", "5D3DE000", "a.toml:23: uuid: expected a UUID in lower"),
        ('sdmdev = "0000:01', 'sdmdev = "0000:02', "a.toml:28: sdmdev: there is no device 0000:02"),
        ('type = "zip"\nload', "load", "a.toml:27: use: give a type that 0000:01:00.0 offers: zip"),
        ("[[process.use]]", "[[process.use]]\nuacce='x'", "a.toml:27: use: give one of sdmdev, vf"),
        ("high = 100", "high = 1\nlow = 2", "a.toml:9: low: it is above high, 1"),
        ('unit = "dmar0"', "vfs = 3", "a.toml:12: vfs: sriov_total is 0"),
        ('unit = "dmar0"', "vfs = 3\nsriov_total = 2", "a.toml:12: vfs: sriov_total is 2"),
        (
            'unit = "dmar0"',
            'reserved = [{ start = 2, end = 1, type = "msi" }]',
            "a.toml:12: end: it is before the start",
        ),
        ('unit = "dmar0"', "repeat = 16385", "a.toml:10: device: a host has 16,384 devices at mo"),
        ('unit = "dmar0"', 'parent = "0000:01:00.0"', "a.toml:12: parent: 0000:01:00.0 would be b"),
        ('["zip"]', '["a\\nb"]', "a.toml:14: actions: expected a text of at most 128 characters"),
        ('driver = "zip"', "", "a.toml:21: parent: 0000:01:00.0 has no driver to make it"),
        (
            "00000001",
            '00000001"\nrepeat = 3\n#"',
            "a.toml:20: mdev: 0000:01:00.0 has 2 instances, ",
        ),
        ('"zipper"', '"zip/per"', "a.toml:26: name: expected a name of at most 15 characters"),
        ('"zipper"', '"zip\\u0000per"', "a.toml:26: name: expected a name of at most 15"),
        ('"zipper"', '"zipper"\nagain = 1e-5', "a.toml:27: again: expected float >= 0.01"),
        ('load = "busy"\n\n', 'job = "aes"\n\n', "a.toml:30: job: an engine of kind zip cannot do"),
        ('kind = "stall"', 'kind = "x"', "a.toml:33: kind: invalid enum value 'x'"),
        ('kind = "stall"', 'kind = "hang"', "a.toml:32: fault: a fault of kind hang needs an ope"),
        ("at = 3", "", "a.toml:32: fault: give one of at, every and rate"),
        ("at = 3", "at = 3\nrate = 1", "a.toml:32: fault: give one of at, every and rate"),
    ],
)
def test_mistakes_are_told_with_their_line(old: str, new: str, message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        read(GOOD.replace(old, new, 1))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[[unit]]\nname = "dmar0"', "a.toml:37: unit: there are two of the name dmar0"),
        ('[[device]]\naddress = "0000:01:00.0"', "a.toml:38: address: there are two devices"),
        (
            '[[device]]\naddress = "0000:02:00.0"\nparent = "0000:00:01.0"',
            "a.toml:39: parent: there is no device 0000:00:01.0",
        ),
        (
            '[[device]]\naddress = "x"\nbus = "platform"\nrepeat = 2',
            "a.toml:40: repeat: only a device on the bus pci can be repeated",
        ),
        ('[[mdev]]\nparent = "x"', "a.toml:37: mdev: the table has no type"),
        (
            '[[device]]\naddress = "0000:03:00.0"\nparent = "0000:04:00.0"\n'
            '[[device]]\naddress = "0000:04:00.0"\nparent = "0000:03:00.0"',
            "a.toml:39: parent: 0000:03:00.0 would be below itself",
        ),
        (
            '[[device]]\naddress = "0000:03:00.0"\nparent = "0000:04:00.0"\n'
            '[[device]]\naddress = "0000:04:00.0"',
            "a.toml:39: parent: 0000:04:00.0 must stand before what is below it",
        ),
        (
            '[[mdev]]\nparent = "0000:01:00.0"\ntype = "zip"\n'
            'uuid = "5d3de000-0000-4000-8000-000000000001"',
            "a.toml:40: uuid: there are two mediated devices 5d3de000-",
        ),
        ("kernel = 3\n[[unit", "a.toml:38: "),
    ],
)
def test_what_must_agree_is_looked_at(more: str, message: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        read(f"{GOOD}\n{more}\n")
    assert str(refused.value).startswith(message)


def test_a_file_that_is_nested_without_measure_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"^a\.toml: its lists or tables are nested too deep"):
        read("x = " + "[" * 5000)


def test_a_kernel_that_there_is_not_is_told_with_its_line() -> None:
    with pytest.raises(ScenarioError, match=r"^a\.toml:2: kernel: 'abc' is not the release"):
        read('title = "x"\nkernel = "abc"\n')


FAULT = 'kind = "stall"\ntarget = "0000:01:00.0"'


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ('kind = "kill"\ntarget = "nobody"', "target: there is no process nobody"),
        ('kind = "removal"\ntarget = "0000:02:00.0"', "target: there is no device 0000:02:00.0"),
        ('kind = "stall"\ntarget = "0000:01:00.0/2"', "target: 0000:01:00.0 has no queue 2"),
        ('kind = "stall"\ntarget = "0000:03:00.0"', "target: 0000:03:00.0 does not compute"),
        ('kind = "removal"\ntarget = "0000:03:00.3"', "target: there is no device 0000:03:00.3"),
        (
            'kind = "hang"\ntarget = "nosuch"\noperation = "unbind"',
            "target: there is nothing nosuch that unbind could be about",
        ),
    ],
)
def test_a_fault_of_what_cannot_be_there_is_a_mistake(fault: str, message: str) -> None:
    more = '[[device]]\naddress = "0000:03:00.0"\nsriov_total = 2\n'
    text = GOOD.replace(FAULT, fault) + more
    with pytest.raises(ScenarioError) as refused:
        read(text)
    assert str(refused.value) == f"a.toml:34: {message}"


@pytest.mark.parametrize(
    "fault",
    [
        'kind = "kill"\ntarget = "zipper"',
        'kind = "kill"\ntarget = "4711"',
        'kind = "removal"\ntarget = "0000:03:00.2"',
        'kind = "lost-interrupt"\ntarget = "24"',
        'kind = "stall"\ntarget = "0000:01:00.0/1"',
        'kind = "stall"\ntarget = "5d3de000-0000-4000-8000-000000000009"',
        'kind = "hang"\ntarget = "zipper"\noperation = "open"',
        'kind = "hang"\ntarget = "DMA"\noperation = "type"',
        'kind = "hang"\ntarget = "0000:03:00.1"\noperation = "unbind"',
    ],
)
def test_a_fault_of_what_may_come_is_none(fault: str) -> None:
    more = '[[device]]\naddress = "0000:03:00.0"\nsriov_total = 2\n'
    assert len(read(GOOD.replace(FAULT, fault) + more).faults) == 1


@given(text(max_size=200))
def test_garbage_is_refused_with_a_line(garbage: str) -> None:
    with pytest.raises(ScenarioError, match=r"^a\.toml:\d+: "):
        read(garbage)
