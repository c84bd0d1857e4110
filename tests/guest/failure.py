"""The one error of everything that runs guests: a sentence, and where to look."""

from pathlib import Path


class GuestError(Exception):
    """What went wrong, on one line; `log` is the file or directory that tells more."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        super().__init__(what if log is None else f"{what}; see {log}")


class UnavailableError(GuestError):
    """This machine cannot run guests, and why: a reason to skip, except in CI."""


class LackingError(GuestError):
    """This kernel was built without a thing: a reason to skip what needs it, everywhere."""
