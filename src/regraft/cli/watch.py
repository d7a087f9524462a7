"""``status --watch``: the newest run of every pipeline, refreshed until Ctrl-C.

Without a terminal (a pipe, CI) it says a line for every step that begins or ends, until nothing runs any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from regraft.cli.console import out
from regraft.cli.live import COLOUR
from regraft.config.resolved_file import read_resolved
from regraft.core.quantities import clock, roughly
from regraft.core.workspace import Workspace
from regraft.execution import composition
from regraft.execution.events import RunSeen, StepSeen, Watch, pace

SECONDS = 0.5
"""Between two looks."""
ROOM_FOR_A_BAR, ROOM_FOR_SPEED = 87, 55
"""Columns beside the longest name from which on there is a bar, and a speed: 200,000 tokens/s take 78 with both, 55 with the speed."""
STATE = {"running": "bold", "done": "green", "failed": "red", "stopped": "yellow"}


def watch(workspace: Workspace, pipelines: Sequence[str]) -> None:
    """Follow ``pipelines``; returns at Ctrl-C, and without a terminal when nothing runs."""
    watches = {name: Watch(workspace, name) for name in pipelines}
    try:
        if out.is_terminal:
            _draw(watches, {name: _order(workspace, name) for name in pipelines})
        else:
            _tell(watches)
    except KeyboardInterrupt:
        pass  # how a watch ends


def _order(workspace: Workspace, pipeline: str) -> list[str]:
    """The pipeline's steps; all of them before its first run."""
    is_resolved = workspace.resolved_file(pipeline).is_file()
    return [
        step.name
        for step in (composition.steps_in(workspace, read_resolved(workspace, pipeline)) if is_resolved else composition.steps(workspace))
    ]


def _draw(watches: dict[str, Watch], orders: Mapping[str, Sequence[str]]) -> None:
    with Live(console=out, auto_refresh=False, transient=False) as live:
        while True:
            now = time.time()
            parts = [part for name, each in watches.items() for part in _pipeline(name, each.look(), orders[name], now, out.width)]
            live.update(Group(*parts, Text("Ctrl-C ends the watch, not the run", style="dim")), refresh=True)
            time.sleep(SECONDS)


def _pipeline(name: str, seen: RunSeen | None, order: Sequence[str], now: float, width: int) -> Iterator[RenderableType]:
    """What is drawn for one pipeline, ``width`` columns wide."""
    if seen is None:
        yield Text.from_markup(f"[bold]{name}[/]  [dim]no run has been seen here[/]")
        return
    state, took = seen.state, clock((seen.ended or now) - seen.started)
    heading = f"[{STATE[state]}]{state}[/], {took}" if state in ("running", "done") else f"[{STATE[state]}]{state}[/]"
    if (left := seen.left(now)) is not None:
        heading += f", about {roughly(left)} left"
    yield Text.from_markup(f"[bold]{escape(seen.run)}[/]  {heading}")
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    steps = list(dict.fromkeys([*order, *seen.steps]))
    room = width - max(len(step) for step in (*steps, "decide"))
    bar, speed = room >= ROOM_FOR_A_BAR, room >= ROOM_FOR_SPEED
    for column in ("  step", "state", *(["progress", ""] if bar else ["progress"]), *(["speed"] if speed else []), "left"):
        table.add_column(column, justify="right" if column in ("speed", "left") else "left", no_wrap=True)
    for step in steps:
        table.add_row(f"  {step}", *_cells(seen.steps.get(step), state, now, bar=bar, speed=speed))
    table.add_row("  decide", _decision(seen, order))
    yield table
    if seen.last:
        yield Text(f"  {seen.last.splitlines()[0]}", style="dim", no_wrap=True, overflow="ellipsis")


def _decision(seen: RunSeen, order: Sequence[str]) -> str:
    if seen.outcome:
        return f"[{COLOUR[seen.outcome]}]{seen.outcome.upper()}[/]"
    if seen.state != "running":
        return ""
    ready = seen.current is None and seen.steps.keys() >= set(order)
    return "[bold]at work[/]" if ready else "[dim]waits[/]"


def _cells(step: StepSeen | None, run: str, now: float, *, bar: bool, speed: bool) -> tuple[RenderableType, ...]:
    """What stands beside a step's name; the cells after the last one are empty."""
    if step is None:
        return ("[dim]waits[/]" if run == "running" else "",)
    if step.state != "running":
        return (
            {
                "computed": f"{step.seconds:.1f} s",
                "cached": "[dim]cached[/]",
                "failed": "[red]did not finish[/]",
                "not_chosen": "[dim]not chosen[/]",
                "withheld": "[dim]withheld[/]",
            }[step.state],
        )
    if run != "running":
        return ("[yellow]stopped[/]",)
    took = f"[bold]{clock(now - step.since)}[/]"
    if not step.total:
        return (took,)
    left = step.left(now)
    return (
        took,
        *([ProgressBar(total=step.total, completed=step.done, width=24)] if bar else []),
        f"{100 * step.done / step.total:.0f} %",
        *([_speed(step)] if speed else []),
        clock(left) if left is not None else "",
    )


def _speed(step: StepSeen) -> str:
    return pace(step.speed, step.unit, step.tokens) if step.speed else ""


def _tell(watches: dict[str, Watch]) -> None:
    printed: set[str] = set()
    while True:
        runs = [run for each in watches.values() if (run := each.look())]
        for line in [line for run in runs for line in _lines(run)]:
            if line not in printed:
                out.print(escape(line))
            printed.add(line)
        if not any(run.state == "running" for run in runs):
            if not runs:
                out.print("no run has been seen here")
            return
        time.sleep(SECONDS)


def _lines(run: RunSeen) -> Iterator[str]:
    """What can be said of a run, oldest first; a line that was said once stays true."""
    yield f"{run.run} started"
    for step in run.steps.values():
        yield f"{run.run} {step.name} started"
        if step.state != "running":
            took = f" in {step.seconds:.1f} s" if step.state == "computed" else ""
            yield f"{run.run} {step.name} {step.state}{took}"
    if run.outcome:
        yield f"{run.run} verdict {run.outcome.upper()}"
    if run.state != "running":
        yield f"{run.run} {run.state}{f': {run.last}' if run.last else ''}"
