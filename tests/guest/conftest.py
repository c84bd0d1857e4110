"""Guests, booted once for all tests that look at the same kernel on the same topology."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pytest

from tests.guest import witnesses
from tests.guest.failure import GuestError, LackingError, UnavailableError
from tests.guest.guest import Guest
from tests.guest.kernels import FULL, SERIES, STOCK, Kernel, get_kernel
from tests.guest.packages import install_tools
from tests.guest.scenes import make_busy
from tests.guest.topologies import TOPOLOGIES, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACES = [
    (series, topology)
    for series in SERIES
    for topology in TOPOLOGIES
    # QEMU's virtio IOMMU does not know what is behind a bridge; kernels of 7 then give it up.
    if (series, topology) != (FULL, "virtio")
]

STOCK_KERNELS = [(series, "intel") for series in STOCK]
"""For what needs modules that the full kernel is built without, such as those of file systems."""

EVERY_KERNEL = [(series, "intel") for series in SERIES]
"""For what does not depend on the topology: the one with most in it."""

FULL_KERNEL = [(FULL, "intel"), (FULL, "intel-scalable")]
"""For what stock kernels lack: iommufd, the cdev of VFIO, the tables of Intel's units, dmatest."""

SCENES = ("untouched", "busy")

Json = dict[str, Any]
Told = TypeVar("Told")


class Scene:
    """A machine that nobody changes for a while: each witness is asked once."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._answers: dict[tuple[Any, ...], Any] = {}

    def ask(self, witness: Callable[..., Told], *about: str) -> Told:
        """What an independent tool says."""
        key = (witness, *about)
        if key not in self._answers:
            self._answers[key] = witness(self.guest, *about)
        told: Told = self._answers[key]
        return told


class Sight(NamedTuple):
    """One look at a machine: the snapshot, and the interrupts just before and after it."""

    scene: Scene
    ordinary: bool
    snapshot: Json
    before: dict[str, int]
    after: dict[str, int]

    @property
    def guest(self) -> Guest:
        """The machine."""
        return self.scene.guest

    def ask(self, witness: Callable[..., Told], *about: str) -> Told:
        """What an independent tool says of the machine in this scene."""
        return self.scene.ask(witness, *about)

    def by(self, kind: str, key: str) -> dict[Any, Json]:
        """The records of a kind, by a field that identifies them."""
        return {record[key]: record for record in self.snapshot[kind]}


def snapshot_of(guest: Guest, *, ordinary: bool = False) -> Json:
    """One reading by the program in the guest."""
    text = guest.sdmtop("snapshot", "--format", "json", ordinary=ordinary).out
    snapshot: Json = json.loads(text)
    return snapshot


def group_with(snapshot: Json, address: str) -> Json:
    """The record of the group that a device is in."""
    (found,) = (group for group in snapshot["groups"] if address in group["devices"])
    group: Json = found
    return group


def queue_of(snapshot: Json, uuid: str) -> Json:
    """The record of an mdev or sdmdev."""
    (found,) = (queue for queue in snapshot["sdmdevs"] if queue["id"] == uuid)
    queue: Json = found
    return queue


@pytest.fixture(scope="session", params=PLACES, ids=["-".join(place) for place in PLACES])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A machine that has just booted, or that the tests before have used."""
    series, topology = request.param
    if series == FULL and "SDMTOP_GUEST_FULL" not in os.environ:
        pytest.skip("stock kernels lack what this is about: `make guest-full` has a kernel built")
    try:
        install_tools()
        machine = _booted(get_kernel(series), TOPOLOGIES[topology])
    except LackingError as lack:
        pytest.skip(str(lack))
    except UnavailableError as why:
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"CI must run guests, and cannot: {why}")
        pytest.skip(str(why))
    failed_before = request.session.testsfailed
    with machine:
        yield machine
        if request.session.testsfailed > failed_before:
            machine.keep()


def _booted(kernel: Kernel, topology: Topology) -> Guest:
    """A machine that is up. One in some hundred boots of an emulated 6.1 loses its timer."""
    try:
        return Guest(kernel, topology)
    except GuestError:
        return Guest(kernel, topology)


@pytest.fixture
def busy(guest: Guest) -> Guest:
    """The machine with VFs, vfio-pci, uio, mdevs and sdmdevs."""
    make_busy(guest)
    return guest


@pytest.fixture(scope="session", params=SCENES)
def scene(request: pytest.FixtureRequest, guest: Guest) -> Scene:
    """As it came up; then with VFs, vfio-pci, uio, mdevs and sdmdevs."""
    if request.param == "busy":
        make_busy(guest)
    return Scene(guest)


@pytest.fixture(scope="session", params=["root", "ordinary"])
def sight(request: pytest.FixtureRequest, guest: Guest, scene: Scene) -> Sight:
    """The machine in a scene, as a user sees it."""
    ordinary = request.param == "ordinary"
    before = witnesses.interrupt_totals(guest)
    snapshot = snapshot_of(guest, ordinary=ordinary)
    return Sight(scene, ordinary, snapshot, before, witnesses.interrupt_totals(guest))


def pytest_itemcollected(item: pytest.Item) -> None:
    """With `--dist loadgroup`, all tests of one boot go to one worker."""
    if (place := _place(item)) is not None:
        item.add_marker(pytest.mark.xdist_group("-".join(place)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One boot after the other, and in each the untouched machine before all that changes it."""

    def order(item: pytest.Item) -> tuple[int, int]:
        place, scene = _place(item), _parameter(item, "scene")
        if place is None:
            return -1, 0
        return PLACES.index(place), SCENES.index(scene) if scene else len(SCENES)

    items.sort(key=order)


def _place(item: pytest.Item) -> tuple[str, str] | None:
    place: tuple[str, str] | None = _parameter(item, "guest")
    return place


def _parameter(item: pytest.Item, name: str) -> Any:
    call = getattr(item, "callspec", None)
    return call.params.get(name) if call is not None else None
