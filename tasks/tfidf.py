"""``tfidf``: the baseline that every candidate has to beat, trained on the same training rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Cost, First, Metrics, PipelineContext, Step, StepConfig
from tasks.contract import CONTRACT
from tasks.splits import SPLITS


class TfidfConfig(StepConfig):
    """The baseline is the same for every pipeline, so that beating it means the same."""

    max_ngram: int = Field(2, ge=1, le=5)
    """Longest run of words that is a feature."""
    inverse_regularization: float = Field(10.0, gt=0)
    """scikit-learn's C: larger fits the training rows more closely."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls()


def _run(config: TfidfConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits
    from regraft.steps.evaluation import Tfidf

    rows = labelled_splits(inputs["rows"], inputs["splits"])
    train = rows[rows["split"] == "train"].sort_values("id")
    model = Tfidf.train(
        train["text"].tolist(),
        train["label"].tolist(),
        files.read_json(inputs["labels"]),
        max_ngram=config.max_ngram,
        inverse_regularization=config.inverse_regularization,
    )
    model.save(out / "model")
    return {"rows": len(train), "terms": len(model.vocabulary)}


ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": SPLITS / "splits.parquet"}
TFIDF = Step(name="tfidf", config=TfidfConfig, run=_run, inputs=ROWS, version=1, cost=Cost(first=First(2.0, per_mb=2.0)))
