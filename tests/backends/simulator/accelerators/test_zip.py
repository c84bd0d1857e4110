"""Compression, against zlib."""

import zlib

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, sampled_from

from sdmtop.backends.simulator.accelerators.rings import BAD_DATA, BAD_DESCRIPTOR, OK, TOO_SMALL
from sdmtop.backends.simulator.accelerators.zip import DEFLATE, GZIP, INFLATE, RAW, ZLIB
from tests.backends.simulator.accelerators.bench import Rings

WINDOWS = {RAW: -15, ZLIB: 15, GZIP: 31}
FORMATS = sampled_from([*WINDOWS])


@given(binary(max_size=20_000), FORMATS, integers(0, 9))
def test_zlib_inflates_what_it_deflates(data: bytes, form: int, level: int) -> None:
    completion, result = Rings("zip").job(DEFLATE, form | level << 8, data)
    assert completion.status == OK
    assert zlib.decompress(result, WINDOWS[form]) == data


@given(binary(max_size=20_000), FORMATS)
def test_it_inflates_what_zlib_deflates(data: bytes, form: int) -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, WINDOWS[form])
    packed = stream.compress(data) + stream.flush()
    completion, result = Rings("zip").job(INFLATE, form, packed)
    assert (completion.status, result) == (OK, data)


def test_what_is_no_stream_is_bad_data() -> None:
    assert Rings("zip").job(INFLATE, ZLIB, b"no stream at all")[0].status == BAD_DATA


def test_a_stream_that_is_cut_short_is_bad_data() -> None:
    packed = zlib.compress(b"hello" * 100)[:-1]
    assert Rings("zip").job(INFLATE, ZLIB, packed)[0].status == BAD_DATA


def test_output_that_does_not_fit_is_not_written() -> None:
    rings = Rings("zip")
    completion, _ = rings.job(INFLATE, ZLIB, zlib.compress(bytes(5000)), room=4999)
    assert (completion.status, completion.produced) == (TOO_SMALL, 0)


def test_a_bomb_ends_where_a_job_ends() -> None:
    packed = zlib.compress(bytes(1 << 25))
    assert Rings("zip").job(INFLATE, ZLIB, packed)[0].status == BAD_DATA


@pytest.mark.parametrize(("operation", "parameter"), [(0, 0), (3, 0), (DEFLATE, 3), (1, 10 << 8)])
def test_what_it_cannot_do_is_a_bad_descriptor(operation: int, parameter: int) -> None:
    assert Rings("zip").job(operation, parameter, b"x")[0].status == BAD_DESCRIPTOR
