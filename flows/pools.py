"""Work pools of a Prefect server: those of agents, made where one is missing, and those of containers, kept as regraft.yaml has them."""

from __future__ import annotations

import shlex
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from regraft.steps.flow import ConfigError, Conflict

OF_AGENTS = "process"
"""The type of a pool whose runs agents compute in their clones."""
DESCRIPTION = "Runs of regraft's pipelines."


def bring_in_step(client: SyncPrefectClient, wanted: dict[str, Any], dry_run: bool) -> list[dict[str, str]]:
    """Have the pools of containers on the server, unless ``dry_run``; what becomes of each, as ``{pool, verb}``.

    :param wanted: name -> ``{type, template}``.
    :raises Conflict: the server has a pool of that name and another type.
    """
    verbs = {name: _verb(client, name, pool) for name, pool in wanted.items()}
    for name, verb in verbs.items():
        template = wanted[name]["template"]
        if dry_run or verb == "keep":
            continue
        if verb == "create":
            made = WorkPoolCreate(name=name, type=wanted[name]["type"], base_job_template=template, description=DESCRIPTION)
            client.create_work_pool(made)
        else:
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return [{"pool": name, "verb": verb} for name, verb in verbs.items()]


def _verb(client: SyncPrefectClient, name: str, pool: dict[str, Any]) -> str:
    try:
        known = client.read_work_pool(name)
    except ObjectNotFound:
        return "create"
    if known.type != pool["type"]:
        message = (
            f"regraft.yaml: pools: '{name}' is of type {pool['type']}, and the Prefect server has a pool of that name and type {known.type}"
        )
        raise Conflict(message, fix=f"give it another name, or: prefect work-pool delete {shlex.quote(name)}")
    return "keep" if known.base_job_template == pool["template"] else "update"


def require_agents(name: str) -> None:
    """ConfigError where the server's pool of that name is one of containers: an agent would compute its steps without one."""
    with get_client(sync_client=True) as client:
        try:
            known = client.read_work_pool(name)
        except ObjectNotFound:
            return
    if known.type != OF_AGENTS:
        message = f"pool '{name}' of the Prefect server is of type {known.type}, and agents are of type {OF_AGENTS}"
        raise ConfigError(message, fix=f"prefect worker start --pool {shlex.quote(name)} --type {shlex.quote(known.type)}")
