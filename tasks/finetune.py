"""``finetune`` and ``finetune_base``: one classifier on the adapted encoder, and the same on the base as it came."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Cost, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import AbstainOptions, FinetuneOptions, versions_of
from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.pretrain import PRETRAIN


class FinetuneConfig(StepConfig):
    """What a classifier depends on besides its encoder and rows."""

    finetune: FinetuneOptions
    text_column: str
    """What the text is called where the model is served."""
    seed: int
    abstain: AbstainOptions | None = Field(None, exclude_if=lambda abstain: abstain is None)
    versions: dict[str, int] = Field(default_factory=dict, exclude_if=lambda versions: not versions)
    """Of the plug-ins that train. Left out where all are the first of their kind, in version 1."""
    task: str = Field("text-classification", exclude_if=lambda task: task == "text-classification")
    """The type of the task."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        versions = versions_of(method=options.finetune.method, task=options.task.type, family=context.family)
        fields = {"finetune": options.finetune, "text_column": options.task.text, "abstain": options.abstain, "versions": versions}
        return cls(**fields, seed=options.seed, task=options.task.type)


class FinetuneBaseConfig(FinetuneConfig):
    """The same on the base model, which is then part of the identity."""

    base_model: str
    base_digest: str
    """Digest of the base model's files."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        shared = FinetuneConfig.of(context).model_dump()
        return cls.model_validate({**shared, "base_model": context.options.base_model, "base_digest": context.base_digest})


def _run(config: FinetuneConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits
    from regraft.steps.training import finetune, locate, require_versions

    require_versions(config.versions, method=config.finetune.method, task=config.task)
    base = isinstance(config, FinetuneBaseConfig)
    source = locate(config.base_model, Path.cwd()) if isinstance(config, FinetuneBaseConfig) else inputs["encoder"]
    rows = labelled_splits(inputs["rows"], inputs["splits"])
    name = "finetune_base" if base else "finetune"
    labels = files.read_json(inputs["labels"])
    return finetune(
        source,
        rows,
        labels,
        config.finetune,
        name=name,
        text_column=config.text_column,
        seed=config.seed,
        out=out / "model",
        precision=config.abstain.precision if config.abstain else None,
        task=config.task,
    )


def _tokens(config: FinetuneConfig, before: FinetuneConfig | None, metrics: Metrics) -> float | None:
    """The tokens of an earlier run, by the epochs of this one; None without an earlier run."""
    return metrics["tokens"] / before.finetune.passes * config.finetune.passes if before else None


COST = Cost(follows=("rows",), tokens=_tokens, trains=True)
ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": CORPUS / "splits.parquet"}
ENCODER = {"encoder": PRETRAIN / "model"}
FINETUNE = Step(name="finetune", config=FinetuneConfig, run=_run, inputs={**ENCODER, **ROWS}, version=2, gpu=True, cost=COST)
FINETUNE_BASE = Step(name="finetune_base", config=FinetuneBaseConfig, run=_run, inputs=ROWS, version=2, gpu=True, cost=COST)
