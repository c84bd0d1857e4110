"""The writer that never waits for the terminal."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
import tty
from collections.abc import Iterator

import pytest

from sdmtop.tui.output import Output


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """(our end, the program's end) of a terminal that changes nothing of what is written."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def read_available(fd: int) -> bytes:
    os.set_blocking(fd, False)
    parts = []
    while True:
        try:
            parts.append(os.read(fd, 65536))
        except BlockingIOError:
            return b"".join(parts)


def test_what_the_terminal_takes_is_written_at_once(ends: tuple[int, int]) -> None:
    async def run() -> bytes:
        output = Output(ends[1], asyncio.get_running_loop())
        output.write("höre\x1b[H")
        written = read_available(ends[0])
        output.close(0.1)
        return written

    assert asyncio.run(run()) == "höre\x1b[H".encode()


def test_a_full_terminal_gets_the_rest_in_order_when_it_is_ready(ends: tuple[int, int]) -> None:
    text = "".join(f"{number:06}\n" for number in range(40_000))

    async def run() -> bytes:
        output = Output(ends[1], asyncio.get_running_loop())
        output.write(text[:1000])
        output.write(text[1000:])
        received = b""
        for _ in range(100_000):
            received += read_available(ends[0])
            if len(received) >= len(text):
                break
            await asyncio.sleep(0)
        output.close(0.1)
        return received

    assert asyncio.run(run()) == text.encode()


def test_closing_does_not_wait_longer_than_it_may(ends: tuple[int, int]) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        output = Output(ends[1], loop)
        output.write("x" * 1_000_000)
        begin = loop.time()
        output.close(0.05)
        return loop.time() - begin

    assert asyncio.run(run()) < 5.0


def test_the_programs_own_descriptor_stays_blocking(ends: tuple[int, int]) -> None:
    async def run() -> bool:
        output = Output(ends[1], asyncio.get_running_loop())
        blocking = os.get_blocking(ends[1])
        output.close(0.1)
        return blocking

    assert asyncio.run(run())


def test_a_terminal_that_is_gone_takes_everything() -> None:
    ours, theirs = pty.openpty()

    async def run() -> None:
        output = Output(theirs, asyncio.get_running_loop())
        os.close(ours)
        output.write("lost")
        output.write("as well")
        output.close(0.1)

    asyncio.run(run())
    os.close(theirs)


def test_what_is_no_terminal_is_refused() -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        try:
            with pytest.raises(OSError, match="ioctl"):
                Output(writing, asyncio.get_running_loop())
        finally:
            os.close(reading)
            os.close(writing)

    asyncio.run(run())
