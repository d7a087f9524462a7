"""``init``, ``dvc`` and ``doctor``: the verbs that look after a workspace."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from regraft.cli import console
from regraft.cli.run import Json

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace
    from regraft.upkeep.doctor import Check


def add_to(app: typer.Typer) -> None:
    for verb in (init, dvc, doctor):
        app.command()(verb)


def init(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder; with --upgrade a workspace.")],
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Bring the files that you left alone to the installed version.")] = False,
) -> None:
    """Write a workspace of your own: flows, steps, a demo pipeline and DVC."""
    from regraft.core.workspace import Workspace
    from regraft.upkeep import template

    if upgrade:
        _upgrade(Workspace.find(folder))
        return
    no_git = template.without_git(folder)
    written = template.init(folder)
    workspace = Workspace(folder.resolve())
    say = console.out.print
    say(f"{len(written)} files in {folder}; pipelines: {', '.join(workspace.pipelines)}")
    say(console.prose("git: a new repository, nothing committed yet" if no_git is None else f"git: {escape(no_git)}", 5))
    there = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    say(f"[dim]next:[/] {escape(there)}regraft new NAME --data YOUR_ROWS.csv")
    say(f"[dim]or:[/]   {escape(there)}regraft run demo   [dim](the example; it says how long it takes here)[/]")


def _upgrade(workspace: Workspace) -> None:
    from regraft import __version__
    from regraft.core.quantities import counted
    from regraft.execution import moved_names
    from regraft.execution.run_lock import run_lock
    from regraft.upkeep.upgrade import merges, upgrade

    with ExitStack() as held:  # no run is at work on the files
        for name in workspace.pipelines:
            held.enter_context(run_lock(workspace, name, wait=False))
        outcome = upgrade(workspace.root)
    for path in (*outcome.written, *outcome.removed):
        console.out.print(f"  {'written' if path in outcome.written else 'removed'}  {escape(path)}")
    for before, now in outcome.renamed:
        console.out.print(
            f"  moved    {escape(before)} to {escape(now.rpartition('/')[2])}: the step has another name, and is not run again"
        )
    for path in outcome.kept:
        console.out.print(f"  kept     finetune.max_length: 64 in {escape(path)}; without the key the data choose now")
    for path in outcome.keep:
        console.out.print(f"  [yellow]yours[/]    write `finetune: {{max_length: 64}}` in {escape(path)}, or the data choose")
    for item, command in zip(outcome.left, merges(outcome), strict=True):
        console.out.print(f"  [yellow]yours[/]    {escape(str(item))}\n           [dim]next:[/] {escape(command)}")
    for problem in moved_names.outdated_imports(workspace):
        console.out.print(f"  [yellow]yours[/]    {escape(problem['fix'])}")
    total = len(outcome.written) + len(outcome.removed)
    console.out.print(
        f"{counted(total, 'file')} brought from regraft {outcome.before} to {__version__}, {len(outcome.left)} left for you to merge"
    )
    console.out.print("[dim]next:[/] regraft dvc && regraft doctor")


def dvc(
    check: Annotated[bool, typer.Option("--check", help="Only say whether the generated files are in step; exit 2 if not.")] = False,
    same_results: Annotated[
        bool, typer.Option("--same-results", help="Accept changed code without a new step version: it computes the same bytes.")
    ] = False,
) -> None:
    """Write dvc.yaml and pipelines/resolved/ from the steps and the pipeline files."""
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.execution import dvc as generated
    from regraft.execution import step_code
    from regraft.execution.resolve import write_resolved

    workspace = Workspace.find()
    if check:
        if stale := [_with_overrides(workspace, path) for path in generated.out_of_step(workspace)]:
            raise ConfigError(f"not in step with the code and the pipeline files: {', '.join(stale)}", fix="regraft dvc")
        console.out.print("dvc.yaml and pipelines/resolved/ are in step")
        return
    for path in generated.leftover(workspace):
        path.unlink()
    for name in workspace.pipelines:
        write_resolved(workspace, name)
    generated.write_generated(workspace)
    generated.ensure_repository(workspace)
    if same_results or step_code.lock_file(workspace).is_file():
        step_code.write(workspace, same_results=same_results)
    console.out.print(f"dvc.yaml and pipelines/resolved/: {', '.join(workspace.pipelines) or 'no pipeline'}")


def _with_overrides(workspace: Workspace, path: str) -> str:
    """A file that is out of step, and the overrides of the run that left it so, where that is why."""
    from regraft.execution.overridden import overrides

    sets = overrides(workspace, Path(path).stem) if path.startswith("pipelines/resolved/") else ()
    return f"{path} (of a run with {' '.join(f'--set {item}' for item in sets)})" if sets else path


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Set corrupted outputs and cache objects aside first.")] = False,
    relocate: Annotated[bool, typer.Option("--relocate", help="Point MLflow's artifact paths at the moved workspace first.")] = False,
    json: Json = False,
) -> None:
    """Examine the workspace, the libraries and the stores; exit 8 if something is broken."""
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.upkeep.doctor import examine

    try:
        workspace = Workspace.find()
    except ConfigError:
        if repair or relocate:
            raise
        workspace = None
    repaired = [*(_repair(workspace) if repair and workspace else []), *(_relocate(workspace) if relocate and workspace else [])]
    if not json:
        for sentence in repaired:
            console.out.print(f"[yellow]repaired[/]  {escape(sentence)}")
    checks = examine(workspace)
    bad = any(check.state == "bad" for check in checks)
    if json:
        console.print_json({"exit": 8 if bad else 0, "repaired": repaired, "checks": [asdict(check) for check in checks]})
    else:
        show(checks)
    sys.exit(8 if bad else 0)


def show(checks: Iterable[Check]) -> None:
    """A line a check, and what to type where something is wrong."""
    mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "bad": "[red]bad [/]"}
    for check in checks:
        message = check.message.replace("\n", "\n    ")
        console.out.print(f"{mark[check.state]}  {check.name}: {escape(message)}")
        if check.fix and check.state != "ok":
            console.out.print(f"      [dim]next:[/] {escape(check.fix)}")


def _relocate(workspace: Workspace) -> list[str]:
    from regraft.registry.tracking import Tracker

    return [Tracker(workspace).relocate()]


def _repair(workspace: Workspace) -> list[str]:
    """:func:`regraft.execution.integrity.repair` while no run is at work, and none can start."""

    from regraft.execution import integrity
    from regraft.execution.run_lock import run_lock

    with ExitStack() as held:
        for name in workspace.pipelines:
            held.enter_context(run_lock(workspace, name, wait=False))
        return integrity.repair(workspace)
