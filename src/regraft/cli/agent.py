"""``agent start``, and what an agent calls: ``job`` for a flow run of its pool, ``work`` for one step of a run on another machine."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regraft.cli import console
from regraft.cli.run import Json, Pipeline

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace
    from regraft.execution.handover import Request


def add_to(app: typer.Typer) -> None:
    agents = typer.Typer(no_args_is_help=True, help="Run what is deployed: `regraft agent start`.")
    agents.command("start")(start)
    agents.callback()(lambda: None)  # a group, though it has one verb so far
    app.add_typer(agents, name="agent")
    app.command(hidden=True)(job)
    app.command(hidden=True)(work)


def start(
    pool: Annotated[str, typer.Option("--pool", help="Work pool of the Prefect server.")] = "regraft",
    ranks: Annotated[
        int, typer.Option("--ranks", min=1, help="Processes that share each training, on GPUs one a GPU; as REGRAFT_RANKS for `run`.")
    ] = 1,
) -> None:
    """Examine this machine as `doctor` does, then run what is deployed to a pool, until Ctrl-C.

    One run at a time; on a machine with GPUs, one a GPU, or one for as many as --ranks.
    """
    from regraft.cli.workspace import show
    from regraft.core.workspace import Workspace
    from regraft.upkeep.doctor import examine

    checks = examine(Workspace.find())
    show(check for check in checks if check.state != "ok")
    if any(check.state == "bad" for check in checks):
        console.err.print("[bold red]error[/]: nothing that is deployed would run here\n[dim]next:[/] regraft doctor")
        sys.exit(8)
    _become("agent", pool, str(ranks))


def job() -> None:
    """Run what a Prefect server has scheduled (this is what an agent calls)."""
    _become("job")


def work(
    pipeline: Pipeline, step: Annotated[str, typer.Argument()], fingerprint: Annotated[str, typer.Argument()], json: Json = False
) -> None:
    """Compute one step of a run on another machine (this is what an agent calls)."""
    from regraft.core.errors import RegraftError
    from regraft.core.workspace import Workspace
    from regraft.execution import handover

    workspace = Workspace.find()
    request = handover.requested(workspace, pipeline, step, fingerprint)
    try:
        result = _compute(workspace, request)
    except RegraftError as error:
        handover.refuse(workspace, request, error)
        raise
    if json:
        console.print_json(result)
    sys.exit(result["exit"])


def _compute(workspace: Workspace, request: Request) -> dict[str, Any]:
    """The result of the flow, which has left the answer."""
    from regraft.cli.live import Live
    from regraft.config.pipeline_file import require_pipeline
    from regraft.core import files
    from regraft.core.errors import Conflict, EnvironmentFault
    from regraft.execution import freshness, handover, launch
    from regraft.execution.dvc import ensure_repository
    from regraft.execution.run_lock import run_lock

    require_pipeline(workspace, request.pipeline)
    with contextlib.ExitStack() as held:
        live = held.enter_context(Live(quiet=True))
        try:
            held.enter_context(run_lock(workspace, request.pipeline, wait=False, on_event=live.show))
        except Conflict as conflict:  # the run that asks, perhaps: to wait for it would be for ever
            raise EnvironmentFault(f"{conflict} in {workspace.root}", fix="start each agent in a clone of its own") from None
        held.enter_context(freshness.put_back(workspace, request.pipeline, request.sets))
        freshness.prepare(workspace, request.pipeline, request.sets)
        if (here := files.sha256_file(workspace.resolved_file(request.pipeline))) != request.resolved:
            message = f"pipeline '{request.pipeline}' resolves to {here[:12]} here and to {request.resolved[:12]} where {request.run} runs"
            raise EnvironmentFault(message, fix="bring this clone to the state of the other one")
        ensure_repository(workspace)
        handover.take_inputs(workspace, request)
        handover.require_same(workspace, request)
        return launch.launch(
            workspace,
            request.pipeline,
            allow_inexact=request.allow_inexact,
            due=[request.step],
            run=request.run,
            part={"step": request.step, "fingerprint": request.fingerprint},
            on_event=live.show,
        )


def _become(*argv: str) -> None:
    from regraft.core.workspace import Workspace

    os.chdir(Workspace.find().root)
    os.execv(sys.executable, [sys.executable, "-m", "flows", *argv])
