"""``seeds``: a candidate fine-tuned again under other seeds, for pipelines with a gate ``seeds``. It keeps their answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, Cost, Metrics, PipelineContext, Step, each_candidate
from regraft.steps.options import seeds_of
from tasks.finetune import ROWS, FinetuneConfig, encoder_of


class SeedsConfig(FinetuneConfig):
    """What the fine-tuning depends on, and how often it is repeated."""

    seeds: int = Field(ge=2)
    """Models, the one that ``finetune`` trains included."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        shared = FinetuneConfig.of(context).model_dump(exclude={"abstain"})  # it changes no answer
        return cls.model_validate({**shared, "seeds": seeds_of(context.options.gates)})

    @property
    def trainings(self) -> int:
        return self.seeds - 1


def _run(config: SeedsConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits
    from regraft.steps.evaluation import HeldOut, predictions
    from regraft.steps.training import finetune, locate, repeat_under_seeds

    table, labels = labelled_splits(inputs["rows"], inputs["splits"]), files.read_json(inputs["labels"])
    rows = HeldOut.of(table[table["split"] == "test"])

    def train(encoder: Path | None, name: str, seed: int, folder: Path) -> Mapping[str, float]:
        return finetune(
            encoder,
            table,
            labels,
            config.finetune,
            name=name,
            text_column=config.text_column,
            text_pair=config.text_pair,
            seed=seed,
            out=folder,
            task=config.task,
        )

    encoder = locate(config.base_model, Path.cwd()) if config.base_model else inputs.get("encoder")  # a method may read none
    trainings = repeat_under_seeds(train, {"seed": encoder}, config.seeds, rows, seed=config.seed, scratch=out.parent)
    for training in trainings:
        predictions.write(out / f"{training.number}.parquet", training.answers)
    files.write_json(out / "digests.json", {"rows": rows.digest, "seeds": config.seeds})
    return {"trainings": len(trainings), "tokens": sum(training.tokens for training in trainings)}


SEEDS = Step(
    name="seeds",
    config=SeedsConfig,
    run=_run,
    inputs=lambda candidate: {**encoder_of(candidate), **ROWS},
    version=2,
    gpu=True,
    cost=Cost(repeats=("finetune", lambda config: config.trainings)),
    instances=lambda options: each_candidate(options) if seeds_of(options.gates) is not None else NEVER,
)
