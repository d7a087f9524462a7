"""``overlap``: which test rows share long runs of words with what was trained on. Only where a gate is ``rows: clean``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, ONCE, Metrics, PipelineContext, Step, StepConfig
from regraft.steps.options import needs_step
from tasks.contract import CONTRACT
from tasks.corpus import CORPUS
from tasks.splits import SPLITS


class OverlapConfig(StepConfig):
    """What counts as overlap is the same for every pipeline, so that clean means the same."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        return cls()


def _run(config: OverlapConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import Finder, labelled_splits, read_trained_on, worst
    from regraft.steps.evaluation import row_quality_evidence

    table = labelled_splits(inputs["rows"], inputs["splits"])
    test, train = (table[table["split"] == split] for split in ("test", "train"))
    find = Finder(test["text"].tolist())
    shared = {"train": find("train", zip(train["id"], train["text"], strict=True))}
    if "documents" in inputs:  # no model reads a corpus where none is adapted
        shared["corpus"] = find("corpus", read_trained_on(inputs["documents"]))
    overlaps = worst(*shared.values())
    row_quality_evidence.write_overlap(out / row_quality_evidence.OVERLAP, dict(zip(test["id"], overlaps, strict=True)))
    kinds = [(item.kind, item.source) for item in overlaps]
    counts = {f"{kind}_{source}": kinds.count((kind, source)) for source in shared for kind in ("exact", "near")}
    return {"rows": len(kinds), "clean": len(kinds) - sum(counts.values()), **counts}


ROWS = {"rows": CONTRACT / "rows.parquet", "splits": SPLITS / "splits.parquet", "documents": CORPUS / "documents.parquet"}
OVERLAP = Step(
    name="overlap",
    config=OverlapConfig,
    run=_run,
    inputs=ROWS,
    optional=("documents",),
    version=1,
    instances=lambda options: ONCE if needs_step(options.gates, "overlap") else NEVER,
)
