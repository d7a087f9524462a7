"""``store copy``: what production rests on, from one store into another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from regraft.cli import console
from regraft.cli.run import Json
from regraft.core.quantities import size

if TYPE_CHECKING:
    from regraft.core.key_values import KeyValues
    from regraft.core.workspace import Workspace

Place = "A folder, or postgresql://HOST/DATABASE, s3://BUCKET/PREFIX, sqlite:///FILE."


def add_to(app: typer.Typer) -> None:
    stores = typer.Typer(no_args_is_help=True, help="Move what production rests on: `regraft store copy FROM TO`.")
    stores.command("copy", epilog="Example: regraft store copy state postgresql://db.example/regraft")(copy)
    stores.callback()(lambda: None)  # a group, though it has one verb so far
    app.add_typer(stores, name="store")


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help=Place, show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TO", help=Place, show_default=False)],
    json: Json = False,
) -> None:
    """Copy journals, ledger, answers, last results and approvals FROM one store TO another, and read every byte back.

    Nothing that is there is overwritten by something else, and a copy that was stopped goes on where it was. MLflow's runs and
    models are not part of a store.
    """
    from regraft.core.errors import ConfigError
    from regraft.core.redacted import redacted
    from regraft.core.workspace import Workspace
    from regraft.registry import copying

    workspace = Workspace.find()
    ours, theirs = _at(source, workspace), _at(target, workspace)
    if ours.where() == theirs.where():
        raise ConfigError(f"{ours.where()} is both FROM and TO", fix="regraft store copy --help")
    copied = copying.copy(ours, theirs)
    if json:
        heads = [{"pipeline": pipeline, "head": head} for pipeline, head in copied.heads.items()]
        document = {"from": ours.where(), "to": theirs.where(), "written": copied.written, "same": copied.same, "bytes": copied.bytes}
        console.print_json({**document, "journals": heads})
        return
    what = f"{copied.written:,} written, {copied.same:,} there already; {size(copied.bytes)} read back and the same"
    console.out.print(console.prose(escape(f"{ours.where()} -> {theirs.where()}: {what}"), 2))
    for pipeline, head in copied.heads.items():
        console.out.print(f"  journal of {pipeline}: head {head[:12]}")
    if theirs.shared:
        console.out.print(console.prose(f"[dim]next:[/] write `store: {escape(redacted(target))}` into regraft.yaml, in every clone", 2))


def _at(place: str, workspace: Workspace) -> KeyValues:
    """The store at a URL or in a folder."""
    from pathlib import Path

    from regraft.registry.store import values_at
    from regraft.registry.stores.folder import Folder

    return values_at(place, workspace) if "://" in place else Folder(Path(place).absolute())
