"""``renew-test``: fresh test rows in the place of worn ones."""

from __future__ import annotations

import typer
from rich.markup import escape

from regraft.cli import console
from regraft.cli.run import Json, Pipeline


def add_to(app: typer.Typer) -> None:
    app.command("renew-test")(renew_test)


def renew_test(pipeline: Pipeline, json: Json = False) -> None:
    """Make the rows that came since the last run of PIPELINE its test rows, and train on those that tested until now.

    For test rows that have decided too often (gate `holdout`). Old verdicts stay verifiable; the next run scores the champion on the
    fresh rows, and the budget begins anew. Writes pipelines/PIPELINE.spent.json, which belongs into git; to undo it, restore that file.
    """
    from regraft.core.quantities import counted
    from regraft.core.workspace import Workspace
    from regraft.production.renewal import renew

    renewal = renew(Workspace.find(), pipeline)
    if json:
        console.print_json(renewal.document(pipeline))
        return
    classes = ", ".join(f"{label} {count:,}" for label, count in renewal.fresh.items())
    asked = f", which have answered {counted(renewal.decisions, 'question')}," if renewal.decisions else ""
    console.out.print(f"{counted(renewal.worn, 'row')} that tested{asked} are trained on from now on", soft_wrap=True)
    console.out.print(f"{counted(sum(renewal.fresh.values()), 'fresh row')} test: {escape(classes)}", soft_wrap=True)
    console.out.print(f"written: {escape(renewal.file)}")
    console.out.print(f"[dim]next:[/] regraft run {pipeline}")
