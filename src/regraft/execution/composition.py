"""The steps of a workspace: what its own ``pipelines`` package offers, imported here and nowhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from regraft.config.candidates import Candidate, candidates_in
from regraft.config.pipeline import PipelineOptions
from regraft.core.errors import ConfigError
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.execution import moved_names
from regraft.execution.step import Output, Step


class Composition(Protocol):
    """What a workspace's ``pipelines`` package offers."""

    STEPS: tuple[Step[Any], ...]


def steps(workspace: Workspace) -> tuple[Step[Any], ...]:
    """Every step that the workspace declares, in the order they run.

    :raises ConfigError: Python knows another package called ``pipelines``, or the workspace imports names that moved.
    """
    if str(workspace.root) not in sys.path:
        # Last, not first: the folder `mlflow/` in the root must not come before the library.
        sys.path.append(str(workspace.root))
    try:
        pipelines = importlib.import_module("pipelines")
    except (ImportError, TypeError) as error:
        moved_names.refuse_outdated(workspace, error)
        raise
    if Path(pipelines.__file__ or "").resolve().parent != (workspace.root / "pipelines").resolve():
        raise ConfigError(f"the package 'pipelines' comes from {pipelines.__file__}, not from {workspace.root}")
    declared = tuple(cast(Composition, pipelines).STEPS)
    modules = {sys.modules.get(step.run.__module__) for step in declared}
    if any(isinstance(getattr(module, handle, None), Step) for module in modules for handle in moved_names.HANDLES):
        moved_names.refuse_outdated(workspace)
    return declared


def steps_in(workspace: Workspace, resolved: Mapping[str, Any]) -> tuple[Step[Any], ...]:
    """The steps that a pipeline has, one instance for each candidate where they are that, from the content of its resolved file."""
    return instances(steps(workspace), candidates_in(resolved), resolved)


def instances(declared: Iterable[Step[Any]], candidates: Sequence[Candidate], among: Collection[str]) -> tuple[Step[Any], ...]:
    """The steps of ``declared`` and their instances for ``candidates`` whose names are ``among`` these, in the order they run."""
    possible = (
        (step, candidate)
        for step in declared
        for candidate in (None, *candidates)
        if (candidate.instance(step.name) if candidate else step.name) in among
    )
    return tuple(step.of(candidate, among) for step, candidate in possible)


def steps_of(declared: Sequence[Step[Any]], options: PipelineOptions) -> list[Step[Any]]:
    """The same from a pipeline file."""
    wanted = [(step, candidate) for step in declared for candidate in step.instances(options)]
    names = {candidate.instance(step.name) if candidate else step.name for step, candidate in wanted}
    return [step.of(candidate, names) for step, candidate in wanted]


def for_the_chosen(steps: Sequence[Step[Any]]) -> dict[str, str]:
    """{instance: its candidate} of those that no candidate has to be chosen for: what no ``score`` reads, directly or not."""
    by_name = {step.name: step for step in steps}
    waiting, needed = [step.name for step in steps if step.kind == "score"], set[str]()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in needed:
            needed.add(name)
            waiting += [source.step for source in by_name[name].sources.values() if isinstance(source, Output)]
    return {step.name: step.candidate.name for step in steps if step.candidate and step.name not in needed}


def step_in(workspace: Workspace, resolved: Mapping[str, Any], name: str) -> Step[Any]:
    """The step or instance called ``name`` of a pipeline; ConfigError where there is none."""
    by_name = {step.name: step for step in steps_in(workspace, resolved)}
    if name not in by_name:
        raise ConfigError(unknown("step", name, by_name), fix="regraft status")
    return by_name[name]
