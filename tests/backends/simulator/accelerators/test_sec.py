"""Ciphers and digests, against `cryptography` and hashlib."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC as CBC_MODE
from cryptography.hazmat.primitives.ciphers.modes import CTR as CTR_MODE
from cryptography.hazmat.primitives.ciphers.modes import ECB as ECB_MODE
from hypothesis import given
from hypothesis.strategies import DrawFn, binary, composite, sampled_from

from sdmtop.backends.simulator.accelerators.rings import BAD_DATA, BAD_DESCRIPTOR, OK
from sdmtop.backends.simulator.accelerators.sec import (
    CBC,
    CTR,
    DECRYPT,
    DIGEST,
    ECB,
    ENCRYPT,
    MAC,
    SHA1,
    SHA256,
    SHA512,
)
from tests.backends.simulator.accelerators.bench import Rings

NAMES = ("sha1", "sha224", "sha256", "sha384", "sha512")


@composite
def keys(draw: DrawFn) -> bytes:
    size = draw(sampled_from([16, 24, 32]))
    return draw(binary(min_size=size, max_size=size))


def other_cipher(mode: int, key: bytes, vector: bytes) -> Cipher[CBC_MODE | CTR_MODE | ECB_MODE]:
    if mode == ECB:
        return Cipher(AES(key), ECB_MODE())
    return Cipher(AES(key), CBC_MODE(vector) if mode == CBC else CTR_MODE(vector))


@given(sampled_from([ECB, CBC, CTR]), keys(), binary(min_size=16, max_size=16), binary())
def test_ciphers_agree_both_ways(mode: int, key: bytes, vector: bytes, data: bytes) -> None:
    if mode != CTR:
        data = data[: len(data) // 16 * 16]
    extra = (b"" if mode == ECB else vector) + key
    other = other_cipher(mode, key, vector)
    encryptor, decryptor = other.encryptor(), other.decryptor()
    expected = {
        ENCRYPT: encryptor.update(data) + encryptor.finalize(),
        DECRYPT: decryptor.update(data) + decryptor.finalize(),
    }
    rings = Rings("sec")
    for operation, result in expected.items():
        assert rings.job(operation, mode, data, extra)[1] == result


def test_the_counter_wraps_after_its_128_bits() -> None:
    key, counter, data = bytes(16), b"\xff" * 16, bytes(48)
    encryptor = other_cipher(CTR, key, counter).encryptor()
    assert Rings("sec").job(ENCRYPT, CTR, data, counter + key)[1] == encryptor.update(data)


@given(sampled_from(range(SHA1, SHA512 + 1)), binary(max_size=2000))
def test_digests_agree(kind: int, data: bytes) -> None:
    completion, result = Rings("sec").job(DIGEST, kind, data)
    assert (completion.status, result) == (OK, hashlib.new(NAMES[kind], data).digest())


@given(sampled_from(range(SHA1, SHA512 + 1)), binary(min_size=1, max_size=200), binary())
def test_message_authentication_agrees(kind: int, key: bytes, data: bytes) -> None:
    result = Rings("sec").job(MAC, kind, data, key)[1]
    assert result == hmac.digest(key, data, NAMES[kind])


@pytest.mark.parametrize("mode", [ECB, CBC])
def test_a_part_of_a_block_is_bad_data(mode: int) -> None:
    assert Rings("sec").job(ENCRYPT, mode, b"x", bytes(32))[0].status == BAD_DATA


@pytest.mark.parametrize(
    ("operation", "parameter", "extra"),
    [
        (0, 0, b""),
        (ENCRYPT, 3, bytes(32)),
        (ENCRYPT, CBC, bytes(31)),
        (DIGEST, 5, b""),
        (DIGEST, SHA256, b"key"),
    ],
)
def test_what_it_cannot_do_is_a_bad_descriptor(
    operation: int, parameter: int, extra: bytes
) -> None:
    assert Rings("sec").job(operation, parameter, bytes(16), extra)[0].status == BAD_DESCRIPTOR
