"""Fresh test rows in the place of worn ones: those that tested are trained on from now on, and rows that nobody has seen yet test.

A row that a model was trained on cannot test it, so no old row becomes a test row: of rows handed in since the last run, those whose
hash says so. Nothing that was decided changes: verdicts rest on their own evidence, and the ledger knows test rows by their
content, so fresh ones have answered nothing. The champion is scored on them by the next run, as on any rows it has no answers for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import load_pipeline
from regraft.core import files
from regraft.core.errors import ConfigError, DataRejected
from regraft.core.quantities import counted
from regraft.core.workspace import Workspace
from regraft.data import hub, precheck, spent
from regraft.data.options import listed
from regraft.data.reading import read_rows
from regraft.data.sources import Source
from regraft.data.spelling import spelled
from regraft.data.split import split_of
from regraft.execution.resolve import resolve
from regraft.execution.run_lock import run_lock
from regraft.gates.comparison import MIN_CLEAN_ROWS
from regraft.registry.journal import whoami
from regraft.registry.store import store_of

LEAST = MIN_CLEAN_ROWS
"""Fresh test rows without which nothing can be told."""


@dataclass(frozen=True)
class Renewal:
    """What became of a pipeline's test rows."""

    file: str
    """The list that was written."""
    worn: int
    """Rows that tested, and are trained on from now on."""
    decisions: int
    """How many different questions they had answered."""
    fresh: dict[str, int]
    """Label -> rows that test from now on, before duplicates are dropped and the contract is checked."""

    def document(self, pipeline: str) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "schema": 1,
            "pipeline": pipeline,
            "file": self.file,
            "worn": self.worn,
            "decisions": self.decisions,
            "fresh": dict(self.fresh),
        }


def renew(workspace: Workspace, pipeline: str) -> Renewal:
    """Write ``pipelines/<name>.spent.json``, by which the next run deals rows out. Nothing else changes.

    :raises ConfigError: a column says which rows test, or nothing has been dealt out yet.
    :raises DataRejected: too few rows have come since, or none of some class.
    """
    options = load_pipeline(workspace, pipeline)
    _require_drawn(pipeline, options)
    with run_lock(workspace, pipeline, wait=False):
        resolved = resolve(workspace, pipeline)
        precheck.look(workspace.root, resolved)
        path = workspace.root / "pipelines" / f"{pipeline}{spent.SUFFIX}"
        shown = workspace.relative(path)
        before = spent.load(path, shown)
        known = _known(workspace, pipeline)
        shares = options.split.test, options.split.dev
        worn = sorted(key for key in known if split_of(options.seed, key, *shares, before.ids) == "test")
        fresh = Counter(
            label for key, label in _handed_in(workspace, options) if key not in known and split_of(options.seed, key, *shares) == "test"
        )
        _require_enough(workspace, pipeline, options, fresh)
        digests = workspace.artifacts(pipeline, "held_out") / "out" / "digests.json"
        rows = files.read_json(digests)["test"] if digests.is_file() else None
        store = store_of(workspace)
        decisions = store.ledger.count(rows) if rows else 0
        run = (store.latest(pipeline) or {}).get("run")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        renewed = spent.Round(at=at, by=whoami(), run=run, rows=rows, decisions=decisions, ids=tuple(worn))
        files.write_json(path, spent.Spent(rounds=(*before.rounds, renewed)).model_dump(mode="json"))
    return Renewal(shown, len(worn), decisions, dict(sorted(fresh.items())))


def _require_drawn(pipeline: str, options: PipelineOptions) -> None:
    """A hash decides which rows test; where a column does, the data renew them."""
    if options.data.split is not None:
        raise ConfigError(
            f"{pipeline}: the column {options.data.split!r} says which rows test (data.split), so it renews them too",
            fix=f"hand in fresh rows as test, and call those that tested train in {options.data.split!r}",
        )
    if options.split.by is not None:
        raise ConfigError(
            f"{pipeline}: the newest rows test (split.by: {options.split.by}), so newer rows renew them by themselves",
            fix=f"hand in newer rows, then: regraft run {pipeline}",
        )


def _known(workspace: Workspace, pipeline: str) -> set[str]:
    """Ids of all rows that the last run dealt out, those included that were dropped as duplicates afterwards."""
    import pyarrow.parquet as pq

    path = workspace.artifacts(pipeline, "contract") / "out" / "texts.parquet"
    if not path.is_file():
        raise ConfigError(f"{pipeline} has no test rows yet: nothing was run here", fix=f"regraft run {pipeline}")
    return set(pq.read_table(path, columns=["id"])["id"].to_pylist())


def _handed_in(workspace: Workspace, options: PipelineOptions) -> Iterator[tuple[str, str]]:
    """(id, label) of every labelled row as it lies there now that has both, and a text."""
    places = [
        Source("data.labelled", hub.fetch(path) if path.startswith("hub:") else workspace.root / path, path)
        for path in listed(options.data.labelled)
    ]
    source = Source("data.labelled", places[0].path, places[0].shown, tuple(places[1:]), options.data.tsv_quoted)
    task = options.task
    columns = (*((task.id,) if task.id is not None else ()), *task.texts, task.label)
    for row in spelled(read_rows(source, columns, columns), task, None):
        if row.whole and all(row.values.get(name) is not None for name in columns):
            yield str(row.values[task.id_column]), str(row.values[task.label])


def _require_enough(workspace: Workspace, pipeline: str, options: PipelineOptions, fresh: Counter[str]) -> None:
    """Enough fresh rows to test on, and some of every class that was trained."""
    labels = files.read_json(workspace.artifacts(pipeline, "contract") / "out" / "labels.json")
    share, total = options.split.test, fresh.total()
    missing = [label for label in labels if not fresh[label]]
    if total >= LEAST and not missing:
        return
    handed_in = ", ".join(listed(options.data.labelled))
    more = math.ceil(max(LEAST - total, 0) / share)
    of_some = f"none of {', '.join(map(repr, missing[:5]))}" + (" ..." if len(missing) > 5 else "") if missing else ""
    few = f"{total} of {LEAST} needed" if total < LEAST else f"{total} rows"
    wanted = f"about {counted(more, 'more row')}" if more else "rows of these classes"
    raise DataRejected(
        f"{pipeline}: of the rows that came to {handed_in} since the last run {few} would test"
        + (f", {of_some}" if of_some else "")
        + f"; {share:.0%} of new rows do".replace("%", " %")
        + ", and rows that a model was trained on cannot test it",
        fix=f"label {wanted}, add them to {handed_in}, then: regraft renew-test {pipeline}",
    )
