"""``python -m flows job``: a scheduled run on an agent.

It types ``regraft run`` with the parameters of its flow run, so a run has one way in: lock, log, lifeline, checkpoints and exit codes
are those of a run that somebody typed. The flow inside goes on with this flow run (:data:`FLOW_RUN`) instead of making its own, and
where no flow was started, because nothing had changed or something is wrong, its end is written here. A look into an inbox is the flow
``handoff``, in this process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from regraft.steps.flow import FLOW_RUN, EnvironmentFault, RegraftError, Workspace, deployments, end_with_parent

HANDOFF = "handoff"
SENTENCES = 3
"""Errors that a state's message lists."""


def main() -> int:
    """Run; 0 once the flow run has its end on the server, else how ``regraft run`` ended."""
    flow_run = os.environ.get("PREFECT__FLOW_RUN_ID")
    if flow_run is None:
        raise EnvironmentFault("this is what an agent runs for a flow run of Prefect", fix="regraft run PIPELINE")
    with get_client(sync_client=True) as client:
        scheduled = client.read_flow_run(UUID(flow_run))
        parameters = scheduled.parameters
        pipeline, sets = str(parameters.get("pipeline", "")), list(parameters.get("set") or [])
        try:
            deployments.require_expected(Workspace.find(), pipeline, os.environ.get(deployments.EXPECTED))
        except RegraftError as error:
            return _end(client, flow_run, Failed(message=f"{error}; next: {error.fix}"))
        if client.read_flow(scheduled.flow_id).name == HANDOFF:
            from flows.handoff_flow import go_on_with

            return go_on_with(flow_run, pipeline)
        code, document = _typed(pipeline, sets, flow_run)
        if code > 128 or code < 0:
            return code & 0xFF
        state = client.read_flow_run(UUID(flow_run)).state
        if state is not None and state.is_final():
            return 0
        return _end(client, flow_run, _told(code, document))


def _typed(pipeline: str, sets: list[str], flow_run: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document of ``regraft run PIPELINE --json``, which ends with this process."""
    argv = [sys.executable, "-m", "regraft", "run", pipeline, *(f"--set={text}" for text in sets), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT__")}
    process = subprocess.Popen(
        argv,
        env={**environment, FLOW_RUN: flow_run},
        stdout=subprocess.PIPE,
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
