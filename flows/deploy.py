"""``python -m flows deploy``: bring the deployments of a Prefect server in step with the pipelines of a workspace.

Reads ``{workspace, wanted, pools, every, dry_run}`` from stdin (:mod:`regraft.execution.deployments`), prints ``{changes, pools}``.
A deployment is the flow ``retrain`` under the name of a pipeline, the flow ``step`` for those of its steps that another pool runs, or the
flow ``handoff``, which looks into its inbox; a tag says whose workspace it is from.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists

from flows import arrivals, lost_runs, notifications, pools, signs
from regraft.steps.flow import Conflict, deployments

TAG = "regraft"
RETRAIN, STEP, HANDOFF = "retrain", "step", "handoff"
WAIT = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE, grace_period_seconds=signs.GRACE_SECONDS)
"""A trigger that comes while a run is under way waits for its end: it may be about newer data. An agent renews the place of a run that
has not begun; the seconds are those for which one that died keeps it."""
COMMAND = "regraft job"
"""What an agent runs, in its own clone of the workspace."""
FORM: dict[str, Any] = {
    "type": "object",
    "title": "Parameters",
    "properties": {
        "pipeline": {"type": "string", "title": "pipeline", "description": "A pipeline file, without .yaml.", "position": 0},
        "set": {
            "type": "array",
            "title": "set",
            "description": "Keys to override in this run alone, as in `regraft run --set`: pretrain.budget_tokens=100000",
            "items": {"type": "string", "pattern": "^[^=]+=.*$"},
            "default": [],
            "position": 1,
        },
        "judge_again": {
            "type": "boolean",
            "title": "judge again",
            "description": "Judge once more where nothing has changed.",
            "default": False,
            "position": 2,
        },
    },
    "required": ["pipeline"],
}


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Apply what is ``asked``; the changes, which were made unless it says ``dry_run``."""
    owner = f"workspace:{asked['workspace']}"
    with get_client(sync_client=True) as client:
        of_regraft = client.read_deployments(deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])))
        _require_free_names(of_regraft, asked["wanted"], owner)
        known = {deployment.name: deployment for deployment in of_regraft if owner in deployment.tags}
        for block in {document["notify"]["block"] for document in asked["wanted"].values() if document["notify"]}:
            notifications.block_called(client, block)
        documents = {name: document_of(deployment, notifications.document_of(client, name)) for name, deployment in known.items()}
        changes = deployments.changes(asked["wanted"], documents, asked["every"])
        of_containers = pools.bring_in_step(client, asked["pools"], asked["dry_run"])
        if not asked["dry_run"]:
            lost_runs.watch(client, TAG)
            for change in changes:
                _apply(client, change, asked["wanted"].get(change.name), owner, known.get(change.name))
    return {"changes": [change.document() for change in changes], "pools": of_containers}


def _apply(
    client: SyncPrefectClient, change: deployments.Change, document: dict[str, Any] | None, owner: str, known: DeploymentResponse | None
) -> None:
    """Bring one deployment in step, and what the server does by itself for it.

    :param document: what it is to be; None: gone.
    """
    if document is None:
        if known is not None:
            client.delete_deployment(known.id)
        notifications.forget(client, change.name)
        arrivals.forget(client, change.name)
        return
    made = known.id if known and change.verb == "keep" else _write(client, change.name, document, owner, known)
    notifications.keep(client, change.name, made, document["notify"])
    if _flow(change.name) == HANDOFF:
        arrivals.listen(client, change.name, made)


def _require_free_names(there: list[DeploymentResponse], wanted: dict[str, Any], owner: str) -> None:
    for deployment in there:
        if deployment.name in wanted and owner not in deployment.tags:
            other = next((tag for tag in deployment.tags if tag.startswith("workspace:")), "another workspace")
            message = f"the Prefect server has a deployment {_flow(deployment.name)}/{deployment.name} of {other}, and this is {owner}"
            raise Conflict(message, fix="rename the pipeline file or the workspace's folder, or use another Prefect server")


def document_of(deployment: DeploymentResponse, notify: dict[str, Any] | None) -> dict[str, Any]:
    """What the server has, as :func:`regraft.execution.deployments.wanted` has it.

    :param notify: what it tells of the deployment's runs.
    """
    environment = (deployment.job_variables or {}).get("env") or {}
    return {
        "description": deployment.description,
        "version": deployment.version,
        "schedule": _document_of(deployment.schedules[0].schedule) if len(deployment.schedules) == 1 else None,
        "pool": deployment.work_pool_name,
        "expected": environment.get(deployments.EXPECTED),
        "parameters": deployment.parameters,
        "source": {"repository": environment[deployments.REPOSITORY], "commit": environment.get(deployments.COMMIT)}
        if deployments.REPOSITORY in environment
        else None,
        "notify": notify,
    }


def _document_of(schedule: Any) -> dict[str, Any]:
    match schedule:
        case CronSchedule():
            return {"cron": schedule.cron, "timezone": schedule.timezone or "UTC"}
        case IntervalSchedule():
            return {"seconds": round(schedule.interval.total_seconds())}
    return {"other": repr(schedule)}  # somebody's own, made in Prefect's pages: deploying puts ours in its place


def _flow(name: str) -> str:
    flows = {deployments.ON_GPU: STEP, deployments.INBOX: HANDOFF}
    return next((flow for suffix, flow in flows.items() if name.endswith(suffix)), RETRAIN)


def _form(flow: str) -> dict[str, Any]:
    """What a person may fill in who starts it: nothing, of a step that a run asks for."""
    properties = FORM["properties"] if flow == RETRAIN else {"pipeline": FORM["properties"]["pipeline"]}
    return {} if flow == STEP else {**FORM, "properties": properties}


def _write(client: SyncPrefectClient, name: str, document: dict[str, Any], owner: str, known: DeploymentResponse | None) -> UUID:
    """The deployment's id."""
    with contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=document["pool"], type=pools.OF_AGENTS, description=pools.DESCRIPTION))
    active = known.schedules[0].active if known and len(known.schedules) == 1 else True  # one that was paused stays paused
    environment = {deployments.EXPECTED: document["expected"]}
    if source := document["source"]:
        environment |= {deployments.REPOSITORY: source["repository"], deployments.COMMIT: source["commit"]}
    flow = _flow(name)
    return client.create_deployment(  # or bring the one of that name in step
        client.create_flow_from_name(flow),
        name,
        version=document["version"],
        schedules=[DeploymentScheduleCreate(schedule=_schedule(document["schedule"]), active=active)] if document["schedule"] else [],
        concurrency_limit=1,
        concurrency_options=WAIT,
        parameters=document["parameters"],
        parameter_openapi_schema=_form(flow),
        enforce_parameter_schema=flow != STEP,
        description=document["description"],
        work_pool_name=document["pool"],
        tags=[TAG, owner],
        entrypoint=f"flows/{flow}_flow.py:{flow}",
        job_variables={"command": COMMAND, "env": environment},
    )


def _schedule(document: dict[str, Any]) -> CronSchedule | IntervalSchedule:
    if "seconds" in document:
        return IntervalSchedule(interval=timedelta(seconds=document["seconds"]))
    return CronSchedule(cron=document["cron"], timezone=document["timezone"])
