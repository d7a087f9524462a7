"""``earlier_tasks``: what linear probes on the encoders of ``forgetting`` answer to held-out rows of earlier tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, Metrics, PipelineContext, Step, StepConfig, each_candidate
from regraft.steps.options import EarlierRows, needs_step
from tasks.forgetting import stages

MAX_LENGTH = 64
"""Tokens of a text that a probe reads where the pipeline's method reads words."""


class EarlierTasksConfig(StepConfig):
    """The tasks, and what their texts are cut at. The budget is no part of it."""

    base_model: str
    """What every stage is held against."""
    base_digest: str
    """Digest of the base model's files."""
    tasks: dict[str, EarlierRows]
    max_length: int
    """Tokens of a text that are read, as in fine-tuning."""
    seed: int
    """With a row's text it says which half the row is in."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        tasks = options.asked("earlier_tasks").earlier_tasks.rows(context.named["earlier_tasks"])
        base = {"base_model": options.base_model, "base_digest": context.base_digest}
        return cls(**base, tasks=tasks, max_length=context.finetune.most_tokens or MAX_LENGTH, seed=options.seed)


def _run(config: EarlierTasksConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import read_task, write_table
    from regraft.steps.evaluation import right
    from regraft.steps.training import answer_earlier_tasks, locate

    tasks = {name: read_task(name, task, config.seed) for name, task in config.tasks.items()}
    answers = answer_earlier_tasks({"came": locate(config.base_model, Path.cwd()), **inputs}, tasks, config.max_length)
    named = {"task": [name for name, task in answers.items() for _ in task.labels]}
    labels = {"label": [label for task in answers.values() for label in task.labels]}
    said = {stage: [answer for task in answers.values() for answer in task.answers[stage]] for stage in ("came", *inputs)}
    write_table(out / "earlier_tasks.parquet", {**named, **labels, **said})
    rows = {half: sum(len(halves[number].texts) for halves in tasks.values()) for number, half in enumerate(("learned", "answered"))}
    hits = {stage: sum(int(right(task, stage).sum()) for task in answers.values()) for stage in ("came", *inputs)}
    return {"tasks": len(tasks), **rows, **{f"{stage}_accuracy": count / rows["answered"] for stage, count in hits.items()}}


EARLIER_TASKS = Step(
    name="earlier_tasks",
    config=EarlierTasksConfig,
    run=_run,
    inputs=stages,
    version=2,
    gpu=True,
    instances=lambda options: each_candidate(options) if needs_step(options.gates, "earlier_tasks") else NEVER,
)
