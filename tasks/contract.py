"""``contract``: the labelled rows, checked by their contract. Label-free texts go one way, accepted rows another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic import Field

from regraft.steps import Cost, First, Metrics, PipelineContext, Step, StepConfig, evidence
from regraft.steps.options import Contract, Paths, TaskOptions


class ContractConfig(StepConfig):
    """What a row has to look like, and what the rows together have to hold."""

    labelled: Paths
    """The paths as the pipeline file has them; messages and the quarantine name files by them."""
    contract: Contract
    task: TaskOptions
    split: str | None = Field(None, exclude_if=lambda column: column is None)
    """Column that says train, dev or test. Left out where there is none: a hash of the id decides."""
    by: str | None = Field(None, exclude_if=lambda column: column is None)
    """Column that orders the rows: the newest test. Left out where there is none."""
    spent: str | None = Field(None, exclude_if=lambda path: path is None)
    """The list of rows that test no more. Left out where there is none, as is its digest."""
    spent_digest: str | None = Field(None, exclude_if=lambda digest: digest is None)
    base_model: str | None = Field(None, exclude_if=lambda name: name is None)
    """The base model whose tokens the contract asks about. Left out where it asks about none, as is its digest."""
    base_digest: str | None = Field(None, exclude_if=lambda digest: digest is None)
    seed: int
    test: float
    dev: float
    max_quarantined: float = Field(0.1, ge=0, le=1)
    """A larger share of quarantined rows rejects the whole: then an export is broken, not a row."""
    tsv_quoted: bool = Field(False, exclude_if=lambda quoted: not quoted)
    """Whether values of .tsv files stand in quotes. Left out where they do not."""
    expected: tuple[str, ...] | None = Field(None, exclude_if=lambda labels: labels is None)
    """Labels that tests of the gate `templates` expect. Left out where none does."""

    @classmethod
    def of(cls, context: PipelineContext) -> Self:
        options, split = context.options, context.options.data.split
        contract = Contract.model_validate(context.contract).for_task(options.task).with_split(split).with_order(options.split.by)
        shares = {"test": options.split.test, "dev": options.split.dev}
        expected = tuple(sorted({test["label"] for test in context.named.get("templates", ()) if "label" in test})) or None
        fields = {"labelled": options.data.labelled, "contract": contract, "task": options.task, "split": split, "expected": expected}
        if contract.counts_tokens:
            fields |= {"base_model": options.base_model, "base_digest": context.base_digest}
        return cls(**fields, **context.spent, by=options.split.by, tsv_quoted=options.data.tsv_quoted, seed=options.seed, **shares)


def _run(config: ContractConfig, inputs: Mapping[str, Path], out: Path) -> Metrics:
    from tempfile import TemporaryDirectory

    from regraft.steps import files, progress
    from regraft.steps.data import Source, contract_page, labelled, quarantine, read_rows, read_spent, reject, spelled, validate_rows
    from regraft.steps.evaluation import require_labels

    contract, task, sheet = config.contract, config.task, evidence(out) / "quarantine.csv"
    required = [column.name for column in contract.columns if column.required]
    strings = [column.name for column in contract.columns]
    source = Source.of("data.labelled", inputs, config.labelled, tsv_quoted=config.tsv_quoted)
    with TemporaryDirectory(dir=out.parent, prefix="rows-") as store:
        validated = validate_rows(
            lambda: spelled(read_rows(source, required, strings), task, config.split), contract, Path(store), tokens=_tokens(config)
        )
        waiting = Path(store) / "quarantine.parquet"
        report = quarantine.write_quarantine(waiting, sheet, validated, task)
        files.write_text(evidence(out) / "contract.html", contract_page.render(contract, validated.read, validated.quarantined, report))
        spent = read_spent(config.spent, config.spent_digest)
        splitting = labelled.Splitting(config.seed, config.test, config.dev, config.split, config.by, spent=spent).ordered(validated)
        if faults := labelled.whole_problems(validated, contract, task, splitting, config.max_quarantined):
            refusal = labelled.refusal(contract, task, splitting)
            reject(f"data.labelled ({source.all_shown}) {refusal}", faults + report.first, sheet, report.more)
        labels = validated.counts(task.label)
        require_labels(config.expected or (), labels)

        quarantine.write_texts(out / "texts.parquet", validated, task, splitting)
        quarantine.write_accepted(out / "rows.parquet", validated, task)
        waiting.rename(out / "quarantine.parquet")
        quarantine.write_counts(out / "counts.json", validated, report, labels, splitting.order)
        files.write_json(out / "labels.json", sorted(labels))
        misread = quarantine.misread(validated, task)
    if splitting.order and (uneven := splitting.order.uneven(config.test)):
        progress.emit("warning", message=uneven)
    if misread:
        progress.emit("warning", message=f"data.labelled: {misread}")
    if validated.quarantined:
        place = f"artifacts/{progress.current().pipeline}/contract/evidence/{sheet.name}"
        progress.emit("warning", message=f"{report.sentence(validated.read, validated.quarantined)}; all of them: {place}")
    return {"read": validated.read, "accepted": validated.kept, "quarantined": validated.quarantined, "labels": len(labels)}


def _tokens(config: ContractConfig) -> Callable[[Sequence[str]], Sequence[int]] | None:
    """What counts tokens, where the contract asks about them."""
    if config.base_model is None:
        return None
    from regraft.steps.training import locate, token_counter

    return token_counter(locate(config.base_model, Path.cwd()))


COST = Cost(first=First(5.0, per_mb=1.0))
CONTRACT = Step(name="contract", config=ContractConfig, run=_run, inputs={"labelled": "data.labelled"}, version=1, cost=COST)
