"""What a page rests on: read from a run's MLflow artifacts, kept there when the run is published.

The evidence of a decision holds ids and answers, no texts; ``artifacts/`` has them, but only until the next run
overwrites it. So :func:`keep` puts beside the predictions what a person needs to understand them later::

    report/test.parquet    id, text, label, every other column and discovered slice of the test rows: flipped examples, slices
    report/train.parquet   id, text, label of at most TRAIN_ROWS training rows: the learning curve of labels
    report/counts.json     rows read, accepted and quarantined, by rule and label
    report/suspects.parquet   the rows with the most suspect labels, where a gate asked for them
    report/contradictions.parquet   rows that were dropped for others of another label, with both texts, where there are any

The test rows are those of the predictions beside them, so the copy is of the same order of size; of the training
rows a bounded sample goes along, because nothing but the curve asks for them. All are the same bytes for the
same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.config.step_names import RENAMED, current_name
from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.evaluation.predictions import Table
from regraft.gates.decide import read_case
from regraft.gates.evidence.row_quality import SUSPECTS
from regraft.gates.policy import Case
from regraft.registry.journal import Entry
from regraft.registry.store import store_of
from regraft.registry.tracking import EVIDENCE, TrackedRun, Tracker
from regraft.reports.standing import Standing, standing

FOLDER, CONTRADICTIONS = "report", "contradictions.parquet"
TRAIN_ROWS = 5_000
"""Enough for eight doublings, and 0.4 MB of texts of the demo's length."""
Columns = Mapping[str, list[Any]]
Curves = Mapping[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Links:
    """Addresses of a run's other pages; None: there is no server that shows it."""

    mlflow_run: str | None = None
    version: str | None = None
    """The registered version of the candidate's weights."""
    flow_run: str | None = None
    """In Prefect."""


@dataclass(frozen=True)
class Evidence:
    """Everything that is known about one decided run."""

    run: TrackedRun
    case: Case
    verdict: dict[str, Any]
    tables: Mapping[str, Table]
    """Predictions by model."""
    records: Mapping[str, dict[str, Any]]
    """Step -> record, in the order in which the steps started; without those the run did not reach."""
    curves: Mapping[str, Curves]
    """Step -> curve -> points; of the run that computed the step."""
    history: tuple[Entry, ...]
    """What the journal says about the candidate's weights."""
    standing: Standing
    """What has become of them."""
    test: Columns | None
    """id, text, label, ...; None for a run of a version that did not keep them. Likewise the next two."""
    train: Columns | None
    counts: dict[str, Any] | None
    suspects: Columns | None = None
    contradictions: Columns | None = None
    links: Links = Links()


def keep(workspace: Workspace, pipeline: str, evidence: Path) -> str | None:
    """Write ``report/`` into the evidence folder of the run that has just been decided, from its steps' outputs.

    :returns: what the data team should be told of labels that contradict one another; None where none do.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    from regraft.data import contradictions
    from regraft.data.tables import write_table

    outputs = {step: workspace.artifacts(pipeline, step) / "out" for step in ("contract", "splits", "held_out")}
    folder = evidence / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    test, slices = (pq.read_table(outputs["held_out"] / f"{name}.parquet") for name in ("test", "slices"))
    place = {row: position for position, row in enumerate(slices["id"].to_pylist())}
    slices = slices.take([place[row] for row in test["id"].to_pylist()])
    others = [name for name in slices.schema.names if name not in test.schema.names]
    columns = {**test.to_pydict(), **{name: slices[name].to_pylist() for name in others}}
    write_table(folder / "test.parquet", {name: _words(values) for name, values in columns.items()})

    rows = ds.dataset(outputs["contract"] / "rows.parquet")
    splits = pq.read_table(outputs["splits"] / "splits.parquet", filters=[("split", "=", "train")])
    drawn = np.argsort(np.random.Philox(key=0).random_raw(len(splits)), kind="stable")[:TRAIN_ROWS]
    train = rows.to_table(columns=["id", "text", "label"], filter=pc.field("id").isin(splits["id"].take(np.sort(drawn)))).sort_by("id")
    write_table(folder / "train.parquet", train.to_pydict())
    files.write_json(folder / "counts.json", files.read_json(outputs["contract"] / "counts.json"))
    keep_texts(workspace.artifacts(pipeline, "held_out").parent, evidence)
    dropped = workspace.artifacts(pipeline, "splits") / "evidence" / "dropped.parquet"
    if not dropped.is_file():  # a step of a team's own
        return None
    table = contradictions.columns(contradictions.find(outputs["contract"] / "rows.parquet", outputs["splits"] / "splits.parquet", dropped))
    if table["id"]:
        write_table(folder / CONTRADICTIONS, table)
    return contradictions.sentence(table)


def gather(tracker: Tracker, name: str) -> Evidence:
    """All that run ``name`` left, or a pipeline's latest decided run. EnvironmentFault when its evidence is damaged."""
    run = tracker.find_run(name, decided=True)
    folder, recorded = tracker.download(run, EVIDENCE), tracker.download(run, "records")
    case, tables = read_case(folder)
    path = folder / "verdict.json"
    if not path.is_file():
        raise EnvironmentFault(f"{path} is not there: the decision was not finished", fix=f"regraft run {run.pipeline}")
    verdict = files.read_json(path)
    records = sorted((files.read_json(p) for p in recorded.glob("*.json")), key=lambda r: (r["started"], r["step"]))
    digest = verdict["candidate"]["digest"]
    journal = store_of(tracker.workspace).journal(run.pipeline).entries()
    report = folder / FOLDER
    return Evidence(
        run=run,
        case=case,
        verdict=verdict,
        tables=tables,
        records={current_name(record["step"]): record for record in records},
        curves={current_name(record["step"]): _curves(tracker, record, run) for record in records},
        standing=standing(journal, digest),
        history=tuple(entry for entry in journal if entry.digest == digest or (entry.from_ or {}).get("digest") == digest),
        test=_columns(report / "test.parquet"),
        train=_columns(report / "train.parquet"),
        counts=files.read_json(report / "counts.json") if (report / "counts.json").is_file() else None,
        suspects=_columns(report / SUSPECTS),
        contradictions=_columns(report / CONTRADICTIONS),
        links=_links(tracker, run, journal, digest),
    )


def _links(tracker: Tracker, run: TrackedRun, journal: Sequence[Entry], digest: str) -> Links:
    """Where servers that stay show the run and what it registered."""
    if not tracker.remote:
        return Links(flow_run=run.flow_run)
    version = next((e.to["version"] for e in journal if e.action == "register" and e.to and e.digest == digest), None)
    page = tracker.page_of_version(run.pipeline, version) if version else None
    return Links(mlflow_run=tracker.page_of(run.run_id), version=page, flow_run=run.flow_run)


def _curves(tracker: Tracker, record: Mapping[str, Any], run: TrackedRun) -> Curves:
    """The curves of a step, from the run that computed it; under its name of 0.2, if that was the one."""
    of_run, step = record.get("mlflow_run_id") or run.run_id, record["step"]
    names = (step, *(old for old, new in RENAMED.items() if new == step))
    return next(filter(None, (tracker.curves(of_run, name) for name in names)), {})


def _words(values: list[Any]) -> list[str | None]:
    """A column a contract has as numbers is a column of names here: they are compared with one another and shown, no more."""
    return [None if value is None else str(value) for value in values]


def _columns(path: Path) -> Columns | None:
    """The table at ``path`` by column; None where there is none. EnvironmentFault for a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
    except (OSError, pa.ArrowException) as fault:
        raise EnvironmentFault(f"{path} cannot be read: {fault}") from fault
    return columns


KEPT = 200
"""Suspect rows whose texts are kept: an afternoon's work for one person."""


def keep_texts(artifacts: Path, evidence: Path) -> None:
    """Put the surest suspect rows with their texts into the evidence folder's ``report/``, where the decision has suspects."""
    import pyarrow.parquet as pq

    if (evidence / SUSPECTS).is_file():
        pq.write_table(pq.read_table(artifacts / "suspects" / "out" / SUSPECTS).slice(0, KEPT), evidence / "report" / SUSPECTS)
