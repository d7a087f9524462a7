"""What stands where: champions, last verdicts, steps. The document behind ``regraft status``."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from regraft.core import files
from regraft.core.errors import ConfigError, RegraftError
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.execution.plan import assess
from regraft.execution.resolve import resolve
from regraft.registry.journal import FileJournal, challenger_of, champion_of
from regraft.registry.waivers import notice


def overview(workspace: Workspace, only: str | None = None) -> dict[str, Any]:
    """``{tracking_uri, pipelines{P: {champion, challenger, waiver, verdict, steps[{name, state, why}]}}}``."""
    if only is not None and only not in workspace.pipelines:
        raise ConfigError(unknown("pipeline", only, workspace.pipelines), fix="regraft status")
    names = [only] if only else list(workspace.pipelines)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.state / 'mlflow.db'}"
    return {"tracking_uri": uri, "pipelines": {name: _pipeline(workspace, name) for name in names}}


def _pipeline(workspace: Workspace, name: str) -> dict[str, Any]:
    entries = FileJournal(workspace.state, name).entries()
    latest = workspace.latest_file(name)
    verdict = files.read_json(latest) if latest.is_file() else None
    waiver = notice(name, entries, datetime.now(UTC))
    entry: dict[str, Any] = {
        "champion": champion_of(entries),
        "challenger": challenger_of(entries),
        "waiver": waiver.document() if waiver else None,
        "verdict": {"outcome": verdict["outcome"], "run": verdict["run"]} if verdict else None,
        "steps": [],
    }
    try:
        values = resolve(workspace, name)
        steps = assess(workspace, name, values, data=False).steps
        entry["steps"] = [{"name": step.name, "state": step.state, "why": list(step.why), "certain": step.certain} for step in steps]
    except RegraftError as error:  # a broken pipeline file must not hide the champions of the others
        entry |= {"error": str(error), "fix": error.fix or error.usual_fix}
    return entry
