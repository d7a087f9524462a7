"""The steps of a workspace: what its own ``pipelines`` package offers, imported here and nowhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from regraft.core.errors import ConfigError
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.execution import moved_names
from regraft.execution.step import Step


class Composition(Protocol):
    """What a workspace's ``pipelines`` package offers."""

    STEPS: tuple[Step[Any], ...]


def steps(workspace: Workspace) -> tuple[Step[Any], ...]:
    """Every step of the workspace, in the order they run.

    :raises ConfigError: Python knows another package called ``pipelines``, or the workspace imports names that moved.
    """
    if str(workspace.root) not in sys.path:
        # Last, not first: the folder `mlflow/` in the root must not come before the library.
        sys.path.append(str(workspace.root))
    try:
        pipelines = importlib.import_module("pipelines")
    except ImportError as error:
        moved_names.refuse_outdated(workspace, error)
        raise
    if Path(pipelines.__file__ or "").resolve().parent != (workspace.root / "pipelines").resolve():
        raise ConfigError(f"the package 'pipelines' comes from {pipelines.__file__}, not from {workspace.root}")
    return tuple(cast(Composition, pipelines).STEPS)


def steps_in(workspace: Workspace, resolved: Mapping[str, Any]) -> tuple[Step[Any], ...]:
    """The steps that a pipeline has, from the content of its resolved file."""
    return tuple(step for step in steps(workspace) if step.name in resolved)


def step_called(workspace: Workspace, name: str) -> Step[Any]:
    """The step called ``name``; ConfigError where there is none."""
    by_name = {step.name: step for step in steps(workspace)}
    if name not in by_name:
        raise ConfigError(unknown("step", name, by_name), fix="regraft status")
    return by_name[name]
