"""What would run, and why: DVC's opinion in the words of the pipeline file.

A step is ``fresh``, ``stale`` (it, or something before it, changed) or ``missing`` (it never ran here). A stale
step may still come from DVC's run cache, and a step behind a stale one may turn out unchanged: DVC cuts off early.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from regraft import dvc
from regraft.step import Output
from regraft.workspace import Workspace

State = Literal["fresh", "stale", "missing"]


@dataclass(frozen=True)
class StepState:
    """One step of a pipeline as it stands."""

    name: str
    state: State
    why: tuple[str, ...]
    """Direct reasons (input or parameter, old -> new), or the steps it waits for."""
    certain: bool
    """False: it runs only if a step before it comes out different."""


@dataclass(frozen=True)
class Assessment:
    """All steps of a pipeline, and whether data/ is what data.dvc says."""

    steps: tuple[StepState, ...]
    data: str | None
    """What differs between data/ and data.dvc, or None."""

    @property
    def fresh(self) -> bool:
        return all(step.state == "fresh" for step in self.steps)


def assess(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> Assessment:
    """One ``dvc status`` for ``pipeline``, explained."""
    said, locked = dvc.status(workspace, pipeline), dvc.lock(workspace)
    states: dict[str, StepState] = {}
    for step in workspace.steps:
        address = f"{step.name}@{pipeline}"
        before = [source.step for source in step.inputs.values() if isinstance(source, Output)]
        waits = sorted({name for name in before if states[name].state != "fresh"}, key=list(states).index)
        entry = locked.get(address)
        why = tuple(_reasons(said.get(address, []), entry, workspace, pipeline, resolved)) if entry else ("never run here",)
        if entry is None:
            state: State = "missing"
        else:
            state = "stale" if why or waits else "fresh"
        certain = bool(why)
        states[step.name] = StepState(step.name, state, why or tuple(f"if {name} comes out different" for name in waits), certain)
    return Assessment(tuple(states.values()), _data(said.get("data.dvc", [])))


def _data(changes: list[Any]) -> str | None:
    for change in changes:
        if isinstance(change, dict):
            for kind, paths in change.items():
                return "; ".join(f"{path} {how} ({kind})" for path, how in paths.items())
    return None


def _reasons(
    changes: list[Any], entry: Mapping[str, Any], workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]
) -> Iterator[str]:
    data = {path: f"data.{key}" for key, path in resolved["data"].items()}
    for change in changes:
        if change == "changed command":
            yield "the step's code has a new version"
            continue
        if not isinstance(change, dict):
            yield str(change)
            continue
        for path, how in change.get("changed deps", {}).items():
            if isinstance(how, dict):
                for section in how:
                    yield from _parameters(section, entry, path, resolved)
            elif path in data:
                yield f"{data[path]} {'is gone' if how == 'deleted' else 'changed'} ({path})"
            elif how == "deleted":
                yield f"its input {path} is not here"
            else:
                yield f"its input {path} changed"
        gone = [path for path, how in change.get("changed outs", {}).items() if how in ("deleted", "not in cache")]
        changed = [path for path in change.get("changed outs", {}) if path not in gone]
        if gone:
            yield f"its output is not here ({', '.join(sorted(p.rsplit('/', 1)[-1] for p in gone))})"
        if changed:
            yield f"its output was changed by hand ({', '.join(changed)})"


def _parameters(section: str, entry: Mapping[str, Any], path: str, resolved: Mapping[str, Any]) -> Iterator[str]:
    before, now = _flat(entry.get("params", {}).get(path, {}).get(section, {})), _flat(resolved.get(section, {}))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield f"{section}.{key}: {_show(before, key)} -> {_show(now, key)}"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for name, inner in value.items() for k, v in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()}
    return {prefix: value}


def _show(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "(absent)"
    text = str(values[key])
    return text if len(text) <= 40 else f"{text[:18]}…{text[-18:]}"
