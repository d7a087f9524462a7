"""``card``: the model card of a registered version. ``regraft card demo`` is ``regraft card show demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from regraft.cli import console
from regraft.cli.run import Json, Pipeline

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace
    from regraft.reports.card.render import Said

Version = Annotated[int | None, typer.Argument(help="A registered version; the champion without it.", show_default=False)]


class ShownByDefault(TyperGroup):
    """A first word that is no command is a pipeline to be shown."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The verbs, and what ``show`` would offer."""
        return [*super().shell_complete(ctx, incomplete), *self.commands["show"].params[0].shell_complete(ctx, incomplete)]


def add_to(app: typer.Typer) -> None:
    cards = typer.Typer(
        cls=ShownByDefault, no_args_is_help=True, help="Show, verify or write model cards: `regraft card PIPELINE [VERSION]`."
    )
    for verb in (show, verify, write):
        cards.command()(verb)
    app.add_typer(cards, name="card")


def show(
    pipeline: Pipeline,
    version: Version = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write it as a page to this file.", show_default=False)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json: Json = False,
) -> None:
    """Print the card of a version as Markdown, or write it as a page."""
    from regraft.core.errors import EnvironmentFault
    from regraft.reports.card import store

    tracker = _tracker(pipeline)
    entry = store.entry_of(tracker, pipeline, version)
    assert entry.to is not None
    chosen = entry.to["version"]
    if (kept_card := store.stored(tracker, pipeline, chosen)) is None:
        raise EnvironmentFault(f"version {chosen} of '{pipeline}' has no card", fix=f"regraft card write {pipeline} {chosen}")
    if json:
        console.print_json({"pipeline": pipeline, "version": chosen, "card": kept_card[0]})
    if html or open_:
        _page(tracker.workspace, html, open_, pipeline, chosen, kept_card, quiet=json)
    elif not json:
        sys.stdout.write(kept_card[0])


def _page(workspace: Workspace, out: Path | None, open_: bool, pipeline: str, version: str, card: tuple[str, Said], quiet: bool) -> None:
    from regraft.cli.report import show_in_browser
    from regraft.reports.card.page import render
    from regraft.reports.make import write as write_page

    path = out or workspace.scratch / "reports" / f"{pipeline}-card-{version}.html"
    write_page(path, render(*card, pipeline, version))
    if not quiet:
        console.out.print(f"card: {console.linked(path, workspace.relative(path))}")
    if open_:
        show_in_browser(path)


def verify(pipeline: Pipeline, version: Version = None, json: Json = False) -> None:
    """Compare every number of a card with the artifact it is from; exit 8 names each that differs."""
    from regraft.reports.card import store

    checked = store.verify(_tracker(pipeline), pipeline, version)
    if json:
        console.print_json({"pipeline": pipeline, "version": checked.version, "numbers": checked.numbers, "sources": list(checked.sources)})
        return
    console.out.print(f"card of version {checked.version} of '{pipeline}': {checked.numbers:,} numbers agree with their sources:")
    for source in checked.sources:
        console.out.print(escape(f"  {source}"))


def write(pipeline: Pipeline, version: Version = None) -> None:
    """Make the card of a version again, with the words of today's pipeline file, and store it."""
    from regraft.config.pipeline_file import load_pipeline
    from regraft.reports.card import store

    tracker = _tracker(pipeline)
    entry = store.entry_of(tracker, pipeline, version)
    assert entry.to is not None
    options = load_pipeline(tracker.workspace, pipeline).card
    store.write(tracker, pipeline, entry.to["version"], options.model_dump(mode="json") if options else None)
    console.out.print(f"card of version {entry.to['version']} of '{pipeline}' is written beside its model")
    console.out.print(f"[dim]next:[/] regraft card {pipeline} {entry.to['version']}")


def _tracker(pipeline: str) -> Any:
    from regraft.config.pipeline_file import require_pipeline
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker

    workspace = Workspace.find()
    require_pipeline(workspace, pipeline)
    return Tracker(workspace)
