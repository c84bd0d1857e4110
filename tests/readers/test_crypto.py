"""The kernel's crypto API."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.tree import Failure, Link, TreeHost
from sdmtop.readers.crypto import Registered, modules_of, read_crypto
from tests.records import device

TEXT = b"""\
name         : cbc(aes)
driver       : virtio_crypto_aes_cbc
module       : virtio_crypto
priority     : 150
refcnt       : 1
selftest     : passed
internal     : no
type         : skcipher
async        : yes
blocksize    : 16
min keysize  : 16
max keysize  : 32
ivsize       : 16

name         : sha256
driver       : sha256-generic
module       : kernel
selftest     : unknown
type         : shash
digestsize   : 32

"""


def test_each_block_is_an_algorithm() -> None:
    cbc, sha = read_crypto(TreeHost({"/proc/crypto": TEXT}))
    assert cbc == Registered(
        name="cbc(aes)", driver="virtio_crypto_aes_cbc", module="virtio_crypto", type="skcipher",
        selftest="passed", min_key=16, max_key=32,
    )  # fmt: skip
    assert (sha.driver, sha.selftest, sha.min_key, sha.max_key) == (
        "sha256-generic", "unknown", 0, 0,
    )  # fmt: skip


def test_a_kernel_without_a_crypto_api_has_none() -> None:
    assert read_crypto(TreeHost({})) == ()


def test_a_file_that_fails_is_not_an_empty_one() -> None:
    with pytest.raises(OSError, match="/proc/crypto"):
        read_crypto(TreeHost({"/proc/crypto": Failure(errno.EIO)}))


@given(st.binary())
def test_any_text_is_read_without_a_traceback(text: bytes) -> None:
    for one in read_crypto(TreeHost({"/proc/crypto": text})):
        assert one.min_key >= 0 or one.max_key >= 0


def test_modules_are_those_of_the_driver_and_of_what_it_brings_along() -> None:
    one = device("0000:07:00.0")
    host = TreeHost(
        {
            f"{one.path}/driver": Link("../../../bus/pci/drivers/virtio-pci"),
            "/sys/bus/pci/drivers/virtio-pci/module": Link("../../../../module/virtio_pci"),
            f"{one.path}/virtio5/driver": Link("../../../../bus/virtio/drivers/virtio_crypto"),
            "/sys/bus/virtio/drivers/virtio_crypto/module": Link(
                "../../../../module/virtio_crypto"
            ),
        }
    )
    assert modules_of(host, one) == {"virtio_pci", "virtio_crypto"}
    assert modules_of(TreeHost({}), one) == frozenset()
