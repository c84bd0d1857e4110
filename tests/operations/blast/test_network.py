"""Network interfaces: the operator's own session, routes, what stands on an interface."""

import errno
import sys
from ipaddress import IPv6Address

import pytest

from sdmtop.backends.tree import Directory, Failure, Link
from sdmtop.operations.plan import VerdictKind
from tests.operations.blast.box import (
    DISK,
    FRIEND,
    NIC,
    OPERATOR,
    OTHER_NIC,
    ROOT,
    SDMTOP,
    SHELL,
    SSHD,
    Box,
    chain,
    kinds,
    of_kind,
)


@pytest.fixture
def box() -> Box:
    """Two network cards; the default route goes through the first."""
    box = Box()
    box.interface("eth0", NIC)
    box.interface("eth1", OTHER_NIC, up=False)
    box.route("eth0")
    return box


def test_an_interface_that_is_down_is_safe(box: Box) -> None:
    assert of_kind(box.radius(OTHER_NIC), "safe") == ["eth1 is down"]


def test_an_interface_that_is_up_has_to_be_typed(box: Box) -> None:
    box.route("eth0", "192.0.2.0/24")
    box.put("/proc/net/fib_trie", "  |-- 192.0.2.1\n     /32 host LOCAL\n")
    box.put("/proc/net/if_inet6", f"{'20010db8' + '0' * 23 + '1'} 02 40 00 80     eth0\n")
    (sentence,) = of_kind(box.radius(NIC), "unsafe")
    assert sentence == (
        "eth0 is up; 192.0.2.1; 2001:db8::1; the default route; the route to 192.0.2.0/24"
    )


def test_the_last_route_to_the_operator_is_refused(box: Box) -> None:
    box.log_in()
    found = box.radius(NIC)
    assert of_kind(found, "refused") == [
        f"the last route to your own session, from {OPERATOR} (a connection of our own ancestors)"
    ]
    assert chain(found, "last route") == (NIC, "eth0", "route to 0.0.0.0/0", OPERATOR)


def test_the_session_is_known_by_its_environment_where_the_socket_is_not(box: Box) -> None:
    box.put(f"/proc/{SDMTOP}/environ", f"A=b\0SSH_CONNECTION={OPERATOR} 5 192.0.2.1 22\0C=d\0")
    assert "SSH_CONNECTION" in of_kind(box.radius(NIC), "refused")[0]


def test_another_card_is_not_the_operators_way(box: Box) -> None:
    box.log_in()
    assert kinds(box.radius(OTHER_NIC)) == {"safe"}


def test_with_another_route_left_it_has_to_be_typed(box: Box) -> None:
    box.log_in()
    box.interface("eth1", OTHER_NIC)
    box.route("eth1", metric=200)
    found = box.radius(NIC)
    assert "refused" not in kinds(found)
    assert chain(found, "your session")[-1] == OPERATOR


@pytest.mark.parametrize(("file", "text"), [("carrier", "0"), ("operstate", "down")])
def test_a_route_over_a_card_without_a_carrier_is_no_other_way(
    box: Box, file: str, text: str
) -> None:
    box.log_in()
    path = box.interface("eth1", OTHER_NIC)
    box.put(f"{path}/{file}", f"{text}\n")
    box.route("eth1", metric=200)
    assert of_kind(box.radius(NIC), "refused")


def test_nor_is_one_over_a_card_that_is_down(box: Box) -> None:
    box.log_in()
    box.route("eth1", metric=200)
    assert of_kind(box.radius(NIC), "refused")


def test_of_one_through_a_tunnel_nobody_knows(box: Box) -> None:
    box.log_in()
    box.upper("wg0", type_="wireguard")
    box.route("wg0", metric=200)
    assert of_kind(box.radius(NIC), "unknown") == [
        f"your session comes in here; another route to {OPERATOR} is left, through wg0, and what "
        "carries that cannot be told"
    ]


def test_two_cards_at_once_are_the_last_two_routes(box: Box) -> None:
    box.log_in()
    box.route("eth1", metric=200)
    assert of_kind(box.radius(NIC, OTHER_NIC), "refused")


def test_the_narrower_route_is_the_one_that_counts(box: Box) -> None:
    box.log_in()
    box.route("eth1", "198.51.100.0/24", metric=900)
    assert chain(box.radius(OTHER_NIC), "last route")[2] == "route to 198.51.100.0/24"
    assert "refused" not in kinds(box.radius(NIC))


def test_a_wider_route_is_no_substitute(box: Box) -> None:
    box.route("eth1", "198.51.100.0/24")
    box.log_in()
    assert of_kind(box.radius(OTHER_NIC), "refused")


def test_a_session_over_ipv6(box: Box) -> None:
    remote = "20010db8" + "0" * 23 + "7"
    box.put(f"/proc/{SDMTOP}/environ", "SSH_CONNECTION=2001:db8::7 5 2001:db8::1 22\0")
    gateway = "fe80" + "0" * 27 + "1"
    box.put(
        "/proc/net/ipv6_route",
        f"{remote[:8]}{'0' * 24} 20 {'0' * 32} 00 {gateway} 00000400 00000001 0 00000003 eth0\n",
    )
    assert chain(box.radius(NIC), "last route")[-2:] == ("route to 2001:db8::/32", "2001:db8::7")


NEIGHBOUR, OURS = "fe80::1234", "fe80::1"


@pytest.fixture
def neighbours(box: Box) -> Box:
    """Both cards are up, and each has a network of neighbours."""
    box.interface("eth1", OTHER_NIC)
    net = f"fe80{'0' * 28} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001"
    box.put("/proc/net/ipv6_route", f"{net} eth0\n{net} eth1\n")
    return box


def by_link_local(box: Box) -> None:
    """A connection as `/proc/net/tcp6` has it; sshd's socket is ours."""
    box.log_in()
    near, far = (tcp6_word(one) for one in (OURS, NEIGHBOUR))
    box.put("/proc/net/tcp", "  sl  local_address rem_address\n")
    box.put(
        "/proc/net/tcp6",
        f"  sl  local_address rem_address\n   0: {near}:0016 {far}:C001 01 "
        "00000000:00000000 00:00000000 00000000     0        0 4242 1 0000 20 4 30 10 -1\n",
    )


def tcp6_word(address: str) -> str:
    packed = IPv6Address(address).packed
    words = (packed[at : at + 4] for at in range(0, 16, 4))
    return "".join(f"{int.from_bytes(one, sys.byteorder):08X}" for one in words)


def test_a_link_local_session_goes_through_the_interface_that_it_names(neighbours: Box) -> None:
    text = f"SSH_CONNECTION={NEIGHBOUR}%eth1 5 {OURS}%eth1 22\0"
    neighbours.put(f"/proc/{SDMTOP}/environ", text)
    found = neighbours.radius(OTHER_NIC)
    assert chain(found, "last route")[1:] == ("eth1", "route to fe80::/64", f"{NEIGHBOUR}%eth1")
    assert kinds(neighbours.radius(NIC)) == {"unsafe"}


def test_its_socket_tells_it_by_our_own_address(neighbours: Box) -> None:
    by_link_local(neighbours)
    ours = IPv6Address(OURS).packed.hex()
    neighbours.put("/proc/net/if_inet6", f"{ours} 03 40 20 80     eth1\n")
    assert of_kind(neighbours.radius(OTHER_NIC), "refused")
    assert kinds(neighbours.radius(NIC)) == {"unsafe"}


def test_where_neither_tells_it_may_go_through_any_interface(neighbours: Box) -> None:
    by_link_local(neighbours)
    for address, name in ((NIC, "eth0"), (OTHER_NIC, "eth1")):
        (sentence,) = of_kind(neighbours.radius(address), "unknown")
        assert sentence.endswith(f"it may go through {name}")


def test_somebody_elses_session_has_to_be_typed(box: Box) -> None:
    box.log_in()
    box.route("eth1", "203.0.113.0/24")
    box.connect(FRIEND, inode=1)
    assert f"an ssh session from {FRIEND} comes in here" in of_kind(box.radius(OTHER_NIC), "unsafe")


@pytest.mark.parametrize("name", ["tmux: server", "screen"])
def test_behind_a_multiplexer_every_ssh_session_may_be_ours(box: Box, name: str) -> None:
    box.connect(FRIEND, inode=1)
    box.process(SHELL, name)
    box.process(SDMTOP, "sdmtop", parent=SHELL, terminal="136:0")
    assert "may be yours" in of_kind(box.radius(NIC), "refused")[0]


def test_an_ssh_server_is_known_on_any_port(box: Box) -> None:
    box.connect(FRIEND, inode=99, port=2222)
    box.connect("192.0.2.77", inode=98, port=2222)  # Of another server.
    box.process(SSHD, "sshd-session", fd3="socket:[99]")
    box.process(SHELL, "tmux: server")
    box.process(SDMTOP, "sdmtop", parent=SHELL, terminal="136:0")
    (sentence,) = of_kind(box.radius(NIC), "refused")
    assert FRIEND in sentence
    assert "may be yours" in sentence


def test_a_session_at_the_machine_itself_goes_through_no_card(box: Box) -> None:
    box.connect(FRIEND, inode=1)
    box.process(SDMTOP, "sdmtop", parent=SHELL, terminal="4:1")
    found = box.radius(NIC)
    assert "refused" not in kinds(found)
    assert f"an ssh session from {FRIEND} comes in here" in of_kind(found, "unsafe")


def test_a_loopback_connection_is_nobodys_way(box: Box) -> None:
    box.log_in("127.0.0.1")
    assert "refused" not in kinds(box.radius(NIC))


def test_a_session_through_a_tunnel_may_go_through_any_card(box: Box) -> None:
    box.upper("wg0", type_="wireguard")
    box.route("wg0", "198.51.100.0/24")
    box.log_in()
    assert of_kind(box.radius(NIC), "unknown") == [
        f"your session from {OPERATOR} comes in through wg0, and what carries that cannot be told"
    ]


def test_a_session_without_a_known_route_may_go_through_any_card() -> None:
    box = Box()
    box.interface("eth0", NIC)
    box.log_in()
    assert any("no route to" in sentence for sentence in of_kind(box.radius(NIC), "unknown"))


def test_on_a_capture_nobody_tells_whose_session_it_is(box: Box) -> None:
    del box.entries["/proc/self"]
    assert of_kind(box.radius(NIC, backend="capture"), "unknown") == [
        "cannot tell whether your session goes through it: "
        "a capture does not tell whose session it is"
    ]


def test_on_a_simulated_host_nobody_sits(box: Box) -> None:
    del box.entries["/proc/self"]
    assert kinds(box.radius(NIC, backend="simulator")) == {"unsafe"}


# -- what stands on an interface -----------------------------------------------------------------


def test_a_bond_whose_only_leg_goes_is_lost(box: Box) -> None:
    box.upper("bond0", "eth1")
    box.route("bond0", "198.51.100.0/24")
    box.log_in()
    found = box.radius(OTHER_NIC)
    assert chain(found, "last route")[:3] == (OTHER_NIC, "eth1", "bond0 (bond)")


def test_a_bond_with_another_leg_only_loses_one(box: Box) -> None:
    box.upper("bond0", "eth0", "eth1")
    box.route("bond0", "198.51.100.0/24")
    box.log_in()
    found = box.radius(OTHER_NIC)
    assert "refused" not in kinds(found)
    assert "bond0 (bond) loses eth1; eth0 stays below it" in of_kind(found, "unsafe")


@pytest.mark.parametrize("up", [True, False])
def test_a_bond_whose_other_leg_does_not_work_is_lost(box: Box, up: bool) -> None:
    box.upper("bond0", "eth0", "eth1")
    path = box.interface("eth1", OTHER_NIC, up=up)
    if up:
        box.put(f"{path}/carrier", "0\n")
    box.route("bond0", "198.51.100.0/24")
    box.log_in()
    assert chain(box.radius(NIC), "last route")[1:3] == ("eth0", "bond0 (bond)")


def test_a_team_has_no_type_and_legs_all_the_same(box: Box) -> None:
    path = box.upper("team0", "eth0", "eth1")
    box.put(f"{path}/uevent", "INTERFACE=team0\n")
    box.route("team0", "198.51.100.0/24")
    box.log_in()
    found = box.radius(OTHER_NIC)
    assert "refused" not in kinds(found)
    assert "team0 loses eth1; eth0 stays below it" in of_kind(found, "unsafe")


def test_one_port_of_a_bridge_does_not_stand_for_another(box: Box) -> None:
    box.interface("eth1", OTHER_NIC)
    box.upper("br0", "eth0", "eth1", type_="bridge")
    box.route("br0", "198.51.100.0/24")
    box.log_in()
    for address, name in ((NIC, "eth0"), (OTHER_NIC, "eth1")):
        assert chain(box.radius(address), "last route")[1:3] == (name, "br0 (bridge)")


def test_through_a_port_without_a_carrier_nothing_comes(box: Box) -> None:
    box.upper("br0", "eth0", "eth1", type_="bridge")
    box.route("br0", "198.51.100.0/24")
    box.log_in()
    found = box.radius(OTHER_NIC)
    assert "refused" not in kinds(found)
    assert "br0 (bridge) loses eth1; eth0 stays below it" in of_kind(found, "unsafe")


def test_a_bond_whose_legs_all_go_is_lost(box: Box) -> None:
    box.upper("bond0", "eth0", "eth1")
    box.route("bond0", "198.51.100.0/24")
    box.log_in()
    assert len(of_kind(box.radius(NIC, OTHER_NIC), "refused")) == 2


def test_a_bridge_is_lost_with_its_only_way_out_whatever_guests_it_has(box: Box) -> None:
    box.upper("vnet0", type_="tap")
    box.upper("br0", "eth1", "vnet0", type_="bridge")
    box.route("br0", "198.51.100.0/24")
    box.log_in()
    found = box.radius(OTHER_NIC)
    assert chain(found, "last route")[1:3] == ("eth1", "br0 (bridge)")


def test_the_chain_goes_through_all_that_stands_on_it(box: Box) -> None:
    box.upper("bond0", "eth1")
    box.upper("bond0.7", "bond0", type_="vlan")
    box.upper("br0", "bond0.7", type_="bridge")
    box.route("br0", "10.0.0.0/8")
    found = box.radius(OTHER_NIC)
    (sentence,) = of_kind(found, "unsafe")
    assert sentence == (
        "eth1 is down below bond0 (bond), bond0.7 (vlan), br0 (bridge); the route to 10.0.0.0/8"
    )


def test_routes_that_every_interface_has_are_not_named(box: Box) -> None:
    box.route("eth0", "169.254.0.0/16")
    box.route("eth0", "224.0.0.0/4")
    assert of_kind(box.radius(NIC), "unsafe") == ["eth0 is up; the default route"]


def test_more_routes_than_one_reads_are_counted(box: Box) -> None:
    for number in range(9):
        box.route("eth0", f"10.{number}.0.0/16")
    assert "; 5 more routes" in of_kind(box.radius(NIC), "unsafe")[0]


# -- what cannot be seen -------------------------------------------------------------------------


def test_an_interface_in_another_namespace_is_unknown() -> None:
    box = Box()
    box.device(NIC)
    assert of_kind(box.radius(NIC), "unknown") == [
        "no interface of it is in this network namespace: it may be in another"
    ]


def test_a_card_without_a_driver_has_no_interface_anywhere() -> None:
    box = Box()
    box.device(NIC, driver=None)
    assert kinds(box.radius(NIC)) == {"safe"}


@pytest.mark.parametrize("path", ["/proc/net/route", f"{ROOT}/{NIC}/net/eth0/flags"])
def test_what_cannot_be_read_leaves_it_open(box: Box, path: str) -> None:
    box.put(path, Failure(errno.EIO))
    assert "unknown" in kinds(box.radius(NIC))


def test_a_capture_without_routes_leaves_it_open(box: Box) -> None:
    host = box.host("capture")
    host.remove("/proc/net/route")
    box.put("/proc/net/route", Failure(errno.ENOENT))
    assert "unknown" in kinds(box.radius(NIC, backend="capture"))


def test_connections_that_cannot_be_read_leave_it_open_who_sits_there(box: Box) -> None:
    box.put("/proc/net/tcp", Failure(errno.EACCES))
    assert any("whether your session" in text for text in of_kind(box.radius(NIC), "unknown"))


# -- what other machines serve -------------------------------------------------------------------


def test_a_root_over_the_network_is_lost_with_the_last_route(box: Box) -> None:
    box.mount("0:70 / / rw - nfs4 192.0.2.9:/root rw,addr=192.0.2.9")
    found = box.radius(NIC)
    assert of_kind(found, "refused") == ["/ is mounted from it (nfs4)"]
    assert chain(found, "/ is mounted") == (NIC, "eth0", "nfs4 192.0.2.9", "/")


def test_an_nfs_mount_has_to_be_typed(box: Box) -> None:
    box.mount("0:70 / /home rw - nfs4 nas:/home rw,addr=192.0.2.9")
    assert "/home is mounted from it (nfs4)" in of_kind(box.radius(NIC), "unsafe")
    assert kinds(box.radius(OTHER_NIC)) == {"safe"}


def test_an_overlay_over_the_network_is_lost_with_it(box: Box) -> None:
    box.mount("0:71 / / rw - overlay overlay rw,lowerdir=/ro,upperdir=/rw/up,workdir=/rw/w")
    box.mount("0:72 / /rw rw - tmpfs tmpfs rw")
    box.mount("0:70 / /ro ro - nfs4 192.0.2.9:/root rw,addr=192.0.2.9")
    found = box.radius(NIC)
    assert of_kind(found, "refused") == ["/ is mounted from it (overlay)"]
    assert chain(found, "overlay") == (NIC, "eth0", "nfs4 192.0.2.9", "/ro", "overlay", "/")


def test_so_is_a_loop_on_a_file_of_another_machine(box: Box) -> None:
    path = box.block("loop0", "/sys/devices/virtual/block/loop0", "7:0")
    box.put(f"{path}/loop/backing_file", "/live/root.squashfs\n")
    box.mount("7:0 / / rw - squashfs /dev/loop0 ro")
    box.mount("0:70 / /live ro - nfs4 192.0.2.9:/live rw,addr=192.0.2.9")
    assert of_kind(box.radius(NIC), "refused") == ["/ is mounted from it (squashfs)"]


def test_so_is_a_file_there_that_is_swapped_to(box: Box) -> None:
    box.mount("0:70 / /srv rw - nfs4 192.0.2.9:/srv rw,addr=192.0.2.9")
    box.swap("/srv/swap")
    assert of_kind(box.radius(NIC), "refused") == ["/srv/swap is swapped to"]


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("192.0.2.9:6789:/", "rw,name=admin"),
        ("mon:6789,192.0.2.9:6789:/root", "rw"),
        ("[2001:db8::9]:6789:/", "rw"),
        ("admin@0e1c-fsid.cephfs=/", "rw,mon_addr=192.0.2.9:6789/[2001:db8::9]:6789"),
    ],
)
def test_the_monitors_of_ceph_are_addresses(box: Box, source: str, options: str) -> None:
    net = "0" * 32
    box.put("/proc/net/ipv6_route", f"{net} 00 {net} 00 {net} 0 1 0 00000003 eth0\n")
    box.mount(f"0:70 / / rw - ceph {source} {options}")
    assert "/ is mounted from it (ceph)" in of_kind(box.radius(NIC), "refused")
    assert kinds(box.radius(OTHER_NIC)) == {"safe"}


@pytest.mark.parametrize("source", ["mon.example:6789:/", "admin@0e1c-fsid.cephfs=/"])
def test_a_server_that_has_only_a_name_may_be_behind_any_card_that_is_up(
    box: Box, source: str
) -> None:
    box.mount(f"0:70 / / rw - ceph {source} rw")
    assert of_kind(box.radius(NIC), "unknown") == [
        f"eth0 may lead to ceph {source}: / is mounted from it (ceph)"
    ]
    assert kinds(box.radius(OTHER_NIC)) == {"safe"}


def test_a_share_of_the_hypervisor_is_on_no_card(box: Box) -> None:
    box.mount("0:70 / /host rw - 9p host rw,trans=virtio")
    assert kinds(box.radius(NIC)) == {"unsafe"}


def test_what_comes_through_a_tunnel_may_come_through_any_card(box: Box) -> None:
    box.upper("wg0", type_="wireguard")
    box.route("wg0", "192.0.2.0/24")
    box.mount("0:70 / / rw - nfs4 192.0.2.9:/root rw,addr=192.0.2.9")
    assert of_kind(box.radius(NIC), "unknown") == [
        "eth0 may lead to nfs4 192.0.2.9: / is mounted from it (nfs4)"
    ]


def test_an_nbd_disk_tells_no_address(box: Box) -> None:
    box.block("nbd0", "/sys/devices/virtual/block/nbd0", "43:0")
    box.mount("43:0 / / rw - ext4 /dev/nbd0 rw")
    assert of_kind(box.radius(NIC), "unknown") == [
        "eth0 may lead to nbd: / is mounted from it (ext4)"
    ]


def test_one_that_is_not_connected_is_nothing(box: Box) -> None:
    box.block("nbd0", "/sys/devices/virtual/block/nbd0", "43:0", b"")
    assert kinds(box.radius(NIC)) == {"unsafe"}


@pytest.mark.parametrize(("cards", "kind"), [("eth0", "refused"), ("eth0,eth1", "unsafe")])
def test_a_disk_over_ethernet_tells_its_cards(box: Box, cards: str, kind: VerdictKind) -> None:
    box.interface("eth1", OTHER_NIC)
    path = box.block("etherd!e0.0", "/sys/devices/virtual/block/etherd!e0.0", "152:0")
    box.put(f"{path}/netif", f"{cards}\n")
    box.mount("152:0 / / rw - ext4 /dev/etherd/e0.0 rw")
    found = box.radius(NIC)
    assert "/ is mounted from it (ext4)" in of_kind(found, kind)
    assert chain(found, "is mounted") == (NIC, "eth0", "AoE", "etherd!e0.0", "/")


def test_an_iscsi_disk_is_lost_with_the_route_to_it(box: Box) -> None:
    session = "/sys/devices/platform/host3/session1"
    connection = f"{session}/connection1:0/iscsi_connection/connection1:0"
    box.part("iscsi_connection", "connection1:0", connection, address="192.0.2.9")
    box.block("sda", f"{session}/target3:0:0/3:0:0:0/block/sda", "8:0")
    box.mount("8:0 / / rw - ext4 /dev/sda rw")
    found = box.radius(NIC)
    assert chain(found, "is mounted") == (NIC, "eth0", "iscsi 192.0.2.9", "sda", "/")
    assert "refused" in kinds(found)


def test_an_nvme_disk_over_the_network_likewise(box: Box) -> None:
    controller = "/sys/devices/virtual/nvme-fabrics/ctl/nvme4"
    box.part(
        "nvme", "nvme4", controller, transport="tcp", state="live",
        address="traddr=192.0.2.9,trsvcid=4420",
    )  # fmt: skip
    box.block("nvme4n1", f"{controller}/nvme4n1", "259:9")
    box.swap("/dev/nvme4n1")
    assert of_kind(box.radius(NIC), "refused") == ["nvme4n1 is swapped to"]


@pytest.mark.parametrize(("second", "kind"), [("192.0.2.10", "refused"), (FRIEND, "unsafe")])
def test_two_controllers_by_one_card_are_one_way(box: Box, second: str, kind: VerdictKind) -> None:
    box.interface("eth1", OTHER_NIC)
    box.route("eth1", "203.0.113.0/24")
    system = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    box.part("nvme-subsystem", "nvme-subsys0", system)
    for index, address in enumerate(("192.0.2.9", second)):
        path = f"/sys/devices/virtual/nvme-fabrics/ctl/nvme{index}"
        box.part(
            "nvme", f"nvme{index}", path, transport="tcp", state="live",
            address=f"traddr={address},trsvcid=4420",
        )  # fmt: skip
        hidden = f"nvme0c{index}n1"
        box.part("block", hidden, f"{path}/{hidden}", hidden="1", size="8")
        box.put(f"{system}/nvme{index}", Link(f"/sys/class/nvme/nvme{index}"))
    box.block("nvme0n1", f"{system}/nvme0n1", "259:0")
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    assert "/ is mounted from it (ext4)" in of_kind(box.radius(NIC), kind)
    assert of_kind(box.radius(NIC, OTHER_NIC), "refused")


def test_the_disk_of_this_machine_is_no_matter_of_its_cards(box: Box) -> None:
    box.disk()
    box.mount("259:0 / / rw - ext4 /dev/nvme0n1 rw")
    assert "refused" not in kinds(box.radius(NIC))
    assert "refused" in kinds(box.radius(DISK))


def test_who_sits_where_is_read_once_through_sudo_and_su(box: Box) -> None:
    box.log_in()
    box.process(950, "sudo", parent=SHELL, terminal="136:1")
    box.process(SDMTOP, "sdmtop", parent=950, terminal="136:1")
    assert of_kind(box.radius(NIC), "refused")


def test_a_process_name_cannot_pretend_to_be_another(box: Box) -> None:
    box.log_in()
    box.put(f"/proc/{SHELL}/stat", f"{SHELL} (a) S 1 (b) S {SSHD} 1 1 0 1 0\n")
    assert of_kind(box.radius(NIC), "refused")


def test_descriptors_of_sshd_that_only_root_may_see(box: Box) -> None:
    box.log_in()
    box.put(f"/proc/{SSHD}/fd", Directory(errno.EACCES))
    del box.entries[f"/proc/{SSHD}/fd/3"]
    assert "may be yours" in of_kind(box.radius(NIC), "refused")[0]


def test_an_address_behind_a_card_of_a_usb_controller(box: Box) -> None:
    controller = box.device("0000:00:05.0", "0x0c0330", "xhci_hcd")
    box._paths["usb"] = controller
    box.interface("usb0", "usb", below="/usb1/1-1/1-1:1.0")
    assert of_kind(box.radius("0000:00:05.0"), "unsafe") == ["usb0 is up"]
    assert Link("../..") == box.entries[f"{controller}/usb1/1-1/1-1:1.0/net/usb0/device"]
