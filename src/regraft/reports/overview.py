"""What stands where, for all pipelines: champions and their age, last verdicts, steps that are stale.

``regraft status`` shows it, and ``regraft report`` without a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from regraft.config.pipeline_file import load_pipeline
from regraft.config.resolved_file import read_resolved
from regraft.core.errors import ApprovalPending, ConfigError, GateFailed, GateInconclusive, RegraftError
from regraft.core.quantities import first_of, roughly
from regraft.core.suggest import unknown
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc_formats, server_schedule
from regraft.execution.events import RunSeen, run_at_work
from regraft.execution.launch import run_time
from regraft.execution.plan import assess
from regraft.execution.resolve import resolve
from regraft.registry.approvals import look
from regraft.registry.journal import challenger_of, champion_of
from regraft.registry.store import store_of
from regraft.registry.waivers import notice

if TYPE_CHECKING:
    from regraft.registry.tracking import Tracker

TREND = 8
"""Runs whose scores show a trend."""
DONE = ("computed", "cached", "not_chosen")
"""How a step of a run ends that need not run again."""


def overview(workspace: Workspace, only: str | None = None) -> dict[str, Any]:
    """``{tracking_uri, pipelines{P: {champion, score, challenger, waiver, approval, schedule, verdict, running, steps}}}``.

    ``verdict.exit`` is the code with which the run ended that decided; ``running`` is the run at work, or None.
    """
    if only is not None and only not in workspace.pipelines:
        raise ConfigError(unknown("pipeline", only, workspace.pipelines), fix="regraft status")
    names = [only] if only else list(workspace.pipelines)
    following = server_schedule.next_runs(names)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.state / 'mlflow.db'}"
    return {"tracking_uri": uri, "pipelines": {name: _pipeline(workspace, name, following) for name in names}}


def _pipeline(workspace: Workspace, name: str, following: Mapping[str, str]) -> dict[str, Any]:
    """:param following: pipeline -> its next run, where a Prefect server says it."""
    entries = store_of(workspace).journal(name).entries()
    verdict = store_of(workspace).latest(name)
    waiver = notice(name, entries, datetime.now(UTC))
    entry: dict[str, Any] = {
        "champion": champion_of(entries),
        "challenger": challenger_of(entries),
        "score": _score(verdict, champion_of(entries)),
        "schedule": None,
        "waiver": waiver.document() if waiver else None,
        "approval": _approval(workspace, verdict),
        "verdict": _verdict(verdict),
        "running": None,
        "steps": [],
    }
    try:
        entry["schedule"] = _schedule(workspace, name, following.get(name))
        if at_work := run_at_work(workspace, name):  # DVC says nothing of the steps meanwhile
            current = at_work.current
            entry["running"] = {"run": at_work.run, "step": current.name if current else None}
            entry["steps"] = _steps(workspace, name, at_work)
        else:
            steps = assess(workspace, name, resolve(workspace, name), data=False).steps
            entry["steps"] = [{"name": step.name, "state": step.state, "why": list(step.why), "certain": step.certain} for step in steps]
    except RegraftError as error:  # a broken pipeline file must not hide the champions of the others
        entry |= {"error": str(error), "fix": error.fix or error.usual_fix, "exit": error.exit_code}
    return entry


def _verdict(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """``{outcome, run, exit, report, at}`` of the run that decided last, which began at ``at``; None: none did."""
    if result is None:
        return None
    return {key: result[key] for key in ("outcome", "run", "exit")} | {"report": result.get("report"), "at": run_time(result["run"])}


def _score(result: dict[str, Any] | None, champion: dict[str, str] | None) -> dict[str, Any] | None:
    """What the champion scored when it was judged; None: there is none, or what stands says nothing of it (after a rollback)."""
    score = (result or {}).get("champion_score")
    return score if score and champion and score["digest"] == champion["digest"] else None


def _schedule(workspace: Workspace, name: str, told: str | None) -> dict[str, Any] | None:
    """``{words, next, deployed}`` of a pipeline that runs by itself once it is deployed.

    ``next`` is what a Prefect server says that has it (``deployed``), else the next time of a cron; None of an interval, which only a
    server counts.
    """
    if (schedule := load_pipeline(workspace, name).schedule) is None:
        return None
    following = schedule.after(datetime.now(UTC))
    then = told or (following.isoformat(timespec="minutes") if following else None)
    return {"words": schedule.words, "next": then, "deployed": told is not None}


def _approval(workspace: Workspace, result: dict[str, Any] | None) -> dict[str, Any] | None:
    """What people were asked in the run whose ``result`` stands, and where that stands; None: nothing."""
    if not result or (asked := look(store_of(workspace).values, result, datetime.now(UTC))) is None:
        return None
    request, standing = asked
    answer = f"regraft approve {request.run}"
    fixes = {"waiting": answer, "expired": f"regraft run {request.pipeline}", "approved": answer if result["exit"] else None}
    entry = {"run": request.run, "version": request.version, "state": standing.state, "until": request.until, "people": request.people}
    return {**entry, "by": list(standing.by), "sentence": standing.sentence, "fix": fixes.get(standing.state)}


def _steps(workspace: Workspace, pipeline: str, seen: RunSeen) -> list[dict[str, Any]]:
    """The steps of a pipeline of which a run is at work: those it is done with are fresh."""
    kept = dvc_formats.stages(workspace)
    steps: list[dict[str, Any]] = []
    for step in composition.steps_in(workspace, read_resolved(workspace, pipeline)):
        reached = seen.steps.get(step.name)
        done = reached is not None and reached.state in DONE
        state = "fresh" if done else "stale" if f"{step.name}@{pipeline}" in kept else "missing"
        why = [] if done else [f"{'at work' if reached and reached.state == 'running' else 'waits'} in {seen.run}"]
        steps.append({"name": step.name, "state": state, "why": why, "certain": reached is not None})
    return steps


def standing_exit(document: dict[str, Any]) -> int:
    """The exit code of what stands in an :func:`overview`: of all pipelines the most pressing; without a verdict nothing is decided.

    First comes what keeps a pipeline from running at all, then FAIL, what waits for people, INCONCLUSIVE.
    """
    entries = document["pipelines"].values()
    faults = [entry["exit"] for entry in entries if "error" in entry]
    codes = [entry["verdict"]["exit"] if entry["verdict"] else GateInconclusive.exit_code for entry in entries]
    urgent = [code for code in (GateFailed.exit_code, ApprovalPending.exit_code) if code in codes]
    return next(iter([*faults, *urgent]), max(codes, default=0))


def fleet(workspace: Workspace, now: datetime) -> dict[str, Any]:
    """:func:`overview` with ``at``, and of each pipeline ``age_seconds``, ``age`` (words), ``stale`` (steps)
    and ``perhaps`` (steps that run if one before them comes out different)."""
    document = overview(workspace)
    for entry in document["pipelines"].values():
        since = (entry["champion"] or {}).get("since")
        seconds = max(0, round((now - datetime.fromisoformat(since)).total_seconds())) if since else None
        entry |= {
            "age_seconds": seconds,
            "age": None if seconds is None else roughly(seconds),
            "stale": [step["name"] for step in entry["steps"] if step["state"] != "fresh" and step["certain"]],
            "perhaps": [step["name"] for step in entry["steps"] if step["state"] != "fresh" and not step["certain"]],
        }
    return {"at": now.isoformat(timespec="seconds"), **document}


def stale(names: Sequence[str], perhaps: Sequence[str], steps: int) -> str:
    """Which of a pipeline's ``steps`` steps would be computed anew, short enough for a table."""
    said = ", ".join(names) or "nothing"
    if len(names) > 3:
        said = "every step" if len(names) == steps else f"{first_of(names, 2)} steps"
    return f"{said}; {len(perhaps)} after that perhaps" if perhaps else said


def remark(entry: Mapping[str, Any]) -> str:
    """What became of the last attempt, where it left the champion as it was; empty where there is nothing to say."""
    champion, verdict = entry["champion"], entry["verdict"]
    if not champion or not verdict or verdict["outcome"] == "pass":
        return ""
    word = {"fail": "failed", "inconclusive": "was inconclusive"}[verdict["outcome"]]
    return f"the last attempt {word}; version {champion['version']} in production is unaffected"


def next_step(name: str, entry: Mapping[str, Any]) -> str:
    """What somebody who looks at a pipeline would type next; empty where nothing is to be done."""
    verdict, approval, waiver = entry["verdict"], entry.get("approval"), entry.get("waiver")
    if "error" in entry:
        return str(entry.get("fix") or "")
    if approval and approval.get("fix"):
        return str(approval["fix"])
    if waiver and waiver.get("fix"):
        return str(waiver["fix"])
    if not verdict or entry["stale"]:
        return f"regraft run {name}"
    return f"regraft explain {name}" if verdict["outcome"] != "pass" else ""


def trends(tracker: Tracker, names: Iterable[str]) -> dict[str, list[float]]:
    """Pipeline -> scores of its last judged runs, the newest last, in the metric of the last one."""
    from regraft.registry.listing import listing

    scores = {}
    for name in names:
        judged = [run for run in listing(tracker, name, TREND) if run["outcome"]]
        values = [run["test"].get(judged[0]["compared_by"]) for run in judged if run["compared_by"] == judged[0]["compared_by"]]
        scores[name] = [value for value in reversed(values) if value is not None]
    return scores
