import hashlib
import json
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop import moments, recorder
from sdmtop.collector import Sample
from sdmtop.moments import Moment, packed, unpacked
from sdmtop.recording import VERSION
from tests.records import device, group, queue, snapshot
from tests.samples import BEGIN, life
from tests.test_history import sample

FORMATS = {1: "0533467245ae85d1"}
"""Of each version of recordings: the digest of what is in them."""

_DRIVERS = (None, "vfio-pci", "e1000")
_RECORDS = {
    (slot, driver): device(f"0000:00:0{slot}.0", driver=driver)
    for slot in range(10)
    for driver in _DRIVERS
}


def there_and_back(samples: list[Sample]) -> list[Sample]:
    found, before, moment = [], None, None
    for one in samples:
        moment = unpacked(packed(one, before), one.at, moment)
        before = one
        found.append(moment.sample)
    return found


def test_a_version_of_recordings_means_one_format() -> None:
    """If this fails the format has changed: write the digest down here, under a new `VERSION`
    if the old one has been released.
    """
    schema = msgspec.json.schema(moments._Body)
    text = json.dumps(_without_words(schema), sort_keys=True) + recorder._TABLES
    assert FORMATS[VERSION] == hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_words(schema: object) -> object:
    """A schema without its descriptions."""
    if isinstance(schema, dict):
        return {key: _without_words(value) for key, value in schema.items() if key != "description"}
    return [_without_words(one) for one in schema] if isinstance(schema, list) else schema


def test_what_was_seen_comes_back() -> None:
    samples = life("irq", "irq", "plug", "irq", "quiet", "irq", "unplug", "irq")
    for seen, back in zip(samples, there_and_back(samples), strict=True):
        assert back.snapshot == seen.snapshot
        assert back.complete == seen.complete
        assert back.read_at == seen.read_at
        assert [back.counters.total(irq) for irq in range(5)] == [
            seen.counters.total(irq) for irq in range(5)
        ]


def test_rates_come_back_across_seconds_in_which_nothing_came() -> None:
    samples = life("irq", "irq", *["quiet"] * 200, "irq")
    assert samples[-1].counters.rate(1) == 1.0
    assert there_and_back(samples)[-1].counters.rate(1) == 1.0


@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.sampled_from(_DRIVERS)), min_size=1, max_size=6)
)
def test_devices_that_come_go_and_change_come_back(seen: list[dict[int, str | None]]) -> None:
    samples = []
    for at, drivers in enumerate(seen):
        records = [_RECORDS[slot, driver] for slot, driver in sorted(drivers.items())]
        samples.append(sample(float(at), snapshot(devices=records)))
    assert [one.snapshot for one in there_and_back(samples)] == [one.snapshot for one in samples]


def test_a_moment_of_which_little_is_new_is_small() -> None:
    devices = [device(f"0000:00:{n:02x}.0") for n in range(200)]
    groups = [group(n) for n in range(200)]
    old = sample(0.0, snapshot(devices=devices, groups=groups))
    new = sample(1.0, snapshot(devices=[*devices[:50], *devices[51:]], groups=groups))
    assert len(packed(new, old)) < 200 < len(packed(new, None))


def test_records_that_did_not_change_are_the_same_ones_in_both_moments() -> None:
    kept = device("0000:00:01.0")
    old = sample(0.0, snapshot(devices=[kept], sdmdevs=[queue("a")]))
    new = sample(1.0, snapshot(devices=[kept], sdmdevs=[queue("b")]))
    first, second = there_and_back([old, new])
    assert second.snapshot.devices is not first.snapshot.devices
    assert second.snapshot.devices[0] is first.snapshot.devices[0]


def _whole() -> tuple[Sample, Moment]:
    one = life("irq", "irq", "plug")[-1]
    return one, unpacked(packed(one, None), BEGIN, None)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_with_a_sentence(data: bytes) -> None:
    for before in (None, _whole()[1]):
        for text in (data, zlib.compress(data)):
            with pytest.raises(ValueError, match=r"."):
                unpacked(text, 0.0, before)


@given(st.data())
def test_a_moment_of_which_a_byte_is_wrong_is_refused_or_read(data: st.DataObject) -> None:
    one, before = _whole()
    text = bytearray(zlib.decompress(packed(one, None)))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    try:
        found = unpacked(zlib.compress(bytes(text)), 0.0, before)
    except ValueError:
        return
    for irq in range(-1, 5):
        rate = found.sample.counters.rate(irq)
        assert rate is None or rate >= 0


def test_a_moment_that_is_larger_than_any_host_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = _whole()
    monkeypatch.setattr(moments, "_LARGEST", 100)
    with pytest.raises(ValueError, match="larger than a host can be"):
        unpacked(packed(one, None), 0.0, None)


def test_a_moment_without_the_one_before_it_is_refused() -> None:
    first, second = life("irq", "irq")[-2:]
    with pytest.raises(ValueError, match="should be whole"):
        unpacked(packed(second, first), 0.0, None)
