"""``seeds``: adapted and base fine-tuned again under other seeds, for pipelines with a gate ``seeds``. It keeps their answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Cost, Metrics, PipelineContext, Step
from regraft.steps.options import seeds_of
from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.finetune import FinetuneBaseConfig
from tasks.pretrain import PRETRAIN


class SeedsConfig(FinetuneBaseConfig):
    """What the two fine-tunings depend on, and how often they are repeated."""

    seeds: int = Field(ge=2)
    """Models of each, the one that the step of its own trains included."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        shared = FinetuneBaseConfig.of(context).model_dump(exclude={"abstain"})  # it changes no answer
        return cls.model_validate({**shared, "seeds": seeds_of(context.options.gates)})

    @property
    def trainings(self) -> int:
        return 2 * (self.seeds - 1)


def _run(config: SeedsConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits
    from regraft.steps.evaluation import HeldOut, align, predictions, scores, seeds_evidence
    from regraft.steps.training import finetune, locate, repeat_under_seeds

    table, labels = labelled_splits(inputs["rows"], inputs["splits"]), files.read_json(inputs["labels"])
    test = table[table["split"] == "test"].sort_values("id")
    rows = HeldOut(test["id"].tolist(), test["text"].tolist(), test["label"].tolist())

    def train(encoder: Path, name: str, seed: int, folder: Path) -> Mapping[str, float]:
        return finetune(
            encoder, table, labels, config.finetune, name=name, text_column=config.text_column, seed=seed, out=folder, task=config.task
        )

    encoders = {"adapted": inputs["encoder"], "base": locate(config.base_model, Path.cwd())}
    trainings = repeat_under_seeds(train, encoders, config.seeds, rows, seed=config.seed, scratch=out.parent)
    for training in trainings:
        predictions.write(out / seeds_evidence.file_name(training.model, training.number), training.answers)
    files.write_json(out / "digests.json", {"rows": rows.digest, "seeds": config.seeds})
    paired = align({f"{training.model}_{training.number}_macro_f1": training.answers.for_gates() for training in trainings})
    by_seed = {name: scores(paired, name)["macro_f1"] for name in paired.preds}
    return {"trainings": len(trainings), "tokens": sum(training.tokens for training in trainings), **by_seed}


ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": CORPUS / "splits.parquet"}
SEEDS = Step(
    name="seeds",
    config=SeedsConfig,
    run=_run,
    inputs={"encoder": PRETRAIN / "model", **ROWS},
    version=1,
    gpu=True,
    cost=Cost(repeats=("finetune", lambda config: config.trainings)),
    asked=lambda options: seeds_of(options.gates) is not None,
)
