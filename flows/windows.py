"""Windows of a schedule that have passed while a run took longer: one run stands for all of them.

A server schedules a run for every window, and those that found no agent free wait. They would each find nothing to do, one after the other;
so the one that begins takes the others off. What somebody started, or an event, has parameters and a reason of its own, and stays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled

SCHEDULED = "auto-scheduled"
"""The tag that a server gives what a schedule made."""
SUPERSEDED = "Superseded"
"""The state of a run whose window another one stands for."""


def stand_for_earlier(client: SyncPrefectClient, flow_run: FlowRun) -> int:
    """Take runs off whose time has come and that wait for ``flow_run``, which begins; how many."""
    if flow_run.deployment_id is None or SCHEDULED not in flow_run.tags:
        return 0
    waiting = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[flow_run.deployment_id]),
        tags=FlowRunFilterTags(all_=[SCHEDULED]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
    )
    state: State[Any] = Cancelled(name=SUPERSEDED, message=f"its window had passed when {flow_run.name} began, which stands for it")
    others = [each for each in client.read_flow_runs(flow_run_filter=waiting) if each.id != flow_run.id]
    for each in others:  # at most a page; whatever is left finds nothing to do, or is taken off by the next one
        client.set_flow_run_state(each.id, state)
    return len(others)
