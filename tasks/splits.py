"""``splits``: which labelled row is in train, dev or test. No corpus has any influence on that, and a pipeline needs none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Cost, First, Metrics, PipelineContext, Step, StepConfig, evidence
from regraft.steps.options import SplitOptions
from tasks.contract import CONTRACT


class SplitsConfig(StepConfig):
    """How texts are split and when two of them count as one."""

    split: SplitOptions
    seed: int
    pairs: bool = Field(False, exclude_if=lambda pairs: not pairs)
    """The labelled rows are pairs of texts."""
    spent: str | None = Field(None, exclude_if=lambda path: path is None)
    """The list of rows that test no more. Left out where there is none, as is its digest."""
    spent_digest: str | None = Field(None, exclude_if=lambda digest: digest is None)

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        return cls(**context.spent, split=options.split, seed=options.seed, pairs=options.task.text_pair is not None)


def _run(config: SplitsConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import leaks, read_given, read_spent, read_texts, report_leaks, split_rows, write_dropped, write_table

    texts, given_splits = read_texts(inputs["texts"]), read_given(inputs["texts"])
    spent = read_spent(config.spent, config.spent_digest)
    division = split_rows(texts, None, config.split, config.seed, given_splits, scratch=out.parent, pairs=config.pairs, spent=spent)
    write_table(out / "splits.parquet", {"id": division.splits.keys(), "split": division.splits.values()})
    write_dropped(evidence(out) / "dropped.parquet", division.dropped_rows)
    if not given_splits:
        return division.row_counts()
    leaked, key = leaks(division.dropped_rows, given_splits, texts), "split.by" if config.split.by else "data.split"
    return {**division.row_counts(), **report_leaks(leaked, evidence(out) / "leaks.parquet", key)}


COST = Cost(first=First(1.2, per_mb=0.5))
SPLITS = Step(name="splits", config=SplitsConfig, run=_run, inputs={"texts": CONTRACT / "texts.parquet"}, version=1, cost=COST)
