"""``report``: one page about a run, or a glance at all pipelines."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.live import COLOUR
from regraft.cli.run import Json

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace


def add_to(app: typer.Typer) -> None:
    app.command()(report)


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            help="A run, or a pipeline (its latest verdict). All pipelines without it.", show_default=False, autocompletion=complete.runs
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the page.", show_default=False)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    label_curve: Annotated[
        bool, typer.Option("--label-curve", help="Add: would more labels help? Refits the TF-IDF baseline on parts of the training rows.")
    ] = False,
    json: Json = False,
) -> None:
    """Write one HTML page about RUN that opens anywhere, offline; without RUN show how all pipelines stand."""
    if run is None:
        _fleet(out, open_, label_curve, json)
        return
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker
    from regraft.reports import make
    from regraft.reports.document import as_json
    from regraft.reports.page import render

    workspace = Workspace.find()
    run_report = make.report_on(Tracker(workspace), run, with_label_curve=label_curve)
    if json:
        console.print_json(as_json(run_report))
    if out or open_ or not json:
        path = out or workspace.scratch / "reports" / f"{run_report.run}.html"
        make.write(path, render(run_report))
        if not json:
            console.out.print(f"[bold {COLOUR[run_report.outcome]}]{run_report.outcome.upper()}[/]  {escape(run_report.headline)}")
            console.out.print(f"report: {console.linked(path, workspace.relative(path))}")
        if open_:
            show_in_browser(path)


def _fleet(out: Path | None, open_: bool, label_curve: bool, json: bool) -> None:
    from datetime import UTC, datetime

    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.reports.overview import fleet

    if label_curve:
        raise ConfigError("--label-curve is about one run: say which", fix="regraft report PIPELINE --label-curve")
    workspace = Workspace.find()
    document = fleet(workspace, datetime.now(UTC))
    if json:
        console.print_json(document)
    else:
        _say(document)
    if out or open_:
        from regraft.registry.tracking import Tracker
        from regraft.reports.make import write
        from regraft.reports.overview import trends
        from regraft.reports.page import render_overview

        path = out or workspace.scratch / "reports" / "overview.html"
        links = {name: _seen_from(path, workspace, entry["verdict"]) for name, entry in document["pipelines"].items() if entry["verdict"]}
        write(path, render_overview(document, trends(Tracker(workspace), document["pipelines"]), links))
        if not json:
            console.out.print(f"report: {console.linked(path, workspace.relative(path))}")
        if open_:
            show_in_browser(path)


def _seen_from(page: Path, workspace: Workspace, verdict: dict[str, Any]) -> str:
    """Where the page of a verdict lies, from where ``page`` lies; empty where it is on a server."""
    there = workspace.root / (verdict["report"] or "")
    return quote(os.path.relpath(there, page.resolve().parent)) if there.is_file() else ""


def _say(document: dict[str, Any]) -> None:
    """A paragraph for each pipeline."""
    from regraft.reports.overview import next_step, remark, stale

    for name, entry in document["pipelines"].items():
        verdict, say = entry["verdict"], partial(console.prose, hang=4)
        outcome = (
            f"[{COLOUR[verdict['outcome']]}]{verdict['outcome'].upper()}[/] in {verdict['run']}" if verdict else "[dim]no verdict yet[/]"
        )
        age = f" for {entry['age']}" if entry["age"] else ""
        console.out.print(say(f"[bold]{name}[/]  {_champion(entry['champion'])}{age}, {outcome}"))
        if said := remark(entry):
            console.out.print(say(f"  {escape(said)}"))
        if waiver := entry["waiver"]:
            console.out.print(f"  [yellow]waiver {'over since' if waiver['expired'] else 'until'} {waiver['until']}[/]")
        steps = f"stale: {escape(stale(entry['stale'], entry['perhaps'], len(entry['steps'])))}"
        console.out.print(say(f"  [red]{escape(entry['error'])}[/]" if "error" in entry else f"  {steps}"))
        if advice := next_step(name, entry):
            console.out.print(f"  [dim]next:[/] {escape(advice)}", soft_wrap=True)


def _champion(champion: dict[str, str] | None) -> str:
    return f"version {champion['version']} [dim]({champion['digest'][:12]})[/]" if champion else "[dim]no champion[/]"


def show_in_browser(path: Path) -> None:
    """A browser, if there is one; on a machine without, the path has been said."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        console.err.print(f"[yellow]warning[/]: no browser could be opened; the page is {escape(str(path))}")
