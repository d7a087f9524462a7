"""A step that agents of another pool run: asked for as a flow run of its own, waited for, and taken back.

An agent that is lost meanwhile, with its machine, is told by the heartbeats that stop (:mod:`flows.lost_runs`); the step is then
asked for again, and whoever takes it goes on from the checkpoint that the lost one pushed.
"""

from __future__ import annotations

import shlex
import time
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Crashed, Scheduled

from regraft.steps.flow import STOP, EnvironmentFault, Interrupted, Outcome, RegraftError, Run, deployments, handover

CONCURRENCY = "AwaitingConcurrencySlot"
"""What a Prefect server calls a run that has to wait for another one of its deployment."""
TRIES = 3
"""Agents that a step is asked of: one may be lost, or the DVC remote may lose what it pushed."""
LOOK_SECONDS = 2.0
NOBODY_SECONDS = 60.0
"""After which a step that no agent has taken is told of."""
SILENT_SECONDS = 180.0
"""After which a step that an agent has taken and not begun is given up, counted from the last line of its log. An agent writes one every
:data:`flows.lost_runs.HEARTBEAT_SECONDS`; where it ever sent a heartbeat, the server has called it lost after 90 s."""


def place(step_needs_gpu: bool, scheduled: bool, gpu_pool: str | None) -> str | None:
    """The pool that a step is asked of; None: it runs where the run does, as all do of a run that somebody typed."""
    return gpu_pool if step_needs_gpu and scheduled else None


def run_step_elsewhere(run: Run, step: str, number: int, pool: str) -> Outcome:
    """What came of ``step``, the ``number``-th of the run; raises what the step raised, or that nobody could compute it."""
    started = time.perf_counter()
    request = handover.request_for(run, step, number)
    outcome = handover.answered(run, request)
    if outcome is None:
        run.emit({"event": "step_started", "step": step})
        handover.ask(run.workspace, request)
        with get_client(sync_client=True) as client:
            outcome = _asked(client, run, request, pool)
    handover.forget(run.workspace, request)
    run.emit({**outcome.event, "seconds": round(time.perf_counter() - started, 3)})
    return outcome


def _asked(client: SyncPrefectClient, run: Run, request: handover.Request, pool: str) -> Outcome:
    for _ in range(TRIES):
        ended = _wait(client, run, _begin(client, run, request), pool)
        if (outcome := handover.answered(run, request)) is not None:
            return outcome
        if (error := handover.refused(run.workspace, request)) is not None:
            raise error
        if ended.state is None or ended.state.type not in (StateType.CRASHED, StateType.COMPLETED):
            raise _failure(run, request.step, ended)
    message = f"step '{request.step}': agents of pool '{pool}' were asked {TRIES} times; each was lost, or what it pushed was"
    raise EnvironmentFault(message, fix=f"look at these machines and at the DVC remote, then: regraft run {run.pipeline}")


def _begin(client: SyncPrefectClient, run: Run, request: handover.Request) -> UUID:
    """Ask for the step; the id of its flow run."""
    name = f"step/{run.pipeline}{deployments.ON_GPU}"
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise EnvironmentFault(f"the Prefect server has no deployment {name}", fix=f"regraft deploy {run.pipeline}") from None
    parameters = {"pipeline": request.pipeline, "step": request.step, "fingerprint": request.fingerprint, "run": run.name}
    flow_run = client.create_flow_run_from_deployment(
        deployment.id, parameters=parameters, name=f"{run.name} {request.step}", state=Scheduled(), tags=list(deployment.tags or [])
    )
    return flow_run.id


def _wait(client: SyncPrefectClient, run: Run, flow_run: UUID, pool: str) -> FlowRun:
    """The flow run when it has ended. Interrupted where this run is stopped, which stops that one."""
    heard, line, told = time.monotonic(), "", ""
    while True:
        current = client.read_flow_run(flow_run)
        if current.state is not None and current.state.is_final():
            return current
        if (latest := _last_line(client, current)) != line:
            heard, line = time.monotonic(), latest
        silent = time.monotonic() - heard
        if (why := _waiting(current, latest, silent, pool)) not in ("", told):
            told = why
            run.emit({"event": "warning", "message": why})
        if current.state is not None and current.state.type is StateType.PENDING and silent > SILENT_SECONDS:
            message = f"its agent has said nothing for {SILENT_SECONDS:.0f} s, and had not begun"
            client.set_flow_run_state(flow_run, Crashed(message=message), force=True)
        if STOP.wait(LOOK_SECONDS):
            client.set_flow_run_state(flow_run, Cancelling())
            raise Interrupted(f"stopped while '{current.name}' was at work", fix=f"regraft run {run.pipeline}")


def _last_line(client: SyncPrefectClient, flow_run: FlowRun) -> str:
    """The last sign of a flow run that has not begun, with its moment: where it stands on the server, and what its agent says."""
    if flow_run.state is None or flow_run.state.type is not StateType.PENDING:
        return f"{flow_run.state and flow_run.state.id}"
    lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])), limit=1, sort=LogSort.TIMESTAMP_DESC)
    return f"{lines[0].timestamp} {lines[0].message}" if lines else str(flow_run.state.id)


def _waiting(flow_run: FlowRun, line: str, silent: float, pool: str) -> str:
    """What the person who looks at the run is told of a step that nobody computes yet; empty: nothing new."""
    if flow_run.state is None or flow_run.state.type is StateType.RUNNING:
        return ""
    if flow_run.state.type is StateType.PENDING:
        says = line.partition(" waits for ")[2]
        return f"'{flow_run.name}' waits for {says}" if says else ""
    if silent < NOBODY_SECONDS:
        return ""
    if flow_run.state.name == CONCURRENCY:
        return f"'{flow_run.name}' waits for another run of the same deployment to end"
    return f"no agent has taken '{flow_run.name}' for {NOBODY_SECONDS:.0f} s: regraft agent start --pool {shlex.quote(pool)}"


def _failure(run: Run, step: str, flow_run: FlowRun) -> RegraftError:
    """Why there is no answer, of a flow run that has said no error of its own."""
    assert flow_run.state is not None
    message = f"step '{step}' was computed by nobody: the flow run '{flow_run.name}' is {flow_run.state.name}"
    return EnvironmentFault(f"{message}: {flow_run.state.message or 'without a word'}", fix=f"regraft run {run.pipeline}")
