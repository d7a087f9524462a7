"""What a kill -9 may leave half-written in DVC's own files, made whole again.

DVC writes ``dvc.lock`` and its table of busy paths (``.dvc/tmp/rwlock``) in place. Killed in between, the first stops
every later ``dvc`` command with "is corrupted" and the second with "JSON structure is corrupted"; and a table whose
pids were given to other processes, after a reboot, blocks its paths for ever. Neither file holds anything that
cannot be had again: a stage without an entry in dvc.lock comes back from the run cache (0.8 s for six).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import yaml

from regraft.core import files, lock
from regraft.core.workspace import Workspace

ENTRY = {"path": str, "hash": str, "md5": str, "size": int, "nfiles": int, "isexec": bool}
"""Types in an entry of dvc.lock: a cut-off ``md5: 1234`` reads as a number, and DVC refuses the file."""


def mend(workspace: Workspace) -> list[str]:
    """Repair both files; what was done, as sentences. Call it while no process of this pipeline is alive."""
    return [said for said in (_lock_file(workspace), _busy_paths(workspace)) if said]


def _lock_file(workspace: Workspace) -> str | None:
    path = workspace.root / "dvc.lock"
    deadline = time.monotonic() + 2  # another pipeline's DVC may be writing it at this moment: 5 ms
    while not _whole(path):
        if time.monotonic() > deadline:
            aside = workspace.scratch / "broken" / f"dvc.lock-{time.time_ns()}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, aside)
            return f"dvc.lock was half-written and is set aside ({workspace.relative(aside)}); steps come back from the run cache"
        time.sleep(0.2)
    return None


def _whole(path: Path) -> bool:
    """Whether DVC would read ``path``: the parts of its schema that a cut-off file misses."""
    if not path.is_file():
        return True
    try:
        value = yaml.load(path.read_text(encoding="utf8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    stages = value.get("stages") if isinstance(value, dict) else None
    return isinstance(stages, dict) and value.get("schema") == "2.0" and all(_whole_stage(stage) for stage in stages.values())


def _whole_stage(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str):
        return False
    sides = [stage.get(side, []) for side in ("deps", "outs")]
    params = stage.get("params", {})
    return (
        all(isinstance(side, list) and all(_whole_entry(entry) for entry in side) for side in sides)
        and isinstance(params, dict)
        and all(isinstance(values, dict) for values in params.values())
    )


def _whole_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and "path" in entry and all(type(entry[key]) is kind for key, kind in ENTRY.items() if key in entry)


def _busy_paths(workspace: Workspace) -> str | None:
    folder = workspace.root / ".dvc" / "tmp"
    path = folder / "rwlock"
    if not path.is_file():
        return None
    guard = lock.open_lock(folder / "rwlock.lock")  # the one DVC takes to edit the table
    try:
        lock.take(guard)
        try:
            table = json.loads(path.read_text(encoding="utf8"))
            readers, writers = dict(table.get("read", {})), dict(table.get("write", {}))
        except (ValueError, AttributeError):
            path.unlink()
            return "DVC's table of busy paths was half-written and is removed"
        kept = {
            "read": {key: left for key, users in readers.items() if (left := [user for user in users if _is_dvc(user["pid"])])},
            "write": {key: user for key, user in writers.items() if user and _is_dvc(user["pid"])},
        }
        if kept != {"read": readers, "write": writers}:
            files.write_text(path, json.dumps(kept))
    finally:
        os.close(guard)
    return None


def _is_dvc(pid: int) -> bool:
    """Whether ``pid`` is a live process that runs DVC: pids are given out again, after a reboot from 1."""
    try:
        return b"dvc" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
