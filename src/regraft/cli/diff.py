"""``diff``: what differs between two runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.run import Json

Thing = Annotated[
    str,
    typer.Argument(help="A run, a pipeline (its latest run), PIPELINE/VERSION or PIPELINE@champion.", autocompletion=complete.runs),
]

Other = Annotated[
    str | None,
    typer.Argument(help="The same; left out, A is a pipeline and its last two runs are told apart.", autocompletion=complete.runs),
]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft diff demo/1 demo/2")(diff)


def diff(a: Thing, b: Other = None, json: Json = False) -> None:
    """Tell what differs between two runs or versions: parameters, data, libraries, machine, code, metrics, verdict.

    Read from the records in MLflow. A step that came from the cache counts with the record of the run that computed it.
    """
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker
    from regraft.reports.run_diff import compare, find, last_two

    workspace = Workspace.find()
    tracker = Tracker(workspace)
    if b is None:
        a, b = last_two(tracker, a, "diff")
    left, right = find(tracker, a), find(tracker, b)
    differences = compare(left, right)
    if json:
        sides = {"a": left.document(), "b": right.document()}
        console.print_json({**sides, "differences": [asdict(difference) for difference in differences]})
        return
    say = console.out.print
    say(f"[dim]a[/]  {escape(left.title)}\n[dim]b[/]  {escape(right.title)}\n")
    if not differences:
        say("the same run" if left.run_id == right.run_id else "no difference in what the records hold")
        return
    say(_differences(differences))


def _differences(differences: list[Any]) -> Table:
    from regraft.reports.run_diff import shown

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for column in ("a", "b"):
        table.add_column(column, overflow="fold")
    table.add_column("b - a", justify="right", no_wrap=True)
    table.add_column("steps", style="dim", overflow="fold")
    for number, difference in enumerate(differences):
        if number == 0 or difference.section != differences[number - 1].section:
            if number:
                table.add_row()
            table.add_row(f"[bold]{difference.section}[/]")
        left, right, change = shown(difference)
        table.add_row(f"  {escape(difference.key)}", escape(left), escape(right), change, ", ".join(difference.steps))
    return table
