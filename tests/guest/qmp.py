"""QEMU's monitor: devices plugged and pulled, and the end of the machine."""

import json
import socket
import time
from typing import Any

from tests.guest.failure import GuestError

_TIMEOUT = 60.0


class Monitor:
    """One connection; events are kept until somebody waits for them."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.settimeout(_TIMEOUT)
        self._pending = b""
        self._events: list[dict[str, Any]] = []

    def greet(self) -> None:
        """What the protocol wants before the first command."""
        self._receive()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """One command; raises `GuestError` when QEMU refuses it."""
        order = {"execute": command, "arguments": arguments}
        try:
            self._socket.sendall(json.dumps(order).encode() + b"\n")
            while "event" in (answer := self._receive()):
                self._events.append(answer)
        except OSError as error:
            raise GuestError(f"no answer from QEMU's monitor to {command}: {error}") from error
        if "error" in answer:
            raise GuestError(f"QEMU refused {command}: {answer['error']['desc']}")
        return answer.get("return")

    def wait_for_event(self, name: str, **data: str) -> None:
        """Wait until QEMU says that something has happened."""
        deadline = time.monotonic() + _TIMEOUT
        while time.monotonic() < deadline:
            for event in self._events:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    self._events.remove(event)
                    return
            try:
                self._events.append(self._receive())
            except OSError as error:
                raise GuestError(f"no event {name} from QEMU: {error}") from error
        raise GuestError(f"no event {name} from QEMU in {_TIMEOUT:.0f} s")

    def close(self) -> None:
        """Let go; the machine stays."""
        self._socket.close()

    def _receive(self) -> dict[str, Any]:
        while b"\n" not in self._pending:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("QEMU has closed its monitor")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message
