"""Modular exponentiation, against RSA as `cryptography` does it."""

from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis.strategies import integers

from sdmtop.backends.simulator.accelerators.hpre import MOST, POWER
from sdmtop.backends.simulator.accelerators.rings import BAD_DATA, BAD_DESCRIPTOR, OK
from tests.backends.simulator.accelerators.bench import Rings

KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
SIZE = 128


def number(value: int, size: int = SIZE) -> bytes:
    return value.to_bytes(size, "big")


@given(integers(0, KEY.public_key().public_numbers().n - 1))
def test_the_private_power_undoes_the_public_one(message: int) -> None:
    public, private = KEY.public_key().public_numbers(), KEY.private_numbers()
    rings = Rings("hpre")
    secret = rings.job(POWER, SIZE, number(message), number(public.e) + number(public.n))[1]
    completion, plain = rings.job(POWER, SIZE, secret, number(private.d) + number(public.n))
    assert (completion.status, plain) == (OK, number(message))


def test_a_modulus_of_zero_is_bad_data() -> None:
    assert Rings("hpre").job(POWER, 1, b"\2", b"\3\0")[0].status == BAD_DATA


def test_numbers_have_one_size_within_its_limit() -> None:
    rings = Rings("hpre")
    assert rings.job(POWER, 2, b"\2", b"\3\5")[0].status == BAD_DESCRIPTOR
    long = bytes(MOST + 1)
    assert rings.job(POWER, len(long), long, long + long)[0].status == BAD_DESCRIPTOR
