"""What a Prefect server is to know of a workspace's pipelines, and what that changes. Pure: ``flows/deploy.py`` asks and tells the server.

Nothing in a deployment belongs to one machine: an agent runs it in its own clone of the workspace, and refuses where that clone
resolves the pipeline to something else than was deployed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import Any, Literal

from regraft.config.agents import POOL
from regraft.config.pipeline import PipelineOptions
from regraft.config.pipeline_file import load_pipeline
from regraft.config.resolved_file import render
from regraft.config.workspace_file import load_workspace
from regraft.core import files
from regraft.core.errors import ConfigError, EnvironmentFault
from regraft.core.git import git_state, pushed, tracked
from regraft.core.workspace import Workspace
from regraft.execution.dvc_formats import default_remote
from regraft.execution.job_templates import template
from regraft.execution.resolve import resolve
from regraft.registry.store import store_of

EXPECTED = "REGRAFT_EXPECTED"
"""The variable in which a scheduled run is told what the deployment resolved to."""
FLOW_RUN = "REGRAFT_FLOW_RUN"
"""The variable in which a run is told the flow run of the server that it is."""
REPOSITORY, COMMIT = "REGRAFT_REPOSITORY", "REGRAFT_COMMIT"
"""The variables in which a scheduled run is told what to clone; without them it takes the agent's own clone."""
ON_GPU, INBOX = "-gpu", "-inbox"
"""What follows the name of a pipeline in that of the deployment for its GPU steps, and of the one that looks into its inbox."""
ARRIVED = "regraft.inbox"
"""The event that says that something has come, about the resource ``regraft.inbox.<pipeline>``."""
OF_SERVER = ("description", "version", "schedule", "pool", "expected", "parameters", "source", "notify")
"""What is compared with the server's, in the order in which differences are told."""
Verb = Literal["create", "update", "remove", "keep"]
Json = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What becomes of one deployment."""

    verb: Verb
    name: str
    """The pipeline, and behind it what else the deployment is for (:data:`ON_GPU`, :data:`INBOX`)."""
    differences: tuple[str, ...] = ()
    """The names of :data:`OF_SERVER` that are otherwise."""

    def document(self) -> Json:
        return {"verb": self.verb, "deployment": self.name, "pipeline": pipeline_of(self.name), "differences": list(self.differences)}


def pipeline_of(deployment: str) -> str:
    """The pipeline of a deployment called so; '-' stands in no pipeline's name."""
    return deployment.partition("-")[0]


def words(workspace: Workspace, deployment: str) -> str:
    """When it runs, for people."""
    options = load_pipeline(workspace, pipeline_of(deployment))
    if deployment.endswith(INBOX) and options.inbox:
        return f"{options.inbox.path}, {options.inbox.schedule.words}"
    if deployment.endswith(ON_GPU):
        return f"steps that need a GPU, on agents of '{options.agents.gpu}'"
    return options.schedule.words if options.schedule else "no schedule, started by hand"


def wanted(workspace: Workspace, pipelines: Sequence[str], pool: str = POOL) -> dict[str, Json]:
    """Name -> deployment, up to three a pipeline: its runs, its GPU steps, its inbox; raises what is wrong with a pipeline file.

    :param pool: of pipelines that name none.
    """
    git = git_state(workspace.root)
    version = f"{(git['sha'] or 'no git')[:12]}{'+changes' if git['dirty'] else ''}, libraries {_libraries()[:8]}"
    common = {"version": version, "source": _source(workspace, git)}
    if common["source"]:
        _require_tracked(workspace, pipelines)
    return {name: document | common for pipeline in pipelines for name, document in _deployments(workspace, pipeline, pool).items()}


def _deployments(workspace: Workspace, pipeline: str, pool: str) -> dict[str, Json]:
    options = load_pipeline(workspace, pipeline)
    schedule = options.schedule.document() if options.schedule else None
    when = options.schedule.words if options.schedule else "by hand"
    again = options.schedule is not None and options.schedule.only_if == "always"
    expected = resolved_digest(workspace, pipeline)
    run: Json = {
        "description": f"Keeps `{pipeline}` trained, from {options.base_model}; {when}.",
        "schedule": schedule,
        "pool": options.agents.cpu if "cpu" in options.agents.model_fields_set else pool,
        "expected": expected,
        "parameters": {"pipeline": pipeline, **({"judge_again": True} if again else {})},
        "notify": _notify(options),
    }
    every: dict[str, Json] = {pipeline: run}
    gpu = options.agents.gpu
    # What is deployed and what a run does, which knows its file alone, would differ in whether GPU steps are another pool's.
    if "cpu" not in options.agents.model_fields_set and gpu is not None and (gpu == pool) != (gpu == POOL):
        message = f"agents.gpu of '{pipeline}' is '{gpu}', --pool puts its runs into '{pool}', and its file has them in '{POOL}'"
        raise ConfigError(message, fix=f"write `agents: {{cpu: {pool}}}` into pipelines/{pipeline}.yaml, or name another --pool")
    if options.agents.elsewhere is not None:
        _require_shared(workspace, pipeline, options)
        about = f"Steps of `{pipeline}` that need a GPU; its runs ask for them."
        every[pipeline + ON_GPU] = {**run, "description": about, "schedule": None, "pool": options.agents.gpu, "notify": None}
    if inbox := options.inbox:
        about = f"Takes in what comes to `{inbox.path}` for `{pipeline}`; {inbox.schedule.words}, or on the event {ARRIVED}."
        every[pipeline + INBOX] = {
            **run,
            "description": about,
            "schedule": inbox.schedule.document(),
            "pool": inbox.pool or run["pool"],
            "notify": _notify(options, ("failed", "crashed")),
        }
    for name in every.keys() - {pipeline}:
        every[name]["parameters"] = {"pipeline": pipeline}
    return every


def _notify(options: PipelineOptions, possible: Sequence[str] | None = None) -> Json | None:
    """What the server is to tell of a deployment's runs, and by which block; None: nothing.

    :param possible: what there is to tell; None: everything.
    """
    if options.notify is None or options.notify.block is None:
        return None
    about = sorted(kind for kind in set(options.notify.about) if possible is None or kind in possible)
    return {"block": options.notify.block, "about": about} if about else None


def container_pools(workspace: Workspace, wanted: Mapping[str, Json]) -> dict[str, Json]:
    """Name -> ``{type, image, template}`` of the pools of ``regraft.yaml`` that deployments are in.

    :raises ConfigError: whole runs are in one, whose containers keep nothing: no checkpoint, and no `dvc.lock` that tells what is due.
    """
    known = load_workspace(workspace).pools
    for name, document in wanted.items():
        if document["pool"] in known and not name.endswith(ON_GPU):
            what = "looks into the inbox" if name.endswith(INBOX) else "runs"
            message = f"'{pipeline_of(name)}' {what} in pool '{document['pool']}', whose containers keep nothing from one time to the next"
            raise ConfigError(message, fix="name a pool of agents for it, and the one of containers as `agents: {gpu: ...}`")
    named = dict.fromkeys(document["pool"] for document in wanted.values() if document["pool"] in known)
    return {name: {"type": known[name].type, "image": known[name].image, "template": template(known[name])} for name in named}


def _require_shared(workspace: Workspace, pipeline: str, options: PipelineOptions) -> None:
    """ConfigError unless two clones of this workspace have a store and a DVC remote in common."""
    where = f"pipelines/{pipeline}.yaml: agents.gpu: steps on agents of '{options.agents.gpu}'"
    values = store_of(workspace).values
    if not values.shared or f"{workspace.root}/" in values.where():  # a relative SQLite file is each clone's own
        raise ConfigError(f"{where} are handed over through a store, and this workspace's lies in {values.where()}", fix=STORE)
    if default_remote(workspace) is None:
        raise ConfigError(f"{where} get their inputs from a DVC remote, and this workspace has none", fix=REMOTE)


STORE = "name one in regraft.yaml: `store: postgresql://HOST/DATABASE` or `store: s3://BUCKET/PREFIX`"
REMOTE = "dvc remote add --default NAME s3://BUCKET/PREFIX"


def _source(workspace: Workspace, git: Mapping[str, Any]) -> Json | None:
    """What agents clone, as ``{repository, commit}``; None: each takes the clone that it was started in."""
    if (url := load_workspace(workspace).repository) is None:
        return None
    if git["sha"] is None or git["dirty"]:
        what = "has changes that are in no commit" if git["sha"] else "is in no git repository"
        raise ConfigError(f"agents clone {url}, and this workspace {what}", fix="git commit and git push, then deploy")
    if pushed(workspace.root, git["sha"]) is False:
        raise ConfigError(f"agents clone {url}, and commit {git['sha'][:12]} was not pushed", fix="git push, then deploy")
    return {"repository": url, "commit": git["sha"]}


def _require_tracked(workspace: Workspace, pipelines: Sequence[str]) -> None:
    """ConfigError where the clone that an agent makes would not have the pipeline file."""
    for pipeline in pipelines:
        if not tracked(workspace.root, file := workspace.relative(workspace.pipeline_file(pipeline))):
            message = f"agents clone the repository, and git does not know {file}"
            raise ConfigError(message, fix=f"git add {file}, git commit and git push, then deploy")


def _libraries() -> str:
    """Digest of what is installed; another lock gives another one."""
    return files.sha256_text("\n".join(sorted({f"{dist.name}=={dist.version}" for dist in distributions()})))


def resolved_digest(workspace: Workspace, name: str) -> str:
    """sha256 of what the resolved file of pipeline ``name`` would hold here, without overrides."""
    return files.sha256_text(render(resolve(workspace, name)))


def changes(wanted: Mapping[str, Json], known: Mapping[str, Json], every: bool) -> list[Change]:
    """What has to be done so that the server knows what is ``wanted``.

    :param known: name -> what the server has of this workspace.
    :param every: ``wanted`` are all pipelines, so that a deployment of none of them goes; else only those of pipelines that are there.
    """
    plan = [_change(name, document, known.get(name)) for name, document in wanted.items()]
    touched = {pipeline_of(name) for name in wanted}
    return plan + [Change("remove", name) for name in known if name not in wanted and (every or pipeline_of(name) in touched)]


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
