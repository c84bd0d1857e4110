"""Where journals and locks are, and who they keep out."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.linux import LinuxHost
from sdmtop.errors import RefusedError
from sdmtop.operations import store as stores
from sdmtop.operations.journal import Journal
from sdmtop.operations.store import Store, open_journal, open_store
from tests.operations.box import Box, plan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Journal(None), str(tmp_path))


def test_a_lock_keeps_others_off_and_is_given_back(store: Store) -> None:
    with store.locked(["group/18"], "sdmtop attach x"):
        with pytest.raises(
            RefusedError, match=r"group/18: process .* \(sdmtop attach x\) is at work"
        ):
            store.locked(["group/18"], "another").__enter__()
        with store.locked(["group/19"], "another"):
            pass
    with store.locked(["group/18"], "another"):
        pass


def test_a_lock_of_several_is_all_or_none(store: Store) -> None:
    with store.locked(["group/2"], "first"):
        with pytest.raises(RefusedError):
            store.locked(["group/1", "group/2"], "second").__enter__()
        with store.locked(["group/1"], "third"):
            pass


def test_a_killed_process_locks_nobody_out(store: Store, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from sdmtop.operations.store import Store\n"
        "from sdmtop.operations.journal import Journal\n"
        "with Store(Journal(None), sys.argv[1]).locked(['group/18'], 'killed'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with store.locked(["group/18"], "next"):
        pass


def test_a_write_that_hangs_keeps_the_lock_of_a_process_that_is_gone(
    store: Store, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "slow")
    code = (
        "import os, sys\n"
        "from sdmtop.backends.doing import begin_write\n"
        "from sdmtop.operations.store import Store\n"
        "from sdmtop.operations.journal import Journal\n"
        "store = Store(Journal(None), sys.argv[1])\n"
        "with store.locked(['group/18'], 'sdmtop sriov x'):\n"
        "    begin_write(sys.argv[1] + '/slow', b'2')\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    with pytest.raises(RefusedError, match=r"\(sdmtop sriov x\) is at work on it"):
        store.locked(["group/18"], "next")
    assert (tmp_path / "slow").read_bytes() == b"2"  # Now it returns.
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            with store.locked(["group/18"], "next"):
                return
        except RefusedError:
            time.sleep(0.01)
    pytest.fail("it is locked for ever")


def test_the_journal_of_root_is_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sdmtop.places._OF_ROOT", str(tmp_path / "lib"))
    monkeypatch.setattr(stores, "RUN", str(tmp_path / "run"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    store = open_store(LinuxHost())
    assert store.journal.path == str(tmp_path / "lib/journal")
    assert (tmp_path / "lib").stat().st_mode & 0o777 == 0o700
    with store.locked(["group/1"], "test"):
        assert (tmp_path / "run/group-1").exists()


def test_the_journal_of_a_user_is_in_the_users_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert open_store(LinuxHost()).journal.path == str(tmp_path / "state/sdmtop/journal")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_journal(LinuxHost()).path == str(tmp_path / ".local/state/sdmtop/journal")


def test_to_read_a_journal_makes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert open_journal(LinuxHost()).entries() == ()
    assert list(tmp_path.iterdir()) == []


def test_what_was_done_to_a_model_is_gone_with_it() -> None:
    box = Box({})
    open_store(box).journal.begin(plan(), box)
    assert open_store(box).journal.entries() == ()
