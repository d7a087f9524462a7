"""``gc``: room on the disk."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import console
from regraft.cli.run import Json
from regraft.core.quantities import size

WHAT = {
    "artifacts": "outputs of candidates, steps and pipelines that are gone",
    "checkpoints": "of settings, data or code that are not today's",
    "runs": "logs and working files of earlier runs",
    "embeddings": "vectors of texts that nothing has read for a month",
    "downloads": "copies of what MLflow holds",
    "models": "weights of versions nobody can come back to",
    "predictions": "answers of models that are gone",
    "dvc cache": "objects that nothing names",
    "run cache": "results of earlier settings and data",
}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft gc, and when the list is right: regraft gc --yes")(gc)


def gc(
    yes: Annotated[bool, typer.Option("--yes", help="Delete what is listed.")] = False,
    run_cache: Annotated[
        bool, typer.Option("--run-cache", help="Also results that putting a parameter or the data back would bring back for nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """List what takes up room and is needed by nothing, and with --yes free it.

    Never touched: the journal, runs and their evidence in MLflow, and the weights of every version that has an alias, that a
    rollback goes back to, that a verdict on one of these was about, or that a pipeline starts from. Refused while a run is in
    progress (exit 7).
    """
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker
    from regraft.upkeep import gc as collecting

    workspace = Workspace.find()
    tracker = Tracker(workspace)
    with collecting.held(workspace):
        surveyed = collecting.survey(workspace, tracker, run_cache=run_cache)
        freed = collecting.free(workspace, tracker, surveyed) if yes else 0
    if json:
        console.print_json(_document(workspace, surveyed, freed, yes))
        return
    _show(surveyed)
    if yes:
        console.out.print(f"\n[green]freed[/] {size(freed)}")
    elif surveyed.bytes:
        again = "regraft gc --run-cache --yes" if run_cache else "regraft gc --yes"
        console.out.print(f"\nnothing was deleted  [dim]next:[/] {again}")


def _show(surveyed: Any) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("room", no_wrap=True)
    table.add_column("what could go", overflow="fold")
    table.add_column("items", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for room in surveyed.rooms:
        named = ", ".join(item.why for item in room.items) if room.name == "models" else ""
        what = ": ".join(filter(None, [WHAT[room.name], named])) if room.items else "[dim]nothing[/]"
        what += f"\n[dim]{escape(room.note)}[/]" if room.note else ""
        table.add_row(room.name, what, f"{len(room.items):,}" if room.items else "", size(room.bytes) if room.items else "")
    table.add_row()
    items = sum(len(room.items) for room in surveyed.rooms)
    table.add_row("[bold]all[/]", "", f"{items:,}", f"[bold]{size(surveyed.bytes)}[/]")
    console.out.print(table)
    if stays := [version for version in surveyed.versions if version.kept]:
        console.out.print("\n[dim]versions that stay[/]")
        for version in stays:
            console.out.print(f"  {version.pipeline} {version.version}  {size(version.bytes)}  [dim]{escape(version.kept)}[/]")


def _document(workspace: Any, surveyed: Any, freed: int, yes: bool) -> dict[str, Any]:
    from regraft.upkeep.gc.models import document

    rooms = [
        {
            "name": room.name,
            "bytes": room.bytes,
            "note": room.note,
            "items": [{"path": workspace.relative(item.path), "bytes": item.bytes, "why": item.why} for item in room.items],
        }
        for room in surveyed.rooms
    ]
    return {"freed": yes, "bytes": freed if yes else surveyed.bytes, "rooms": rooms, "kept": document(surveyed.versions)}
