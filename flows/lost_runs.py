"""Runs whose agent is gone, with its machine: a Prefect server keeps them RUNNING for ever, and their place taken.

An agent's runs send a heartbeat; ``regraft deploy`` leaves an automation on the server that calls a run CRASHED after three that did
not come. The next run goes on from the checkpoint.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows import automations

HEARTBEAT_SECONDS = 30
MISSED = 3
"""Heartbeats that do not come before a run is lost: 90 s, and a minute is left of the two in which it has to be told."""
NAME = "regraft: runs whose agent is gone"
OURS = ("Completed", "Cached", "GateFail", "GateInconclusive", "AwaitingApproval", "NotPromoted", "NothingNew", "Superseded", "Unchanged")
ENDS = (*OURS, "Failed", "Crashed", "Cancelled", "Cancelling", "Suspended", "Paused")
"""States after which no heartbeat is expected; those of our flows have names of their own."""


def automation(tag: str) -> AutomationCore:
    """The automation for runs of deployments with ``tag``."""
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{state}" for state in ENDS)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=MISSED * HEARTBEAT_SECONDS),
    )
    message = f"no sign of life for {MISSED * HEARTBEAT_SECONDS} s; the next run continues from the last checkpoint"
    # Without force the server refuses it of a run that has ended: a busy one on SQLite may lose the event that told of the end.
    crash = ChangeFlowRunState(state=StateType.CRASHED, message=message)
    description = "Made by `regraft deploy`."
    return AutomationCore(name=NAME, description=description, enabled=True, trigger=trigger, actions=[crash])


def watch(client: SyncPrefectClient, tag: str) -> None:
    """Have the automation on the server, once, and as it is here."""
    automations.keep(client, automation(tag))
