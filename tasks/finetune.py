"""``finetune``: every candidate's classifier, on the encoder that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Candidate, Cost, First, Metrics, Output, PipelineContext, Step, StepConfig, each_candidate
from regraft.steps.options import AbstainOptions, FinetuneOptions, SideRows, versions_of
from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.pretrain import PRETRAIN
from tasks.splits import SPLITS

MODEL = "model."
"""Begin of the names of inputs that are other candidates' models."""


class FinetuneConfig(StepConfig):
    """What a classifier depends on besides its encoder and rows; what starts from the base model names that."""

    finetune: FinetuneOptions
    text_column: str
    """What the text is called where the model is served."""
    text_pair: str | None = Field(None, exclude_if=lambda column: column is None)
    """What the second text is called there. Left out where a row has one."""
    seed: int
    abstain: AbstainOptions | None = Field(None, exclude_if=lambda abstain: abstain is None)
    versions: dict[str, int] = Field(default_factory=dict, exclude_if=lambda versions: not versions)
    """Of the plug-ins that train. Left out where all are the first of their kind, in version 1."""
    task: str = Field("text-classification", exclude_if=lambda task: task == "text-classification")
    """The type of the task."""
    base_model: str | None = Field(None, exclude_if=lambda model: model is None)
    """What a candidate with `start: base` starts from; left out for the others, as the digest of its files."""
    base_digest: str | None = Field(None, exclude_if=lambda digest: digest is None)

    side_tasks: dict[str, SideRows] = Field(default_factory=dict, exclude_if=lambda tasks: not tasks)
    """Other tasks that the model learns, with the digests of their rows. Left out where it learns none."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, finetune = context.options, context.finetune
        versions = versions_of(method=finetune.method, task=options.task.type, family=context.family)
        texts = {"text_column": options.task.text, "text_pair": options.task.text_pair}
        fields = {"finetune": finetune, **texts, "abstain": options.abstain, "versions": versions}
        return cls(**fields, **context.starts_from_base, side_tasks=context.side_tasks, seed=options.seed, task=options.task.type)


def _run(config: FinetuneConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files, progress
    from regraft.steps.data import labelled_splits, read_side_task
    from regraft.steps.training import finetune, locate, require_versions

    require_versions(config.versions, method=config.finetune.method, task=config.task)
    return finetune(
        locate(config.base_model, Path.cwd()) if config.base_model else inputs.get("encoder"),  # a method may read none
        labelled_splits(inputs["rows"], inputs["splits"]),
        files.read_json(inputs["labels"]),
        config.finetune,
        name=progress.current().step or "finetune",
        text_column=config.text_column,
        text_pair=config.text_pair,
        seed=config.seed,
        out=out / "model",
        precision=config.abstain.precision if config.abstain else None,
        task=config.task,
        models={name.removeprefix(MODEL): path for name, path in inputs.items() if name.startswith(MODEL)},
        documents=inputs.get("documents"),
        tasks={name: read_side_task(name, rows) for name, rows in config.side_tasks.items()},
    )


def encoder_of(candidate: Candidate) -> dict[str, Output | str]:
    """The adapted encoder, for a candidate that starts from it; the base model is no step's output."""
    return {"encoder": PRETRAIN / "model"} if candidate.start == "adapted" else {}


def models_of(candidate: Candidate) -> dict[str, Output | str]:
    """The models of other candidates that its own is made of, and the corpus where one of them labels it."""
    documents = {"documents": CORPUS / "documents.parquet"} if candidate.teacher else {}
    return {**{f"{MODEL}{name}": Output(f"finetune-{name}", "model") for name in candidate.made_of}, **documents}


def _tokens(config: FinetuneConfig, before: FinetuneConfig | None, metrics: Metrics) -> float | None:
    """The tokens of an earlier run, by the epochs of this one; None without an earlier run."""
    return metrics["tokens"] / before.finetune.passes * config.finetune.passes if before else None


ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": SPLITS / "splits.parquet"}
FINETUNE = Step(
    name="finetune",
    config=FinetuneConfig,
    run=_run,
    inputs=lambda candidate: {**encoder_of(candidate), **models_of(candidate), **ROWS},
    version=2,
    gpu=True,
    cost=Cost(
        follows=("rows",),
        tokens=_tokens,
        trains=True,
        first=First(4.0, learns=lambda config: config.finetune.passes * config.finetune.effort),
    ),
    instances=each_candidate,
)
