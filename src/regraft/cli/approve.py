"""``approve`` and ``reject``: a person's word on a model that passed, where the pipeline asks for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from regraft.cli import complete, console
from regraft.cli.run import Json

if TYPE_CHECKING:
    from regraft.registry.approvals import Word

Named = Annotated[
    str,
    typer.Argument(metavar="RUN|PIPELINE", help="The run that asks, or its pipeline.", show_default=False, autocompletion=complete.runs),
]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="The private key that signs, where the pipeline names its approvers; or the public one of an agent's key."),
]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example: regraft approve demo --reason 'looked at the ten worst rows'")(approve)
    app.command(epilog="Example: regraft reject demo --reason 'the spring data are missing'")(reject)


def approve(
    named: Named,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the answer.", show_default=False)] = "",
    key: Key = None,
    json: Json = False,
) -> None:
    """Say yes to the model of RUN: it becomes champion, if its evidence and the champion are what it was asked about."""
    _answer(named, "approve", reason, key, json)


def reject(
    named: Named,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever trains the next one reads it.", show_default=False)],
    key: Key = None,
    json: Json = False,
) -> None:
    """Say no to the model of RUN: the champion stays."""
    from regraft.core.errors import ConfigError

    if not reason.strip():
        raise ConfigError("--reason is empty: whoever trains the next model has nothing else", fix=f'regraft reject {named} --reason "..."')
    _answer(named, "reject", reason, key, json)


def _answer(named: str, word: Word, reason: str, key: Path | None, json: bool) -> None:
    from regraft.core.workspace import Workspace
    from regraft.production import approval
    from regraft.registry.tracking import Tracker

    answered = approval.answer(Tracker(Workspace.find()), named, word, reason.strip(), key)
    if json:
        console.print_json(answered.document())
        return
    console.out.print(console.prose(escape(answered.sentence), 2))
    if answered.note:
        console.out.print(f"[yellow]{escape(answered.note)}[/]")
