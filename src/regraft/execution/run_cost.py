"""What a run will cost: tokens, minutes on this machine, disk. Learned from earlier records.

A step's time is taken to grow in proportion to its work: the tokens it trains on, or the bytes it reads. The median
of up to three earlier runs, those nearest in work, is scaled; only runs of the same step version, on the same kind of
device with as many cores at work and, where a model is trained, with a model of the same size count. How large the
inputs will be is taken from the files as they are now and, where the step before will run, from how its own grew.
Where there is no such run, :mod:`regraft.execution.first_run` estimates the time; of the disk little is known then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from regraft.core import limits
from regraft.core.cores import cores, device, workers
from regraft.core.errors import EnvironmentFault
from regraft.core.quantities import counted, first_of, roughly, size
from regraft.core.workspace import Workspace
from regraft.data.options import listed
from regraft.execution import composition
from regraft.execution.first_run import FirstRun
from regraft.execution.past_runs import PastRun, past_runs
from regraft.execution.plan import Assessment
from regraft.execution.step import Output, Step
from regraft.models import base_model

NEAREST = 3
FARTHER = 2.0
"""A run whose work differs by this factor more than that of the nearest one is left out: what disturbed it is multiplied."""
COPIES = 2
"""How often an output lies on the disk: in artifacts/ and in DVC's cache."""
CHECKPOINTS = 3
"""Most of them at a time: two are kept while one is written (regraft.training.checkpoint.KEPT)."""
STATES = 3
"""How many times the weights a checkpoint is: the weights and AdamW's two moments, all in fp32."""
WORTH_TELLING = 20.0
"""Seconds from which on a run says at its start how long it will take."""
SAME_MODEL = 0.25
"""Relative difference in bytes between models that count as one size: a new head, another tokenizer."""


@dataclass(frozen=True)
class StepCost:
    """What one step that runs will cost; None is unknown."""

    name: str
    tokens: int | None
    """Tokens it trains on; None also for steps that train nothing."""
    minutes: float | None
    disk_bytes: int | None
    """Most bytes that it takes while it runs, checkpoints included."""
    kept_bytes: int | None
    """Those of them that stay."""
    based_on: str
    """What the numbers rest on, in words."""
    guessed: bool = False
    """The time rests on no run of the step here, but on what it took on the demo and on how fast this machine is."""


@dataclass(frozen=True)
class RunCost:
    """What all steps that run, or may run, will cost together."""

    steps: tuple[StepCost, ...]
    free_bytes: int
    registry_bytes: int = 0
    """Bytes of the copy of the model that is registered if it wins."""
    unknown: tuple[str, ...] = field(init=False)
    """Steps whose time nobody can tell yet."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unknown", tuple(step.name for step in self.steps if step.minutes is None))

    @property
    def minutes(self) -> float | None:
        """Sum of the steps; None where one is unknown."""
        return None if self.unknown else sum(step.minutes or 0.0 for step in self.steps)

    @property
    def guessed(self) -> bool:
        """Whether the time of any step rests on no earlier run."""
        return any(step.guessed for step in self.steps)

    @property
    def known(self) -> bool:
        """Whether the time or the disk of any step is known."""
        return any(step.minutes is not None or step.disk_bytes is not None for step in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens that the run trains on, as far as they are known."""
        return sum(step.tokens or 0 for step in self.steps)

    @property
    def disk_bytes(self) -> int | None:
        """Room the run needs: what stays, and the checkpoints of one step at a time; None where no step's is known."""
        known = [step for step in self.steps if step.disk_bytes is not None]
        passing = [(step.disk_bytes or 0) - (step.kept_bytes or 0) for step in known]
        return sum(step.kept_bytes or 0 for step in known) + max(passing) + self.registry_bytes if known else None

    @property
    def partly(self) -> bool:
        """Whether the disk of some step is unknown, so that the sum is the least."""
        return any(step.disk_bytes is None for step in self.steps)

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints of the cost."""
        minutes = None if self.minutes is None else round(self.minutes, 2)
        total = {"tokens": self.tokens, "minutes": minutes, "disk_bytes": self.disk_bytes, "free_bytes": self.free_bytes}
        return {**total, "unknown": list(self.unknown)}


def estimate(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], assessment: Assessment) -> RunCost:
    """The cost of the steps that :func:`regraft.execution.plan.assess` calls stale or missing."""
    runs = [state.name for state in assessment.steps if state.state != "fresh"]
    if not runs:
        return RunCost((), limits.free(workspace.root))
    estimator = _Estimator(workspace, pipeline, resolved)
    due = [step for step in estimator.steps.values() if step.name in runs]
    costs = [estimator.cost(step) for step in due]
    registers = any(step.cost.trains for step in due) and _one_disk(workspace)
    return RunCost(tuple(costs), limits.free(workspace.root), estimator.model or 0 if registers else 0)


def need(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any], step: Step[Any]) -> str:
    """The disk that one step needs, as a part of a sentence."""
    disk = _Estimator(workspace, pipeline, resolved).cost(step).disk_bytes
    return "how much the step needs is unknown" if disk is None else f"the step needs about {size(disk)}"


def require_room(cost: RunCost, workspace: Workspace) -> None:
    """Refuse a run that the disk has no room for.

    :raises EnvironmentFault: naming the bytes needed and the bytes free.
    """
    if cost.disk_bytes is None or cost.disk_bytes <= cost.free_bytes:
        return
    largest = max(cost.steps, key=lambda step: step.disk_bytes or 0)
    raise EnvironmentFault(
        f"the run needs about {size(cost.disk_bytes)} of disk, {size(cost.free_bytes)} are free at {workspace.root}; "
        f"most of it for '{largest.name}': {size(largest.disk_bytes or 0)}",
        fix="regraft gc",
    )


def sentence(cost: RunCost) -> str | None:
    """How long a run will take here, for who starts it; None where that is seconds, or no step runs."""
    seconds = 60 * sum(step.minutes or 0.0 for step in cost.steps)
    here = f"on this machine ({counted(cores(), 'core')}{', GPU' if device() == 'cuda' else ''})"
    if cost.unknown and seconds < 1:
        return f"how long this takes {here} is not known before a first run" if cost.steps else None
    if cost.unknown:
        return f"takes more than {roughly(seconds)} {here}: how long {first_of(cost.unknown)} will take is not known before a first run"
    if seconds < WORTH_TELLING:
        return None
    return f"takes about {roughly(seconds)} {here}{'' if cost.guessed else ', as earlier runs did'}"


class _Estimator:
    """One pipeline's steps: how much a step writes is what the next one reads."""

    def __init__(self, workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> None:
        self.workspace, self.resolved = workspace, resolved
        self.model = _model_bytes(workspace, resolved)
        self.steps = {step.name: step for step in composition.steps_in(workspace, resolved)}
        self.first = FirstRun(workspace, resolved)
        self.pasts = past_runs(workspace, {step.kind for step in self.steps.values()})
        pipelines = [past.pipeline for pasts in self.pasts.values() for past in pasts]
        self.basis = pipeline if pipeline in pipelines else pipelines[0] if pipelines else pipeline

    def reference(self, step: Step[Any]) -> PastRun | None:
        """The run of ``step`` whose sizes fit those of the other steps: what dvc.lock names, or else the newest; None: there is none.

        For a candidate that never ran, the run of another one.
        """
        usable = [past for past in self.pasts[step.kind] if past.pipeline == self.basis and past.version == step.version]
        ranked = sorted(usable, key=lambda past: (past.step != step.name, not past.current))  # stable: the newest first
        return next(iter(ranked), None)

    def growth(self, step: Step[Any], name: str) -> float:
        """Bytes of an input as expected, over those of the reference."""
        source = step.sources[name]
        if isinstance(source, Output):
            writer = self.steps[source.step]
            return 1.0 if writer.cost.trains else self.grown(writer)
        past = self.reference(step)
        paths = listed(self.resolved["data"][source.removeprefix("data.")])
        if not past or not past.sizes.get(name) or any(path.startswith("hub:") for path in paths):
            return 1.0
        return sum(_bytes(self.workspace.root / path) for path in paths) / past.sizes[name]

    def grown(self, step: Step[Any]) -> float:
        """How much more ``step`` has to read than its reference had, by the inputs that its work follows."""
        past = self.reference(step)
        names = step.sources.keys() if step.cost.follows is None else step.cost.follows
        past_bytes = sum(past.sizes.get(name, 0) for name in names) if past else 0
        if not past or not past_bytes:
            return 1.0
        return sum(past.sizes.get(name, 0) * self.growth(step, name) for name in names) / past_bytes

    def cost(self, step: Step[Any]) -> StepCost:
        """The estimate for ``step``."""
        if step.cost.repeats:
            return self.repeated(step, *step.cost.repeats)
        reference = self.reference(step)
        tokens = self.tokens(step, reference)
        work = tokens if step.cost.tokens else self.read(step, reference)
        comparable = [past for past in self.pasts[step.kind] if self.comparable(step, past)]
        comparable = [past for past in comparable if past.step == step.name] or comparable
        scaled = _scaled(work, [(self.work_of(step, past), float(past.record["seconds"]), past) for past in comparable])
        out = self.model if step.cost.trains else round(reference.out * self.grown(step)) if reference else None
        freed = _bytes(self.workspace.artifacts(self.resolved["pipeline"], step.name) / "out")  # DVC removes it first
        kept = None if out is None else max(0, COPIES * out - freed)
        room = None if out is None or kept is None else kept + (CHECKPOINTS * STATES * out if step.cost.trains else 0)
        seconds = scaled[0] if scaled else self.first.seconds(step, tokens)
        minutes = None if seconds is None else round(seconds / 60, 3)
        based_on = self.words(step, scaled, room, known=seconds is not None)
        guessed = scaled is None and minutes is not None
        return StepCost(step.name, None if tokens is None else round(tokens), minutes, room, kept, based_on, guessed)

    def repeated(self, step: Step[Any], other: str, times: Callable[[Any], int]) -> StepCost:
        """The estimate for a step that does ``other`` several times, one after the other."""
        count = times(step.config.model_validate(self.resolved[step.name]))
        other = step.candidate.instance(other) if step.candidate else other
        once, reference = self.cost(self.steps[other]), self.reference(step)
        kept = COPIES * reference.out if reference else 0  # predictions: kilobytes, beside checkpoints of megabytes
        room = None if self.model is None else kept + (CHECKPOINTS * STATES + 1) * self.model
        tokens = None if once.tokens is None else count * once.tokens
        minutes = None if once.minutes is None else round(count * once.minutes, 3)
        based_on = f"{count} times {other}: {once.based_on.partition('; ')[0]}; disk for the checkpoints of one training at a time"
        return StepCost(step.name, tokens, minutes, room, kept, based_on, once.guessed)

    def tokens(self, step: Step[Any], reference: PastRun | None) -> float | None:
        """Tokens that ``step`` will train on; None: it trains nothing, or only an earlier run could tell."""
        if step.cost.tokens is None:
            return None
        config = step.config.model_validate(self.resolved[step.name])
        if reference is None:
            return step.cost.tokens(config, None, {})
        past_config = _config(step, reference)
        counted = step.cost.tokens(config, past_config, reference.record["metrics"])
        return None if counted is None else counted * self.grown(step)

    def read(self, step: Step[Any], reference: PastRun | None) -> float | None:
        """Bytes that ``step`` will read; None without an earlier run."""
        return self.work_of(step, reference) * self.grown(step) if reference else None

    def work_of(self, step: Step[Any], past: PastRun) -> float:
        """The work of an earlier run."""
        if step.cost.tokens:
            config = _config(step, past)
            return step.cost.tokens(config, config, past.record["metrics"]) or 0.0
        names = past.sizes.keys() if step.cost.follows is None else step.cost.follows
        return float(sum(past.sizes.get(name, 0) for name in names))

    def comparable(self, step: Step[Any], past: PastRun) -> bool:
        """Whether an earlier run says something about ``step`` on this machine."""
        if past.version != step.version or _config(step, past) is None:
            return False
        if step.gpu and not _same_machine(past.record):
            return False
        return not step.cost.trains or (self.model is not None and abs(past.out / self.model - 1) <= SAME_MODEL)

    def words(self, step: Step[Any], scaled: tuple[float, list[PastRun]] | None, room: int | None, *, known: bool) -> str:
        """What the numbers of ``step`` rest on; ``known``: there is a time, if only for a first run."""
        parts = []
        if scaled is None and known:
            parts.append(f"time {self.first.told}")
        elif scaled is None:
            machine = f" on {device()} with {counted(cores(), 'core')}" if step.gpu else ""
            size = " with a base model of this size" if step.cost.trains else ""
            parts.append(f"time unknown: no earlier run of it{machine}{size}")
        else:
            pasts = scaled[1]
            unit = "tokens" if step.cost.tokens else "bytes read"
            names = ", ".join(dict.fromkeys(past.run for past in pasts))
            parts.append(f"time by {unit}, from {names}")
        if step.cost.trains and room is not None:
            parts.append(f"disk for {CHECKPOINTS} checkpoints of the weights and their optimizer, and {COPIES} copies of the model")
        elif room is None:
            parts.append("disk unknown")
        return "; ".join(parts)


def _scaled(work: float | None, points: Sequence[tuple[float, float, PastRun]]) -> tuple[float, list[PastRun]] | None:
    """Seconds for ``work``: the median of the runs nearest in work, each in proportion; and those runs. None where no run tells."""
    usable = [point for point in points if point[0] > 0 and point[1] > 0]
    if not work or not usable:
        return None
    far = {past: abs(math.log(amount / work)) for amount, _, past in usable}
    limit = min(far.values()) + math.log(FARTHER)
    nearest = [point for point in sorted(usable, key=lambda point: far[point[2]]) if far[point[2]] <= limit][:NEAREST]
    return median(seconds * work / amount for amount, seconds, _ in nearest), [past for _, _, past in nearest]


def _same_machine(record: Mapping[str, Any]) -> bool:
    """Whether a step was computed on such a device as is here, by as many cores as would now; its shards bound them."""
    shards = record.get("shards") or 1
    at_work, here = (record.get("workers"), workers(shards)) if shards > 1 else (record.get("threads"), cores())
    return record.get("device") == device() and at_work == here


def _config(step: Step[Any], past: PastRun) -> Any:
    """The configuration of an earlier run; None where this version of the step cannot read it."""
    try:
        return step.config.model_validate(past.record["params"])
    except ValidationError:
        return None


def _model_bytes(workspace: Workspace, resolved: Mapping[str, Any]) -> int | None:
    """Size of the pipeline's base model in fp32, with its tokenizer; None without one."""
    sections = [section for section in resolved.values() if isinstance(section, Mapping)]
    spec = next((section["base_model"] for section in sections if "base_model" in section), None)
    if spec is None:
        return None
    folder = base_model.locate(spec, workspace.root)
    beside = [path for path in base_model.loaded_files(folder) if path.suffix != ".safetensors"]
    return 4 * base_model.parameters(folder) + sum(path.stat().st_size for path in beside)


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())
    return path.stat().st_size if path.is_file() else 0


def _one_disk(workspace: Workspace) -> bool:
    """Whether what is registered lands on the disk of the workspace."""
    state = next(path for path in (workspace.state, *workspace.state.parents) if path.exists())
    return state.stat().st_dev == workspace.root.stat().st_dev
