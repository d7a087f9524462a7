"""``contract``: the labelled rows, judged by their contract. Label-free texts go one way, accepted rows another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.config import PipelineContext, StepConfig, TaskOptions
from regraft.data.contract import Contract
from regraft.step import Metrics, Step, evidence


class ContractConfig(StepConfig):
    """What a row has to look like, and what the rows together have to hold."""

    labelled: str
    """The path as the pipeline file has it; messages and the quarantine name files by it."""
    contract: Contract
    task: TaskOptions
    seed: int
    test: float
    dev: float
    max_quarantined: float = Field(0.1, ge=0, le=1)
    """A larger share of quarantined rows rejects the whole: then an export is broken, not a row."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, contract = context.options, Contract.model_validate(context.contract).for_task(context.options.task)
        shares = {"test": options.split.test, "dev": options.split.dev}
        return cls(labelled=options.data.labelled, contract=contract, task=options.task, seed=options.seed, **shares)


def _run(config: ContractConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from regraft import files
    from regraft.data import labelled, quarantine
    from regraft.data.reading import read_rows
    from regraft.data.report import data_docs
    from regraft.data.sources import Source, reject
    from regraft.data.tables import write_table

    contract, task = config.contract, config.task
    required = [column.name for column in contract.columns if column.required]
    source = Source("data.labelled", inputs["labelled"], config.labelled)
    rows = read_rows(source, required, [column.name for column in contract.columns])
    judged = quarantine.judge(rows, contract)
    listed = evidence(out) / "quarantine.csv"
    files.write_text(listed, quarantine.quarantine_csv(judged, task))
    if judged.result is not None:
        files.write_text(evidence(out) / "data_docs" / "index.html", data_docs(judged.result, f"{contract.id} {contract.version}"))
    if faults := labelled.whole_problems(judged, contract, task, config.seed, config.test, config.dev, config.max_quarantined):
        reject(f"data.labelled ({config.labelled}) breaks the contract {contract.id!r}", faults + judged.problems(), listed)

    texts = quarantine.usable_texts(rows, task)
    write_table(out / "texts.parquet", {"id": [key for key, _ in texts], "text": [text for _, text in texts]})
    quarantine.write_accepted(out / "rows.parquet", judged.accepted, task)
    quarantine.write_quarantine(out / "quarantine.parquet", judged, task)
    quarantine.write_counts(out / "counts.json", judged, task)
    labels = sorted({row.values[task.label] or "" for row in judged.accepted})
    files.write_json(out / "labels.json", labels)
    return {"read": judged.read, "accepted": len(judged.accepted), "quarantined": len(judged.quarantined), "labels": len(labels)}


CONTRACT = Step(name="contract", config=ContractConfig, run=_run, inputs={"labelled": "data.labelled"}, version=1)
