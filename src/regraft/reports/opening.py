"""Answers to test rows that no decision has opened, because dev rows chose another candidate: opened by hand, and counted.

Whoever reads them learns something of the test rows, so the ledger counts each model that was opened as one more question that
the rows have answered. What was opened once lies in the store of predictions and is open from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.registry.store import store_of
from regraft.registry.tracking import Tracker


def stored(tracker: Tracker, digest: str, rows: str) -> Path | None:
    """The answers of a model to test rows where they have been opened; None: they have not."""
    return store_of(tracker.workspace).predictions.get(digest, rows)


def refuse(name: str, decision: Mapping[str, Any], run: str, command: str) -> ConfigError:
    """That the answers of the candidate ``name`` are closed, with the ``command`` that opens them."""
    message = f"the answers of {name} in {run} to test rows are closed: dev rows chose another candidate of '{decision['pipeline']}'"
    return ConfigError(message, fix=f"{command} --open-test, which counts as one more decision on these rows")


def open_answers(tracker: Tracker, name: str, decision: Mapping[str, Any], run: str) -> int:
    """Open what the candidate ``name`` of a ``decision`` says of its test rows; how many questions these have answered now.

    :raises EnvironmentFault: the step ``score`` has scored another model, or other rows, since.
    """
    workspace, pipeline, rows = tracker.workspace, decision["pipeline"], decision["rows"]["digest"]
    out, digest = workspace.artifacts(pipeline, f"score-{name}") / "out", decision["digests"][name]
    digests = files.read_json(out / "digests.json") if (out / "digests.json").is_file() else {}
    if (digests.get("model"), digests.get("test")) != (digest, rows):
        state = "hold what a later model says, or other rows" if digests else "are not there"
        raise EnvironmentFault(
            f"the answers of {name} in {run} were never opened, and the outputs of score-{name} {state}",
            fix=f"regraft run {pipeline}, and compare models of that run",
        )
    count = store_of(workspace).ledger.record(rows, {"opened": {"model": digest}}, pipeline=pipeline, run=run)
    store_of(workspace).predictions.put(digest, rows, out / "test.parquet")
    return count
