"""The runs of a pipeline as MLflow has them, with the versions that the journal says they became."""

from __future__ import annotations

from typing import Any

from regraft.core import files
from regraft.registry import run_summary
from regraft.registry.journal import challenger_of, champion_of
from regraft.registry.store import store_of
from regraft.registry.tracking import EVIDENCE, RunLine, Tracker


def listing(tracker: Tracker, pipeline: str, most: int) -> list[dict[str, Any]]:
    """``{run, started, status, outcome, candidate, compared_by, test{metric: value}, version, alias}`` of each run, newest first.

    ``version`` and ``alias`` are None of a run that registered nothing.
    """
    entries = store_of(tracker.workspace).journal(pipeline).entries()
    versions = {entry.run: entry.to["version"] for entry in entries if entry.action == "register" and entry.to}
    aliases = {
        model["version"]: alias
        for alias, model in (("challenger", challenger_of(entries)), ("champion", champion_of(entries)))
        if model is not None
    }
    lines = []
    for run in tracker.runs(pipeline, most):
        version = versions.get(run.name)
        lines.append(
            {
                "run": run.name,
                "started": run.started.isoformat(timespec="seconds"),
                "status": run.status,
                "outcome": run.outcome,
                "candidate": run.candidate,
                "compared_by": run.compared_by,
                "test": dict(run.test) or _kept(tracker, run),
                "version": version,
                "alias": aliases.get(version) if version else None,
            }
        )
    return lines


def _kept(tracker: Tracker, run: RunLine) -> dict[str, float]:
    """What was judged in a run before 0.3, whose evidence alone has it; empty where that is not on this machine."""
    if run.outcome is None or not run.artifacts.startswith("file://"):
        return {}
    evidence = tracker.fetch(f"{run.artifacts}/{EVIDENCE}", tracker.workspace.scratch)
    try:
        measured, verdict = (files.read_json(evidence / name) for name in ("measurements.json", "verdict.json"))
    except (OSError, ValueError):
        return {}
    return {name.removeprefix("test/"): value for name, value in run_summary.metrics(measured, verdict).items()}
