"""``corpus``: documents to learn the domain from. None of them holds a text that the model is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import NEVER, ONCE, Cost, First, Metrics, PipelineContext, Step, StepConfig, evidence
from regraft.steps.options import Paths, SplitOptions
from tasks.contract import CONTRACT


class CorpusConfig(StepConfig):
    """How texts are split and when two of them count as one."""

    corpus: Paths
    """The paths as the pipeline file has them; messages name files by them."""
    text_column: str
    """Column that holds the text, in all files but .txt."""
    tsv_quoted: bool = Field(False, exclude_if=lambda quoted: not quoted)
    """Whether values of .tsv files stand in quotes. Left out where they do not."""
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
        text = {"corpus": options.data.corpus, "text_column": options.corpus_column, "tsv_quoted": options.data.tsv_quoted}
        pairs = options.task.text_pair is not None
        return cls(**text, **context.spent, split=options.split, seed=options.seed, pairs=pairs)


def _run(config: CorpusConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.steps.data import Source, read_corpus, read_given, read_spent, read_texts, split_rows, write_documents, write_dropped

    corpus = read_corpus(Source.of("data.corpus", inputs, config.corpus, tsv_quoted=config.tsv_quoted), config.text_column)
    texts, given_splits = read_texts(inputs["texts"]), read_given(inputs["texts"])
    spent = read_spent(config.spent, config.spent_digest)
    division = split_rows(texts, corpus, config.split, config.seed, given_splits, scratch=out.parent, pairs=config.pairs, spent=spent)
    write_documents(out / "documents.parquet", division.documents)
    write_dropped(evidence(out) / "dropped.parquet", division.dropped_documents)
    return division.document_counts()


CORPUS = Step(
    name="corpus",
    config=CorpusConfig,
    run=_run,
    inputs={"texts": CONTRACT / "texts.parquet", "corpus": "data.corpus"},
    version=1,
    cost=Cost(first=First(1.2, per_mb=0.23, data="data.corpus")),
    instances=lambda options: ONCE if options.reads_corpus else NEVER,
)
