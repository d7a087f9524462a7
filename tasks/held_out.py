"""``held_out``: the rows that candidates are chosen and judged on, what they are sliced by, and what the baseline says of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import Cost, First, Metrics, PipelineContext, Step, StepConfig
from tasks.contract import CONTRACT
from tasks.splits import SPLITS
from tasks.tfidf import TFIDF


class HeldOutConfig(StepConfig):
    """Which rows are held out, the splits say."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls()


def _run(config: HeldOutConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps import files
    from regraft.steps.data import labelled_splits, other_columns, write_table
    from regraft.steps.evaluation import HeldOut, Tfidf, discover_slices, predictions

    table = labelled_splits(inputs["rows"], inputs["splits"])
    rows = {split: HeldOut.of(table[table["split"] == split]) for split in ("test", "dev")}
    for split, held_out in rows.items():
        write_table(out / f"{split}.parquet", {"id": held_out.ids, "text": held_out.texts, "label": held_out.labels})
    files.write_json(out / "labels.json", files.read_json(inputs["labels"]))

    test, baseline = rows["test"], Tfidf.load(inputs["tfidf"])
    slices = discover_slices(test.texts, table[table["split"] == "train"]["text"].tolist(), baseline)
    write_table(out / "slices.parquet", {"id": test.ids, **other_columns(inputs["rows"], test.ids, taken=slices), **slices})
    predictions.write(out / "tfidf.parquet", predictions.Table.of(test.ids, test.labels, baseline.predict(test.texts), baseline.labels))
    digests = {"tfidf": files.digest(inputs["tfidf"]), **{split: held_out.digest for split, held_out in rows.items()}}
    files.write_json(out / "digests.json", digests)
    return {split: len(held_out.ids) for split, held_out in rows.items()}


ROWS = {"rows": CONTRACT / "rows.parquet", "labels": CONTRACT / "labels.json", "splits": SPLITS / "splits.parquet"}
INPUTS = {"tfidf": TFIDF / "model", **ROWS}
HELD_OUT = Step(name="held_out", config=HeldOutConfig, run=_run, inputs=INPUTS, version=2, cost=Cost(first=First(1.5, per_mb=0.5)))
