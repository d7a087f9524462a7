"""One step of a run on another machine: what an agent of a GPU pool computes (:mod:`regraft.execution.handover`)."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import UUID

from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.flow_engine import load_flow_run, run_flow
from prefect.states import Cancelled, Completed, Crashed

from flows.bridge import step_task
from regraft.steps.flow import FLOW_RUN, Curves, Event, Interrupted, Run, Tracker, handover, mirrored, run_step_with_dvc, supervise

_current: ContextVar[Run] = ContextVar("run")


def compute_step(run: Run) -> Event:
    """Run the step that ``run`` is for as the flow run that the server has scheduled; raises what the step raised."""
    token = _current.set(run)
    try:
        run_flow(step, flow_run=load_flow_run(UUID(os.environ[FLOW_RUN])), parameters={"pipeline": run.pipeline})
    finally:
        _current.reset(token)
    return {"exit": 0, "outcome": None, "sentence": "computed"}


@flow(name="step", persist_result=False, validate_parameters=False)
def step(pipeline: str) -> State[None]:
    """Compute one step, with its curves in the MLflow run of whoever asked, and leave the answer."""
    supervise.stop_at_signals()  # Prefect has put its own SIGTERM handler in place
    run = _current.get()
    assert run.part is not None
    request = handover.requested(run.workspace, pipeline, run.part["step"], run.part["fingerprint"])
    curves = Curves(run.emit, Tracker(run.workspace))
    curves.mlflow_run_id = request.mlflow_run_id
    run = handover.numbered(replace(run, emit=curves.hear), request)
    folder = run.workspace.checkpoints(pipeline, request.step, request.fingerprint)
    with mirrored(run.workspace, folder, f"{pipeline}/{request.step}/{request.fingerprint}"):
        state: State[Any] = step_task(request.step, lambda: run_step_with_dvc(run, request.step, request.number))(return_state=True)
        try:
            outcome = state.result()
        except Interrupted as stopped:
            return _stopped(str(stopped))
        handover.answer(run.workspace, request)
    curves.flush()
    return Completed(name="Cached" if outcome.cached else "Completed", message=f"for {run.name}")


def _stopped(message: str) -> State[Any]:
    """The end of a step that was stopped: by people, or with its agent, and then it is asked for again like that of one that was killed."""
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(os.environ[FLOW_RUN])).state
    if state is not None and state.type in (StateType.CANCELLING, StateType.CANCELLED):
        return Cancelled(message=message)
    return Crashed(message=message)
