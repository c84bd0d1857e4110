"""What stock kernels are built without: the tables of Intel's units, iommufd, nodes of devices."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import pytest

from tests.guest import witnesses
from tests.guest.conftest import FULL_KERNEL, snapshot_of
from tests.guest.scenes import QUEUE, override
from tests.guest.topologies import BRIDGED_NIC, EDU, FAR_NVME, NIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.guest.conftest import Json, Sight
    from tests.guest.guest import Guest, Job

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", FULL_KERNEL, indirect=True, ids="-".join),
]


def group_with(snapshot: Json, address: str) -> Json:
    (found,) = (group for group in snapshot["groups"] if address in group["devices"])
    assert isinstance(found, dict)
    return found
