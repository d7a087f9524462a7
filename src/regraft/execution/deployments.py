"""What a Prefect server is to know of a workspace's pipelines, and what that changes. Pure: ``flows/deploy.py`` asks and tells the server.

Nothing in a deployment belongs to one machine: an agent runs it in its own clone of the workspace, and refuses where that clone
resolves the pipeline to something else than was deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Any, Literal

from regraft.config.pipeline_file import load_pipeline
from regraft.config.resolved_file import render
from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.core.git import git_state
from regraft.core.workspace import Workspace
from regraft.execution.resolve import resolve

POOL = "regraft"
"""The work pool of pipelines that name none."""
EXPECTED = "REGRAFT_EXPECTED"
"""The variable in which a scheduled run is told what the deployment resolved to."""
FLOW_RUN = "REGRAFT_FLOW_RUN"
"""The variable in which a run is told the flow run of the server that it is."""
INBOX = "-inbox"
"""How the deployment is called that looks into a pipeline's inbox; names of pipelines have no `-`."""
ARRIVED = "regraft.inbox"
"""The event that says that something has come, about the resource ``regraft.inbox.<pipeline>``."""
OF_SERVER = ("description", "version", "schedule", "pool", "expected")
"""What is compared with the server's, in the order in which differences are told."""
Verb = Literal["create", "update", "remove", "keep"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What becomes of one deployment."""

    verb: Verb
    pipeline: str
    differences: tuple[str, ...] = ()
    """The names of :data:`OF_SERVER` that are otherwise."""

    def document(self) -> Json:
        return {"verb": self.verb, "pipeline": self.pipeline, "differences": list(self.differences)}


def wanted(workspace: Workspace, pipelines: Sequence[str], pool: str = POOL) -> dict[str, Json]:
    """Name -> deployment: of each pipeline one under its own name, and one for its inbox where it has one.

    :raises ConfigError: what is wrong with a pipeline file.
    """
    git = git_state(workspace.root)
    version = f"{(git['sha'] or 'no git')[:12]}{'+changes' if git['dirty'] else ''}, libraries {_libraries()[:8]}"
    plan = {name: _deployment(workspace, name, pool, version) for name in pipelines}
    for name, document in list(plan.items()):
        if inbox := load_pipeline(workspace, name).inbox:
            about = f"Takes in what comes to `{inbox.path}` for `{name}`; {inbox.schedule.words}, or on the event {ARRIVED}."
            plan[name + INBOX] = {**document, "description": about, "schedule": inbox.schedule.document()}
    return plan


def pipeline_of(deployment: str) -> str:
    """The pipeline that a deployment is of."""
    return deployment.removesuffix(INBOX)


def words(workspace: Workspace, deployment: str) -> str:
    """When it runs, for people."""
    options = load_pipeline(workspace, pipeline_of(deployment))
    if deployment.endswith(INBOX) and options.inbox:
        return f"{options.inbox.path}, {options.inbox.schedule.words}"
    return options.schedule.words if options.schedule else "no schedule, started by hand"


def _deployment(workspace: Workspace, name: str, pool: str, version: str) -> Json:
    options = load_pipeline(workspace, name)
    schedule = options.schedule.document() if options.schedule else None
    when = options.schedule.words if options.schedule else "by hand"
    description = f"Keeps `{name}` trained, from {options.base_model}; {when}."
    return {
        "description": description,
        "version": version,
        "schedule": schedule,
        "pool": pool,
        "expected": resolved_digest(workspace, name),
    }


def _libraries() -> str:
    """Digest of what is installed; another lock gives another one."""
    return files.sha256_text("\n".join(sorted({f"{dist.name}=={dist.version}" for dist in distributions()})))


def resolved_digest(workspace: Workspace, name: str) -> str:
    """sha256 of what the resolved file of pipeline ``name`` would hold here, without overrides."""
    return files.sha256_text(render(resolve(workspace, name)))


def changes(wanted: Mapping[str, Json], known: Mapping[str, Json], every: bool) -> list[Change]:
    """What has to be done so that the server knows what is ``wanted``.

    :param known: pipeline -> what the server has of this workspace.
    :param every: ``wanted`` are all pipelines, so that a deployment of none of them goes; otherwise only an inbox goes that is no more.
    """
    plan = [_change(name, document, known.get(name)) for name, document in wanted.items()]
    return plan + [Change("remove", name) for name in known if name not in wanted and (every or pipeline_of(name) in wanted)]


def _change(name: str, document: Json, known: Json | None) -> Change:
    if known is None:
        return Change("create", name)
    differences = tuple(key for key in OF_SERVER if document[key] != known.get(key))
    return Change("update" if differences else "keep", name, differences)


def require_expected(workspace: Workspace, name: str, expected: str | None) -> None:
    """EnvironmentFault where this clone is not what was deployed; None: whoever started the run expects nothing."""
    if expected is None or (here := resolved_digest(workspace, name)) == expected:
        return
    message = f"pipeline '{name}' resolves to {here[:12]} here and to {expected[:12]} where it was deployed"
    raise EnvironmentFault(message, fix=f"bring this clone to the deployed state, or: regraft deploy {name}")
