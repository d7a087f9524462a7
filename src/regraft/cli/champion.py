"""``promote`` and ``rollback``: the verbs that change what production loads."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.run import Json, Pipeline

Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the journal.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog='Example: regraft promote demo --waive at_least --reason "pilot, 20 users" --until 2026-12-31')(promote)
    app.command()(rollback)


def promote(
    named: Annotated[
        str,
        typer.Argument(
            metavar="PIPELINE[/VERSION]|RUN",
            help="A pipeline (its challenger; with --waive its last verdict's candidate), a version of it, or a run.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ],
    version: Annotated[str | None, typer.Argument(help="A registered version of PIPELINE.", show_default=False)] = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            "--waive",
            metavar="GATE",
            help="A gate that did not hold and that you answer for; repeatable. GATE[:all|clean][:AGAINST][:METRIC].",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="The waiver's last day (UTC), as 2026-12-31.", show_default=False)
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; it stands in the journal. A waiver needs one.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Make a model that passed its gates the champion, or one that did not, on your own word.

    With --waive the candidate of a run that ended FAIL or INCONCLUSIVE is promoted, if the gates you name are all that held it back.
    Your name, reason, the last day and the findings go into the journal. After that day the gates count again.
    """
    from regraft.core.workspace import Workspace
    from regraft.production import manual_promotion
    from regraft.registry.tracking import Tracker

    target = manual_promotion.asked(named, version)
    manual_promotion.require_together(named, waive or (), until, reason)
    tracker = Tracker(Workspace.find())
    if waive:
        change = manual_promotion.waived(tracker, target, waive, reason or "", until or "")
    else:
        change = manual_promotion.passed(tracker, target, reason or "promoted by hand")
    _tell(asdict(change), json)


def rollback(
    pipeline: Pipeline,
    to: Annotated[
        int | None, typer.Option("--to", help="The version; the champion before this one without it.", show_default=False)
    ] = None,
    reason: Reason = "rolled back by hand",
    json: Json = False,
) -> None:
    """Put an earlier champion of PIPELINE back, after its bytes were verified and it answered a test question."""
    from regraft.core.workspace import Workspace
    from regraft.registry import promotion
    from regraft.registry.tracking import Tracker

    _tell(asdict(promotion.rollback(Tracker(Workspace.find()), pipeline, to, reason=reason)), json)


def _tell(result: dict[str, Any], json: bool) -> None:
    if json:
        console.print_json(result)
        return
    console.out.print(escape(str(result["sentence"])))
    for waiver in result["waivers"]:
        console.out.print(f"  [yellow]waived[/]  {escape(waiver['sentence'])}")
    if note := result.get("note"):
        console.out.print(f"[yellow]{note}[/]")
