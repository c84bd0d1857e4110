"""What is mounted and swapped to, by anybody: `/proc/*/mountinfo`, `/proc/swaps`, `/sys/fs`."""

from collections.abc import Iterator

from sdmtop.carried import SYSTEMS
from sdmtop.operations.blast.survey import Survey
from sdmtop.readers.mounts import Mount, essence, namespaces, parse_mountinfo
from sdmtop.text import fact

SOURCE = "mounts"


class Mounts:
    """All mounts that can be seen."""

    def __init__(self, mounts: list[Mount]) -> None:
        self.by_number: dict[str, list[Mount]] = {}
        self.ours: list[Mount] = []
        for mount in mounts:
            self.by_number.setdefault(mount.number, []).append(mount)
            if mount.pid is None:
                self.ours.append(mount)
        self._points = {mount.point: mount for mount in self.ours}

    def all(self) -> Iterator[Mount]:
        """Each of them."""
        for mounts in self.by_number.values():
            yield from mounts

    def of_path(self, path: str) -> Mount | None:
        """The mount of our namespace that a path is on: the longest, of equals the last."""
        while path.startswith("/"):
            found = self._points.get(path)
            if found is not None:
                return found
            path = path.rpartition("/")[0] or ("/" if path != "/" else "")
        return None


def read_mounts(survey: Survey) -> Mounts:
    """The mounts of our namespace, then those of all others that have a process.

    On another host, whose `/proc/self` is not there, that of its first process stands for ours.
    """
    found: list[Mount] = []
    lines: set[tuple[bytes, ...]] = set()
    for pid, text in namespaces(survey.host.read, _processes(survey)):
        if isinstance(text, OSError):
            survey.doubt(SOURCE, f"/proc/{pid}/mountinfo", text)
            continue
        # A hundred containers share most of their lines.
        new = [line for line in text.split(b"\n") if essence(line) not in lines]
        found += parse_mountinfo(b"\n".join(new), int(pid) if lines else None)
        lines.update(map(essence, new))
    if not lines:
        survey.say_doubt(SOURCE, "no process shows what is mounted")
    return Mounts(found)


def _processes(survey: Survey) -> Iterator[str]:
    yield "self"
    for pid in sorted(filter(str.isdecimal, survey.names(SOURCE, "/proc")), key=int):
        if survey.enough():
            survey.say_doubt(SOURCE, "not all mount namespaces were looked at: out of time")
            return
        yield pid


def read_swaps(survey: Survey) -> list[str]:
    """The paths of `/proc/swaps`: of partitions and of files."""
    rows = survey.read(SOURCE, "/proc/swaps").split(b"\n")[1:]
    return [fact(row.split()[0].replace(b"\\040", b" ")) for row in rows if row.strip()]


def read_active(survey: Survey) -> dict[str, str]:
    """Block device -> type of a file system that is mounted somewhere, seen or not."""
    return {
        fact(name): type_
        for type_ in SYSTEMS
        for name in survey.names(SOURCE, f"/sys/fs/{type_}", optional=True)
    }
