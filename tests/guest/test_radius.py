"""What a real kernel shows of a device in use is what the verdicts say."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.guest.conftest import STOCK_KERNELS, snapshot_of
from tests.guest.scenes import FIRST_VF, override
from tests.guest.topologies import NIC, NVME, PLUGGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", STOCK_KERNELS, indirect=True, ids="-".join),
]

OPERATOR = "198.51.100.7"
ROOT_SHARE, CONSOLE_BRIDGE = "0000:00:0a.0", "0000:00:1f.0"
SIZE = 512 * 1024 * 1024

# 1: mounted as /boot; 2: swap; 3: half of a mirror, mounted; 4: below a device mapper; 5: a file
# system that nobody uses; 6: nothing; 7: mounted in another namespace; 8: the root of a process.
PARTITIONS = "label: gpt\n" + "size=48MiB\n" * 8
CARRY = r"""set -e
disk=$1
p=${disk}p
mkfs.ext4 -q -F ${p}1; mkdir -p /boot /data /other; mount ${p}1 /boot
mkswap ${p}2 >&2; swapon ${p}2
modprobe --all raid1 dm-mod
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 ${p}3 missing >&2
mkfs.ext4 -q -F /dev/md0; mount /dev/md0 /data
echo 0 1000 linear ${p}4 0 | dmsetup create mapped
mkfs.ext4 -q -F ${p}5
mkfs.ext4 -q -F ${p}7; mkfs.ext4 -q -F ${p}8
unshare --mount --propagation private sh -c \
  "mount ${p}7 /other; mount ${p}8 /mnt; cp /usr/bin/busybox /mnt; mkdir /mnt/proc; \
   chroot /mnt /busybox sleep 1000 & touch /run/carried; exec sleep 1000" &
until [ -e /run/carried ]; do sleep 0.02; done
echo $!
"""
DROP = r"""
disk=$1
kill $2 $(pgrep -P $2); while kill -0 $2; do sleep 0.02; done
umount /boot /data; mdadm --stop /dev/md0; dmsetup remove mapped; swapoff ${disk}p2
rm -f /run/carried
"""


class Told(NamedTuple):
    """One verdict."""

    kind: str
    subject: str
    sentence: str
    evidence: tuple[str, ...]


def radius(guest: Guest, *addresses: str, ordinary: bool = False, session: str = "") -> list[Told]:
    """The verdicts, as the guest's kernel lets a user see them."""
    module = "tests.guest.inside.radius"
    if session:
        job = guest.start(
            sys.executable, "-m", module, *addresses, ordinary=ordinary, SSH_CONNECTION=session
        )
    else:
        job = guest.start_python(module, *addresses, ordinary=ordinary)
    done = job.wait()
    assert done.status == 0, done.err.decode()
    return [
        Told(one["kind"], one["subject"], one["sentence"], tuple(one["evidence"]))
        for one in json.loads(done.out)
    ]


class Disk:
    """The disk in the guest, and the process in a mount namespace of its own."""

    def __init__(self, guest: Guest, name: str, pid: str) -> None:
        self.guest = guest
        self.name = name
        self.pid = pid
        self._told: dict[bool, list[Told]] = {}

    def verdicts(self, *, ordinary: bool = False) -> list[Told]:
        """What is said of it, to root or not: asked once, since nobody changes it."""
        if ordinary not in self._told:
            self._told[ordinary] = radius(self.guest, PLUGGED, ordinary=ordinary)
        return self._told[ordinary]


def of_node(verdicts: list[Told], name: str) -> list[tuple[str, str]]:
    """Kind and sentence of what is said of a disk or partition."""
    return [(one.kind, one.sentence) for one in verdicts if name in one.evidence]


def test_a_connection_of_an_ancestor_is_the_operators(guest: Guest) -> None:
    """A shell that has a connection to this machine starts sdmtop: as sshd would.

    The first test, since the disk of the others takes the one port that is vacant.
    """
    guest.plug_network_card("online")
    link = f"/sys/bus/pci/devices/{PLUGGED}/net"
    guest.run("sh", "-c", f"until ls {link}/*; do sleep 0.1; done")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        job = guest.start(
            "bash", "-ec", _CONNECTED, "bash", link, str(port), sys.executable, PLUGGED
        )
        done = job.wait()
    assert done.status == 0, done.err
    refused = [one["sentence"] for one in json.loads(done.out) if one["kind"] == "refused"]
    assert refused == [
        "the last route to your own session, from 10.0.2.2 (a connection of our own ancestors)"
    ]
    guest.pull("online")


_CONNECTED = """
name=$(ls $1)
ip link set $name up
ip addr add 10.0.2.15/24 dev $name
until exec 5<>/dev/tcp/10.0.2.2/$2; do sleep 0.2; done
$3 -m tests.guest.inside.radius $4
"""


@pytest.fixture(scope="module")
def disk(guest: Guest) -> Iterator[Disk]:
    """A disk that carries something of every kind."""
    guest.plug_disk("busydisk", SIZE)
    place = f"/sys/bus/pci/devices/{PLUGGED}"
    guest.run("modprobe", "nvme")
    guest.run("sh", "-c", f"until ls {place}/nvme/*/nvme*n1/size; do sleep 0.1; done")
    name = guest.run("sh", "-c", f"basename {place}/nvme/*/nvme*n1").text.strip()
    guest.run("sh", "-c", f"printf '{PARTITIONS}' | sfdisk --quiet /dev/{name}")
    guest.run("sh", "-c", f"until [ -b /dev/{name}p8 ]; do sleep 0.1; done")
    pid = guest.run("sh", "-c", CARRY, "sh", f"/dev/{name}").text.split()[-1]
    yield Disk(guest, name, pid)
    guest.run("sh", "-c", DROP, "sh", f"/dev/{name}", pid)
    guest.pull("busydisk")


def expected(disk: Disk) -> dict[int, tuple[str, str]]:
    """What everybody may know, by partition."""
    name = disk.name
    return {
        1: ("refused", "/boot is mounted from it (ext4)"),
        2: ("refused", f"{name}p2 is swapped to"),
        3: ("refused", "/data is mounted from it (ext4)"),
        4: ("refused", f"dm-0 (mapped) is built on {name}p4"),
        7: ("unsafe", f"/other is mounted from it (ext4), for process {disk.pid} among others"),
    }


@pytest.mark.parametrize("ordinary", [False, True])
def test_what_is_in_use_is_known_to_everybody(disk: Disk, ordinary: bool) -> None:
    verdicts = disk.verdicts(ordinary=ordinary)
    for number, verdict in expected(disk).items():
        assert of_node(verdicts, f"{disk.name}p{number}") == [verdict]


def test_the_evidence_leads_through_the_mirror(disk: Disk) -> None:
    verdicts = disk.verdicts()
    (chain,) = [one.evidence for one in verdicts if one.evidence[-1] == "/data"]
    assert chain == (PLUGGED, disk.name, f"{disk.name}p3", "md0 (raid1)", "/data")


def test_a_root_in_another_namespace_is_refused(disk: Disk) -> None:
    (verdict,) = of_node(disk.verdicts(), f"{disk.name}p8")
    assert verdict[0] == "refused"
    assert verdict[1].startswith("/")


def test_root_is_told_what_unused_partitions_hold(disk: Disk) -> None:
    verdicts = disk.verdicts()
    assert of_node(verdicts, f"{disk.name}p5") == [
        ("unsafe", f"{disk.name}p5 holds ext2/3/4, which nobody uses now")
    ]
    assert of_node(verdicts, f"{disk.name}p6") == [("safe", f"{disk.name}p6 holds nothing")]


def test_others_are_told_that_they_may_not_know(disk: Disk) -> None:
    verdicts = disk.verdicts(ordinary=True)
    unknown = [one.sentence for one in verdicts if one.kind == "unknown"]
    assert any(f"/dev/{disk.name}p5: Permission denied (EACCES)" in text for text in unknown)
    assert any("cannot be looked into" in text for text in unknown)
    assert not of_node(verdicts, f"{disk.name}p6")


def test_a_program_that_reads_the_disk_is_named(disk: Disk) -> None:
    reader = disk.guest.start("sh", "-c", f"exec 5</dev/{disk.name}p6; echo open; exec sleep 99")
    reader.wait_for_output("open")
    try:
        sentences = [one.sentence for one in radius(disk.guest, PLUGGED)]
        assert f"/dev/{disk.name}p6 is open in sleep (process {reader.pid})" in sentences
    finally:
        reader.kill()


def test_the_root_of_the_guest_itself_is_refused(guest: Guest) -> None:
    """It is an overlay over a share of QEMU's, of which the guest shows no more than that."""
    assert "refused" in {one.kind for one in radius(guest, ROOT_SHARE)}


def test_the_bridge_to_the_console_is_refused(guest: Guest) -> None:
    sentences = [one.sentence for one in radius(guest, CONSOLE_BRIDGE) if one.kind == "refused"]
    assert "the console ttyS0 is a port of old, which is behind this bridge" in sentences


# -- network -------------------------------------------------------------------------------------


@pytest.fixture
def card(guest: Guest) -> Iterator[str]:
    """The card's interface, up, with an address and the default route."""
    link = f"/sys/bus/pci/devices/{NIC}/net"
    override(guest, NIC, "e1000e")
    name = guest.run("ls", link).text.strip()
    guest.run(
        "sh", "-ec", "ip link set $1 up; ip addr add 192.0.2.1/24 dev $1; "
        "ip route add default via 192.0.2.254", "sh", name,
    )  # fmt: skip
    yield name
    guest.run(
        "sh", "-c", "ip link del bond0; ip netns del far; ip addr flush dev $1; "
        "ip link set $1 down", "sh", name, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("ordinary", [False, True])
def test_the_last_route_to_the_operator(guest: Guest, card: str, ordinary: bool) -> None:
    verdicts = radius(guest, NIC, ordinary=ordinary, session=f"{OPERATOR} 5 192.0.2.1 22")
    assert [(one.kind, one.evidence) for one in verdicts if one.kind == "refused"] == [
        ("refused", (NIC, card, "route to 0.0.0.0/0", OPERATOR))
    ]
    assert f"{card} is up; 192.0.2.1; the default route; the route to 192.0.2.0/24" in [
        one.sentence for one in verdicts if one.kind == "unsafe"
    ]


def test_the_same_below_a_bond(guest: Guest, card: str) -> None:
    guest.run(
        "sh", "-ec", "ip addr flush $1; ip link set $1 down; ip link add bond0 type bond; "
        "ip link set $1 master bond0; ip link set bond0 up; ip addr add 192.0.2.2/24 dev bond0; "
        "ip route add default via 192.0.2.254", "sh", card,
    )  # fmt: skip
    verdicts = radius(guest, NIC, session=f"{OPERATOR} 5 192.0.2.2 22")
    (refused,) = [one.evidence for one in verdicts if one.kind == "refused"]
    assert refused[:3] == (NIC, card, "bond0 (bond)")


def test_an_interface_in_another_namespace_is_not_seen(guest: Guest, card: str) -> None:
    guest.run("sh", "-ec", "ip netns add far; ip link set $1 netns far", "sh", card)
    (verdict,) = [one for one in radius(guest, NIC) if one.kind != "safe"]
    assert verdict.kind == "unknown"
    assert verdict.sentence == (
        "no interface of it is in this network namespace: it may be in another"
    )


# -- virtual functions ---------------------------------------------------------------------------


def test_a_virtual_function_that_is_held_goes_with_its_physical_one(busy: Guest) -> None:
    override(busy, FIRST_VF, "vfio-pci")
    (device,) = [d for d in snapshot_of(busy)["devices"] if d["address"] == FIRST_VF]
    holder = busy.start_python(
        "tests.guest.inside.hold", str(device["group"]), "--device", FIRST_VF
    )
    holder.wait_for_output("holding")
    try:
        (held,) = [one for one in radius(busy, NVME) if "is held by" in one.sentence]
        assert held.kind == "unsafe"
        assert held.evidence[:3] == (NVME, FIRST_VF, f"/dev/vfio/{device['group']}")
    finally:
        holder.kill()
        holder.wait()
