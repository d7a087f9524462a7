"""``promote`` and ``rollback``: the verbs that change what production loads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from regraft.cli import console
from regraft.cli.run import Json, Pipeline

Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the journal.")]


def add_to(app: typer.Typer) -> None:
    app.command()(promote)
    app.command()(rollback)


def promote(
    pipeline: Pipeline,
    version: Annotated[int | None, typer.Argument(help="A registered version; the challenger without it.", show_default=False)] = None,
    reason: Reason = "promoted by hand",
    json: Json = False,
) -> None:
    """Make a registered version of PIPELINE that passed its gates the champion."""
    from regraft.registry import promotion
    from regraft.tracking import Tracker
    from regraft.workspace import Workspace

    _tell(asdict(promotion.promote_by_hand(Tracker(Workspace.find()), pipeline, version, reason)), json)


def rollback(
    pipeline: Pipeline,
    to: Annotated[
        int | None, typer.Option("--to", help="The version; the champion before this one without it.", show_default=False)
    ] = None,
    reason: Reason = "rolled back by hand",
    json: Json = False,
) -> None:
    """Put an earlier champion of PIPELINE back, after its bytes were verified and it answered a test question."""
    from regraft.registry import promotion
    from regraft.tracking import Tracker
    from regraft.workspace import Workspace

    _tell(asdict(promotion.rollback(Tracker(Workspace.find()), pipeline, to, reason=reason)), json)


def _tell(result: dict[str, object], json: bool) -> None:
    if json:
        console.print_json(result)
        return
    console.out.print(str(result["sentence"]))
    if note := result.get("note"):
        console.out.print(f"[yellow]{note}[/]")
