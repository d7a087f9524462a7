"""``.regraft/`` and what it may lose, and outputs of steps that are gone. Everything there is deletable; this is what nobody would miss.

A checkpoint is missed if the next run of its pipeline would go on from it. That is so when its fingerprint is the one
that the step has today, by the pipeline file or by the resolved file as it stands (a run with ``--set``). Where
today's fingerprint cannot be known, because the file has a fault or an input is not there, checkpoints stay.

Outputs are those of a candidate that left its pipeline file, of steps that another version called otherwise, of a pipeline
that is gone. DVC's cache has them, so that whoever comes back finds them there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from regraft.config.resolved_file import read_resolved
from regraft.config.step_names import kind_of
from regraft.core import lock
from regraft.core.errors import RegraftError
from regraft.core.workspace import Workspace
from regraft.execution import clones, composition
from regraft.execution.resolve import resolve
from regraft.execution.step import Output, Step, fingerprint, locate_inputs
from regraft.upkeep.gc.room import Item, Room

RUN = re.compile(r"(?P<run>(?P<pipeline>[a-z][a-z0-9_]*)-(?P<at>\d{8}T\d{6})-[0-9a-f]{6})(?![0-9a-f])")
OF_RUNS = ("logs", "errors", "invocations", "evidence")
UNREAD_DAYS = 30
COPIES = ("downloads", "models", "broken")


def rooms(workspace: Workspace) -> list[Room]:
    """The rooms below ``.regraft/``, and that of outputs; of the clones that agents made there, too."""
    agents = clones.clones(workspace)
    used = [clone for clone in agents if clones.pipeline_of(clone) in workspace.pipelines]
    gone = [Item.of(clone.root, "there is no pipeline of this name") for clone in agents if clone not in used]
    # Of a clone's steps and checkpoints nothing can be told here: its `pipelines` is another package of the same name.
    everywhere = [workspace, *used]
    copies = [path for each in everywhere for name in COPIES for path in sorted((each.scratch / name).glob("*"))]
    return [
        Room("artifacts", tuple(_outputs(workspace))),
        Room("checkpoints", tuple(_checkpoints(workspace))),
        Room("runs", tuple(item for each in everywhere for item in _of_runs(each))),
        Room("embeddings", tuple(item for each in everywhere for item in _embeddings(each))),
        Room("downloads", tuple(Item.of(path, "a copy") for path in copies)),
        Room("clones", tuple(gone)),
    ]


def _embeddings(workspace: Workspace) -> Iterator[Item]:
    """Vectors of encoders; any of them may go, and is computed again when it is asked for."""
    for folder in sorted((workspace.scratch / "embeddings").glob("*")):
        if time.time() - folder.stat().st_mtime > UNREAD_DAYS * 86_400:
            yield Item.of(folder, f"nothing has read these vectors for {UNREAD_DAYS} days")


def _outputs(workspace: Workspace) -> Iterator[Item]:
    """Folders of steps and instances that a pipeline does not have today, by its file or its resolved file as it stands."""
    home = workspace.root / "artifacts"
    for pipeline in sorted(path.name for path in home.glob("*") if path.is_dir()):
        if pipeline not in workspace.pipelines:
            yield Item.of(home / pipeline, "there is no pipeline of this name")
            continue
        names = _steps_of_today(workspace, pipeline)
        folders = () if names is None else sorted((home / pipeline).iterdir())
        yield from (
            Item.of(path, f"'{pipeline}' has no such step now") for path in folders if path.is_dir() and path.name not in (names or ())
        )


def _steps_of_today(workspace: Workspace, pipeline: str) -> set[str] | None:
    """The names of the steps that a pipeline has; None: its file has a fault, so they cannot be known."""
    names = set()
    try:
        for resolved in (resolve(workspace, pipeline), read_resolved(workspace, pipeline)):
            names |= {step.name for step in composition.steps_in(workspace, resolved)}
    except RegraftError:
        return None
    return names


def _checkpoints(workspace: Workspace) -> Iterator[Item]:
    home = workspace.scratch / "checkpoints"
    known = {step.name for step in composition.steps(workspace)}
    for folder in sorted(home.glob("*/*")):
        pipeline, name = folder.relative_to(home).parts
        if pipeline not in workspace.pipelines or kind_of(name) not in known:
            missing = "step" if pipeline in workspace.pipelines else "pipeline"
            today, why = frozenset[str](), f"there is no {missing} of this name"
        else:
            fingerprints = _fingerprints(workspace, pipeline, name)
            if fingerprints is None:
                continue
            today, why = fingerprints, f"'{pipeline}' has other settings, data or code by now"
        yield from (Item.of(path, why) for path in sorted(folder.iterdir()) if path.name not in today and not _in_use(path))


def _fingerprints(workspace: Workspace, pipeline: str, name: str) -> frozenset[str] | None:
    """The fingerprints that a run might look for today; None: they cannot be known."""
    fingerprints = set()
    for read in (resolve, read_resolved):
        try:
            resolved = read(workspace, pipeline)
            for step in composition.steps_in(workspace, resolved):  # one that nothing asks for looks for no checkpoint
                if step.name == name:
                    fingerprints.add(_fingerprint(workspace, pipeline, step, resolved))
        except (RegraftError, ValidationError, FileNotFoundError, KeyError):  # a faulty file, an input that is not there
            return None
    return frozenset(fingerprints)


def _fingerprint(workspace: Workspace, pipeline: str, step: Step[Any], resolved: Mapping[str, Any]) -> str:
    config = step.config.model_validate(resolved[step.name])
    inputs = locate_inputs(step, workspace, pipeline, resolved["data"])
    present = {name: item for name, item in inputs.items() if isinstance(item.source, Output) or item.there}
    return fingerprint(config, step.version, {name: item.hash() for name, item in present.items()})


def _in_use(folder: Path) -> bool:
    """Whether a step holds the folder: ``regraft step`` by hand takes no run lock."""
    return lock.is_held(folder / "lock")


def _of_runs(workspace: Workspace) -> Iterator[Item]:
    """Logs, errors, invocations and evidence folders, but for the last run of every pipeline."""
    paths = [path for name in OF_RUNS for path in sorted((workspace.scratch / name).glob("*"))]
    matches = [(path, RUN.match(path.name)) for path in paths]
    last: dict[str, tuple[str, str]] = {}
    for _, match in matches:
        if match and match["pipeline"] in workspace.pipelines:
            last[match["pipeline"]] = max(last.get(match["pipeline"], ("", "")), (match["at"], match["run"]))
    kept = {run for _, run in last.values()}
    for path, match in matches:
        if match and match["run"] not in kept:
            yield Item.of(path, "of an earlier run")
        elif path.name.startswith("crash-") and path.suffix == ".log":
            yield Item.of(path, "traceback of a bug")
