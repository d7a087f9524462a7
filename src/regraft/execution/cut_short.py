"""Steps that were stopped on their way and left a checkpoint that the next run goes on with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace
from regraft.execution.step import Step, fingerprint, locate_inputs, section

BESIDES = ("lock", "start.json")
"""What a training leaves before its first checkpoint."""


def remark(workspace: Workspace, pipeline: str, step: Step[Any], resolved: Mapping[str, Any]) -> str | None:
    """What is there of a ``step`` that did not end, for people; None: a run of it begins anew.

    Inputs are hashed only where something is kept, because that reads them whole.
    """
    kept = workspace.checkpoints(pipeline, step.name, "x").parent
    if not kept.is_dir() or not any(map(_is_filled, kept.iterdir())):
        return None
    try:
        located = locate_inputs(step, workspace, pipeline, resolved["data"])
        hashes = {name: item.hash() for name, item in located.items() if item.there}
        identity = fingerprint(section(step, pipeline, resolved), step.version, hashes)
    except (OSError, RegraftError):  # a run says what is wrong there
        return None
    folder = workspace.checkpoints(pipeline, step.name, identity)
    if not _is_filled(folder):
        return None
    done = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=None)  # as trainings keep them
    reached = "on its way" if done is None else f"after {done:,} optimizer steps"
    return f"stopped {reached}; a run goes on from its checkpoint"


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(path.name not in BESIDES and not path.name.startswith(".") for path in folder.iterdir())
