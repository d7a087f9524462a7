"""The events of a run as lines on a terminal: one line a finished step, one moving bar for the step at work.

Without a terminal (CI, a pipe) only the finished lines appear.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.markup import escape
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.text import Text

from regraft.cli.console import err, linked, out, prose
from regraft.core.errors import ApprovalPending
from regraft.core.quantities import clock, roughly
from regraft.core.workspace import Workspace
from regraft.execution.events import RunSeen, pace

COLOUR = {"pass": "green", "fail": "red", "inconclusive": "yellow", "info": "dim"}


BAR = 24
"""Columns of a bar."""


class _Line(ProgressColumn):
    """What is told of the step at work, in one line: what a narrow terminal has no room for is left out, and nothing is cut."""

    max_refresh = 0.5

    def __init__(self, seen: RunSeen) -> None:
        super().__init__()
        self.seen = seen
        self.place = ""

    def render(self, task: Task) -> Text:
        name, percent = f"  {task.description}", f"{task.percentage:3.0f} %" if task.total else ""
        ends = task.total and task.time_remaining is not None
        time = f"{clock(task.time_remaining or 0)} left" if ends else clock(task.elapsed or 0)
        left = self.seen.left(task.get_time())
        whole = "" if left is None else f"run: {roughly(left)} left"
        tokens = task.fields["tokens"]
        speed = pace(task.speed, task.fields["unit"], tokens) if task.speed else ""
        room = out.width - len(name) - sum(len(part) + 2 for part in (percent, time) if part)
        shown = []
        for part in (whole, self.place, speed, "-" * BAR):  # the first to stay first
            shown.append(bool(part) and room >= len(part) + 2)
            room -= len(part) + 2 if shown[-1] else 0
        line = Text(name, no_wrap=True)
        if shown[3]:
            done = round(BAR * task.percentage / 100)
            rest = "━" if out.color_system else " "  # where no colour tells it from what is done
            line.append("  " + "━" * done, "bar.complete").append(rest * (BAR - done), "bar.back")
        cells = [(percent, ""), (speed if shown[2] else "", ""), (time, ""), (self.place if shown[1] else "", "dim")]
        for cell, style in [*cells, (whole if shown[0] else "", "")]:
            line.append(f"  {cell}" if cell else "", style)
        return line


def _link(report: str) -> str:
    """Markup of where a report lies: a link, if that is a file of this workspace."""
    return linked(Workspace.find().root / report, report)


class Live:
    """Shows what :mod:`regraft.execution.launch` reports. ``quiet`` shows nothing."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._order: list[str] = []
        self._width = 14
        """Columns for the name of a step, a blank behind it included."""
        self._seen = RunSeen("")
        self._line = _Line(self._seen)
        self._progress = Progress(
            self._line,
            console=out,
            transient=True,
            disable=quiet or not out.is_terminal,
        )
        self._bar: TaskID | None = None
        self._warned = set[str]()

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """One line of regraft's own."""
        if not self._quiet:
            self._progress.console.print(escape(text))

    def show(self, event: dict[str, Any]) -> None:
        """One event; kinds that are not known here are for others."""
        self._seen.add({"at": self._progress.get_time(), **event})
        if handler := getattr(self, f"_on_{event.get('event')}", None):
            handler(event)

    def show_standing(self, result: dict[str, Any]) -> None:
        """The result of an earlier run that holds as it is."""
        outcome = result["outcome"]
        self._say(f"nothing changed since {escape(result['run'])}; no step runs")
        self._say(f"[bold {COLOUR[outcome]}]{outcome.upper()}[/]  [dim]regraft explain {result['pipeline']} tells why[/]")
        self._show_outcome(result)

    def show_result(self, result: dict[str, Any]) -> None:
        """The last words of a run."""
        if result["outcome"] is None:  # stopped by a signal
            self._say(f"[yellow]{escape(result['sentence'])}[/]")
            return
        self._show_outcome(result)
        if result["outcome"] != "pass":
            self._say(f"next: regraft explain {result['pipeline']}")

    def _show_outcome(self, result: dict[str, Any]) -> None:
        """What a run left: why nothing was promoted, the report, the champion."""
        if result["exit"] == ApprovalPending.exit_code:
            self._say(f"[yellow]not promoted[/]: {escape(result['sentence'])}")
        champion = result["champion"]
        if report := result.get("report"):  # absent in results of a version that wrote none
            self._say(f"report: {_link(report)}")
        self._say(f"champion: version {champion['version']} [dim]({champion['digest'][:12]})[/]" if champion else "champion: none")

    def _say(self, markup: str | Text) -> None:
        if not self._quiet:
            self._progress.console.print(markup)

    def _on_run_started(self, event: dict[str, Any]) -> None:
        self._order = event["steps"]
        self._width = max(self._width, *(len(step) + 1 for step in self._order))
        self._say(f"[bold]{escape(event['run'])}[/]")

    def _on_waiting(self, event: dict[str, Any]) -> None:
        self._say(f"[dim]waiting for process {event.get('pid')}, which holds this pipeline[/]")

    def _on_warning(self, event: dict[str, Any]) -> None:
        if not self._quiet and event["message"] not in self._warned:  # two candidates may say the same of their texts
            self._warned.add(event["message"])
            # A line on stderr would land in the middle of the bar, which is on stdout.
            console = err if self._progress.disable else self._progress.console
            console.print(prose(f"[yellow]warning[/]: {escape(event['message'])}", 2, console))

    def _on_verdict(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        self._say("")
        for finding in event["findings"]:
            self._say(prose(f"  [{COLOUR[finding['outcome']]}]{finding['outcome']:<14}[/]{escape(finding['sentence'])}", 16))
        self._say(f"[bold {COLOUR[event['outcome']]}]{event['outcome'].upper()}[/]")

    def _on_chosen(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        self._say(f"  [dim]{escape(event['candidate'])} is chosen on dev rows; what gates ask for runs for it alone[/]")

    def _on_withheld(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        self._say(prose(f"  [dim]{escape(event['message'])}[/]", 2))

    def _on_promoted(self, event: dict[str, Any]) -> None:
        self._say(prose(escape(event["sentence"]), 2))

    def _on_step_started(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        self._open_bar(event["step"])

    def _on_resume(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        self._say(f"[dim]{escape(event['message'])}[/]")
        # Counted from here, so that the speed is that of this run.
        self._open_bar(event["step"], total=event["total"], completed=event["done"])

    def _on_progress(self, event: dict[str, Any]) -> None:
        bar = self._open_bar(event["step"]) if self._bar is None else self._bar
        tokens = event.get("tokens", self._progress.tasks[-1].fields["tokens"])
        self._progress.update(bar, completed=event["done"], total=event["total"], tokens=tokens, unit=event["unit"])

    def _on_step_finished(self, event: dict[str, Any]) -> None:
        self._drop_bar()
        name = f"  {event['step']:<{self._width}}"
        if event["state"] == "cached":
            origin = f"  from {event['from_run']}" if event.get("from_run") else ""
            if out.is_terminal and len(name) + len("cached") + len(origin) > out.width:  # the name of a run, broken, is none
                origin = ""
            self._say(f"{name}[dim]cached{escape(origin)}[/]")
        elif event["state"] == "computed":
            self._say(f"{name}{event['seconds']:6.1f} s")
        elif event["state"] in ("not_chosen", "withheld"):
            return  # who and why was said
        else:
            self._say(f"{name}[red]did not finish[/]")

    def _open_bar(self, step: str, *, total: float | None = None, completed: int = 0) -> TaskID:
        self._line.place = f"step {self._order.index(step) + 1} of {len(self._order)}" if step in self._order else ""
        self._bar = self._progress.add_task(f"{step:<{self._width - 1}}", total=total, completed=completed, tokens=None, unit="steps")
        return self._bar

    def _drop_bar(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._progress.refresh()  # else the next line printed draws it once more
            self._bar = None
