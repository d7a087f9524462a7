"""``suspects``: labels that are probably wrong, of all labelled rows. Only where a gate counts negative flips."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, ONCE, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import needs_step
from tasks.contract import CONTRACT
from tasks.splits import SPLITS


class SuspectsConfig(StepConfig):
    """How the models that look for wrong labels are trained: like the baseline."""

    seed: int
    max_ngram: int = Field(2, ge=1, le=5)
    """Longest run of words that is a feature."""
    inverse_regularization: float = Field(10.0, gt=0)
    """scikit-learn's C: larger fits the training rows more closely."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls(seed=context.options.seed)


def _run(config: SuspectsConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import labelled_splits
    from regraft.steps.evaluation import Baseline, find_label_issues, row_quality_evidence

    rows = labelled_splits(inputs["rows"], inputs["splits"])
    baseline = Baseline(config.max_ngram, config.inverse_regularization)
    issues, checked = find_label_issues(rows["id"].tolist(), rows["text"].tolist(), rows["label"].tolist(), baseline, config.seed)
    row_quality_evidence.write_suspects(
        out / row_quality_evidence.SUSPECTS, {name: rows[name].tolist() for name in ("id", "split", "text", "label")}, issues
    )
    return {"judged": checked, "suspects": len(issues), "in_test": sum(rows["split"][row] == "test" for row in issues)}


SUSPECTS = Step(
    name="suspects",
    config=SuspectsConfig,
    run=_run,
    inputs={"rows": CONTRACT / "rows.parquet", "splits": SPLITS / "splits.parquet"},
    version=1,
    instances=lambda options: ONCE if needs_step(options.gates, "suspects") else NEVER,
)
