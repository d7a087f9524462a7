"""The inbox of a pipeline: what has come is handed in, drop by drop, and what became of it stands on the server.

It does what ``regraft handoff PIPELINE`` does, which needs no server. One flow run is one look; a drop that is still being uploaded
waits for the next one.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import State, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from regraft.steps.flow import EnvironmentFault, Interrupted, RegraftError, Workspace, inbox

RETRY_SECONDS: list[float] = [1, 5, 20]


def _only_a_store(_: object, __: object, state: State[Any]) -> bool:
    """Retry what a store or the network refused; a bad drop would be refused again."""
    return isinstance(state.result(raise_on_failure=False), EnvironmentFault)


@flow(name="handoff", flow_run_name="handoff-{pipeline}", persist_result=False, validate_parameters=False)
def handoff(pipeline: str) -> State[None]:
    """Look into the inbox of a pipeline once, and hand in what is whole."""
    workspace = Workspace.find()
    arrivals, waiting = inbox.look(workspace, pipeline)
    lines = [f"- **{each.name}** waits: {each.why}" for each in waiting]
    refused: list[str] = []
    for arrival in arrivals:
        hand_in = task(
            name=f"hand in {arrival.name}",
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=len(RETRY_SECONDS),
            retry_delay_seconds=RETRY_SECONDS,
            retry_condition_fn=_only_a_store,
        )(inbox.take_in)
        try:
            taken = hand_in(workspace, pipeline, arrival)
        except Interrupted:
            raise
        except RegraftError as error:  # of one drop; the others are looked at all the same, and the next look tries it again
            why = f"could not be taken in: {error}; next: {error.fix}"
            lines.append(f"- **{arrival.name}** {why}")
            refused.append(f"{arrival.name} {why}")
            continue
        lines.append(f"- **{arrival.name}** {taken.words}")
        refused += [taken.words] if isinstance(taken, inbox.Taken) and taken.refused else []
    if lines:
        create_markdown_artifact("\n".join(lines), key=f"inbox-{pipeline.replace('_', '-')}", description=f"The inbox of {pipeline}")
    if refused:
        return Failed(message="\n".join(refused))
    if not arrivals:
        return Completed(name="NothingNew", message="\n".join(lines) or "nothing new in the inbox")
    return Completed(message="\n".join(lines))


def go_on_with(flow_run: str, pipeline: str) -> int:
    """The flow as the flow run that a server has scheduled; 0: its end stands there."""
    from prefect.flow_engine import load_flow_run, run_flow

    run_flow(handoff, flow_run=load_flow_run(UUID(flow_run)), parameters={"pipeline": pipeline}, return_type="state")
    return 0
