"""What would run, and why: DVC's opinion in the words of the pipeline file.

A step is ``fresh``, ``stale`` (it, or something before it, changed) or ``missing`` (it never ran here). A stale
step may still come from DVC's run cache, and a step behind a stale one may turn out unchanged: DVC cuts off early.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from regraft.config.candidates import candidates_in
from regraft.core.workspace import Workspace
from regraft.data.options import listed
from regraft.execution import composition, cut_short, dvc, dvc_formats, integrity, tracked_data
from regraft.execution.step import Output, Step
from regraft.execution.withheld import Withheld, conditional, counted_by, spared, withheld
from regraft.gates import words
from regraft.registry.store import store_of

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

    @property
    def idle(self) -> bool:
        """Nothing asks for it now: its candidate is withheld, or not the chosen one."""
        return self.state == "fresh" and bool(self.why)


@dataclass(frozen=True)
class Assessment:
    """All steps of a pipeline, and whether data/ is what data.dvc says."""

    steps: tuple[StepState, ...]
    data: str | None
    """What differs between data/ and data.dvc; None: nothing does."""
    withheld: Withheld | None = ()
    """The candidates that are not trained; None: it takes a run to tell."""

    @property
    def due(self) -> list[str]:
        """The steps that run, or may."""
        return [step.name for step in self.steps if step.state != "fresh"]

    @property
    def fresh(self) -> bool:
        return not self.due


def assess(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], *, data: bool = True) -> Assessment:
    """One ``dvc status`` for ``pipeline``, explained; ``data`` asks whether data/ is what data.dvc says, too.

    Data and outputs are compared by DVC. Parameters and commands are compared with dvc.lock here, against
    ``resolved`` as it would be written: reading a plan writes nothing, so a run at work is not disturbed.

    :raises EnvironmentFault: a cache object of a step or of data/ lost its protection and is broken; DVC would delete it.
    """
    locked = dvc_formats.stages(workspace)
    steps = composition.steps_in(workspace, resolved)
    addresses = [address for step in steps if (address := f"{step.name}@{pipeline}") in locked]
    integrity.require_whole(workspace, [*(locked[address] for address in addresses), dvc_formats.tracked_data(workspace)])
    answer = dvc.status(workspace, addresses)
    assessment = judge(steps, pipeline, resolved, locked, answer)
    assessment = replace(assessment, steps=tuple(_with_checkpoints(workspace, pipeline, steps, resolved, assessment.steps)))
    if "by_cost" in resolved:
        absent = _withheld(workspace, pipeline, resolved, assessment)
        states = _without(assessment.steps, steps, resolved, absent)
        last = _last(workspace, pipeline)
        if last in {item["model"] for item in absent or ()}:
            last = None
        assessment = replace(assessment, steps=_with_choice(states, composition.for_the_chosen(steps), last), withheld=absent)
    differs = tracked_data.compare(workspace, answer.get("data.dvc", [])).differs if data else ()
    return replace(assessment, data="; ".join(differs) or None)


def _with_checkpoints(
    workspace: Workspace, pipeline: str, steps: Sequence[Step[Any]], resolved: Mapping[str, Any], states: Sequence[StepState]
) -> Iterator[StepState]:
    """The states, where a step that was stopped on its way says so. What comes before it has to be as it was."""
    fresh = {state.name for state in states if state.state == "fresh"}
    for step, state in zip(steps, states, strict=True):
        ready = all(source.step in fresh for source in step.sources.values() if isinstance(source, Output))
        remark = cut_short.remark(workspace, pipeline, step, resolved) if ready and step.name not in fresh else None
        yield state if remark is None else replace(state, why=(remark,), certain=True)


def _withheld(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], assessment: Assessment) -> Withheld | None:
    """Who is withheld; None: the steps that count labels have to run first."""
    if conditional(resolved) and any(state.state != "fresh" for state in assessment.steps if state.name in counted_by(resolved)):
        return None
    return withheld(workspace, pipeline, resolved)


def _without(
    states: Sequence[StepState], steps: Sequence[Step[Any]], resolved: Mapping[str, Any], absent: Withheld | None
) -> tuple[StepState, ...]:
    """The states, where the steps of withheld candidates, and what only they read, are idle."""
    if absent is None:
        may_be = [candidate.name for candidate in candidates_in(resolved) if candidate.withhold]
        waiting = spared(steps, may_be)
        return tuple(
            replace(state, why=(f"unless {waiting[state.name]} is withheld",), certain=False)
            if state.name in waiting and state.state != "fresh"
            else state
            for state in states
        )
    reasons = {item["model"]: f"{item['model']} is withheld: {words.withheld(item)}" for item in absent}
    idle = spared(steps, tuple(reasons))
    return tuple(
        StepState(state.name, "fresh", (reasons[idle[state.name]],), certain=True) if state.name in idle else state for state in states
    )


def _last(workspace: Workspace, pipeline: str) -> str | None:
    """Whom the last verdict was about; None before the first."""
    latest = store_of(workspace).latest(pipeline)
    return str(latest["candidate"]["name"]) if latest else None


def _with_choice(states: Sequence[StepState], later: Mapping[str, str], last: str | None) -> tuple[StepState, ...]:
    """The states, where some (``later``: instance -> candidate) are for the chosen one alone: that is ``last``, until scores change."""
    settled = last in later.values() and all(state.state == "fresh" for state in states if state.name not in later)
    seen = []
    for state in states:
        if state.idle:
            pass
        elif state.name in later and settled and later[state.name] != last:
            state = StepState(state.name, "fresh", (f"{last} is chosen",), certain=True)
        elif state.name in later and not settled and state.state != "fresh":
            state = replace(state, why=(f"if {later[state.name]} is chosen",), certain=False)
        seen.append(state)
    return tuple(seen)


def judge(
    steps: Sequence[Step[Any]], pipeline: str, resolved: Mapping[str, Any], locked: Mapping[str, Any], answer: Mapping[str, Any]
) -> Assessment:
    """The steps, from the stages of dvc.lock and the answer of ``dvc status --json``. Pure; of data.dvc it says nothing."""
    states: dict[str, StepState] = {}
    for step in steps:
        address = f"{step.name}@{pipeline}"
        sources = [source.step for source in step.sources.values() if isinstance(source, Output)]
        waits = sorted({name for name in sources if states[name].state != "fresh"}, key=list(states).index)
        if address not in locked:
            states[step.name] = StepState(step.name, "missing", ("never run here",), certain=True)
            continue
        why = (*_own_reasons(step, locked[address], pipeline, resolved), *_dvc_reasons(answer.get(address, []), resolved))
        states[step.name] = StepState(
            step.name,
            "stale" if why or waits else "fresh",
            why or tuple(f"if {name} comes out different" for name in waits),
            certain=bool(why),
        )
    return Assessment(tuple(states.values()), None)


def _own_reasons(step: Step[Any], entry: Mapping[str, Any], pipeline: str, resolved: Mapping[str, Any]) -> Iterator[str]:
    """The step's version, the paths of its data and its parameters, old -> new."""
    if entry["cmd"] != dvc.command_of(step, pipeline):
        yield "the step's code has a new version"
    params: Mapping[str, Any] = next(iter(entry.get("params", {}).values()), {})
    before, now = _flat(params.get(step.name, {})), _flat(resolved[step.name])
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) == now.get(key) or key == "spent":  # its digest tells as much
            continue
        if key == "spent_digest":
            yield "test rows were renewed" if now.get(key) else "a renewal of test rows was taken back"
            continue
        if key == "base_digest" and before.get("base_model") == now.get("base_model"):
            yield f"the files of the base model {now['base_model']} changed"
        else:
            yield f"{key}: {_show(before, key)} -> {_show(now, key)}"


def _dvc_reasons(changes: list[Any], resolved: Mapping[str, Any]) -> Iterator[str]:
    """Changed data and missing or touched outputs. A missing input is its own step's missing output."""
    data = {path: f"data.{key}" for key, paths in resolved["data"].items() for path in listed(paths)}
    for change in changes:
        if not isinstance(change, dict):
            continue
        for path, how in change.get("changed deps", {}).items():
            if path in data:
                yield f"{data[path]} {'is gone' if how == 'deleted' else 'changed'} ({path})"
            elif how == "modified":
                yield f"its input {path} changed"
        outs = change.get("changed outs", {})
        gone = [path for path, how in outs.items() if how in ("deleted", "not in cache")]
        if gone:
            yield f"its output is not here ({', '.join(sorted(p.rsplit('/', 1)[-1] for p in gone))})"
        if changed := sorted(outs.keys() - set(gone)):
            yield f"its output was changed by hand ({', '.join(changed)})"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for name, inner in value.items() for k, v in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()}
    return {prefix: value}


def _show(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "(absent)"
    value = values[key]
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 40 else f"{text[:18]}…{text[-18:]}"
