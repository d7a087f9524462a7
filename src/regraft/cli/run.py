"""``regraft run`` and ``regraft step``: the two ways work starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regraft.cli import complete, console

if TYPE_CHECKING:
    from regraft.cli.live import Live
    from regraft.core.workspace import Workspace

Pipeline = Annotated[
    str, typer.Argument(help="Name of a pipeline file, without .yaml.", show_default=False, autocompletion=complete.pipelines)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override one key for this run; repeatable.")]


def add_to(app: typer.Typer) -> None:
    app.command()(run)
    app.command(hidden=True)(step)


def run(
    pipeline: Pipeline,
    set_: Set = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for a run of the same pipeline, or exit 7.")] = True,
    allow_inexact: Annotated[bool, typer.Option("--allow-inexact", help="Resume even where the bits may differ.")] = False,
    judge_again: Annotated[bool, typer.Option("--judge-again", help="Judge once more where nothing has changed.")] = False,
    json: Json = False,
) -> None:
    """Bring PIPELINE up to date: run what changed, decide on evidence, register and promote what earned it.

    Exits 0 where nothing had to run, whatever stands; `regraft status PIPELINE --check` exits with what stands.
    """
    from regraft.core.errors import RegraftError
    from regraft.core.workspace import Workspace
    from regraft.execution import going_on

    again = going_on.command(pipeline, set_ or (), allow_inexact=allow_inexact)
    try:
        result = _bring_up_to_date(
            Workspace.find(), pipeline, set_ or (), again, wait=wait, allow_inexact=allow_inexact, judge_again=judge_again, quiet=json
        )
    except RegraftError as error:
        raise going_on.restated(error, pipeline, again) from error
    if json:
        console.print_json(result)
    sys.exit(result["exit"])


def _bring_up_to_date(
    workspace: Workspace, pipeline: str, sets: Sequence[str], again: str, *, wait: bool, allow_inexact: bool, judge_again: bool, quiet: bool
) -> dict[str, Any]:
    """The result of a run, or the standing one where nothing is to be done; ``again`` is the command that goes on with this run."""
    from regraft.cli.live import Live
    from regraft.config.pipeline_file import require_pipeline
    from regraft.execution import deployments, freshness, launch, moved_names, run_cost
    from regraft.execution.dvc import ensure_repository
    from regraft.execution.plan import assess
    from regraft.execution.run_lock import run_lock
    from regraft.registry.store import store_of
    from regraft.upkeep import upgrade

    require_pipeline(workspace, pipeline)
    deployments.require_expected(workspace, pipeline, os.environ.get(deployments.EXPECTED))
    with (
        Live(quiet=quiet) as live,
        run_lock(workspace, pipeline, wait=wait, on_event=live.show),
        freshness.put_back(workspace, pipeline, sets),
    ):
        if freshness.wants_demo(workspace, pipeline, sets):
            _build_demo(workspace, live)
        prepared = freshness.prepare(workspace, pipeline, sets)
        ensure_repository(workspace)
        steps = assess(workspace, pipeline, prepared.values)
        for note in prepared.notes:
            live.note(note)
        if behind := upgrade.behind(workspace.root):
            live.note(f"{behind}: `regraft init --upgrade .` brings it in step")
        if steps.data:
            live.note(f"data/ is not what data.dvc says: {steps.data}; the run uses data/ as it is, `dvc add data` records it")
        if (waiver := freshness.waiver(workspace, pipeline)) and waiver.expired:
            live.show({"event": "warning", "message": waiver.message})
        standing = freshness.nothing_to_do(workspace, pipeline, prepared.values, steps)
        if standing is not None and not (judge_again and freshness.judged_again(workspace, standing)):
            live.show_standing(standing)
            return {**standing, "exit": 0, "decided": False, "standing_exit": standing["exit"]}
        moved_names.refuse_outdated(workspace)  # of flows/, which only the flow imports
        cost = run_cost.estimate(workspace, pipeline, prepared.values, steps)
        run_cost.require_room(cost, workspace)
        store_of(workspace).values.check()  # hours of training later is too late
        if told := run_cost.sentence(cost):
            live.note(told)
        expected = {step.name: None if step.minutes is None else 60 * step.minutes for step in cost.steps}
        result = launch.launch(
            workspace, pipeline, allow_inexact=allow_inexact, due=steps.due, again=again, expected=expected, on_event=live.show
        )
        live.show_result(result)
    # One that was stopped by a signal decided nothing, and leaves standing what stood.
    return {**result, **({"decided": True, "standing_exit": result["exit"]} if result["outcome"] else {"decided": False})}


def _build_demo(workspace: Workspace, live: Live) -> None:
    """The first run of the demo makes what it reads."""
    from regraft.upkeep import demo

    folder = Path("data", "demo")
    live.note(demo.READING)
    manifest = demo.build(workspace.root / folder)
    for line in demo.lines(folder, manifest):
        live.note(line)
    if warning := demo.difference(manifest):
        live.show({"event": "warning", "message": warning})


def step(
    name: Annotated[str, typer.Argument(help="The step.")],
    pipeline: Annotated[str, typer.Option(help="The pipeline.")],
    step_version: Annotated[int, typer.Option(help="The version dvc.yaml was generated for.")],
) -> None:
    """Run one step (this is what dvc.yaml calls)."""
    from regraft.config.resolved_file import read_resolved
    from regraft.core import limits
    from regraft.core.errors import ConfigError, RegraftError
    from regraft.core.progress import Running
    from regraft.core.workspace import Workspace
    from regraft.execution import composition, supervise
    from regraft.execution.run_cost import need
    from regraft.execution.step import run_step

    supervise.watch()
    workspace = Workspace.find()
    try:
        resolved = read_resolved(workspace, pipeline)
        definition = composition.step_in(workspace, resolved, name)
        if definition.version != step_version:
            raise ConfigError(
                f"dvc.yaml runs version {step_version} of step '{name}', the code is version {definition.version}", fix="regraft dvc"
            )
        invocation = workspace.invocation()
        context = Running(pipeline=pipeline, step=name, allow_inexact=bool(invocation.get("allow_inexact")), report=bool(invocation))
        with limits.explained(
            f"step '{name}'", workspace.root, lambda: need(workspace, pipeline, resolved, definition), f"regraft plan {pipeline}"
        ):
            run_step(definition, workspace, pipeline, resolved, context)
    except RegraftError as error:
        supervise.report_error(workspace, error)
        raise
    except Exception as error:  # a bug, of ours or of a workspace's own step: the run has to be told, too
        fault = console.internal(error, f"step '{name}' failed: ")
        supervise.report_error(workspace, fault)
        raise fault from error
