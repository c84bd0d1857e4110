"""The algorithms of the kernel's crypto API, and the modules that a device's driver is made of.

Sources: `/proc/crypto`, a block of `key : value` lines for each; the `module` links of drivers.
"""

from sdmtop.backends.base import Host
from sdmtop.model import Device, Record
from sdmtop.readers.sysfs import is_absent, name_of, number
from sdmtop.text import line

_PATH = "/proc/crypto"
_LIMIT = 1 << 20


class Registered(Record, frozen=True):
    """A block of `/proc/crypto`. `name` is the algorithm, `driver` who does it.

    `selftest` is `passed` or `unknown`: not tested yet, or tests are not built in. `min_key` and
    `max_key` are bytes, 0 for what takes none.
    """

    name: str
    driver: str
    module: str
    type: str
    selftest: str
    min_key: int
    max_key: int


def read_crypto(host: Host) -> tuple[Registered, ...]:
    """Every algorithm that is registered, in the kernel's order; none without a crypto API.

    Raises `OSError` where the file is there and cannot be read.
    """
    try:
        text = host.read(_PATH, _LIMIT)
    except OSError as error:
        if is_absent(error):
            return ()
        raise
    return tuple(_registered(block) for block in text.split(b"\n\n") if b":" in block)


def _registered(block: bytes) -> Registered:
    fields = {}
    for row in block.split(b"\n"):
        key, _, value = row.partition(b":")
        fields[line(key)] = line(value)
    return Registered(
        name=fields.get("name", ""),
        driver=fields.get("driver", ""),
        module=fields.get("module", ""),
        type=fields.get("type", ""),
        selftest=fields.get("selftest", ""),
        min_key=number(fields.get("min keysize", "")) or 0,
        max_key=number(fields.get("max keysize", "")) or 0,
    )


def modules_of(host: Host, device: Device) -> frozenset[str]:
    """The modules of the device's driver, and of those on the virtio bus that it brings along.

    Raises nothing: a module that cannot be told is left out.
    """
    found = {_module(host, device.path)}
    try:
        below = [name for name in host.list(device.path) if name.startswith("virtio")]
    except OSError:
        below = []
    found.update(_module(host, f"{device.path}/{name}") for name in below)
    return frozenset(found - {""})


def _module(host: Host, path: str) -> str:
    try:
        return name_of(host.readlink(f"{path}/driver/module").encode()) or ""
    except OSError:
        return ""
