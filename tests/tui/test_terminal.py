"""What a person does, in a real terminal."""

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tui.session import Session

pytestmark = pytest.mark.tty

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A small host in which nothing ever changes."""
    sys_ = tmp_path / "sys"
    devices = sys_ / "devices/pci0000:00"
    for number in range(1, 9):
        address = f"0000:00:{number:02x}.0"
        (devices / address).mkdir(parents=True)
        (devices / address / "uevent").write_text("PCI_CLASS=20000\nPCI_ID=8086:10D3\n")
        group = sys_ / f"kernel/iommu_groups/{number}"
        (group / "devices").mkdir(parents=True)
        (group / "type").write_text("DMA\n")
        (group / "reserved_regions").write_text("")
        (group / "devices" / address).symlink_to(devices / address)
        (devices / address / "iommu_group").symlink_to(group)
    (sys_ / "bus/pci/devices").mkdir(parents=True)
    for device in devices.iterdir():
        link = sys_ / "bus/pci/devices" / device.name
        link.symlink_to(f"../../../devices/pci0000:00/{device.name}")
    (sys_ / "class/iommu/dmar0/intel-iommu").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text("cpu 1\nintr 5 5 0\n")
    (tmp_path / "proc/version").write_text("Linux version 6.12.0-test (x) y\n")
    return f"linux:{tmp_path}"


def test_the_console_shows_the_tree_and_q_leaves_a_clean_terminal(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        assert "group 1" in session.text
        assert "Linux 6.12.0-test" in session.text
        session.type("q")
        assert session.wait_for_exit() == 0
        assert session.leftovers() == []


def test_the_first_paint_is_the_tree_itself(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("0000:00:08.0")
        assert "Inspector" not in session.text


def test_the_console_takes_over_without_a_blank_frame(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("0000:00:08.0")

        def has_taken_over() -> bool:
            assert "0000:00:01.0" in session.text
            return "Inspector" in session.text

        session.wait_for(has_taken_over)
        assert session.output.count(b"\x1b[?1049h") == 1


def test_the_size_is_the_terminals_whatever_the_environment_says(root: str) -> None:
    with Session("--host", root, COLUMNS="80", LINES="24") as session:
        session.wait_for("Inspector")


def test_keys_typed_before_the_console_is_there_are_not_lost(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("0000:00:08.0")
        session.type("jjj")
        session.wait_for("Inspector  0000:00:02.0")


@pytest.mark.parametrize("number", ENDINGS)
def test_a_signal_leaves_a_clean_terminal_and_its_own_exit_status(
    root: str, number: signal.Signals
) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        os.kill(session.pid, number)
        assert session.wait_for_exit() == 128 + number
        assert session.leftovers() == []


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3])
def test_a_signal_during_the_start_leaves_a_clean_terminal(root: str, delay: float) -> None:
    with Session("--host", root) as session:
        session.wait_for("group 1")
        session.pump(delay)
        os.kill(session.pid, signal.SIGTERM)
        assert session.wait_for_exit() == 128 + signal.SIGTERM
        assert session.leftovers() == []


def test_a_terminal_that_is_slow_to_read_is_given_back_as_well(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        for _ in range(30):  # More is drawn than the kernel keeps for who does not read.
            session.type("\t")
            time.sleep(0.03)
        os.kill(session.pid, signal.SIGTERM)
        time.sleep(0.5)
        assert session.wait_for_exit() == 128 + signal.SIGTERM
        assert session.leftovers() == []


def test_ctrl_c_quits(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.type("\x03")
        assert session.wait_for_exit() == 0
        assert session.leftovers() == []


def test_when_the_terminal_goes_away_the_program_ends(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.close()
        assert session.wait_for_exit() == 128 + signal.SIGHUP


def test_stopped_and_continued_it_gives_the_terminal_back_and_takes_it_again(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.type("\x1a")
        session.wait_for(lambda: not session.screen.alt)
        session.wait_for(lambda: _state_of(session.pid) == "T")
        assert session.leftovers() == []
        os.kill(session.pid, signal.SIGCONT)
        session.wait_for(lambda: session.screen.alt and "Inspector" in session.text)
        session.type("j")
        session.wait_for("Inspector  0000:00:01.0")
        before = _cpu_of(session.pid)
        session.pump(1.0)
        assert _cpu_of(session.pid) - before < 0.5
        session.type("q")
        assert session.wait_for_exit() == 0
        assert session.leftovers() == []


def _stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _state_of(pid: int) -> str:
    return _stat_of(pid)[0]


def _cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    user, system = _stat_of(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


CRASH = """
import sys
import sdmtop.tui.app as app
def crash(self): raise RuntimeError("crash on purpose")
app.Console.action_sort = crash
from sdmtop.launch import main
sys.exit(main())
"""


def test_a_crash_leaves_a_clean_terminal_and_exits_with_1(root: str) -> None:
    with Session("--host", root, program=(sys.executable, "-c", CRASH)) as session:
        session.wait_for("Inspector")
        session.type("s")
        assert session.wait_for_exit() == 1
        assert session.leftovers() == []
        assert b"crash on purpose" in session.output


HANG = """
import sys, time
from sdmtop.backends.linux import LinuxHost
read = LinuxHost.read
def hang(self, path, limit=65536):
    if path.endswith("0000:00:03.0/driver_override"):
        self.enter(path)
        time.sleep(3600)
    return read(self, path, limit)
LinuxHost.read = hang
from sdmtop.launch import main
sys.exit(main())
"""


def test_a_read_that_hangs_is_named_and_the_screen_stays_alive(root: str) -> None:
    with Session("--host", root, program=(sys.executable, "-c", HANG)) as session:
        session.wait_for("STALE")
        assert re.search(r"STALE \d+s: /sys/", session.text)
        session.wait_for("Inspector")
        session.wait_for("0000:00:03.0")
        session.type("j")
        session.wait_for("Inspector  0000:00:01.0")
        session.type("q")
        assert session.wait_for_exit() == 0
        assert session.leftovers() == []


DEAF = """
import sys
from sdmtop.tui.app import Console
def spin(self):
    self.bell()
    while True:
        pass
Console.action_origin = spin
from sdmtop.launch import main
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_console_that_hangs_in_its_own_code_still_obeys_a_signal(
    root: str, number: signal.Signals
) -> None:
    with Session("--host", root, program=(sys.executable, "-c", DEAF)) as session:
        session.wait_for("Inspector")
        session.type("o")
        session.pump(0.5)
        os.kill(session.pid, number)
        assert session.wait_for_exit() == 128 + number
        assert session.leftovers() == []


def test_nothing_is_written_while_nothing_changes(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("every 1s")
        session.pump(1.5)
        if (second := time.localtime().tm_sec) > 50:
            session.pump(60 - second)
        session.wait_for(time.strftime("%H:%M every"))  # The clock follows within two seconds.
        session.pump(0.2)
        assert session.pump(3.0) == b""


def test_a_storm_of_resizes_ends_with_the_right_picture(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        for columns in range(30, 160, 7):
            session.resize(columns, 12 + columns % 30)
            session.pump(0.01)
        session.resize(120, 40)
        session.pump(1.0)
        assert "group 1" in session.text
        assert "q Quit" in session.text
        session.type("q")
        assert session.wait_for_exit() == 0


def test_80x24_keeps_the_tree_and_gives_each_pane_a_key(root: str) -> None:
    with Session("--host", root, size=(80, 24)) as session:
        session.wait_for("q Quit")
        assert "group 1" in session.text
        assert "2 Inspector" in session.text.splitlines()[-1]
        assert "domain type" not in session.text
        session.type("2")
        session.wait_for("domain type")
        session.type("4")
        session.wait_for("IRQ")
        session.type("5")
        session.wait_for("Events")
        session.type("1")
        session.wait_for("group 1")


def test_below_its_least_size_the_console_says_how_much_room_it_needs(root: str) -> None:
    with Session("--host", root, size=(30, 8)) as session:
        session.wait_for("q quits; sdmtop needs 40x10")
        session.type("q")
        assert session.wait_for_exit() == 0


def test_no_color_is_respected(root: str) -> None:
    with Session("--host", root, NO_COLOR="1") as session:
        session.wait_for("Inspector")
        session.pump(0.5)
        colours = re.findall(rb"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8])[0-9;]*m", session.output)
        assert colours == []


def test_on_a_dumb_terminal_the_output_is_plain(root: str) -> None:
    with Session("--host", root, TERM="dumb") as session:
        assert session.wait_for_exit() == 0
        assert b"\x1b" not in session.output
        assert b"group 1" in session.output


def test_the_filter_shows_only_what_matches_until_it_is_cleared(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.type("/")
        session.type("00:05")
        session.type("\r")
        session.wait_for("/00:05")
        session.wait_for(lambda: "0000:00:06.0" not in session.text)
        session.type("\x1b")
        session.wait_for("0000:00:06.0")


def test_after_a_filter_that_nothing_answers_the_whole_tree_is_there_again(root: str) -> None:
    with Session("--host", root, size=(80, 15)) as session:
        session.wait_for("IRQ/S")
        session.pump(1.0)
        whole = session.text.splitlines()[1:-3]
        session.type("/nothing")
        session.pump(0.3)
        session.type("\r")
        session.wait_for("no line answers to nothing")
        session.type("\x1b")
        session.pump(1.0)
        assert session.text.splitlines()[1:-3] == whole


def test_a_pane_that_comes_forward_with_the_key_after_it_is_drawn_whole(root: str) -> None:
    with Session("--host", root, size=(80, 15)) as session:
        session.wait_for("IRQ/S")
        session.pump(1.0)
        session.type("j")
        session.pump(0.5)
        whole = session.text.splitlines()[1:-3]
        for keys in ("2j", "4j", "5j", "1k", "1j"):
            session.type(keys)
            session.pump(0.5)
        assert session.text.splitlines()[1:-3] == whole


def test_keys_that_come_together_are_obeyed_in_their_order(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.type("/00:05\r")
        session.wait_for("/00:05")
        session.wait_for(lambda: "0000:00:06.0" not in session.text)


def test_a_character_may_come_in_two_parts(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.type("/")
        session.wait_for("enter Keep")
        os.write(session.fd, b"\xc3")
        time.sleep(0.3)
        os.write(session.fd, b"\xa4")
        session.wait_for("\u00e4")
        session.pump(0.3)
        assert "enter Keep" in session.text


def test_ctrl_l_draws_the_whole_screen_again(root: str) -> None:
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.pump(0.5)
        session.screen.feed(b"\x1b[2J")
        assert "group 1" not in session.text
        session.type("\x0c")
        session.wait_for("group 1")
        session.wait_for("q Quit")


def configured(directory: Path, text: str) -> str:
    """The value of XDG_CONFIG_HOME under which this is the configuration."""
    (directory / "sdmtop").mkdir()
    (directory / "sdmtop" / "config.toml").write_text(text)
    return str(directory)


def test_settings_and_keys_come_from_the_configuration(root: str, tmp_path: Path) -> None:
    text = 'columns = ["state", "iommu"]\ninterval = 7\n[keys]\nhelp = "f1"\nquit = ["X", "f10"]\n'
    with Session("--host", root, XDG_CONFIG_HOME=configured(tmp_path, text)) as session:
        session.wait_for("every 7s")
        assert "f1 Help" in session.text
        assert "X Quit" in session.text
        assert re.search(r"STATE +IOMMU", session.text)
        session.type("q?")
        session.pump(0.3)
        assert "f1 Help" in session.text
        session.type("X")
        assert session.wait_for_exit() == 0


def test_a_configuration_that_is_wrong_is_refused_before_the_screen_is_taken(
    root: str, tmp_path: Path
) -> None:
    home = configured(tmp_path, "\n[keys]\nsort = 'p'\n")
    with Session("--host", root, XDG_CONFIG_HOME=home) as session:
        assert session.wait_for_exit() == 2
        assert b"config.toml: line 3: sort: p is the key of pause" in session.output
        assert b"\x1b" not in session.output


def test_the_command_line_goes_before_the_configuration(root: str, tmp_path: Path) -> None:
    home = configured(tmp_path, "interval = 7\n")
    with Session("--host", root, "--interval", "3", XDG_CONFIG_HOME=home) as session:
        session.wait_for("every 3s")


def test_over_ssh_it_reads_every_two_seconds(root: str) -> None:
    with Session("--host", root, SSH_TTY="/dev/pts/9") as session:
        session.wait_for("every 2s")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--ascii"], {}), ([], {"LC_ALL": "de_DE.ISO-8859-1"}), ([], {"TERM": "linux"})],
)
def test_where_only_ascii_can_be_drawn_nothing_else_is(
    root: str, arguments: list[str], environment: dict[str, Any]
) -> None:
    with Session("--host", root, *arguments, **environment) as session:
        session.wait_for("Inspector")
        session.type("4?")
        session.wait_for("Keys everywhere")
        session.type("\x1b")
        session.pump(0.5)
        assert "v group 1" in session.text
        assert [char for char in session.output.decode() if not char.isascii()] == []


def test_without_the_mouse_the_terminal_keeps_it(root: str) -> None:
    with Session("--host", root, "--no-mouse") as session:
        session.wait_for("Inspector")
        session.pump(0.3)
        assert not any(session.screen.private.get(mode) for mode in (1000, 1002, 1003, 1006))
    with Session("--host", root) as session:
        session.wait_for("Inspector")
        session.wait_for(lambda: bool(session.screen.private.get(1000)))


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "linux"}, {"TERM": "xterm"}])
def test_with_few_colours_or_none_the_selection_is_still_seen(
    root: str, environment: dict[str, Any]
) -> None:
    with Session("--host", root, **environment) as session:
        session.wait_for("Inspector")
        session.pump(0.3)
        row = next(y for y, line in enumerate(session.screen.screen.display) if "group 1" in line)
        cells = session.screen.screen.buffer[row]
        assert cells[3].reverse
        assert not session.screen.screen.buffer[row + 1][3].reverse
        assert session.screen.screen.buffer[0][3].reverse
        codes = re.findall(rb"\x1b\[([0-9;]*)m", session.output)
        assert not [code for code in codes if b"38;" in code or b"48;" in code]
