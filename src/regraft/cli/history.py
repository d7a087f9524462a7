"""``history`` and ``diff``: what happened, and what differs between two things that did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.run import Json, Pipeline

COLOUR = {"register": "dim", "promote": "green", "rollback": "yellow"}
Thing = Annotated[
    str,
    typer.Argument(help="A run, a pipeline (its latest run), PIPELINE/VERSION or PIPELINE@champion.", autocompletion=complete.runs),
]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft history demo --at 2026-11-21T06:45")(history)
    app.command(epilog="Example: regraft diff demo/1 demo/2")(diff)


def history(
    pipeline: Pipeline,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="DATE", help="Who was champion then? 2026-11-21 (its end, UTC) or 2026-11-21T14:30+01:00."),
    ] = None,
    json: Json = False,
) -> None:
    """Tell from the journal alone what became champion of PIPELINE, when, by whom and why.

    The hash chain of the journal is verified first; a file that was edited or removed is named, with exit code 8.
    """
    from regraft.core.workspace import Workspace
    from regraft.reports import history as journal_report

    journal = journal_report.journal_of(Workspace.find(), pipeline)
    moment = journal_report.moment(at, pipeline) if at is not None else None
    entries = journal.entries()
    document = journal_report.document(pipeline, entries, moment, witnessed=journal.witnessed)
    if json:
        console.print_json(document)
        return
    say = console.out.print
    when = f"at {moment:%Y-%m-%d %H:%M:%S} UTC: " if moment else ""
    champion = document["champion"]
    if champion:
        since = console.minute(champion["since"])
        say(f"[bold]{pipeline}[/]  {when}champion version {champion['version']} [dim]({champion['digest'][:12]})[/] since {since}")
    else:
        say(f"[bold]{pipeline}[/]  {when}no champion")
    if shown_entries := entries[: len(document["entries"])]:
        say("")
        say(_entries(shown_entries, moment or datetime.now(UTC)))
    if entries:
        say(f"\n[dim]{len(entries)} entries, the chain is whole; sha256 of the last one:\n{entries[-1].sha}[/]")
        if not document["head"]["witnessed"]:
            say("[yellow]nothing vouches for the last one yet[/]: an edit of it would be noticed from the next entry on")


def _entries(entries: list[Any], now: datetime) -> Table:
    """``now`` tells which waivers are over."""
    from regraft.reports.history import sentence

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right", style="dim")
    for column in ("UTC", "what", "by"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for entry in entries:
        # 80 columns hold a run's name (29 characters and more) on a line of its own only.
        reason = entry.reason.removesuffix(f" of {entry.run}")
        why = f"{escape(reason)}\n[dim]{escape(entry.run)}[/]"
        for waiver in entry.waivers:
            word = "over since" if waiver.expired(now) else "until"
            why += f"\n[yellow]waived {escape(waiver.name)}[/] {word} {waiver.until}: {escape(waiver.sentence)}"
        table.add_row(str(entry.seq), console.minute(entry.at), f"[{COLOUR[entry.action]}]{sentence(entry)}[/]", escape(entry.by), why)
    return table


def diff(a: Thing, b: Thing, json: Json = False) -> None:
    """Tell what differs between two runs or versions: parameters, data, libraries, machine, code, metrics, verdict.

    Read from the records in MLflow. A step that came from the cache counts with the record of the run that computed it.
    """
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker
    from regraft.reports.run_diff import compare, find

    workspace = Workspace.find()
    tracker = Tracker(workspace)
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
