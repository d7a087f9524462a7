"""``handoff``: rows that a data team hands in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from regraft.cli import console
from regraft.cli.run import Json, Pipeline

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace
    from regraft.data.handoff.judge import Mode
    from regraft.production.handoff import HandedIn
    from regraft.production.inbox import Taken


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft handoff demo drop.csv")(handoff)


def handoff(
    pipeline: Pipeline,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A file, a folder or s3://bucket/prefix: .csv .tsv .jsonl .parquet .gz .zip .xlsx .json. Without it, what is new in the "
            "pipeline's inbox.",
            show_default=False,
        ),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="The drop adds to the rows that are there; none goes.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="The drop is the whole data anew; rows that it lacks go.")] = False,
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="THEIRS=OURS", help="The drop calls the column OURS THEIRS; may be repeated.", show_default=False),
    ] = None,
    no_commit: Annotated[bool, typer.Option("--no-commit", help="Do not commit the new version to git.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Where another handoff is at work say so (exit 7) instead of waiting.")
    ] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who hands it in; else the user of this process.", show_default=False)] = None,
    max_quarantined: Annotated[
        float | None,
        typer.Option("--max-quarantined", min=0, max=1, help="Refuse the drop if a larger share is set aside.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Take labelled rows into PIPELINE's data: check them, set aside what is wrong and say why, tell what changes, make a version of it.

    Rows are known by their id: new ones are added, known ones take the place of what was there. A drop that has nine tenths of the rows
    that are there is the whole data anew, and rows that it lacks go; --add and --replace say it otherwise. The source is never changed.
    """
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.production.handoff import hand_in

    if add and replace:
        raise ConfigError("--add and --replace exclude one another", fix="regraft handoff --help")
    mode: Mode = "add" if add else "replace" if replace else "auto"
    workspace = Workspace.find()
    if source is None:
        if add or replace or rename or no_wait or max_quarantined is not None:
            message = "--add, --replace, --rename, --no-wait and --max-quarantined are about one drop"
            raise ConfigError(message, fix=f"regraft handoff {pipeline} FILE")
        _inbox(workspace, pipeline, commit=not no_commit, by=by, json=json)
        return
    result = hand_in(
        workspace, pipeline, source, mode=mode, commit=not no_commit, by=by, budget=max_quarantined, wait=not no_wait, rename=rename or ()
    )
    show(workspace, result, json=json)


def show(workspace: Workspace, result: HandedIn, *, json: bool) -> None:
    """Print what became of a drop; ends with 3 where it was refused."""
    from regraft.production.handoff import refusal

    document = result.document(workspace)
    if result.outcome == "refused":
        if not json:
            raise refusal(workspace, result)
        problems = [dict.fromkeys(console.KEYS) | problem for problem in result.problems]
        console.print_json({**document, "exit": 3, "errors": problems})
        raise typer.Exit(3)
    if json:
        console.print_json(document)
        return
    _print(result, document)


def _inbox(workspace: Workspace, pipeline: str, *, commit: bool, by: str | None, json: bool) -> None:
    """Take in what is new in an inbox; ends with 3 where a drop of it was refused."""
    from regraft.production import inbox

    arrivals, waiting = inbox.look(workspace, pipeline)
    taken: list[inbox.Taken] = []
    for arrival in arrivals:
        judged = inbox.take_in(workspace, pipeline, arrival, commit=commit, by=by)
        if isinstance(judged, inbox.Waiting):
            waiting.append(judged)
        else:
            taken.append(judged)
            if not json:
                _print_taken(workspace, judged)
    refused = [each for each in taken if each.refused]
    if json:
        document = {
            "pipeline": pipeline,
            "drops": [each.document(workspace) for each in taken],
            "waiting": [{"name": each.name, "why": each.why} for each in waiting],
        }
        errors = [dict.fromkeys(console.KEYS) | {"message": each.refused, "file": each.name, "fix": each.fix} for each in refused]
        console.print_json({**document, **({"exit": 3, "errors": errors} if errors else {})})
    else:
        for each in waiting:
            console.out.print(console.prose(f"[bold]{escape(each.name)}[/] waits: {escape(each.why)}", 2))
        if not taken and not waiting:
            console.out.print("nothing new in the inbox")
    if refused:
        raise typer.Exit(3)


def _print_taken(workspace: Workspace, taken: Taken) -> None:
    console.out.print(f"[bold]{escape(taken.name)}[/]", soft_wrap=True)
    if taken.refused is not None:
        console.out.print(f"[bold red]refused[/]: {escape(taken.refused)}", soft_wrap=True)
        if taken.fix:
            console.out.print(f"[dim]next:[/] {escape(taken.fix)}", soft_wrap=True)
    elif taken.result is not None:
        _print(taken.result, taken.result.document(workspace))


def _print(result: HandedIn, document: dict[str, Any]) -> None:
    from regraft.core.quantities import counted

    def say(text: str) -> None:
        console.out.print(console.prose(text, 2))

    counts = result.counts
    if result.outcome == "already":
        say(f"{escape(result.summary)}; nothing was changed")
        return
    aside = f", [yellow]{counts['quarantined']:,} set aside[/]" if counts["quarantined"] else ""
    say(f"read {counted(counts['read'], 'row')}: {counts['accepted']:,} accepted{aside}")
    for rule, count in result.by_rule.items():
        say(f"  {escape(rule)}  {count:,}")
    for warning in result.warnings:
        say(f"[yellow]{escape(warning)}[/]")
    if result.outcome == "unchanged":
        say("every row is there already as it stands; nothing was changed")
        return
    version = result.version
    assert version is not None
    commit = f", commit {version.commit[:10]}" if version.commit else ""
    say(f"[green]version {version.number}[/]: {escape(result.summary)}{commit}")
    for item in result.diff["relabellings"][:10]:
        say(f"  {escape(item['from'])} → {escape(item['to'])}  {item['rows']:,}")
    console.out.print(f"[dim]page:[/] {escape(str(document['page']))}", soft_wrap=True)
    more = f"regraft quarantine list {result.pipeline}" if counts["quarantined"] else f"regraft run {result.pipeline}"
    console.out.print(f"[dim]next:[/] {more}", soft_wrap=True)
