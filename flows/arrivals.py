"""An event instead of a schedule: whoever notices that a drop has come says so, and the inbox is looked into at once.

``prefect event emit regraft.inbox --resource-id regraft.inbox.PIPELINE``, or the same by ``POST /events`` of the server's API, which is
what a bucket's notification can call.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows import automations
from regraft.steps.flow import deployments


def automation(name: str, deployment: UUID) -> AutomationCore:
    """The automation that starts the deployment called ``name``."""
    pipeline = deployments.pipeline_of(name)
    trigger = EventTrigger(
        expect={deployments.ARRIVED},
        match={"prefect.resource.id": f"{deployments.ARRIVED}.{pipeline}"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    action = RunDeployment(deployment_id=deployment, parameters={"pipeline": pipeline})
    return AutomationCore(name=_title(name), description="Made by `regraft deploy`.", enabled=True, trigger=trigger, actions=[action])


def _title(name: str) -> str:
    return f"regraft: a drop has come to {deployments.pipeline_of(name)}"


def listen(client: SyncPrefectClient, name: str, deployment: UUID) -> None:
    """Have the automation on the server, once, and as it is here."""
    automations.keep(client, automation(name, deployment))


def forget(client: SyncPrefectClient, name: str) -> None:
    """Take the automation of a deployment away; nothing where there is none."""
    for known in client.read_automations_by_name(_title(name)):
        client.delete_automation(known.id)
