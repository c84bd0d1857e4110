"""Where our files lie (XDG base directory specification). On the path of the first paint."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "sdmtop"
_OF_ROOT = "/var/lib/sdmtop"
"""State of the box and not of a person: where root's is."""


def config_file(environment: "Mapping[str, str]" = os.environ) -> str:
    """The configuration, whether there is one or not."""
    return f"{_base(environment, 'XDG_CONFIG_HOME', '.config')}/{_NAME}/config.toml"


def state_directory(environment: "Mapping[str, str]" = os.environ) -> str:
    """Where the journal lies, and what else must outlive the program."""
    if os.geteuid() == 0:
        return _OF_ROOT
    return f"{_base(environment, 'XDG_STATE_HOME', '.local/state')}/{_NAME}"


def screens_directory(environment: "Mapping[str, str]" = os.environ) -> str:
    """Where saved screens go."""
    return f"{state_directory(environment)}/screens"


def flush_directory(path: str) -> None:
    """Have the name of a new file on the disk, too."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _base(environment: "Mapping[str, str]", variable: str, below_home: str) -> str:
    """A base directory; the specification has a path that is not absolute ignored."""
    path = environment.get(variable, "")
    if path.startswith("/"):
        return path.rstrip("/") or "/"
    home = environment.get("HOME") or os.path.expanduser("~")
    return f"{home.rstrip('/')}/{below_home}"
