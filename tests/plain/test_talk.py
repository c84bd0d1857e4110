"""What is answered in the conversation, as one hears it."""

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.collector import SLOW
from sdmtop.plain.commands import COMMANDS, PAGE
from sdmtop.plain.session import Session
from sdmtop.plain.talk import PROMPT, Lines, Talk, talk
from sdmtop.recorder import Recorder
from sdmtop.replay import Replayer
from sdmtop.sampler import Stall
from tests.hosts import NIC, PARENT, UUID, box, plug, stat, unplug
from tests.samples import CARD, life
from tests.tui.still import StillSampler

BUSY = "capture:tests/trees/guest-6.12-intel-busy.tar.xz"


class Listener:
    """One conversation, and the host that it is about."""

    def __init__(self, host: TreeHost | None = None) -> None:
        self.host = host or box()
        self.sampler = StillSampler(self.host)
        self.talk = Talk(Session(self.sampler))
        self.sampler.start()

    def __call__(self, said: str) -> list[str]:
        return list(self.talk.answer(said))

    def tick(self, seconds: float = SLOW) -> None:
        self.sampler.tick(seconds)


@pytest.fixture
def say() -> Listener:
    return Listener()


def test_what_an_earlier_run_has_left_is_told_on_a_machine_that_is_slow_to_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sdmtop.plain.session._PATIENCE", 0.0)
    monkeypatch.setattr("sdmtop.plain.actions.look_back", lambda _session: ["left behind"])
    silent = StillSampler(TreeHost({}, backend="linux"))  # It has not been started.
    assert list(Talk(Session(silent)).greeting()) == [
        "nothing has been read yet",
        "left behind",
        "say list, or help",
    ]


def test_it_begins_with_the_host_and_with_what_can_be_said(say: Listener) -> None:
    assert list(say.talk.greeting()) == [
        "host box, a capture, Linux 6.12.0-test, IOMMU intel, 3 groups, 2 devices, 1 queue",
        "say list, or help",
    ]


def test_on_a_box_without_an_iommu_it_says_what_to_do() -> None:
    host = open_host("capture:tests/trees/no-iommu.tar.xz")
    assert isinstance(host, TreeHost)
    assert any("No IOMMU is active" in line for line in Listener(host).talk.greeting())


def test_every_line_of_the_tree_is_a_numbered_sentence(say: Listener) -> None:
    assert say("list") == [
        "1: group 1, default domain DMA, owner kernel",
        f"2: device {PARENT}, driver edu, state bound, Ethernet 8086:10d3",
        f"3: queue {UUID}, type edu-fact, state orphan, held by nobody, group 21, domain emulated; "
        "sdmdev",
        "4: group 2, default domain DMA, owner kernel",
        f"5: device {NIC}, driver e1000e, state bound, Ethernet 8086:10d3",
    ]


def test_one_kind_of_things_can_be_listed(say: Listener) -> None:
    assert [line.split()[2] for line in say("list groups")] == ["1,", "2,"]
    assert len(say("list queues")) == 1
    assert say("list chairs") == ["list what? groups, devices, queues or all"]


def test_a_thing_keeps_its_number_whatever_comes_and_goes(say: Listener) -> None:
    say("list")
    plug(say.host, CARD, group=3)
    unplug(say.host, NIC, group=2)
    say.tick()
    numbers = {line.split()[2].rstrip(","): line.split(":")[0] for line in say("list devices")}
    assert numbers == {PARENT: "2", CARD: "6"}
    assert say("show 5") == [f"5 was {NIC}, which is gone"]


def test_a_filter_is_a_query(say: Listener) -> None:
    assert say("filter driver:e1000e") == ["2 lines to list"]
    assert [line.split(":")[0] for line in say("list")] == ["filter driver", "1", "2"]
    assert say("filter") == ["filter driver:e1000e"]
    assert say("filter off") == ["5 lines to list"]
    assert say("filter") == ["there is no filter"]


def test_what_is_wrong_with_a_filter_is_said_with_the_place(say: Listener) -> None:
    (answer,) = say("filter owner:kernel colour:red")
    assert answer.startswith("at character 14: there is no field colour")


def test_a_number_alone_shows_all_facts_with_their_meaning(say: Listener) -> None:
    say("list")
    assert say("5") == say("show 5") == say(f"show {NIC}")
    assert "driver: e1000e. the kernel driver that is bound" in say("5")
    assert "domain type: DMA. the group's default domain, not what is attached now" in say(
        "show group 2"
    )


def test_the_origin_of_a_fact_is_the_file(say: Listener) -> None:
    path = f"/sys/devices/pci0000:00/{NIC}/driver"
    assert f"driver: e1000e, from {path}" in say(f"origin {NIC}")


def test_why_says_whether_a_group_can_be_given_away_and_who_is_in_the_way(say: Listener) -> None:
    for said in ("why group/2", f"why {NIC}"):
        assert say(said) == [
            f"group 2 cannot be given to VFIO: {NIC} is bound to e1000e",
            f"it has {NIC}, driver e1000e",
            "group 2 is held by nobody",
            "attached now is DMA, inferred",
        ]
    assert say(f"why {UUID}")[0].startswith("group 1 cannot be given to VFIO")


def test_why_tells_an_unbind_under_way_from_no_driver(say: Listener) -> None:
    say.host.remove(f"/sys/devices/pci0000:00/{NIC}/driver")
    say.tick(60.0)
    assert say("why group/2")[:2] == [
        f"whether group 2 can be given to VFIO cannot be told: cannot tell the driver of {NIC}",
        f"it has {NIC}, an unbind of it is under way",
    ]


def test_interrupts_come_with_their_rate_the_busiest_first(say: Listener) -> None:
    say.tick(1.0)
    say.host.put("/proc/stat", stat(0, 10, 20, 530))
    say.tick(1.0)
    first, second = say(f"interrupts {NIC}")
    assert first.startswith("interrupt 3, 500 a second, 530 in all")
    assert first.endswith(f"eth0-tx, of {NIC}")
    assert second.startswith("interrupt 2, 0.0 a second, 20 in all")
    assert say(f"interrupts {UUID}") == ["it has no interrupt of its own"]


def test_why_no_pasid_is_known_is_said(say: Listener) -> None:
    first, *reasons = say("pasids")
    assert first == "no live PASID is known here"
    assert any("no debugfs here" in reason for reason in reasons)


def test_events_are_told_and_none_is_told_too(say: Listener) -> None:
    assert say("events") == ["nothing has happened"]
    plug(say.host, CARD, group=3)
    say.tick()
    assert [line.split(", ", 1)[1] for line in say("events")] == [
        "group 3 appeared", f"{CARD} appeared"
    ]  # fmt: skip
    assert len(say("events 1")) == 1
    assert say("events many") == ["events takes a number"]


def test_one_can_go_back_in_time_and_is_told_so_in_every_answer(say: Listener) -> None:
    plug(say.host, CARD, group=3)
    say.tick()
    assert len(say("list devices")) == 3
    (state,) = say("back")
    assert state.startswith("paused at ")
    assert say("list devices")[0].startswith("paused at ")
    assert len(say("list devices")) == 3
    assert say("back")[-1] == "no older moment is kept"
    assert say("pause")[-1] == "this is the newest moment"
    assert len(say("list devices")) == 3


def test_a_read_that_hangs_is_told_with_every_answer(say: Listener) -> None:
    say.sampler.stall = Stall(paths=("/sys/stuck",), seconds=7.2)
    assert say("host")[0] == "/sys/stuck has not answered for 7 seconds"


def test_a_long_answer_comes_in_parts() -> None:
    host = open_host(BUSY)
    assert isinstance(host, TreeHost)
    say = Listener(host)
    whole, part = [], say("list")
    while part[-1] == "there is more: say more, or press enter":
        assert len(part) == PAGE + 1
        whole += part[:-1]
        part = say("")
    whole += part
    assert [line.split(":")[0] for line in whole] == [str(n) for n in range(1, len(whole) + 1)]
    assert say("more") == []


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("jump", "jump is no command: say help"),
        ("h", "h may be host or help"),
        ("show", "of what? say a number, as list tells them"),
        ("show 77", "there is no number 77 yet: say list"),
        ("why chair", "there is no chair here"),
        ("\x1b[31m", "\\x1b[31m is no command: say help"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(said: str, answer: str) -> None:
    assert Listener()(said) == [answer]


def test_help_tells_every_command(say: Listener) -> None:
    told = [line.partition(":")[0].split()[0] for line in (*say("help"), *say(""))]
    assert [name for name in told if name != "there"] == list(COMMANDS)


@given(st.text(), st.sampled_from(["", *COMMANDS]))
def test_whatever_is_said_the_answer_can_be_printed(said: str, word: str) -> None:
    for line in Listener()(f"{word} {said}"):
        assert line.isprintable()


@given(st.text(min_size=1))
def test_a_name_from_the_kernel_is_never_said_as_it_is(name: str) -> None:
    host = box()
    host.put("/proc/sys/kernel/hostname", f"{name}\n")
    assert all(line.isprintable() for line in Listener(host).talk.greeting())


# -- the conversation itself -----------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[Lines, Callable[[str], None]]]:
    """Lines to be read, and how to say them."""
    reading, writing = os.pipe()
    yield Lines(reading), lambda text: _write(writing, text)
    os.close(reading)
    os.close(writing)


def _write(fd: int, text: str) -> None:
    os.write(fd, text.encode())


def test_it_prompts_answers_and_ends(
    say: Listener, pipe: tuple[Lines, Callable[[str], None]]
) -> None:
    lines, speak = pipe
    heard: list[str] = []
    speak("list groups\nquit\nlist\n")
    talk(say.talk.session, lines, heard.append)
    text = "".join(heard)
    assert text.count(PROMPT) == 2
    assert text.endswith(f"2: group 2, default domain DMA, owner kernel\n{PROMPT}")


def test_what_happens_is_told_while_one_watches(
    say: Listener, pipe: tuple[Lines, Callable[[str], None]]
) -> None:
    lines, speak = pipe
    heard: list[str] = []
    said = threading.Event()

    def hear(text: str) -> None:
        heard.append(text)
        if text.startswith("watching"):
            plug(say.host, CARD, group=3)
            say.tick()
        if f"{CARD} appeared" in text:
            said.set()
            speak("\nquit\n")

    speak("watch\n")
    talk(say.talk.session, lines, hear)
    assert said.is_set()
    assert len([text for text in heard if "appeared" in text]) == 2


def test_in_a_recording_one_goes_from_event_to_event(tmp_path: Path) -> None:
    name = str(tmp_path / "box.recording")
    with Recorder(name, most_bytes=1 << 30, most_seconds=1e9) as recorder:
        for sample in life("irq", "plug", "irq", "unplug"):
            recorder.add(sample)
    replayer = Replayer(f"replay:{name}?at=-0")
    say = Talk(Session(replayer))
    replayer.start()
    try:
        answer = list(say.answer("previous"))
        assert answer[-1].endswith(f"{CARD} appeared")
        assert any(CARD in line for line in say.answer("list"))
        assert list(say.answer("previous"))[-1] == "no earlier event is kept"
    finally:
        replayer.stop()


def test_it_works_in_a_pipe_without_a_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdmtop", "--plain", "--host", BUSY],
        input="list groups\nwhy 1\nquit\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "group 0 can be given to VFIO as it is" in done.stdout


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("<&-", "standard input: it is closed (EBADF)"),
        (">&- </dev/null", "standard output: it is closed (EBADF)"),
        (">/dev/full </dev/null", "standard output: No space left on device (ENOSPC)"),
    ],
)
def test_where_nobody_can_be_heard_it_says_why_and_ends(how: str, sentence: str) -> None:
    command = shlex.join([sys.executable, "-m", "sdmtop", "--plain", "--host", "sim:empty"])
    done = subprocess.run(
        ["sh", "-c", f"{command} {how}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"sdmtop: {sentence}\n")


def test_a_host_that_is_not_there_is_an_error_as_ever() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdmtop", "--plain", "--host", "capture:/no/x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "sdmtop: capture:/no/x: No such file or directory (ENOENT)\n"
