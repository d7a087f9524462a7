"""What steps of 0.2 left gets the names that the steps have now, so that nothing is trained again for the sake of a name.

DVC keeps command and paths in dvc.lock: a stage of another name runs again, unless its folder has moved and its entry says so.
The file is edited as text, line by line: no other number in it is written anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from regraft.config.step_names import RENAMED
from regraft.core import files
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats
from regraft.upkeep import moved_splits

STAGE = re.compile(r"  (?P<step>\w+)@(?P<pipeline>\w+):$")


def rename(workspace: Workspace) -> list[tuple[str, str]]:
    """Move folders, checkpoints and entries of dvc.lock; (before, now) of the artifact folders. Run again after a kill, it goes on."""
    moved = []
    for pipeline in workspace.pipelines:
        for old, new in RENAMED.items():
            for room in (workspace.root / "artifacts", workspace.scratch / "checkpoints"):
                before, now = room / pipeline / old, room / pipeline / new
                if before.is_dir() and not now.exists():
                    before.rename(now)
                    moved += [(workspace.relative(before), workspace.relative(now))] if room.name == "artifacts" else []
    path = dvc_formats.lock_file(workspace)
    if not path.is_file():
        return moved
    stages, text = dvc_formats.stages(workspace), path.read_text(encoding="utf8")
    adopted = [stage for pipeline in workspace.pipelines if (stage := moved_splits.adopt(workspace, pipeline, stages)) is not None]
    if (edited := "".join(_lines(text, adopted))) != text:
        files.write_text(path, edited)
    return moved


def _lines(text: str, more: Iterable[str]) -> Iterator[str]:
    """The lines of a dvc.lock under the new names, and the stages that are ``more``."""
    old = new = ""
    for line in text.splitlines(keepends=True):
        if match := STAGE.match(line.rstrip("\n")):
            old = match["step"] if match["step"] in RENAMED else ""
            new = RENAMED.get(old, "")
            yield line.replace(f"{old}@", f"{new}@", 1) if old else line
        elif old and line.rstrip("\n") == f"        {old}:":  # its section, by the name of which DVC knows its parameters
            yield line.replace(old, new)
        elif old and line.startswith("    cmd: "):
            yield line.replace(f"regraft step {old} ", f"regraft step {new} ")
        else:
            line = re.sub(r"(?<=path: artifacts/)(\w+)/corpus(?=/out/splits\.parquet$)", r"\1/splits", line)
            yield re.sub(r"(?<=path: artifacts/)(\w+)/(\w+)(?=/)", lambda m: f"{m[1]}/{RENAMED.get(m[2], m[2])}", line)
            if line.rstrip("\n") == "stages:":
                yield from more
