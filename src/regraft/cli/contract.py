"""``contract``: what labelled rows have to look like, drafted and tried."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.run import Json

Id = Annotated[str | None, typer.Option("--id", help="Column of the id; else as the pipeline says, or `id`.", show_default=False)]
Text = Annotated[str | None, typer.Option("--text", help="Column of the text.", show_default=False)]
Label = Annotated[str | None, typer.Option("--label", help="Column of the label.", show_default=False)]
SHOWN = 20
"""Rows that the terminal lists."""

verbs = typer.Typer(
    no_args_is_help=True, help="What labelled rows have to look like: a first contract from rows, and a contract tried on rows."
)


def add_to(app: typer.Typer) -> None:
    verbs.command()(infer)
    verbs.command("test")(try_out)
    app.add_typer(verbs, name="contract")


def infer(
    data: Annotated[str, typer.Argument(help="Rows that you trust: a file or folder.", show_default=False)],
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline", help="Whose columns they are; the draft bears its name.", show_default=False, autocompletion=complete.pipelines
        ),
    ] = None,
    id_: Id = None,
    text: Text = None,
    label: Label = None,
) -> None:
    """Draft a contract that the rows in DATA keep, with comments, on stdout.

    Redirect it to a file: regraft contract infer rows.csv > pipelines/demo.contract.yaml
    """
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace
    from regraft.production.contract_draft import infer as drafted
    from regraft.production.data_versions import task_of

    workspace = None
    with contextlib.suppress(ConfigError):
        workspace = Workspace.find()
    if workspace is None and pipeline is not None:
        workspace = Workspace.find()  # says what is missing
    typer.echo(drafted(workspace, data, pipeline, task_of(id_, text, label)), nl=False)


def try_out(
    file: Annotated[str, typer.Argument(help="A contract, such as pipelines/demo.contract.yaml.", show_default=False)],
    data: Annotated[
        str | None, typer.Argument(help="Rows to try it on; else those of the pipeline that it is called after.", show_default=False)
    ] = None,
    id_: Id = None,
    text: Text = None,
    label: Label = None,
    json: Json = False,
) -> None:
    """Try the contract in FILE on rows: how many it would set aside, and which.

    Runs and writes nothing; exits 3 where a drop of these rows would be refused.
    """
    from regraft.core.errors import ConfigError, DataRejected
    from regraft.core.quantities import counted
    from regraft.core.workspace import Workspace
    from regraft.production.contract_draft import try_out as tried_on
    from regraft.production.data_versions import task_of

    workspace = None
    with contextlib.suppress(ConfigError):
        workspace = Workspace.find()
    tried = tried_on(workspace, file, data, task_of(id_, text, label))
    if json:
        console.print_json({"contract": file, **tried.document()})
        raise typer.Exit(DataRejected.exit_code if tried.blocks else 0)
    say = console.out.print
    counts = tried.counts
    say(
        f"read {counted(counts['read'], 'row')}: {counts['accepted']:,} would be accepted, {counts['quarantined']:,} set aside",
        soft_wrap=True,
    )
    for rule, number in tried.told.by_rule.most_common():
        say(f"  {escape(rule)}  {number:,}")
    examples = [problem for problems in tried.told.examples.values() for problem in problems]
    for problem in examples[:SHOWN]:
        say(f"  [dim]{escape(str(problem['file']))}:{problem['row']}[/] {escape(problem['message'])}", soft_wrap=True)
    for warning in tried.warnings:
        say(f"[yellow]{escape(warning)}[/]", soft_wrap=True)
    if tried.blocks:
        lines = "\n".join(f"  {block['message']}" for block in tried.blocks)
        fix = f"mend the rows, or change the rule in {file}"
        raise DataRejected(f"such a drop would be refused:\n{lines}", fix=fix, problems=tried.blocks)
