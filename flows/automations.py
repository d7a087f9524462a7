"""Automations of a Prefect server that ``regraft deploy`` keeps: each once, by its name, and as it is here."""

from __future__ import annotations

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore

COMPARED = {"description", "trigger", "actions"}
"""Of an automation; that somebody has paused it is theirs."""


def keep(client: SyncPrefectClient, wanted: AutomationCore) -> None:
    """Have ``wanted`` on the server; one that is there as it is wanted is left alone, and one that was paused stays paused."""
    if not (known := client.read_automations_by_name(wanted.name)):
        client.create_automation(wanted)
    elif known[0].model_dump(include=COMPARED) != wanted.model_dump(include=COMPARED):
        client.update_automation(known[0].id, wanted.model_copy(update={"enabled": known[0].enabled}))
