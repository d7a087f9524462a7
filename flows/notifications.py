"""Messages about how runs of a deployment end, sent by the Prefect server through one of its notification blocks.

The server sends them, so that a run whose agent is gone is told of, too. What a message says is in the state of the flow run: its name,
its message, and the links that the run has left in its labels (:func:`label`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound, PrefectException

from flows import automations
from regraft.steps.flow import ConfigError

STATES = {
    "passed": {"Completed": "passed"},
    "failed": {"GateFail": "a gate failed; production stays as it is", "Failed": "it could not be done"},
    "inconclusive": {"GateInconclusive": "the rows cannot tell; production stays as it is"},
    "waiting": {"AwaitingApproval": "it passed and waits for a yes", "NotPromoted": "it passed and was not promoted"},
    "crashed": {"Crashed": "its agent is gone"},
}
"""What can be told: the states in which a flow run then ends, each in words."""
PAGE, MLFLOW = "regraft.page", "regraft.mlflow_run"
"""Labels of a flow run."""
SUBJECT = "%s: {{ %s[event.resource['prefect.state-name']] }}"
BODY = f"""{{{{ event.resource['prefect.state-message'] }}}}

run: {{{{ flow_run.name }}}}
{{% if flow_run.labels['{PAGE}'] %}}page: {{{{ flow_run.labels['{PAGE}'] }}}}
{{% endif %}}{{% if flow_run.labels['{MLFLOW}'] %}}MLflow: {{{{ flow_run.labels['{MLFLOW}'] }}}}
{{% endif %}}{{% if flow_run|ui_url %}}Prefect: {{{{ flow_run|ui_url }}}}{{% endif %}}"""


def automation(name: str, deployment: UUID, block: UUID, about: Iterable[str]) -> AutomationCore:
    """The automation that tells of runs of the deployment called ``name``."""
    words = {state: words for kind in about for state, words in STATES[kind].items()}
    trigger = EventTrigger(
        expect={f"prefect.flow-run.{state}" for state in words},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.id": f"prefect.deployment.{deployment}", "prefect.resource.role": "deployment"},
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
    )
    message = SendNotification(block_document_id=block, subject=SUBJECT % (name, json.dumps(words)), body=BODY)
    return AutomationCore(name=_title(name), description="Made by `regraft deploy`.", enabled=True, trigger=trigger, actions=[message])


def _title(name: str) -> str:
    return f"regraft: how runs of {name} end"


def block_called(client: SyncPrefectClient, name: str) -> BlockDocument:
    """The server's block ``TYPE/NAME``; ConfigError where there is none that sends messages."""
    kind, _, own = name.partition("/")
    try:
        block = client.read_block_document_by_name(own, kind, include_secrets=False)
    except ObjectNotFound:
        message = f"notify.block: the Prefect server has no block {name}"
        raise ConfigError(message, fix=f"make one in its pages under Blocks (prefect block create {kind}), and call it {own}") from None
    if block.block_schema is None or "notify" not in block.block_schema.capabilities:
        message = f"notify.block: {name} of the Prefect server sends no messages"
        raise ConfigError(message, fix="name a block that does: slack-webhook, ms-teams-webhook, custom-webhook, ...")
    return block


def document_of(client: SyncPrefectClient, name: str) -> dict[str, Any] | None:
    """What the server tells of runs of the deployment called ``name``, as a deployment's ``notify`` has it; None: nothing."""
    for known in client.read_automations_by_name(_title(name)):
        expected = set(getattr(known.trigger, "expect", ()))
        about = sorted(kind for kind, states in STATES.items() if expected >= {f"prefect.flow-run.{state}" for state in states})
        blocks = [_name_of(client, action.block_document_id) for action in known.actions if isinstance(action, SendNotification)]
        return {"block": ", ".join(blocks), "about": about}
    return None


def _name_of(client: SyncPrefectClient, block: UUID) -> str:
    try:
        document = client.read_block_document(block, include_secrets=False)
    except ObjectNotFound:
        return "a block that is gone"
    return f"{document.block_type.slug if document.block_type else '?'}/{document.name}"


def keep(client: SyncPrefectClient, name: str, deployment: UUID, notify: dict[str, Any] | None) -> None:
    """Have the server tell what ``notify`` says of a deployment's runs, once and as it is here; None: nothing."""
    if notify is None:
        forget(client, name)
    else:
        automations.keep(client, automation(name, deployment, block_called(client, notify["block"]).id, notify["about"]))


def forget(client: SyncPrefectClient, name: str) -> None:
    """Tell nobody of a deployment's runs any more; nothing where nobody was told."""
    for known in client.read_automations_by_name(_title(name)):
        client.delete_automation(known.id)


def label(flow_run: UUID, name: str, link: str) -> str | None:
    """Leave a link at a flow run, where messages and people find it; what went wrong with that, None: nothing."""
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(flow_run, {name: link})
    except (PrefectException, httpx.HTTPError) as fault:
        return f"the flow run on the Prefect server has no link {name}: {fault}"
    return None
