"""``data``: versions of a pipeline's labelled rows."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.run import Json, Pipeline

if TYPE_CHECKING:
    from regraft.production.forget import Forgotten

SIDE = "A file or folder of rows, a version (demo/3), or a pipeline: its data as they are."
Reason = Annotated[str | None, typer.Option("--reason", help="Why; stands in the log.", show_default=False)]
By = Annotated[str | None, typer.Option("--by", help="Who does it; else the user of this process.", show_default=False)]
NoCommit = Annotated[bool, typer.Option("--no-commit", help="Do not commit the new version to git.")]
SHOWN = 20
"""Changed rows that the terminal lists."""

verbs = typer.Typer(no_args_is_help=True, help="Versions of a pipeline's labelled rows: what changed, who handed it in, and back.")


def add_to(app: typer.Typer) -> None:
    for verb in (diff, log, revert, forget):
        verbs.command()(verb)
    app.add_typer(verbs, name="data")


def diff(
    a: Annotated[str, typer.Argument(help=SIDE, show_default=False, autocompletion=complete.pipelines)],
    b: Annotated[str, typer.Argument(help="The same; changes are from A to B.", show_default=False, autocompletion=complete.pipelines)],
    markdown: Annotated[bool, typer.Option("--markdown", help="For a pull request.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page for a browser: one file, which needs no net.", show_default=False)
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of the id, where A and B are files.", show_default=False)] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text, where A and B are files.", show_default=False)] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of the label, where A and B are files.", show_default=False)] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="Count by the values of this column, too.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Tell row by row what differs between two sets of labelled rows: added, removed, other text, other label, by label."""
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.data.handoff import changes
    from regraft.production.data_versions import diff as compare
    from regraft.production.data_versions import task_of

    workspace = None
    with contextlib.suppress(ConfigError):  # two files need no workspace
        workspace = Workspace.find()
    result, before, after = compare(workspace, a, b, task_of(id_, text, label), by)
    if page is not None:
        from regraft.core import files
        from regraft.data.handoff.page import render_diff

        files.write_text(page, render_diff(result, before, after))
    if json:
        console.print_json({"a": before, "b": after, **result.document()})
    elif markdown:
        typer.echo(changes.markdown(result, before, after), nl=False)
    else:
        _show(result)
        if page is not None:
            console.out.print(f"[dim]page:[/] {escape(str(page))}", soft_wrap=True)


def _show(result: Any) -> None:
    say = console.out.print
    say(result.sentence(), soft_wrap=True)
    if not result:
        return
    say("")
    say(_groups("label", result.by_label))
    say("")
    if result.by is not None:
        say(_groups(result.by, result.by_value))
        say("")
    for change in result.rows[:SHOWN]:
        say(f"[bold]{escape(change.id)}[/]  {', '.join(change.kinds)}", soft_wrap=True)
        for sign, part in (("-", change.before), ("+", change.after)):
            if part is not None:
                say(
                    f"  {sign} {escape(' '.join((part['text'] or '').split())[:160])}  [dim]{escape(part['label'] or 'no label')}[/]",
                    soft_wrap=True,
                )
    if (more := result.differing - SHOWN) > 0:
        say(f"[dim]and {more:,} more; --json has them[/]")


def _groups(name: str, groups: dict[str, Any]) -> Table:
    from regraft.data.handoff.changes import KINDS

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(escape(name), overflow="fold")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for value, counts in sorted(groups.items()):
        table.add_row(escape(value) or "[dim]none[/]", *(f"{counts[kind]:,}" if counts[kind] else "" for kind in KINDS))
    return table


def log(pipeline: Pipeline, json: Json = False) -> None:
    """List the versions of PIPELINE's data: what changed, who handed it in when, and which models were trained on it."""
    from regraft.core.workspace import Workspace
    from regraft.production.data_versions import log as versions

    lines = versions(Workspace.find(), pipeline)
    if json:
        console.print_json({"pipeline": pipeline, "versions": [line.document() for line in lines]})
        return
    if not lines:
        console.out.print(f"nothing was handed in yet  [dim]next:[/] regraft handoff {pipeline} FILE")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column, options in (("", {}), ("when", {}), ("who", {}), ("what", {}), ("rows", {"justify": "right"}), ("models", {})):
        table.add_column(column, overflow="fold", **options)  # type: ignore[arg-type]
    for line in lines:
        version = line.version
        number = f"[green]{version.number}[/] now" if line.current else str(version.number)
        number += f"\n[dim]purged by {version.purged}[/]" if version.purged is not None else ""
        what = escape(version.summary) + (f"\n[dim]{escape(version.source)}[/]" if version.source else "")
        what += f"\n[dim]{escape(version.reason)}[/]" if version.reason else ""
        table.add_row(number, console.minute(version.at), escape(version.by), what, f"{version.data['rows']:,}", ", ".join(line.models))
    console.out.print(table)


def revert(
    pipeline: Pipeline,
    version: Annotated[int, typer.Argument(help="A number that `regraft data log` shows.", show_default=False)],
    reason: Reason = None,
    by: By = None,
    no_commit: NoCommit = False,
    json: Json = False,
) -> None:
    """Make PIPELINE's data what they were in VERSION. That is a new version: what came between stays in the log."""
    from regraft.core.workspace import Workspace
    from regraft.production.data_versions import revert as go_back

    store = go_back(Workspace.find(), pipeline, version, reason=reason, by=by, commit=not no_commit)
    made = store.history.versions()[-1]
    if json:
        console.print_json({"pipeline": pipeline, **made.document(), "warnings": store.warnings})
        return
    for warning in store.warnings:
        console.out.print(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    console.out.print(f"[green]version {made.number}[/]: {escape(made.summary)}", soft_wrap=True)
    console.out.print(f"[dim]next:[/] regraft run {pipeline}")


def forget(
    pipeline: Pipeline,
    values: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the rows, or values of --column.", show_default=False)],
    column: Annotated[
        str | None, typer.Option("--column", help="Column that says whose rows they are; else that of the id.", show_default=False)
    ] = None,
    reason: Reason = None,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what has them, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    no_commit: NoCommit = False,
    json: Json = False,
) -> None:
    """Take rows out of PIPELINE's data for good, as when a person asks for it: a version without them, and no bytes of older ones.

    Purged are DVC's cache and remotes, what steps computed from such versions, and pages and quarantines of drops. Models that were
    trained on the rows are listed. It cannot be undone.
    """
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.production.forget import forget as take_out

    workspace = Workspace.find()
    if not dry_run and not yes:
        if json or not console.out.is_terminal:
            raise ConfigError(
                "forgetting cannot be undone, and nobody is here to ask", fix="--dry-run says what has the rows; --yes does it"
            )
        _show_forgotten(pipeline, take_out(workspace, pipeline, values, column=column, dry_run=True))
        typer.confirm("forget them?", abort=True)
    result = take_out(workspace, pipeline, values, column=column, reason=reason, by=by, commit=not no_commit, dry_run=dry_run)
    if json:
        console.print_json({"pipeline": pipeline, **result.document()})
        return
    _show_forgotten(pipeline, result)


def _show_forgotten(pipeline: str, result: Forgotten) -> None:
    from regraft.core.quantities import counted, first_of, size
    from regraft.production.forget import aside as of_quarantines

    def say(text: str) -> None:
        console.out.print(console.prose(text, 2))

    found, version, purged = result.found, result.version, result.purged
    aside = f", and {of_quarantines(found)}" if found.set_aside else ""
    numbers = ", ".join(map(str, found.versions)) or "none"
    say(f"{counted(found.now, 'row')} now{aside}; versions that had them: {numbers}")
    if found.every_model:
        say(f"models that were trained on them: {escape(', '.join(found.every_model))}")
    if version is not None:
        say(f"[green]version {version.number}[/]: {escape(version.summary)}")
    if purged is not None:
        remotes = "".join(f", {count:,} from remote {escape(name)}" for name, count in purged.remotes.items())
        say(f"purged: {counted(purged.objects, 'object')} of the cache ({size(purged.bytes)}){remotes}")
        clones = f", {first_of(purged.clones)}" if purged.clones else ""
        outputs, pages = counted(len(purged.artifacts), "output"), counted(len(purged.folders), "page")
        say(f"taken away: {outputs} of steps{clones}; out of {pages} and record")
    for line in result.remains:
        say(f"[yellow]remains:[/] {escape(line)}")
    if version is not None:
        console.out.print(f"[dim]next:[/] regraft run {pipeline}")
