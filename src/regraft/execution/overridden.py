"""Resolved files that ``run --set`` left: they say what that run was, and differ from the pipeline file on purpose.

What was overridden is noted in ``.regraft/overrides/<pipeline>.json``, with the file that it led to; a file that somebody
changed afterwards is no longer that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regraft.core import files
from regraft.core.workspace import Workspace


def note(workspace: Workspace, pipeline: str, sets: Sequence[str]) -> None:
    """Keep which overrides led to the resolved file that was just written."""
    path = _path(workspace, pipeline)
    if sets:
        files.write_json(path, {"sets": list(sets), "sha256": files.sha256_file(workspace.resolved_file(pipeline))})
    else:
        path.unlink(missing_ok=True)


def overrides(workspace: Workspace, pipeline: str) -> tuple[str, ...]:
    """The overrides behind the resolved file as it stands; empty where it is not what a ``run --set`` left."""
    path, resolved = _path(workspace, pipeline), workspace.resolved_file(pipeline)
    if not path.is_file() or not resolved.is_file():
        return ()
    kept = files.read_json(path)
    return tuple(kept["sets"]) if kept["sha256"] == files.sha256_file(resolved) else ()


def _path(workspace: Workspace, pipeline: str) -> Path:
    return workspace.scratch / "overrides" / f"{pipeline}.json"
