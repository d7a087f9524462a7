"""``corpus``: documents to learn the domain from, and the split of the labelled rows; nothing is in two of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from regraft.config import PipelineContext, SplitOptions, StepConfig
from regraft.step import Metrics, Step, evidence
from tasks.contract import CONTRACT


class CorpusConfig(StepConfig):
    """How texts are dealt out and when two of them count as one."""

    corpus: str
    """The path as the pipeline file has it; messages name files by it."""
    text_column: str
    """Of .jsonl and .csv files."""
    split: SplitOptions
    seed: int

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options = context.options
        return cls(corpus=options.data.corpus, text_column=options.task.text, split=options.split, seed=options.seed)


def _run(config: CorpusConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft.data.dealing import deal, read_texts
    from regraft.data.documents import read_corpus
    from regraft.data.sources import Source
    from regraft.data.tables import write_documents, write_table

    corpus = read_corpus(Source("data.corpus", inputs["corpus"], config.corpus), config.text_column)
    dealt = deal(read_texts(inputs["texts"]), corpus, config.split, config.seed)
    write_documents(out / "documents.parquet", dealt.documents)
    write_table(out / "splits.parquet", {"id": dealt.splits.keys(), "split": dealt.splits.values()})
    dropped = {name: [getattr(item, name) for item in dealt.dropped] for name in ("id", "reason", "of")}
    write_table(evidence(out) / "dropped.parquet", dropped)
    return dealt.counts()


CORPUS = Step(
    name="corpus", config=CorpusConfig, run=_run, inputs={"texts": CONTRACT / "texts.parquet", "corpus": "data.corpus"}, version=1
)
