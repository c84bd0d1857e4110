"""Algorithms of a device, beside hashlib and NIST's examples."""

import errno
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES, SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB, XTS

from sdmtop.backends.tree import Entry, Link, TreeHost
from sdmtop.selftests.crypto import BENCHMARKS, TESTS
from sdmtop.selftests.records import Measurement, Result
from sdmtop.selftests.registry import jobs
from sdmtop.selftests.runner import Run
from tests.records import device, snapshot

DEVICE = device("0000:07:00.0", group=1, driver="hisi_sec2")
BOX = snapshot(devices=[DEVICE, device("0000:08:00.0", group=2, driver="e1000e")])
BY_NAME = {test.name.removeprefix("crypto."): test for test in TESTS}


def block(name: str, driver: str, kind: str, selftest: str = "passed", keys: int = 0) -> str:
    sizes = f"min keysize  : 16\nmax keysize  : {keys}\n" if keys else ""
    return (
        f"name         : {name}\ndriver       : {driver}\nmodule       : hisi_sec2\n"
        f"selftest     : {selftest}\ntype         : {kind}\n{sizes}\n"
    )


CBC_AES = block("cbc(aes)", "hisi_sec_cbc(aes)", "skcipher", keys=32)
SOFTWARE = "name         : sha1\ndriver       : sha1-generic\nmodule       : kernel\n\n"


class Asked:
    """An algorithm as software has it; `spoilt` answers with the last byte changed."""

    def __init__(self, driver: str, key: bytes, *, spoilt: bool = False) -> None:
        self._driver = driver
        self._key = key
        self._spoilt = spoilt

    def digest(self, data: bytes) -> bytes:
        if self._driver.startswith("hisi_sec_hmac"):
            return self._answer(hmac.digest(self._key, data, "sha256"))
        return self._answer(hashlib.sha256(data).digest())

    def cipher(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        mode: CBC | CTR | ECB | XTS = ECB()
        if "cbc" in self._driver:
            mode = CBC(vector)
        elif "ctr" in self._driver:
            mode = CTR(vector)
        elif "xts" in self._driver:
            mode = XTS(vector)
        kind = SM4 if "sm4" in self._driver else AES
        cipher = Cipher(kind(self._key), mode)
        context = cipher.encryptor() if encrypt else cipher.decryptor()
        return self._answer(context.update(data) + context.finalize())

    def _answer(self, result: bytes) -> bytes:
        return result[:-1] + bytes([result[-1] ^ 1]) if self._spoilt else result

    def close(self) -> None:
        pass


class SecHost(TreeHost):
    """A box with one accelerator of ciphers. Drivers in `asked` have been asked for."""

    spoilt = False
    missing: int | None = None

    def __init__(self, *blocks: str, log: str = "") -> None:
        entries: dict[str, Entry] = {
            "/proc/crypto": "".join((SOFTWARE, *blocks)),
            "/dev/kmsg": log,
            f"{DEVICE.path}/driver": Link("../../../bus/pci/drivers/hisi_sec2"),
            "/sys/bus/pci/drivers/hisi_sec2/module": Link("../../../../module/hisi_sec2"),
        }
        super().__init__(entries)
        self.asked: list[tuple[str, str]] = []

    def refusal(self) -> str | None:
        return None

    def algorithm(self, kind: str, driver: str, key: bytes = b"") -> Asked:
        if self.missing is not None:
            raise OSError(self.missing, "no", driver)
        self.asked.append((kind, driver))
        return Asked(driver, key, spoilt=self.spoilt)


def run(name: str, host: SecHost) -> Result:
    (result,) = Run(host, BOX, jobs([BY_NAME[name]], host, BOX, None))
    assert isinstance(result, Result)
    assert result.target == DEVICE.address
    return result


@pytest.mark.parametrize("mode", ["ecb", "cbc", "ctr"])
def test_aes_gives_the_examples_both_ways_with_both_keys(mode: str) -> None:
    host = SecHost(block(f"{mode}(aes)", f"hisi_sec_{mode}(aes)", "skcipher", keys=32))
    result = run("cipher", host)
    assert (result.result, result.reason) == ("pass", "1 cipher")
    assert len(result.evidence) == 4
    assert set(host.asked) == {("skcipher", f"hisi_sec_{mode}(aes)")}


def test_xts_gives_the_examples_both_ways_with_both_keys() -> None:
    host = SecHost(block("xts(aes)", "hisi_sec_xts(aes)", "skcipher", keys=64))
    result = run("cipher", host)
    assert (result.result, len(result.evidence)) == ("pass", 4)


@pytest.mark.parametrize("mode", ["ecb", "cbc"])
def test_sm4_gives_the_examples_both_ways(mode: str) -> None:
    host = SecHost(block(f"{mode}(sm4)", f"hisi_sec_{mode}(sm4)", "skcipher", keys=16))
    result = run("cipher", host)
    assert (result.result, len(result.evidence)) == ("pass", 2)


def test_a_key_that_the_driver_does_not_take_is_not_tried() -> None:
    host = SecHost(block("cbc(aes)", "hisi_sec_cbc(aes)", "skcipher", keys=16))
    assert len(run("cipher", host).evidence) == 2


def test_digests_and_macs_are_those_of_hashlib() -> None:
    host = SecHost(
        block("sha256", "hisi_sec_sha256", "ahash"),
        block("hmac(sha256)", "hisi_sec_hmac(sha256)", "ahash"),
    )
    result = run("digest", host)
    assert (result.result, result.reason) == ("pass", "2 digests")
    assert host.asked == [("hash", "hisi_sec_sha256"), ("hash", "hisi_sec_hmac(sha256)")]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("cipher", CBC_AES), ("digest", block("sha256", "hisi_sec_sha256", "ahash"))],
)
def test_a_wrong_result_fails_and_names_the_driver(name: str, blocks: str) -> None:
    host = SecHost(blocks)
    host.spoilt = True
    result = run(name, host)
    assert result.result == "fail"
    assert result.reason is not None
    assert result.reason.startswith("hisi_sec_")


def test_what_nothing_compares_with_is_left_out_and_said_so() -> None:
    result = run("digest", SecHost(block("poly1305", "hisi_sec_poly", "ahash")))
    assert result.result == "skip"
    assert [seen.what for seen in result.evidence] == ["hisi_sec_poly"]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EAFNOSUPPORT, "AF_ALG"), (errno.ENOENT, "algif_skcipher")]
)
def test_a_kernel_that_lets_no_process_ask_is_a_skip(number: int, words: str) -> None:
    host = SecHost(CBC_AES)
    host.missing = number
    result = run("cipher", host)
    assert result.result == "skip"
    assert result.reason is not None
    assert words in result.reason


def test_the_kernels_own_tests_have_passed() -> None:
    assert run("kernel-selftest", SecHost(CBC_AES)).result == "pass"


def test_what_the_kernel_has_not_tested_is_not_failed() -> None:
    untested = block("cbc(aes)", "hisi_sec_cbc(aes)", "skcipher", selftest="unknown")
    assert run("kernel-selftest", SecHost(untested)).result == "skip"


def test_what_has_failed_the_kernels_own_test_fails() -> None:
    log = "3,1,2,-;alg: self-tests for ctr(aes) using hisi_sec_ctr(aes) failed (rc=-22)\n"
    result = run("kernel-selftest", SecHost(CBC_AES, log=log))
    assert result.result == "fail"
    assert result.reason is not None
    assert "hisi_sec_ctr(aes) failed" in result.reason


def test_the_failure_of_another_driver_is_not_this_ones() -> None:
    log = "3,1,2,-;alg: self-tests for rsa using virtio-crypto-rsa failed (rc=-22)\n"
    assert run("kernel-selftest", SecHost(CBC_AES, log=log)).result == "pass"


def test_a_device_without_algorithms_has_no_test() -> None:
    assert jobs(TESTS, SecHost(), BOX, None) == []


def test_a_benchmark_measures_the_cipher() -> None:
    host = SecHost(CBC_AES)
    (found,) = Run(host, BOX, jobs(BENCHMARKS, host, BOX, None))
    assert isinstance(found, Measurement)
    assert (found.runs, found.unit) == (50, "MB/s")
