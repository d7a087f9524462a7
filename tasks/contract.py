"""``contract``: the labelled rows, judged by their contract. Label-free texts go one way, accepted rows another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Metrics, PipelineContext, Step, StepConfig, evidence
from regraft.steps.options import Contract, Paths, TaskOptions


class ContractConfig(StepConfig):
    """What a row has to look like, and what the rows together have to hold."""

    labelled: Paths
    """The paths as the pipeline file has them; messages and the quarantine name files by them."""
    contract: Contract
    task: TaskOptions
    split: str | None = Field(None, exclude_if=lambda column: column is None)
    """Column that says train, dev or test. Left out where there is none: a hash of the id decides."""
    seed: int
    test: float
    dev: float
    max_quarantined: float = Field(0.1, ge=0, le=1)
    """A larger share of quarantined rows rejects the whole: then an export is broken, not a row."""
    expected: tuple[str, ...] | None = Field(None, exclude_if=lambda labels: labels is None)
    """Labels that tests of the gate `templates` expect. Left out where none does."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, split = context.options, context.options.data.split
        contract = Contract.model_validate(context.contract).for_task(options.task).with_split(split)
        shares = {"test": options.split.test, "dev": options.split.dev}
        expected = tuple(sorted({test["label"] for test in context.probes.get("templates", ()) if "label" in test})) or None
        named = {"labelled": options.data.labelled, "contract": contract, "task": options.task, "split": split, "expected": expected}
        return cls(**named, seed=options.seed, **shares)


def _run(config: ContractConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from tempfile import TemporaryDirectory

    from regraft.steps import files, progress
    from regraft.steps.data import Source, data_docs, labelled, quarantine, read_rows, reject, validate_rows
    from regraft.steps.evaluation import require_labels

    contract, task, listed = config.contract, config.task, evidence(out) / "quarantine.csv"
    required = [column.name for column in contract.columns if column.required]
    source = Source.of("data.labelled", inputs, config.labelled)
    with TemporaryDirectory(dir=out.parent, prefix="rows-") as store:
        judged = validate_rows(lambda: read_rows(source, required, [column.name for column in contract.columns]), contract, Path(store))
        waiting = Path(store) / "quarantine.parquet"
        told = quarantine.write_quarantine(waiting, listed, judged, task)
        if judged.result is not None:
            files.write_text(evidence(out) / "data_docs" / "index.html", data_docs(judged.result, f"{contract.id} {contract.version}"))
        deal = labelled.Deal(config.seed, config.test, config.dev, config.split)
        if faults := labelled.whole_problems(judged, contract, task, deal, config.max_quarantined):
            said = labelled.refusal(contract, task, config.split)
            reject(f"data.labelled ({source.all_shown}) {said}", faults + told.first, listed, told.more)
        labels = judged.counts(task.label)
        require_labels(config.expected or (), labels)

        quarantine.write_texts(out / "texts.parquet", judged, task, config.split)
        quarantine.write_accepted(out / "rows.parquet", judged, task)
        waiting.rename(out / "quarantine.parquet")
        quarantine.write_counts(out / "counts.json", judged, told, labels)
        files.write_json(out / "labels.json", sorted(labels))
    if judged.quarantined:
        kept = f"artifacts/{progress.current().pipeline}/contract/evidence/{listed.name}"
        progress.emit("warning", message=f"{told.sentence(judged.read, judged.quarantined)}; all of them: {kept}")
    return {"read": judged.read, "accepted": judged.kept, "quarantined": judged.quarantined, "labels": len(labels)}


CONTRACT = Step(name="contract", config=ContractConfig, run=_run, inputs={"labelled": "data.labelled"}, version=1)
