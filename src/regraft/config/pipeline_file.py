"""The pipeline file: where it is, how it is read with its overrides, and how every fault in it is reported at once."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import yaml
from pydantic import ValidationError

from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import ConfigError, Problem
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty, problem_of, read_yaml

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""A pipeline's name is a registered model, a folder, a DVC address and a part of a run's name."""


def require_pipeline(workspace: Workspace, name: str) -> None:
    """Nothing but the name of a pipeline file becomes a path below ``.regraft/`` or ``artifacts/``."""
    if name not in workspace.pipelines:
        raise ConfigError(unknown("pipeline", name, workspace.pipelines), fix="regraft status")
    if not NAME.fullmatch(name):
        legal = re.sub(r"[^a-z0-9_]+", "_", name.lower()).lstrip("_0123456789") or "pipeline"
        raise ConfigError(
            f"a pipeline cannot be called {name!r}: lower-case letters, digits and _, starting with a letter",
            fix=f"mv {shlex.quote(f'pipelines/{name}.yaml')} pipelines/{legal}.yaml",
        )


def pipeline_document(workspace: Workspace, name: str) -> tuple[dict[str, Any], yaml.Node]:
    """The mapping in a pipeline file, which the caller may change, and its node tree; read again only where the file changed."""
    path = workspace.pipeline_file(name)
    stat = path.stat()
    stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    if workspace.documents.get(path, (None,))[0] != stamp:
        workspace.documents[path] = (stamp, *read_yaml(path, workspace.relative(path)))
    _, value, node = workspace.documents[path]
    return deepcopy(value), node


def load_pipeline(workspace: Workspace, name: str, sets: Sequence[str] = ()) -> PipelineOptions:
    """The pipeline file ``name`` with ``--set`` overrides applied; every fault in it at once."""
    require_pipeline(workspace, name)
    shown = workspace.relative(workspace.pipeline_file(name))
    value, node = pipeline_document(workspace, name)
    for assignment in sets:
        _assign(value, assignment)
    try:
        return PipelineOptions.model_validate(value)
    except ValidationError as error:
        problems = [blamed(problem_of(item, shown, node, PipelineOptions), sets) for item in error.errors()]
    raise faulty(problems)


def blamed(problem: Problem, sets: Sequence[str]) -> Problem:
    """``problem``, with ``--set`` as its place where an override and not the file is at fault."""
    for assignment in sets:
        key, column = assignment.partition("=")[0], problem["column"]
        if f"{column}.".startswith(f"{key}.") or f"{key}.".startswith(f"{column}."):
            return Problem({**problem, "file": f"--set {assignment}", "row": None, "fix": f"correct --set {assignment}"})
    return problem


def _assign(value: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise ConfigError(
            f"--set {assignment!r}: write key=value, e.g. --set pretrain.budget_tokens=200000",
            fix="regraft plan PIPELINE --set pretrain.budget_tokens=200000",
        )
    *parents, last = key.split(".")
    target: Any = value
    for depth, parent in enumerate(parents):
        target = _item(target, parent, key) if isinstance(target, list) else target.setdefault(parent, {})
        if not isinstance(target, dict | list):
            raise ConfigError(f"--set {key}: {'.'.join(parents[: depth + 1])} is a value, it has no keys", fix=f"correct --set {key}")
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError:
        parsed = text
    if isinstance(target, list):
        _item(target, last, key)
        target[int(last)] = parsed
    else:
        target[last] = parsed


def _item(values: list[Any], index: str, key: str) -> Any:
    if not index.isdigit() or int(index) >= len(values):
        raise ConfigError(f"--set {key}: {index!r} is not an index of a list of {len(values)} entries", fix=f"correct --set {key}")
    return values[int(index)]
