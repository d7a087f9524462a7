"""``row_tokens``: the texts of the training rows as packed sequences of token ids. Only where adaptation reads them.

No label is in what it leaves, so a corrected label adapts no model again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, ONCE, Metrics, PipelineContext, Step, StepConfig
from tasks.contract import CONTRACT
from tasks.splits import SPLITS


class RowTokensConfig(StepConfig):
    """What the packed tokens depend on besides the rows."""

    base_model: str
    """The base model whose tokenizer is used."""
    base_digest: str
    """Digest of the base model's files."""
    sequence_length: int
    """Tokens in one sequence."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        return cls(base_model=options.base_model, base_digest=context.base_digest, sequence_length=options.pretrain.sequence_length)


def _run(config: RowTokensConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import labelled_splits, pack, training_texts
    from regraft.steps.training import backend, check_length, frame_in, locate

    folder = locate(config.base_model, Path.cwd())
    check_length(folder, config.sequence_length, "pretrain.sequence_length")
    texts = training_texts(labelled_splits(inputs["rows"], inputs["splits"]))
    named = {"called": "the text of the training rows", "key": "data.labelled"}
    return pack(texts, backend(folder), config.sequence_length, out, frame_in(folder), **named)


ROW_TOKENS = Step(
    name="row_tokens",
    config=RowTokensConfig,
    run=_run,
    inputs={"rows": CONTRACT / "rows.parquet", "splits": SPLITS / "splits.parquet"},
    version=1,
    instances=lambda options: ONCE if options.adapts and options.pretrain.reads_rows else NEVER,
)
