"""``python -m flows job``: a scheduled run on an agent.

It types ``regraft run`` with the parameters of its flow run, or ``regraft work`` for one step of a run on another machine. So a run has one
way in: lock, log, lifeline, checkpoints and exit codes are those of a run that somebody typed. The flow inside goes on with this flow run
(:data:`FLOW_RUN`) instead of making its own, and where no flow was started, because nothing had changed or something is wrong, its end is
written here. A look into an inbox is the flow ``handoff``, in this process and in the agent's own clone, where its commits are looked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import signs, windows
from regraft.steps.flow import (
    FLOW_RUN,
    EnvironmentFault,
    RegraftError,
    Workspace,
    clone_of,
    deployments,
    end_with_parent,
    gpu_slots,
    load_pipeline,
    shared_step,
)

HANDOFF = "handoff"
SENTENCES = 3
"""Errors that a state's message lists."""


def main() -> int:
    """Run; 0 once the flow run has its end on the server, else how ``regraft`` ended."""
    for number in (signal.SIGINT, signal.SIGTERM):  # what is under way, git or DVC, ends with this
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID")
    if flow_run is None:
        raise EnvironmentFault("this is what an agent runs for a flow run of Prefect", fix="regraft run PIPELINE")
    with get_client(sync_client=True) as client:
        scheduled = client.read_flow_run(UUID(flow_run))
        if scheduled.state is not None and scheduled.state.is_final():  # cancelled since the agent took it
            return 0
        windows.stand_for_earlier(client, scheduled)
        parameters = scheduled.parameters
        if client.read_flow(scheduled.flow_id).name == HANDOFF:
            return _hand_in(client, flow_run, str(parameters.get("pipeline", "")))
        try:
            with (
                signs.given(UUID(flow_run)) as tell,
                _workspace(parameters, tell) as workspace,
                _sight(workspace, parameters, tell) as sight,
            ):
                code, document = _typed(workspace, _verb(parameters), {FLOW_RUN: flow_run, **sight})
        except RegraftError as error:
            return _end(client, flow_run, Failed(message=f"{error}; next: {error.fix}"))
        if code > 128 or code < 0:
            return code & 0xFF
        state = client.read_flow_run(UUID(flow_run)).state
        if state is not None and state.is_final():
            return 0
        return _end(client, flow_run, _told(code, document))


def _hand_in(client: SyncPrefectClient, flow_run: str, pipeline: str) -> int:
    try:
        deployments.require_expected(Workspace.find(), pipeline, os.environ.get(deployments.EXPECTED))
    except RegraftError as error:
        return _end(client, flow_run, Failed(message=f"{error}; next: {error.fix}"))
    from flows.handoff_flow import go_on_with

    return go_on_with(flow_run, pipeline)


def _workspace(parameters: Mapping[str, Any], tell: Callable[[str], None]) -> AbstractContextManager[Workspace]:
    """Where the run is: a clone of what was deployed, or the workspace that the agent was started in.

    A step of another run has a clone of its own: that run may be one of this agent's, and holds its clone until the step is there.
    """
    agent, url = Workspace.find(), os.environ.get(deployments.REPOSITORY)
    name = str(parameters.get("pipeline", "")) + (deployments.ON_GPU if "step" in parameters else "")
    return clone_of(agent, name, url, os.environ[deployments.COMMIT], tell) if url else nullcontext(agent)


@contextmanager
def _sight(workspace: Workspace, parameters: Mapping[str, Any], tell: Callable[[str], None] = lambda _: None) -> Iterator[dict[str, str]]:
    """The variable that says which GPU this sees, and has to itself, or which GPUs, where ranks share its trainings.

    A run whose steps agents of another pool compute sees none: they may be of this machine, and wait for the one it would hold.
    """
    if "step" not in parameters and load_pipeline(workspace, str(parameters.get("pipeline", ""))).agents.elsewhere:
        yield {gpu_slots.VARIABLE: ""}
        return
    with gpu_slots.hold(gpu_slots.gpus(os.environ), shared_step.asked(os.environ), tell=tell) as gpu:
        yield {} if gpu is None else {gpu_slots.VARIABLE: gpu}


def _verb(parameters: Mapping[str, Any]) -> list[str]:
    """What is typed for the flow run's ``parameters``."""
    pipeline = str(parameters.get("pipeline", ""))
    if step := parameters.get("step"):
        return ["work", pipeline, str(step), str(parameters["fingerprint"])]
    sets = [f"--set={text}" for text in parameters.get("set") or []]
    return ["run", pipeline, *sets, *(["--judge-again"] if parameters.get("judge_again") else [])]


def _typed(workspace: Workspace, verb: list[str], more: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Exit code and document of ``regraft VERB --json``, which ends with this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    places = {"REGRAFT_WORKSPACE": str(workspace.root), "REGRAFT_STATE": str(Workspace.find().state)}
    process = subprocess.Popen(
        [sys.executable, "-m", "regraft", *verb, "--json"],
        cwd=workspace.root,
        env={**environment, **places, **more},
        stdout=subprocess.PIPE,
        close_fds=False,  # the locks of GPU and clone are handed on: should this process be killed, they are held until the run has ended
        preexec_fn=partial(end_with_parent, signal.SIGTERM, os.getpid()),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: process.send_signal(received))
    out, _ = process.communicate()
    try:
        return process.returncode, dict(json.loads(out))
    except ValueError:
        return process.returncode, {}


def _told(code: int, document: dict[str, Any]) -> State[Any]:
    """The end of a run in which no flow was started."""
    if errors := document.get("errors"):
        messages = [f"{error['message']}; next: {error['fix']}" for error in errors[:SENTENCES]]
        return Failed(message="\n".join(messages))
    if "run" in document:
        return Completed(name="Unchanged", message=f"nothing changed since {document['run']}: {document['sentence']}")
    return Failed(message=f"`regraft run` ended with exit {code} and said nothing; `regraft doctor` on the agent")


def _end(client: SyncPrefectClient, flow_run: str, state: State[Any]) -> int:
    client.set_flow_run_state(UUID(flow_run), state, force=True)
    sys.stderr.write(f"{state.name}: {state.message}\n")
    return 0
