"""``ls``, ``logs``, ``open`` and ``ui``: what ran, what it said, and the pages about it."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from regraft.cli import complete, console
from regraft.cli.live import COLOUR
from regraft.cli.run import Json

if TYPE_CHECKING:
    from regraft.core.workspace import Workspace

RUN = "A run, or a pipeline (its latest run)."
LOOKS_A_SECOND = 2
"""How often a log that is followed is read on."""
WIDE = 90
"""Columns of a terminal from which on the interval stands beside the score."""


def add_to(app: typer.Typer) -> None:
    app.command(name="ls")(list_runs)
    app.command()(logs)
    app.command(name="open")(open_page)
    app.command()(ui)


def list_runs(
    pipeline: Annotated[
        str | None, typer.Argument(help="One pipeline; all of them without it.", show_default=False, autocompletion=complete.pipelines)
    ] = None,
    most: Annotated[int, typer.Option("-n", "--most", min=1, help="Runs of each pipeline, newest first.")] = 10,
    json: Json = False,
) -> None:
    """List runs with their scores and verdicts, and the versions that they became."""
    from regraft.config.pipeline_file import require_pipeline
    from regraft.core.workspace import Workspace
    from regraft.registry.listing import listing
    from regraft.registry.tracking import Tracker

    workspace = Workspace.find()
    if pipeline is not None:
        require_pipeline(workspace, pipeline)
    tracker = Tracker(workspace)
    listings = {name: listing(tracker, name, most) for name in ([pipeline] if pipeline else workspace.pipelines)}
    if json:
        console.print_json({"pipelines": {name: {"runs": runs} for name, runs in listings.items()}})
        return
    for number, (name, runs) in enumerate(listings.items()):
        console.out.print(("\n" if number else "") + f"[bold]{name}[/]" + ("" if runs else "  [dim]no run yet[/]"))
        if runs:
            console.uncut().print(_table(runs))


def _table(runs: list[dict[str, Any]]) -> Table:
    from regraft.gates import words

    metrics = {run["compared_by"] for run in runs if run["outcome"]}
    score = words.METRICS[metrics.pop()] if len(metrics) == 1 else "score"
    wide = not console.out.is_terminal or console.out.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("  run", no_wrap=True)
    table.add_column(score, justify="right", no_wrap=True)
    if wide:
        table.add_column("95 % interval", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("version", no_wrap=True)
    for run in runs:
        value, low, high = (run["test"].get(f"{run['compared_by']}{end}") for end in ("", "_low", "_high"))
        interval = f"{words.number(low)} to {words.number(high)}" if low is not None and high is not None else ""
        verdict = f"[{COLOUR[run['outcome']]}]{run['outcome'].upper()}[/]" if run["outcome"] else f"[dim]{run['status'].lower()}[/]"
        version = f"{run['version'] or ''} [bold]{run['alias'] or ''}[/]".strip()
        cells = (words.number(value) if value is not None else "", *((interval,) if wide else ()), verdict, version)
        table.add_row(f"  {run['run']}", *cells)
    return table


def logs(
    run: Annotated[str, typer.Argument(help=RUN, show_default=False, autocompletion=complete.runs)],
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Lines from the end; 0: all.")] = 40,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run has ended.")] = False,
    path: Annotated[bool, typer.Option("--path", help="Say only where the file is.")] = False,
) -> None:
    """Show what DVC, Prefect, MLflow and the steps of a run wrote: the terminal of `regraft run` shows regraft's own lines alone."""
    from regraft.core.workspace import Workspace

    workspace = Workspace.find()
    log = _log(workspace, run)
    if path:
        console.out.print(console.linked(log, workspace.relative(log)))
        return
    with log.open(encoding="utf8", errors="replace") as handle:
        for line in deque(handle, maxlen=lines or None):
            console.out.print(escape(line.rstrip("\n")))
        while follow:
            text = handle.read()
            if text:
                console.out.print(escape(text), end="")
            elif not _at_work(workspace, log):
                return
            else:
                time.sleep(1 / LOOKS_A_SECOND)


def _at_work(workspace: Workspace, log: Path) -> bool:
    from regraft.execution.events import run_at_work

    seen = run_at_work(workspace, log.stem.partition("-")[0])
    return seen is not None and seen.run == log.stem


def _log(workspace: Workspace, run: str) -> Path:
    """The log of a run, or of a pipeline's newest one."""
    from regraft.config.pipeline_file import require_pipeline
    from regraft.core.errors import ConfigError

    pipeline, dash, _ = run.partition("-")
    require_pipeline(workspace, pipeline)
    folder = workspace.scratch / "logs"
    every = sorted(path for path in folder.glob(f"{pipeline}-*.log") if not dash or path.stem == run)
    if not every:
        kept = "" if dash else " has run here, or its logs were deleted"
        raise ConfigError(
            f"no log of {run} in {workspace.relative(folder)}{kept and f': nothing of it{kept}'}", fix=f"regraft ls {pipeline}"
        )
    return every[-1]


def open_page(
    run: Annotated[
        str | None, typer.Argument(help=f"{RUN} The page of all pipelines without it.", show_default=False, autocompletion=complete.runs)
    ] = None,
) -> None:
    """Open the page about RUN in a browser, made anew: it says what has become of the model since."""
    from regraft.cli.report import report
    from regraft.core.workspace import Workspace
    from regraft.registry.tracking import Tracker

    decided = None if run is None else Tracker(Workspace.find()).find_run(run, decided=True).name
    report(decided, None, open_=True)


def ui(
    which: Annotated[str, typer.Argument(metavar="mlflow|prefect", help="Whose pages.", show_default=False)],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where a server for the workspace's own MLflow listens.")] = 5000,
) -> None:
    """Open MLflow's or Prefect's pages; for the workspace's own MLflow, a server is started for it, until Ctrl-C."""
    from regraft.cli import servers
    from regraft.core.errors import ConfigError
    from regraft.core.workspace import Workspace

    workspace = Workspace.find()
    if which == "mlflow":
        servers.show_mlflow(workspace, port)
    elif which == "prefect":
        servers.show_prefect()
    else:
        raise ConfigError(f"{which!r} has no pages that are known here", fix="regraft ui mlflow, or regraft ui prefect")
