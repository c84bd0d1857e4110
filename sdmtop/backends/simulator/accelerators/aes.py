"""AES (FIPS 197) on 32-bit words with tables. For a model: nothing here is meant to keep secrets.

Python has no cipher of its own, and a library of ciphers is too much to ask of everybody who
installs a monitor; the tests compare with one.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

BLOCK = 16


class _Tables(NamedTuple):
    box: bytes
    inverse_box: bytes
    forward: tuple[tuple[int, ...], ...]
    """Substitution and mixing of one byte of a column, by its row."""
    backward: tuple[tuple[int, ...], ...]
    unmix: tuple[tuple[int, ...], ...]
    """Inverse mixing alone."""


def _double(value: int) -> int:
    return (value << 1) ^ (0x11B if value & 0x80 else 0)


def _times(value: int, factor: int) -> int:
    product = 0
    while factor:
        if factor & 1:
            product ^= value
        value, factor = _double(value), factor >> 1
    return product


def _column(value: int, factors: tuple[int, int, int, int]) -> int:
    return int.from_bytes(bytes(_times(value, factor) for factor in factors), "big")


def _rotations(words: list[int]) -> tuple[tuple[int, ...], ...]:
    """The table for each row: the same words, turned by a byte more each time."""
    return tuple(
        tuple((word >> turn | word << 32 - turn) & 0xFFFF_FFFF for word in words)
        for turn in (0, 8, 16, 24)
    )


@cache
def _tables() -> _Tables:
    # Powers of the generator 3 and their logarithms give the inverses.
    power, log = [0] * 255, [0] * 256
    value = 1
    for exponent in range(255):
        power[exponent], log[value] = value, exponent
        value ^= _double(value)
    box = bytearray(256)
    for byte in range(256):
        inverse = power[-log[byte] % 255] if byte else 0
        box[byte] = 0x63 ^ inverse
        for turn in range(1, 5):
            box[byte] ^= (inverse << turn | inverse >> 8 - turn) & 0xFF
    inverse_box = bytearray(256)
    for byte, substitute in enumerate(box):
        inverse_box[substitute] = byte
    mix, unmix = (2, 1, 1, 3), (14, 9, 13, 11)
    return _Tables(
        box=bytes(box),
        inverse_box=bytes(inverse_box),
        forward=_rotations([_column(box[byte], mix) for byte in range(256)]),
        backward=_rotations([_column(inverse_box[byte], unmix) for byte in range(256)]),
        unmix=_rotations([_column(byte, unmix) for byte in range(256)]),
    )


class Aes:
    """A key of 16, 24 or 32 bytes, expanded for both directions."""

    def __init__(self, key: bytes) -> None:
        tables = _tables()
        self._encryption = _expanded(key, tables.box)
        words = self._encryption
        rounds = len(words) // 4 - 1
        reverse: list[int] = []
        for number in range(rounds, -1, -1):
            four = words[4 * number : 4 * number + 4]
            if 0 < number < rounds:
                four = [_mixed(word, tables.unmix) for word in four]
            reverse += four
        self._decryption = reverse

    def encrypt(self, block: int) -> int:
        """One block, as a number of 128 bits."""
        tables = _tables()
        return _rounds(block, self._encryption, tables.forward, tables.box, 1)

    def decrypt(self, block: int) -> int:
        """The same backwards."""
        tables = _tables()
        return _rounds(block, self._decryption, tables.backward, tables.inverse_box, 3)

    def ecb(self, data: bytes, *, encrypt: bool) -> bytes:
        """Whole blocks, each by itself."""
        one = self.encrypt if encrypt else self.decrypt
        return b"".join(one(block).to_bytes(BLOCK, "big") for block in _blocks(data))

    def cbc(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        """Whole blocks, each mixed with the one before it in the ciphertext."""
        before = int.from_bytes(vector, "big")
        result = []
        for block in _blocks(data):
            if encrypt:
                before = self.encrypt(block ^ before)
                result.append(before)
            else:
                result.append(self.decrypt(block) ^ before)
                before = block
        return b"".join(block.to_bytes(BLOCK, "big") for block in result)

    def ctr(self, data: bytes, counter: bytes) -> bytes:
        """Any length, both directions: mixed with the encrypted numbers from `counter` on."""
        first = int.from_bytes(counter, "big")
        count = -(-len(data) // BLOCK)
        stream = b"".join(
            self.encrypt((first + index) % (1 << 128)).to_bytes(BLOCK, "big")
            for index in range(count)
        )[: len(data)]
        mixed = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
        return mixed.to_bytes(len(data), "big")


def _blocks(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + BLOCK], "big") for at in range(0, len(data), BLOCK)]


def _mixed(word: int, table: tuple[tuple[int, ...], ...]) -> int:
    a, b, c, d = word.to_bytes(4, "big")
    return table[0][a] ^ table[1][b] ^ table[2][c] ^ table[3][d]


def _expanded(key: bytes, box: bytes) -> list[int]:
    """The round keys, as words (FIPS 197, section 5.2)."""
    size = len(key) // 4
    words = [int.from_bytes(key[at : at + 4], "big") for at in range(0, len(key), 4)]
    constant = 1
    for index in range(size, 4 * (size + 7)):
        word = words[-1]
        if index % size == 0:
            word = (word << 8 | word >> 24) & 0xFFFF_FFFF
        if index % size == 0 or (size == 8 and index % size == 4):
            word = int.from_bytes(word.to_bytes(4, "big").translate(box), "big")
        if index % size == 0:
            word ^= constant << 24
            constant = _double(constant)
        words.append(words[index - size] ^ word)
    return words


def _rounds(
    block: int, keys: list[int], table: tuple[tuple[int, ...], ...], box: bytes, shift: int
) -> int:
    """All rounds of a block. Row r comes from the column `shift` * r further on."""
    first, second, third, fourth = table
    columns = [
        (block >> 96) ^ keys[0],
        (block >> 64 & 0xFFFF_FFFF) ^ keys[1],
        (block >> 32 & 0xFFFF_FFFF) ^ keys[2],
        (block & 0xFFFF_FFFF) ^ keys[3],
    ]
    for at in range(4, len(keys) - 4, 4):
        columns = [
            first[columns[index] >> 24]
            ^ second[columns[(index + shift) & 3] >> 16 & 0xFF]
            ^ third[columns[(index + 2) & 3] >> 8 & 0xFF]
            ^ fourth[columns[(index - shift) & 3] & 0xFF]
            ^ keys[at + index]
            for index in range(4)
        ]
    result = 0
    for index in range(4):
        word = (
            box[columns[index] >> 24] << 24
            | box[columns[(index + shift) & 3] >> 16 & 0xFF] << 16
            | box[columns[(index + 2) & 3] >> 8 & 0xFF] << 8
            | box[columns[(index - shift) & 3] & 0xFF]
        )
        result = result << 32 | (word ^ keys[len(keys) - 4 + index])
    return result
