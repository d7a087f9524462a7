"""``switch_point``: from how many labels on fine-tuning is better than a method for few, on this pipeline's own training and dev rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, ONCE, Cost, First, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import FinetuneOptions, versions_of
from tasks.finetune import ROWS


class SwitchPointConfig(StepConfig):
    """Two ways to train, both from the base model, and how often on how many rows."""

    few: FinetuneOptions
    full: FinetuneOptions
    sizes: tuple[int, ...]
    """Training rows a class."""
    draws: int
    text_column: str
    text_pair: str | None = Field(None, exclude_if=lambda column: column is None)
    """What the second text is called. Left out where a row has one."""
    seed: int
    versions: dict[str, dict[str, int]]
    """Of the plug-ins of each way."""
    task: str
    """The type of the task."""
    base_model: str
    base_digest: str
    """Digest of the base model's files."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, ways = context.options, context.compared_ways
        point, task = options.switch_point, options.task
        assert point is not None
        versions = {name: versions_of(method=way.method, task=task.type, family=context.family) for name, way in ways.items()}
        base = {"base_model": options.base_model, "base_digest": context.base_digest}
        texts = {"text_column": task.text, "text_pair": task.text_pair}
        measured = {"sizes": point.sizes, "draws": point.draws, "seed": options.seed}
        return cls(**ways, **measured, **texts, versions=versions, task=task.type, **base)


def _run(config: SwitchPointConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits
    from regraft.steps.training import locate, measure_switch_point, require_versions

    ways = {"few": config.few, "full": config.full}
    for name, way in ways.items():
        require_versions(config.versions[name], method=way.method, task=config.task)
    rows, labels = labelled_splits(inputs["rows"], inputs["splits"]), files.read_json(inputs["labels"])
    source, texts = locate(config.base_model, Path.cwd()), {"text_column": config.text_column, "text_pair": config.text_pair}
    document, metrics = measure_switch_point(
        source, rows, labels, ways, config.sizes, config.draws, seed=config.seed, scratch=out.parent, told={**texts, "task": config.task}
    )
    files.write_json(out / "switch_point.json", document)
    return metrics


def _readings(config: SwitchPointConfig) -> float:
    """How often all training rows are read, at most: a size has half of the rows of the next, and the largest no more than there are."""
    return 2 * config.draws * sum(way.passes * way.effort for way in (config.few, config.full))


SWITCH_POINT = Step(
    name="switch_point",
    config=SwitchPointConfig,
    run=_run,
    inputs=ROWS,
    version=1,
    gpu=True,
    cost=Cost(follows=("rows",), first=First(4.0, learns=_readings)),
    instances=lambda options: ONCE if options.switch_point else NEVER,
)
