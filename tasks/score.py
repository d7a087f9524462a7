"""``score``: what a candidate says of every dev and test row. Candidates are chosen and judged on it later; here nothing is compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import Cost, First, Metrics, PipelineContext, Step, StepConfig, each_candidate
from tasks.finetune import FINETUNE
from tasks.held_out import HELD_OUT


class ScoreConfig(StepConfig):
    """What a row is called does not matter to its score; which task it belongs to does."""

    task: str
    """The kind of task, which decides how a model is asked."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls(task=context.options.task.type)


def _run(config: ScoreConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files, progress
    from regraft.steps.evaluation import HeldOut, predictions, score_folder, temperature

    rows = {split: HeldOut.read(inputs[split]) for split in ("dev", "test")}
    for done, (split, held_out) in enumerate(rows.items(), start=1):
        predictions.write(out / f"{split}.parquet", score_folder(inputs["model"], held_out))
        progress.progress(done, len(rows), "splits")
    if calibration := temperature.read(inputs["model"]):  # of a model that was never calibrated nothing is said
        files.write_json(out / temperature.FILE, calibration)
    digests = {"model": files.digest(inputs["model"]), **{split: held_out.digest for split, held_out in rows.items()}}
    files.write_json(out / "digests.json", digests)
    return {split: len(held_out.ids) for split, held_out in rows.items()}


ROWS = {"dev": HELD_OUT / "dev.parquet", "test": HELD_OUT / "test.parquet"}
SCORE = Step(
    name="score",
    config=ScoreConfig,
    run=_run,
    inputs={"model": FINETUNE / "model", **ROWS},
    version=1,
    gpu=True,
    cost=Cost(follows=("dev", "test"), first=First(2.0, answers=0.35)),
    instances=each_candidate,
)
