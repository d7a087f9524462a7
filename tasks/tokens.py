"""``tokens``: the corpus as packed sequences of token ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.steps import NEVER, ONCE, Cost, First, Metrics, PipelineContext, Step, StepConfig
from tasks.corpus import CORPUS


class TokensConfig(StepConfig):
    """What the packed tokens depend on besides the documents."""

    base_model: str
    """The base model whose tokenizer is used."""
    base_digest: str
    """Digest of the base model's files."""
    sequence_length: int
    """Tokens in one sequence, its two frame tokens included."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        return cls(base_model=options.base_model, base_digest=context.base_digest, sequence_length=options.pretrain.sequence_length)


def _run(config: TokensConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import pack, stored_documents
    from regraft.steps.training import backend, check_length, frame_in, locate

    folder = locate(config.base_model, Path.cwd())
    check_length(folder, config.sequence_length, "pretrain.sequence_length")
    return pack(stored_documents(inputs["documents"]), backend(folder), config.sequence_length, out, frame_in(folder))


TOKENS = Step(
    name="tokens",
    config=TokensConfig,
    run=_run,
    inputs={"documents": CORPUS / "documents.parquet"},
    version=1,
    cost=Cost(first=First(1.2, per_mb=0.19, data="data.corpus")),
    instances=lambda options: ONCE if options.adapts_to_corpus else NEVER,
)
