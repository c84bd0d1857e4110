"""The crypto API: what the driver of a SEC registers, and how a process asks for it (AF_ALG)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.backends.simulator.accelerators import sec
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.sec import Sec
    from sdmtop.backends.simulator.kernel import Kernel


class _Registered(NamedTuple):
    """An algorithm; `mode` is what the hardware calls it."""

    name: str
    type: str
    mode: int

    @property
    def driver(self) -> str:
        return f"hisi_sec_{self.name}"


_ALGORITHMS = (
    _Registered("ecb(aes)", "skcipher", sec.ECB),
    _Registered("cbc(aes)", "skcipher", sec.CBC),
    _Registered("ctr(aes)", "skcipher", sec.CTR),
    _Registered("sha256", "ahash", sec.SHA256),
    _Registered("hmac(sha256)", "ahash", sec.SHA256),
)
_KINDS = {"skcipher": "skcipher", "ahash": "hash"}


def table(kernel: Kernel) -> str:
    """`/proc/crypto`."""
    device = _device(kernel)
    if device is None or device.driver is None:
        return ""
    return "".join(
        f"name         : {one.name}\n"
        f"driver       : {one.driver}\n"
        f"module       : {device.driver.name}\n"
        "priority     : 300\nrefcnt       : 1\nselftest     : passed\ninternal     : no\n"
        f"type         : {one.type}\nasync        : yes\n{_sizes(one)}\n"
        for one in _ALGORITHMS
    )


def _sizes(one: _Registered) -> str:
    if one.type == "ahash":
        return "blocksize    : 64\ndigestsize   : 32\n"
    vector = 0 if one.mode == sec.ECB else 16
    return f"blocksize    : 16\nmin keysize  : 16\nmax keysize  : 32\nivsize       : {vector}\n"


def _device(kernel: Kernel) -> PciDevice | None:
    """The first SEC that its driver has; the kernel would take the nearest."""
    for device in kernel.pci.devices.values():
        if not isinstance(device, PciDevice) or device.spec.accelerator != "sec":
            continue
        if device.driver is not None and device.driver.name.startswith("hisi_sec"):
            return device
    return None


class Transform:
    """An algorithm with a key. Raises ENOENT where no driver has registered it."""

    def __init__(self, kernel: Kernel, kind: str, driver: str, key: bytes) -> None:
        device = _device(kernel)
        found = [one for one in _ALGORITHMS if one.driver == driver and _KINDS[one.type] == kind]
        if device is None or not found:
            raise refusal(errno.ENOENT, f"no driver has registered {driver}")
        (self._algorithm,) = found
        if self._algorithm.type == "skcipher" and len(key) not in (16, 24, 32):
            raise refusal(errno.EINVAL, f"no key of AES has {len(key)} bytes")
        self._hardware: Sec = device.accelerator()  # type: ignore[assignment]
        self._key = key

    def digest(self, data: bytes) -> bytes:
        """See `base.Algorithm.digest`."""
        operation = sec.MAC if self._key else sec.DIGEST
        return self._compute(operation, data, self._key)

    def cipher(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        """See `base.Algorithm.cipher`."""
        operation = sec.ENCRYPT if encrypt else sec.DECRYPT
        return self._compute(operation, data, vector + self._key)

    def _compute(self, operation: int, data: bytes, extra: bytes) -> bytes:
        result = self._hardware.compute(operation, self._algorithm.mode, data, extra)
        if result is None:
            raise refusal(errno.EINVAL, f"{self._algorithm.driver} cannot do that")
        return self._hardware.spoil(result)
