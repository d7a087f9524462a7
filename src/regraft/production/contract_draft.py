"""``regraft contract infer`` and ``test``: a contract drafted from rows, and tried on rows; nothing is run and nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regraft.config.pipeline_file import load_pipeline
from regraft.core.errors import ConfigError, Problem
from regraft.core.workspace import Workspace
from regraft.data.contract import Contract
from regraft.data.contract_file import load_contract, load_drop_rules
from regraft.data.expectations import Tokens
from regraft.data.handoff.draft import draft
from regraft.data.handoff.drop import open_drop
from regraft.data.handoff.judge import judge
from regraft.data.handoff.known import Known
from regraft.data.options import TaskOptions, listed
from regraft.data.quarantine import Told
from regraft.data.rows import Row
from regraft.data.spelling import spelled
from regraft.models.base_model import locate
from regraft.models.tokenizer import token_counter

SUFFIX = ".contract.yaml"


@dataclass(frozen=True)
class Tried:
    """What a contract makes of rows."""

    counts: dict[str, int]
    told: Told
    blocks: list[Problem]
    warnings: list[str]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        examples = [dict(problem) for problems in self.told.examples.values() for problem in problems]
        blocks = [dict(block) for block in self.blocks]
        return {**self.counts, "by_rule": dict(self.told.by_rule), "rows": examples, "blocks": blocks, "warnings": self.warnings}


def infer(workspace: Workspace | None, data: str, pipeline: str | None, task: TaskOptions | None) -> str:
    """The text of a contract that the rows at ``data`` keep."""
    options = load_pipeline(workspace, pipeline) if workspace is not None and pipeline is not None else None
    columns = task or (options.task if options else TaskOptions())
    with tempfile.TemporaryDirectory() as folder:
        required = [name for name in (columns.id, *columns.texts, columns.label) if name is not None]
        rows = open_drop(Path(data), data, Path(folder)).rows(columns, required, ())
        return draft(rows, columns, pipeline or _name(data), data)


def _name(data: str) -> str:
    stem = Path(data).name.partition(".")[0].lower()
    return "".join(sign if sign.isalnum() else "_" for sign in stem) or "rows"


def try_out(workspace: Workspace | None, contract: str, data: str | None, task: TaskOptions | None) -> Tried:
    """What the contract in the file ``contract`` makes of the rows at ``data``; None: of those that the pipeline of its name has.

    :raises ConfigError: there is no such file, or nothing says which rows are meant.
    """
    path = Path(contract)
    if not path.is_file():
        raise ConfigError(f"{contract} is not there", fix="regraft contract infer DATA > pipelines/NAME.contract.yaml")
    name = path.name.removesuffix(SUFFIX)
    options = load_pipeline(workspace, name) if workspace is not None and name in workspace.pipelines else None
    columns = task or (options.task if options else TaskOptions())
    if data is None and options is None:
        raise ConfigError(
            f"no pipeline is called {name!r}, so it has to be said which rows to try", fix=f"regraft contract test {contract} rows.csv"
        )
    rules = Contract.model_validate(load_contract(path)).for_task(columns)
    if options is not None:
        rules = rules.with_split(options.data.split).with_order(options.split.by)
    with tempfile.TemporaryDirectory() as folder:
        sources = [data] if data is not None else [str(workspace.root / place) for place in listed(options.data.labelled)]  # type: ignore[union-attr]
        again = _reader(sources, columns, rules, Path(folder), options)
        counter = _counter(workspace, options, contract) if rules.counts_tokens else None
        judged = judge(again, Known(columns), rules, load_drop_rules(path), Path(folder) / "rows", mode="add", tokens=counter)
        told = Told()
        for row, faults in judged.validated.quarantine() if judged.validated.quarantined else ():
            told.add(row, faults)
        return Tried(judged.counts, told, judged.blocks, judged.warnings)


def _counter(workspace: Workspace | None, options: Any, contract: str) -> Tokens:
    if workspace is None or options is None:
        raise ConfigError(
            f"{contract} has a rule about tokens, and which base model counts them, only a pipeline says",
            fix=f"call it pipelines/NAME{SUFFIX}, as the pipeline NAME is called",
        )
    return token_counter(locate(options.base_model, workspace.root))


def _reader(sources: list[str], task: TaskOptions, rules: Contract, folder: Path, options: Any) -> Callable[[], Iterable[Row]]:
    quoted = options.data.tsv_quoted if options is not None else False
    drops = [open_drop(Path(source), source, folder / str(number), tsv_quoted=quoted) for number, source in enumerate(sources)]
    required, strings = [column.name for column in rules.columns if column.required], [column.name for column in rules.columns]
    split = options.data.split if options is not None else None
    return lambda: (row for drop in drops for row in spelled(drop.rows(task, required, strings), task, split))
