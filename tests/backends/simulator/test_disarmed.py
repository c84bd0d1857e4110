"""A simulated host can be disarmed like any other."""

from __future__ import annotations

import errno

import pytest

from sdmtop.backends.base import open_host


def test_what_is_disarmed_is_not_changed() -> None:
    host = open_host("sim:default?at=0")
    assert host.refusal() is None
    host.disarmed = "not today"
    assert host.refusal() == "not today"
    for change in (
        lambda: host.write("/sys/bus/pci/drivers_probe", b"x"),
        lambda: host.load_module("vfio-pci"),
        lambda: host.open("/dev/vfio/vfio"),
    ):
        with pytest.raises(OSError, match="not today") as caught:
            change()
        assert caught.value.errno == errno.EROFS
