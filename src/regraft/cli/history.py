"""``history``: what happened to production, from the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import console
from regraft.cli.run import Json, Pipeline

COLOUR = {"register": "dim", "promote": "green", "rollback": "yellow"}


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft history demo --at 2026-11-21T06:45")(history)


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
        say("[dim]`regraft open RUN` shows the page about a run, which leads to MLflow and Prefect[/]")
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
