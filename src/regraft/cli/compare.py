"""``compare``: two models on the same rows."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.run import Json

SIDE = "A run or pipeline (its candidate; RUN:tfidf, RUN:base for another model of it), or a version: demo/3, demo@champion."


def add_to(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    a: Annotated[str, typer.Argument(help=SIDE, show_default=False, autocompletion=complete.runs)],
    b: Annotated[str, typer.Argument(help="The same; differences are B - A.", show_default=False, autocompletion=complete.runs)],
    metric: Annotated[str | None, typer.Option("--metric", help="One metric; all of them without it.", show_default=False)] = None,
    confidence: Annotated[float, typer.Option("--confidence", min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    json: Json = False,
) -> None:
    """Compare two models on the same rows by id: paired intervals, and the rows they differ on."""
    from regraft.core.workspace import Workspace
    from regraft.gates import words
    from regraft.registry.tracking import Tracker
    from regraft.reports import compare as comparing

    found = comparing.compare(Tracker(Workspace.find()), a, b, metric=metric, confidence=confidence)
    if json:
        console.print_json(comparing.document(found))
        return
    say, number = console.out.print, words.number
    for name, side in (("A", found.a), ("B", found.b)):
        say(escape(f"{name}: {comparing.described(side)}"))
    say(f"{found.rows['n']:,} test rows ({found.rows['digest'][:12]}), {found.resamples:,} paired resamples, seed {found.seed}\n")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("metric", "A", "B", "B - A", f"{confidence * 100:g} % interval"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for each in found.metrics:
        shown = (number(each.a), number(each.b), _signed(each.difference), f"{_signed(each.low)} to {_signed(each.high)}")
        table.add_row(words.METRICS.get(each.metric, each.metric), *shown)
    say(table)
    say("")
    if found.a.digest == found.b.digest:
        say("A and B are the same model, byte for byte.")
    for each in found.metrics:
        say(comparing.conclusion(each, confidence))
    for line in comparing.flip_lines(found.flips):
        say(escape(line))


def _signed(value: float) -> str:
    from regraft.gates import words

    return f"{'+' if value > 0 else ''}{words.number(value)}"
