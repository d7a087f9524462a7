"""``new``: a pipeline for rows of your own."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import console
from regraft.cli.run import Json


def add_to(app: typer.Typer) -> None:
    app.command()(new)


def new(
    name: Annotated[str, typer.Argument(help="What the pipeline is called: lower-case letters, digits and _.", show_default=False)],
    data: Annotated[
        str, typer.Option("--data", help="Labelled rows: a .csv, .tsv, .jsonl, .parquet or .xlsx file, or a folder of tables.")
    ],
    text: Annotated[str | None, typer.Option("--text", help="Column of the text.", show_default="guessed")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label.", show_default="guessed")] = None,
    row_id: Annotated[
        str | None, typer.Option("--id", help="Column of a stable, unique id.", show_default="guessed, or made of the text")
    ] = None,
    corpus: Annotated[str | None, typer.Option("--corpus", help="Text of the domain without labels.", show_default="none")] = None,
    base_model: Annotated[
        str | None,
        typer.Option(
            "--base-model",
            help="What training starts from: package:<module>, a folder, or hub:<owner>/<name>@<commit>.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Look at labelled rows and write a pipeline for them, with what was guessed. Trains nothing yet."""
    from regraft.core.workspace import Workspace
    from regraft.upkeep import new_pipeline

    made = new_pipeline.new(
        Workspace.find(), name, data, text=text, label=label, row_id=row_id, corpus=corpus, base_model=base_model or new_pipeline.BASE_MODEL
    )
    if json:
        guessed = made.guess
        task = {"text": guessed.text, "label": guessed.label, "id": guessed.id, "split": guessed.split}
        document = {"pipeline": name, "labelled": made.labelled.shown, "corpus": made.corpus.shown if made.corpus else None, "task": task}
        found = {"rows": made.table.rows, "columns": list(made.table.columns), "classes": dict(made.classes.most_common())}
        console.print_json({**document, **found, "written": list(made.written), "warnings": new_pipeline.warnings(made)})
        return
    for line in new_pipeline.copies(made):
        console.out.print(escape(line))
    console.out.print(console.prose(escape(new_pipeline.looked_at(made)), 2))
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for what, which, why in new_pipeline.facts(made):
        table.add_row(f"  [dim]{what}[/]", f"[bold]{escape(which)}[/]", escape(why))
    console.out.print(table)
    for line in new_pipeline.warnings(made):
        console.out.print(console.prose(f"[yellow]warning[/]: {escape(line)}", 2))
    console.out.print(f"written: {', '.join(made.written)}; a wrong guess is corrected there")
    console.out.print(f"[dim]next:[/] regraft plan {name}")
