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
    b: Annotated[
        str | None,
        typer.Argument(
            help="The same; differences are B - A. Left out, A is a pipeline and its last two verdicts are compared.",
            show_default=False,
            autocompletion=complete.runs,
        ),
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="One metric; all of them without it.", show_default=False)] = None,
    open_test: Annotated[
        bool,
        typer.Option(
            "--open-test", help="Open the answers to test rows of a candidate that dev rows did not choose: one decision more on them."
        ),
    ] = False,
    confidence: Annotated[float, typer.Option("--confidence", min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    json: Json = False,
) -> None:
    """Compare two models on the same rows by id: paired intervals, and the rows they differ on."""
    from regraft.core.workspace import Workspace
    from regraft.gates import words
    from regraft.registry.tracking import Tracker
    from regraft.reports import compare as comparing
    from regraft.reports.run_diff import last_two

    tracker = Tracker(Workspace.find())
    if b is None:
        a, b = last_two(tracker, a, "compare", decided=True)
    comparison = comparing.compare(tracker, a, b, metric=metric, confidence=confidence, open_test=open_test)
    if json:
        console.print_json(comparing.document(comparison))
        return
    say, number = console.out.print, words.number
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        say(escape(f"{name}: {comparing.described(side)}"))
    rows = f"{comparison.rows['n']:,} test rows ({comparison.rows['digest'][:12]})"
    say(f"{rows}, {comparison.resamples:,} paired resamples, seed {comparison.seed}")
    if comparison.opened:
        opened = f"opened: what {' and '.join(comparison.opened)} said of these rows"
        say(escape(f"{opened}; {words.counted(comparison.decisions or 0, 'decision')} on them are counted now"))
    say("")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("metric", "A", "B", "B - A", f"{confidence * 100:g} % interval"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for difference in comparison.metrics:
        name = words.METRICS.get(difference.metric, difference.metric)
        interval = f"{_signed(difference.low)} to {_signed(difference.high)}"
        table.add_row(name, number(difference.a), number(difference.b), _signed(difference.difference), interval)
    say(table)
    say("")
    if comparison.a.digest == comparison.b.digest:
        say("A and B are the same model, byte for byte.")
    for difference in comparison.metrics:
        say(comparing.conclusion(difference, confidence))
    for line in comparing.flip_lines(comparison):
        console.line(line)  # a text may be long


def _signed(value: float) -> str:
    from regraft.gates import words

    return f"{'+' if value > 0 else ''}{words.number(value)}"
