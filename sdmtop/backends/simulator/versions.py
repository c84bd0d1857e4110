"""How kernels differ, as data: which behaviour goes with a scenario's `kernel`.

Observed on 6.1, 6.12 and 7.0, or read in the 2018 series (4.19).
docs/modelled-kernel.md has the list.
"""

from __future__ import annotations

import errno
from typing import NamedTuple


class Behaviour(NamedTuple):
    """What differs. Where a kernel is not in the table, the newest that is not newer counts."""

    busy_type: int
    """errno of a write to a group's `type` while a driver or a process owns the group."""

    many_type: bool
    """Whether a group of several devices can change its type."""

    live_type: bool
    """Whether `DMA` becomes `DMA-FQ` under a bound driver."""

    writable_type: bool
    """Whether `type` can be written at all."""

    not_viable: int
    """errno of SET_CONTAINER on a group that is not viable."""

    direct_region: int
    """errno of a claim of a device with a `direct` reserved region."""

    managed_affinity: int
    """errno of a write to the affinity of an interrupt whose CPU the kernel chooses."""

    core_counts_mdevs: bool
    """Whether the mdev core refuses (EUSERS) when no instance is left, or the driver itself."""

    vfio_dev: bool
    """Whether there is a class `vfio-dev`."""

    cdev: bool
    """Whether VFIO devices have a node of their own, and there is /dev/iommu."""

    syspath_in_fdinfo: bool
    """Whether `fdinfo` names the device behind a descriptor."""

    locked_override: bool
    """Whether `driver_override` is behind the device's lock."""

    device_in_chip: bool
    """Whether the chip of an MSI is named after its device."""

    amd_features_first: bool
    """Whether AMD's `features` begin with EFR (or with EFR2)."""

    narrow_rows: bool
    """Whether /proc/interrupts has one blank before the chip, not two."""

    segment_in_fault: bool
    """Whether Intel's fault lines name the PCI segment."""

    device_in_probe: bool
    """Whether the log's line of a failed probe is one of the device, or of the driver."""


_2018 = Behaviour(
    busy_type=errno.EBUSY, many_type=False, live_type=False, writable_type=False,
    not_viable=errno.EINVAL, direct_region=errno.EPERM, core_counts_mdevs=False, vfio_dev=False,
    cdev=False, syspath_in_fdinfo=False, locked_override=True, device_in_chip=False,
    amd_features_first=False, narrow_rows=False, segment_in_fault=False,
    managed_affinity=errno.EIO, device_in_probe=False,
)  # fmt: skip
_6_1 = _2018._replace(
    busy_type=errno.EBUSY, live_type=True, writable_type=True, not_viable=errno.EPERM,
    core_counts_mdevs=True, vfio_dev=True,
)  # fmt: skip
_6_12 = _6_1._replace(
    busy_type=errno.EPERM, many_type=True, direct_region=errno.EINVAL, locked_override=False,
    device_in_chip=True, amd_features_first=True, managed_affinity=errno.EPERM,
    device_in_probe=True,
)  # fmt: skip
_7_0 = _6_12._replace(
    cdev=True, syspath_in_fdinfo=True, narrow_rows=True, segment_in_fault=True
)  # fmt: skip

KERNELS = {(4, 19): _2018, (6, 1): _6_1, (6, 12): _6_12, (7, 0): _7_0}


def behaviour(release: str) -> Behaviour:
    """The behaviour of a kernel, `6.12` or `6.12.95+deb12-amd64`.

    Raises `ValueError` (a sentence) for a release that is older than all that are known.
    """
    parts = release.split(".")
    digits = [part[: len(part) - len(part.lstrip("0123456789"))] for part in parts[:2]]
    if len(digits) < 2 or not all(digits):
        raise ValueError(f"{release!r} is not the release of a kernel")
    version = (int(digits[0]), int(digits[1]))
    known = [one for one in KERNELS if one <= version]
    if not known:
        raise ValueError(f"kernel {release} is older than 4.19, the first that is modelled")
    return KERNELS[max(known)]
