import os
from pathlib import Path

from sdmtop.backends.linux import LinuxHost
from sdmtop.backends.logs import ListedLog
from sdmtop.backends.tree import TreeHost

OLD, NEW = b"6,1,0,-;hello\n", b"6,2,9,-;again\n"


def test_a_log_that_is_followed_tells_each_record_once(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    kmsg = tmp_path / "dev" / "kmsg"
    kmsg.write_bytes(OLD)
    log = LinuxHost(str(tmp_path)).follow_log()
    assert (log.fresh(), log.fresh()) == ([OLD], [])
    with kmsg.open("ab") as file:
        file.write(NEW)
    assert (log.fresh(), log.fresh()) == ([NEW], [])
    log.close()


def test_a_log_that_nobody_writes_to_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    os.mkfifo(tmp_path / "dev" / "kmsg")
    log = LinuxHost(str(tmp_path)).follow_log()
    assert log.fresh() == []
    log.close()


def test_the_log_of_a_tree_is_followed_too() -> None:
    host = TreeHost({"/dev/kmsg": OLD})
    log = host.follow_log()
    assert log.fresh() == [OLD]
    host.put("/dev/kmsg", OLD + NEW)
    assert (log.fresh(), log.fresh()) == ([NEW], [])


def test_a_log_that_has_forgotten_records_is_told_anew() -> None:
    records = [OLD]
    log = ListedLog(lambda: [*records])
    log.fresh()
    records[:] = [NEW]
    assert (log.fresh(), log.fresh()) == ([NEW], [])
