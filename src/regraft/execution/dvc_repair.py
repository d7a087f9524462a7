"""What a kill -9 may leave half-written in DVC's own files, made whole again.

DVC writes ``dvc.lock`` and its table of busy paths (``.dvc/tmp/rwlock``) in place. Killed in between, the first stops
every later ``dvc`` command with "is corrupted" and the second with "JSON structure is corrupted"; and a table whose
pids were given to other processes, after a reboot, blocks its paths for ever. Neither file holds anything that
cannot be had again: a stage without an entry in dvc.lock comes back from the run cache (0.8 s for six).
"""

from __future__ import annotations

import os
import time

from regraft.core import files, lock
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats


def repair(workspace: Workspace) -> list[str]:
    """Repair both files; what was done, as sentences. Call it while no process of this pipeline is alive."""
    return [sentence for sentence in (_lock_file(workspace), _busy_paths(workspace)) if sentence]


def _lock_file(workspace: Workspace) -> str | None:
    """Set a half-written dvc.lock aside; a sentence about it, or None: it is whole."""
    path = dvc_formats.lock_file(workspace)
    deadline = time.monotonic() + 2  # another pipeline's DVC may be writing it at this moment: 5 ms
    while not dvc_formats.is_whole(path):
        if time.monotonic() > deadline:
            aside = workspace.scratch / "broken" / f"dvc.lock-{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, aside)
            return f"dvc.lock was half-written and is set aside ({workspace.relative(aside)}); steps come back from the run cache"
        time.sleep(0.2)
    return None


def _busy_paths(workspace: Workspace) -> str | None:
    """Take the dead out of the table of busy paths; a sentence where the table itself goes, else None."""
    path = workspace.root / dvc_formats.BUSY_PATHS
    if not path.is_file():
        return None
    guard = lock.open_lock(workspace.root / dvc_formats.BUSY_PATHS_LOCK)
    try:
        lock.take(guard)
        try:
            live = dvc_formats.without_the_dead(path.read_text(encoding="utf8"))
        except (ValueError, AttributeError):
            path.unlink()
            return "DVC's table of busy paths was half-written and is removed"
        if live is not None:
            files.write_text(path, live)
    finally:
        os.close(guard)
    return None
