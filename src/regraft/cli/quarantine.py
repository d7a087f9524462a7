"""``quarantine``: rows that were set aside."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import console
from regraft.cli.data import By, NoCommit
from regraft.cli.run import Json, Pipeline

Keys = Annotated[list[str], typer.Argument(help="Rows as `regraft quarantine list` calls them: 3:1 3:2.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; stands in the log with your name.", show_default=False)]
LISTED = 50
"""Rows that the terminal lists."""

verbs = typer.Typer(no_args_is_help=True, help="Rows of drops that were set aside: look at them, let them in, or leave them out for good.")


def add_to(app: typer.Typer) -> None:
    verbs.command("list")(list_)
    for verb in (show, release, drop):
        verbs.command()(verb)
    app.add_typer(verbs, name="quarantine")


def list_(
    pipeline: Pipeline,
    everything: Annotated[bool, typer.Option("--all", help="Also rows that somebody decided about, or that were mended since.")] = False,
    json: Json = False,
) -> None:
    """List the rows of PIPELINE's drops that were set aside and that nobody has decided about."""
    from regraft.core.workspace import Workspace
    from regraft.data.handoff.set_aside import Quarantine
    from regraft.production.data_store import DataStore

    rows = list(Quarantine(DataStore.of(Workspace.find(), pipeline).folder).rows(everything=everything))
    if json:
        console.print_json({"pipeline": pipeline, "rows": [row.document() for row in rows]})
        return
    if not rows:
        console.out.print("no row is set aside" if everything else "no row waits for a decision")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("row", "where", "id", "why"):
        table.add_column(column, overflow="fold")
    for row in rows[:LISTED]:
        decided = f"\n[dim]{row.decision.what} by {escape(row.decision.by)}: {escape(row.decision.reason)}[/]" if row.decision else ""
        table.add_row(row.key, escape(f"{row.file}:{row.row}"), escape(row.id or ""), f"{escape(row.reason)}{decided}")
    console.out.print(table)
    if len(rows) > LISTED:
        console.out.print(f"[dim]and {len(rows) - LISTED:,} more; --json has them[/]")
    console.out.print(f"[dim]next:[/] regraft quarantine show {pipeline} {rows[0].key}")


def show(
    pipeline: Pipeline, row: Annotated[str, typer.Argument(help="A row of the list, such as 3:1.", show_default=False)], json: Json = False
) -> None:
    """Show one row that was set aside: as it was read, and everything that is wrong with it."""
    from regraft.core.errors import ConfigError
    from regraft.core.suggest import unknown
    from regraft.core.workspace import Workspace
    from regraft.data.handoff.set_aside import Quarantine
    from regraft.production.data_store import DataStore

    rows = {each.key: each for each in Quarantine(DataStore.of(Workspace.find(), pipeline).folder).rows(everything=True)}
    if row not in rows:
        raise ConfigError(unknown("row in quarantine", row, list(rows)[:20]), fix=f"regraft quarantine list {pipeline}")
    aside = rows[row]
    if json:
        console.print_json({"pipeline": pipeline, **aside.document()})
        return
    say = console.out.print
    say(f"[bold]{aside.key}[/]  {escape(aside.file)}:{aside.row}", soft_wrap=True)
    say(f"{escape(aside.reason)}  [dim]{escape(aside.rule)}[/]", soft_wrap=True)
    for name, value in aside.raw.items() if isinstance(aside.raw, dict) else [("as read", aside.raw)]:
        say(f"[dim]{escape(str(name))}[/]  {escape(str(value))}", soft_wrap=True)
    if aside.decision:
        say(
            f"{aside.decision.what} by {escape(aside.decision.by)} on {aside.decision.at[:10]}: {escape(aside.decision.reason)}",
            soft_wrap=True,
        )


def release(pipeline: Pipeline, rows: Keys, reason: Why, by: By = None, no_commit: NoCommit = False, json: Json = False) -> None:
    """Take rows into PIPELINE's data although they were set aside, as a new version.

    For what only a person can know: a text that is there twice, one text with two labels, test rows. Rows that break the contract's
    other rules every run would set aside again: correct them, or change the contract first.
    """
    from regraft.core.workspace import Workspace
    from regraft.production.quarantined import release as take_in

    version = take_in(Workspace.find(), pipeline, rows, reason=reason, by=by, commit=not no_commit)
    if json:
        console.print_json({"pipeline": pipeline, **version.document()})
        return
    console.out.print(f"[green]version {version.number}[/]: {escape(version.summary)}", soft_wrap=True)
    console.out.print(f"[dim]next:[/] regraft run {pipeline}")


def drop(pipeline: Pipeline, rows: Keys, reason: Why, by: By = None, json: Json = False) -> None:
    """Leave rows that were set aside out for good; they are listed no more, but with --all."""
    from dataclasses import asdict

    from regraft.core.quantities import counted
    from regraft.core.workspace import Workspace
    from regraft.production.quarantined import drop as leave_out

    decisions = leave_out(Workspace.find(), pipeline, rows, reason=reason, by=by)
    if json:
        console.print_json({"pipeline": pipeline, "rows": [asdict(decision) for decision in decisions]})
        return
    console.out.print(f"{counted(len(decisions), 'row')} left out: {escape(reason)}", soft_wrap=True)
