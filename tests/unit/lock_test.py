"""One lock primitive for everything that runs beside something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from regraft.core import lock

HOLDER = """
import sys
from pathlib import Path
from regraft.core import lock
handle = lock.open_lock(Path(sys.argv[1]))
lock.take(handle, shared=sys.argv[2] == "shared")
lock.sign(handle)
print("held", flush=True)
sys.stdin.read()
"""


def _holder(path: Path, how: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLDER, str(path), how]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_names_its_holder_and_goes_with_it_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with _holder(path, "alone") as other:
        handle = lock.open_lock(path)
        assert not lock.try_take(handle)
        assert not lock.take_within(handle, 0.0)
        assert lock.holder(handle) == other.pid
        assert lock.is_held(path)
        other.kill()
    assert lock.take_within(handle, 0.0), "tried at least once, however short the time"
    lock.sign(handle)
    assert lock.holder(handle) == os.getpid()
    os.close(handle)
    assert not lock.is_held(path)


def test_a_shared_lock_keeps_out_only_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "alive"
    with _holder(path, "shared") as other:
        handle = lock.open_lock(path)
        assert lock.try_take(handle, shared=True)
        os.close(handle)
        assert lock.is_held(path, by_readers=True)
        assert not lock.is_held(path), "nobody holds it alone"
        other.kill()
    assert not lock.is_held(path, by_readers=True)


def test_a_lock_file_that_is_not_there_is_held_by_none_and_not_made(tmp_path: Path) -> None:
    assert not lock.is_held(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    handle = lock.open_lock(tmp_path / "lock")
    assert lock.holder(handle) is None, "a file that nobody signed"
    os.close(handle)
