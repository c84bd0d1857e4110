"""The crypto API: every algorithm of a device's driver, asked for by the driver's own name.

So it is the device that answers, and not the kernel's fastest software. Digests are compared with
hashlib, ciphers with the examples of NIST SP 800-38A (AES), IEEE 1619 (XTS) and
draft-ribose-cfrg-sm4 (SM4).
"""

import errno
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sdmtop.backends.base import Algorithm, Host
from sdmtop.model import Snapshot
from sdmtop.readers.crypto import Registered, modules_of, read_crypto
from sdmtop.selftests.claim import endpoints
from sdmtop.selftests.records import Benchmark, SelfTest, Skipped
from sdmtop.selftests.trial import Trial, plural
from sdmtop.text import line

_DIGESTS = ("shash", "ahash")
_CIPHERS = ("skcipher", "lskcipher")
_KEY = bytes(range(1, 33))
_LENGTHS = (0, 1, 63, 64, 65, 1000, 4096)
_MESSAGE = bytes(range(251)) * 17

_PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
_VECTOR = bytes(range(16))
_COUNTER = bytes(range(0xF0, 0x100))
_SHORT_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
_LONG_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
_PI_AND_E = bytes.fromhex(
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592"
)
_SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
_SM4_PLAIN = bytes.fromhex("aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffffaaaaaaaabbbbbbbb")


class _Example(NamedTuple):
    """An example of a standard. Without a text of its own, that above of SP 800-38A, appendix F."""

    section: str
    key: bytes
    vector: bytes
    secret: str
    plain: bytes = _PLAIN


_EXAMPLES = {
    "ecb(aes)": (
        _Example("F.1.1", _SHORT_KEY, b"",
                 "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
                 "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4"),
        _Example("F.1.5", _LONG_KEY, b"",
                 "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870"
                 "b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7"),
    ),
    "cbc(aes)": (
        _Example("F.2.1", _SHORT_KEY, _VECTOR,
                 "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
                 "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"),
        _Example("F.2.5", _LONG_KEY, _VECTOR,
                 "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
                 "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b"),
    ),
    "ctr(aes)": (
        _Example("F.5.1", _SHORT_KEY, _COUNTER,
                 "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
                 "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee"),
        _Example("F.5.5", _LONG_KEY, _COUNTER,
                 "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                 "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"),
    ),
    "xts(aes)": (
        _Example("IEEE 1619, 2", b"\x11" * 16 + b"\x22" * 16, b"\x33" * 5 + bytes(11),
                 "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
                 b"\x44" * 32),
        _Example("IEEE 1619, 10", _PI_AND_E, b"\xff" + bytes(15),
                 "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
                 "5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd",
                 bytes(range(64))),
    ),
    "ecb(sm4)": (
        _Example("SM4, A.2.1", _SM4_KEY, b"",
                 "5ec8143de509cff7b5179f8f474b86192f1d305a7fb17df985f81c8482192304", _SM4_PLAIN),
    ),
    "cbc(sm4)": (
        _Example("SM4, A.2.2", _SM4_KEY, _VECTOR,
                 "78ebb11cc40b0a48312aaeb2040244cb4cb7016951909226979b0d15dc6a8f6d", _SM4_PLAIN),
    ),
}  # fmt: skip


def _algorithms(host: Host, snapshot: Snapshot, address: str) -> tuple[Registered, ...]:
    device = next(one for one in snapshot.devices if one.address == address)
    modules = modules_of(host, device)
    return tuple(one for one in read_crypto(host) if one.module in modules)


def targets(host: Host, snapshot: Snapshot) -> Sequence[str]:
    """The devices whose driver has registered an algorithm."""
    modules = {one.module for one in read_crypto(host)} - {"kernel"}
    return [
        device.address
        for device in (endpoints(snapshot) if modules else ())
        if not modules.isdisjoint(modules_of(host, device))
    ]


def kernel_selftest(trial: Trial) -> str:
    """What the kernel's own tests have found when the driver registered."""
    found = _algorithms(trial.host, trial.snapshot, trial.target)
    failures = _failures(trial.host, {_family(one.driver) for one in found})
    for failure in failures:
        trial.note("kernel log", failure)
    if failures:
        trial.fail(f"the kernel's own test has failed: {failures[0]}")
    untested = [one.driver for one in found if one.selftest != "passed"]
    if untested:
        trial.skip(f"not tested by the kernel (no CONFIG_CRYPTO_SELFTESTS?): {', '.join(untested)}")
    for one in found:
        trial.expect(one.driver, "passed", one.selftest)
    return f"{plural(len(found), 'algorithm')}, all passed"


def _failures(host: Host, families: set[str]) -> list[str]:
    """Lines of the kernel log (crypto/testmgr.c) about drivers of these families.

    Who fails may be gone from /proc/crypto, or stand there as `unknown`.
    """
    try:
        records = host.kernel_log()
    except OSError:
        return []  # /proc/crypto has said what it could.
    found = []
    for record in records:
        text = line(record.partition(b";")[2].split(b"\n")[0])
        _, mark, rest = text.partition("alg: self-tests for ")
        if mark and " using " in rest and "failed" in rest:
            driver = rest.partition(" using ")[2].split(" ")[0]
            found += [text] if _family(driver) in families else []
    return found


def _family(driver: str) -> str:
    """The first word of a driver's name: `hisi` of `hisi_sec_cbc(aes)`."""
    return re.split(r"[^0-9a-z]", driver, maxsplit=1)[0]


# -- digests ---------------------------------------------------------------------------------


def digest(trial: Trial) -> str:
    """Every digest and HMAC, over messages of several lengths."""
    done = 0
    for one in _of_types(trial, _DIGESTS):
        reference = _reference(one.name)
        if reference is None:
            trial.note(one.driver, f"left out: nothing here to compare {one.name} with")
            continue
        trial.say(one.driver)
        key = _KEY if one.name.startswith("hmac(") else b""
        algorithm = _ask(trial, "hash", one.driver, key)
        for length in _LENGTHS:
            message = _MESSAGE[:length]
            trial.expect(f"{one.driver} of {length} bytes", reference(message),
                         algorithm.digest(message))  # fmt: skip
        algorithm.close()
        done += 1
    if not done:
        trial.skip("the driver has no digest that could be compared")
    return plural(done, "digest")


def _reference(name: str) -> Callable[[bytes], bytes] | None:
    """What hashlib makes of the same; None for what it does not know."""
    keyed = name.startswith("hmac(")
    plain = name.removeprefix("hmac(").removesuffix(")").replace("-", "_")
    if plain not in hashlib.algorithms_available:
        return None
    if keyed:
        return lambda data: hmac.digest(_KEY, data, plain)
    return lambda data: hashlib.new(plain, data, usedforsecurity=False).digest()


# -- ciphers ---------------------------------------------------------------------------------


def cipher(trial: Trial) -> str:
    """Every cipher that has an example, both ways, with the keys that it takes."""
    done = 0
    for one in _of_types(trial, _CIPHERS):
        examples = [
            example
            for example in _EXAMPLES.get(one.name, ())
            if one.min_key <= len(example.key) <= one.max_key
        ]
        if not examples:
            trial.note(one.driver, f"left out: no example of {one.name}")
        for example in examples:
            trial.say(f"{one.driver}, {8 * len(example.key)} bits")
            algorithm = _ask(trial, "skcipher", one.driver, example.key)
            what, secret = f"{one.driver}, {example.section}", bytes.fromhex(example.secret)
            encrypted = algorithm.cipher(example.plain, example.vector, encrypt=True)
            trial.expect(f"{what} encrypted", secret, encrypted)
            decrypted = algorithm.cipher(secret, example.vector, encrypt=False)
            trial.expect(f"{what} decrypted", example.plain, decrypted)
            algorithm.close()
        done += bool(examples)
    if not done:
        trial.skip("the driver has no cipher that could be compared")
    return plural(done, "cipher")


def _of_types(trial: Trial, types: tuple[str, ...]) -> Iterator[Registered]:
    for one in _algorithms(trial.host, trial.snapshot, trial.target):
        if one.type in types:
            yield one


def _ask(trial: Trial, kind: str, driver: str, key: bytes) -> Algorithm:
    try:
        return trial.closing(trial.host.algorithm(kind, driver, key))
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT:
            trial.skip("this kernel has no AF_ALG (CONFIG_CRYPTO_USER_API)")
        if error.errno == errno.ENOENT:  # It stands in /proc/crypto, so it is the other name.
            trial.skip(f"this kernel has no algif_{kind}")
        raise


# -- benchmarks ------------------------------------------------------------------------------


def bench_cipher(trial: Trial) -> list[float]:
    """Megabytes a second through the driver's first cipher, a page at a time."""
    for one in _of_types(trial, _CIPHERS):
        for example in _EXAMPLES.get(one.name, ())[:1]:
            algorithm = _ask(trial, "skcipher", one.driver, example.key)
            page = bytes(4096)
            act = partial(algorithm.cipher, page, example.vector, encrypt=True)
            return [len(page) / 1e6 / seconds for seconds in trial.samples(50, act)]
    raise Skipped("the driver has no cipher that is known here")


_NEEDS = "a driver that has registered algorithms; AF_ALG (algif_hash, algif_skcipher)"

TESTS = (
    SelfTest(
        "crypto.kernel-selftest", kernel_selftest, targets,
        proves="the kernel has tested every algorithm of the driver itself",
        needs="a driver that has registered algorithms", touches="nothing",
        why="the kernel log says that one has failed",
        remedy="update driver and firmware; do not use the device's other algorithms either",
    ),
    SelfTest(
        "crypto.digest", digest, targets,
        proves="digests and HMACs of the driver are those of hashlib", needs=_NEEDS,
        touches="the device computes digests of test messages",
        why="a digest is wrong: what is signed or verified with this driver cannot be relied upon",
        remedy="unload the driver, or lower its priority in favour of software; update firmware",
    ),
    SelfTest(
        "crypto.cipher", cipher, targets,
        proves="AES and SM4 of the driver give the examples of the standards, both ways",
        needs=_NEEDS,
        touches="the device encrypts test messages",
        why="a result is wrong: data written through this driver may be lost",
        remedy="unload the driver, or lower its priority in favour of software; update firmware",
    ),
)  # fmt: skip

BENCHMARKS = (
    Benchmark("crypto.rate", bench_cipher, targets, measures="its first cipher, 4096 bytes a time",
              unit="MB/s", needs=_NEEDS),
)  # fmt: skip
