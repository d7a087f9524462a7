"""Is there anything to do? Answered without Prefect, MLflow, pandas or torch.

Nothing is to be done when every step is fresh, the policy is the one the last verdict was written under, and the
champion is still the one that verdict left behind. Then that verdict stands, and is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import load_pipeline
from regraft.config.resolved_file import keep_resolved
from regraft.core import files
from regraft.core.errors import DataRejected, Problem, RegraftError
from regraft.core.workspace import Workspace
from regraft.core.yaml_file import faulty
from regraft.data import precheck
from regraft.data.options import listed
from regraft.execution import dvc, overridden
from regraft.execution.plan import Assessment
from regraft.execution.resolve import resolve
from regraft.registry.approvals import Approvals, look, standing
from regraft.registry.store import store_of
from regraft.registry.waivers import Notice, notice


@dataclass(frozen=True)
class Prepared:
    """A pipeline whose generated files are in step."""

    values: dict[str, Any]
    """The resolved file's content."""
    notes: tuple[str, ...]
    """What the user should be told."""


def prepare(workspace: Workspace, pipeline: str, sets: Sequence[str] = ()) -> Prepared:
    """Render the resolved file and dvc.yaml; say what ``--set`` did and what is missing."""
    options = load_pipeline(workspace, pipeline, sets)
    require_data(workspace, pipeline, options.data_read)
    values = resolve(workspace, pipeline, sets)
    precheck.look(workspace.root, values)
    require_slices(workspace, pipeline, options)
    keep_resolved(workspace, values)
    overridden.note(workspace, pipeline, sets)
    dvc.write_generated(workspace)
    notes = [f"a trial with --set: pipelines/{pipeline}.yaml stays as it is; a model that passes is registered and promoted all the same"]
    notes = notes if sets else []
    return Prepared(values, tuple(notes))


@contextlib.contextmanager
def put_back(workspace: Workspace, pipeline: str, sets: Sequence[str]) -> Iterator[None]:
    """Make the generated files those of the pipeline file again when a run with ``--set`` has ended, however it ends.

    A kill with -9 leaves those of the trial; the next run, or `regraft dvc`, brings them in step. A pipeline file that has a fault
    of its own is left to whoever runs it next.
    """
    try:
        yield
    finally:
        if sets:
            with contextlib.suppress(RegraftError):
                keep_resolved(workspace, resolve(workspace, pipeline))
                overridden.note(workspace, pipeline, ())
                dvc.write_generated(workspace)


def wants_demo(workspace: Workspace, pipeline: str, sets: Sequence[str] = ()) -> bool:
    """Whether a pipeline reads the demo's data alone, and nobody has built that here yet."""
    paths = [path for paths in load_pipeline(workspace, pipeline, sets).data_read.values() for path in listed(paths)]
    return all(path.startswith("data/demo/") for path in paths) and not (workspace.root / "data" / "demo").exists()


def require_data(workspace: Workspace, pipeline: str, data: Mapping[str, str | Sequence[str]]) -> None:
    """All local data paths exist, or a message that says how to get them."""
    problems = []
    builds = all(path.startswith("data/demo/") for paths in data.values() for path in listed(paths))  # as wants_demo has it
    builds = builds and not (workspace.root / "data" / "demo").exists()
    for key, path in ((key, path) for key, paths in sorted(data.items()) for path in listed(paths)):
        if path.startswith("hub:") or (workspace.root / path).exists():
            continue
        fix = f"put the data there, or correct data.{key} in pipelines/{pipeline}.yaml"
        if path.startswith("data/demo/"):
            fix = f"regraft run {pipeline}, which builds it first" if builds else "python -m regraft.upkeep.demo data/demo"
        elif path.startswith("data/") and (workspace.root / "data.dvc").is_file():
            fix += "; `dvc pull data.dvc` fetches what was pushed"
        message = f"data.{key}: {path} is not there"
        problems.append(Problem(message=message, file=path, column=f"data.{key}", rule="file.exists", fix=fix))
    if problems:
        raise DataRejected("; ".join(problem["message"] for problem in problems), fix=problems[0]["fix"], problems=problems)


def require_slices(workspace: Workspace, pipeline: str, options: PipelineOptions) -> None:
    """Every column that a gate slices by is in the labelled data, or a fault of the pipeline file."""
    from regraft.config.slice_columns import slice_problems

    if problems := slice_problems(workspace.root, options, workspace.relative(workspace.pipeline_file(pipeline))):
        raise faulty(problems)


def decision_due(workspace: Workspace, pipeline: str, values: Mapping[str, Any], steps: Assessment) -> str | None:
    """Why a new verdict would be written, or None."""
    latest = store_of(workspace).latest(pipeline)
    if latest is None:
        return "no verdict yet"
    if latest["gates"] != values["gates"] or latest["seed"] != values["seed"]:
        return f"the gates changed since {latest['run']}"
    withheld = tuple(latest.get("withheld", ()))
    if latest.get("by_cost") != values.get("by_cost") or steps.withheld not in (None, withheld):
        return f"the candidates changed since {latest['run']}"
    if "approval" in latest and (reason := _unanswered(workspace, latest, values)):
        return reason
    head = store_of(workspace).journal(pipeline).head()
    if (head.seq if head else 0) != latest["journal_seq"]:
        return f"the champion changed since {latest['run']}"
    return None if steps.fresh else "if the scores come out different"


def _unanswered(workspace: Workspace, latest: Mapping[str, Any], values: Mapping[str, Any]) -> str | None:
    """Why the model that waits for people is judged once more; None: it waits, or was answered."""
    approvals = Approvals(store_of(workspace).values, latest["pipeline"])
    if (request := approvals.request(latest["run"])) is None:
        return f"the approval that {latest['run']} asked for is gone"
    state = standing(request, approvals.answers(request), datetime.now(UTC)).state
    if request.approvers and not _is(workspace.root / request.approvers["file"], request.approvers["sha256"]):
        return f"{request.approvers['file']} has changed since {latest['run']} asked"
    if state == "expired":
        return f"nobody answered {latest['run']} in time"
    if state == "waiting" and "approval" not in values:
        return f"{latest['run']} waits for an approval, and promotion is automatic now"
    return None


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256_file(path) == sha256


def borders(workspace: Workspace, pipeline: str, resolved: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where a split by a column that orders the rows had its borders when ``contract`` last ran, None before; None: no such split."""
    if (column := resolved.get("contract", {}).get("by")) is None:
        return None
    path = workspace.artifacts(pipeline, "contract") / "out" / "counts.json"
    last: dict[str, Any] | None = files.read_json(path).get("order") if path.is_file() else None
    return last if last and last["column"] == column else {"column": column, "dev_from": None, "test_from": None}


def last_power(workspace: Workspace, pipeline: str) -> list[dict[str, Any]]:
    """What the test rows of the last finished run can show; empty before the first."""
    return list((store_of(workspace).latest(pipeline) or {}).get("power", []))


def waiver(workspace: Workspace, pipeline: str) -> Notice | None:
    """What the champion stands on besides its verdict, as of now; None: on nothing."""
    return notice(pipeline, store_of(workspace).journal(pipeline).entries(), datetime.now(UTC))


def nothing_to_do(workspace: Workspace, pipeline: str, values: dict[str, Any], steps: Assessment) -> dict[str, Any] | None:
    """The result that holds as it is; None when something has to run."""
    latest = store_of(workspace).latest(pipeline)
    if latest is None:
        return None
    if decision_due(workspace, pipeline, values, steps) or _remote_champion_moved(pipeline, latest):
        return None
    return latest


def judged_again(workspace: Workspace, latest: Mapping[str, Any]) -> bool:
    """Whether what stands may be judged once more.

    Not while people are asked, whose answer would be about a verdict that no longer stands; and who has said no is not asked the same
    again. A model that people have rolled back from asks nobody.
    """
    asked = look(store_of(workspace).values, latest, datetime.now(UTC))
    return asked is None or asked[1].state not in ("waiting", "refused")


def _remote_champion_moved(pipeline: str, latest: dict[str, Any]) -> bool:
    """With an http tracking URI, one REST call compares the alias; an unreachable server means: run, and say so there."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(("http://", "https://")):
        return False
    import urllib.error
    import urllib.parse
    import urllib.request

    query = urllib.parse.urlencode({"name": pipeline, "alias": "champion"})
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/api/2.0/mlflow/registered-models/alias?{query}", timeout=5) as answer:
            version = json.load(answer)["model_version"]["version"]
    except (urllib.error.URLError, TimeoutError, KeyError, ValueError):
        version = None
    champion = latest.get("champion")
    return str(version) != str(champion["version"]) if champion else version is not None
