"""The weights that a run decided on, looked up again: in ``artifacts/`` as long as no later run wrote there, else in DVC's cache.

A run that did not pass registers nothing; its model is only what its step left. Whatever lies there is copied and proven
by its digest before anybody uses it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regraft.config.step_names import current_name, kind_of
from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution import dvc_formats
from regraft.execution.past_runs import past_runs
from regraft.execution.records import MODEL, model_digest


def bring_back(workspace: Workspace, pipeline: str, records: Mapping[str, Mapping[str, Any]], digest: str, into: Path) -> Path:
    """The model folder with ``digest`` that a step of the run with ``records`` wrote, copied to ``into``.

    :raises EnvironmentFault: no step of the run wrote it, or its files are on this machine no more.
    """
    step = next((name for name, record in records.items() if model_digest(record) == digest), None)
    if step is None:
        raise EnvironmentFault(f"no record of the run names the model {digest[:12]}", fix="regraft doctor")
    for files_of in _places(workspace, pipeline, step, digest):
        shutil.rmtree(into, ignore_errors=True)
        for name, source in files_of.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, into / name)
        if files.digest(into) == digest:
            return into
    shutil.rmtree(into, ignore_errors=True)
    message = f"the model {digest[:12]} is neither in artifacts/ nor in DVC's cache any more: later runs and `regraft gc` make room"
    raise EnvironmentFault(message, fix=f"dvc fetch --run-cache, or `regraft run {pipeline}` with the data and settings of that run")


def _places(workspace: Workspace, pipeline: str, step: str, digest: str) -> Iterator[dict[str, Path]]:
    """``{path: file}`` of every copy that may be whole."""
    folder = workspace.artifacts(pipeline, current_name(step)) / "out" / MODEL
    if folder.is_dir():
        yield {path.relative_to(folder).as_posix(): path for path in files.walk(folder)}
    cache = dvc_formats.cache_folder(workspace)
    kind = kind_of(step)
    for past in past_runs(workspace, [kind])[kind]:
        if model_digest(past.record) != digest:
            continue
        listing = dvc_formats.listing(cache, past.listing)
        if listing is None:  # damaged: `regraft doctor` names it
            continue
        inside = {name: dvc_formats.object_path(cache, md5) for name, md5 in listing.items() if name.startswith(f"{MODEL}/")}
        model = {name.removeprefix(f"{MODEL}/"): path for name, path in inside.items()}
        if all(path.is_file() for path in model.values()):
            yield model
