"""What a host that can only be read answers when it is asked to change."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sdmtop.backends.base import Algorithm, Handle, Memory, Signal, Write

TIME_STANDS_STILL = 0.0


class Frozen:
    """The changing half of a `base.Host` that refuses to change: EROFS, as a file system would."""

    why_frozen = "a capture is only read"
    taken_at: str | None = None
    disarmed: str | None = None

    def refusal(self) -> str | None:
        """See `base.Host.refusal`."""
        return self.why_frozen

    def write(self, path: str, data: bytes) -> Write:
        """See `base.Host.write`."""
        del data
        self._refuse(path)

    def load_module(self, name: str) -> Write:
        """See `base.Host.load_module`."""
        self._refuse(name)

    def open(self, path: str) -> Handle:
        """See `base.Host.open`."""
        self._refuse(path)

    def memory(self, size: int) -> Memory:
        """See `base.Host.memory`."""
        del size
        self._refuse("memory")

    def signal(self) -> Signal:
        """See `base.Host.signal`."""
        self._refuse("eventfd")

    def algorithm(self, kind: str, driver: str, key: bytes = b"") -> Algorithm:
        """See `base.Host.algorithm`."""
        del kind, key
        self._refuse(driver)

    def now(self) -> float:
        """See `base.Host.now`."""
        return TIME_STANDS_STILL

    def sleep(self, seconds: float) -> None:
        """See `base.Host.sleep`: nothing here could change by waiting."""

    def _refuse(self, what: str) -> NoReturn:
        raise OSError(errno.EROFS, self.why_frozen, what)
