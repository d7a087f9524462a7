"""The events of a run as a file, so that another terminal can watch it: ``.regraft/logs/<run>.events.jsonl``.

The process that started the run appends each event (:mod:`regraft.execution.launch`) with the time it came, and holds a lock
on the file until it ends, however it ends. So whether a run is alive is asked of the kernel and of a file that no run
ever waits for; to probe the pipeline's own lock would be to hold it for a moment, and turn a starting run away.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.core import lock
from regraft.core.errors import Conflict
from regraft.core.workspace import Workspace

Event = Mapping[str, Any]
SUFFIX = ".events.jsonl"
WINDOW = 30.0
"""Seconds of progress that the speed is taken from."""
ENOUGH = 10.0
"""Seconds that were estimated for steps that are done, from which on they tell how wrong the estimate is."""


def events_file(workspace: Workspace, run: str) -> Path:
    return workspace.log_file(run).with_suffix(SUFFIX)


class Recorder:
    """Appends events to a run's file. A disk that is full costs the watcher, not the run."""

    def __init__(self, path: Path) -> None:
        self._handle: int | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            lock.take(self._handle)

    def __call__(self, event: Event) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):  # a torn line is no event for the reader
                os.write(self._handle, (json.dumps({"at": time.time(), **event}) + "\n").encode())

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None


def pace(speed: float, unit: str, tokens: float | None) -> str:
    """``speed`` in units a second, for people: of what reads tokens, those."""
    shown = speed * (tokens or 1)
    return f"{shown:,.{0 if shown >= 10 else 1}f} {'tokens' if tokens else unit}/s"


@dataclass
class StepSeen:
    """One step of a watched run."""

    name: str
    state: str
    """running, computed, cached, failed, not_chosen or withheld."""
    since: float
    seconds: float | None = None
    """How long it took; None while it runs."""
    done: int = 0
    total: int = 0
    unit: str = ""
    tokens: float | None = None
    """Tokens of one unit, on average; None where it reads none."""
    points: list[tuple[float, int]] = field(default_factory=list)
    """(time, done) of the last :data:`WINDOW` seconds."""

    @property
    def speed(self) -> float | None:
        """Units a second, over the window; None until two points lie apart."""
        if len(self.points) < 2 or self.points[-1][0] <= self.points[0][0]:
            return None
        (before, first), (now, last) = self.points[0], self.points[-1]
        return (last - first) / (now - before)

    def left(self, now: float) -> float | None:
        """Seconds until the step should be done, from its speed; None: unknown."""
        if not self.speed or not self.total:
            return None
        return max(0.0, (self.total - self.done) / self.speed - (now - self.points[-1][0]))

    def advance(self, event: Event, at: float) -> None:
        """Take in that the step has come further, or goes on from a checkpoint."""
        self.done, self.total, self.unit = int(event["done"]), int(event["total"]), event.get("unit", self.unit)
        self.tokens = event.get("tokens", self.tokens)
        self.points = [point for point in self.points if point[0] > at - WINDOW] + [(at, self.done)]


@dataclass
class RunSeen:
    """What the events of one run add up to."""

    run: str
    started: float = 0.0
    alive: bool = True
    steps: dict[str, StepSeen] = field(default_factory=dict)
    outcome: str | None = None
    """Outcome of the verdict; None until there is one."""
    last: str = ""
    """The newest sentence: a warning, a promotion, an error, the result."""
    ended: float | None = None
    """When the result or the error came; None until then."""
    failed: bool = False
    """It ended with an error."""
    expected: dict[str, float] = field(default_factory=dict)
    """Seconds that each step which may run was estimated to take; without those that nobody could tell."""
    steps_due: tuple[str, ...] = ()
    """The steps that may run, in order."""

    @property
    def state(self) -> str:
        """running, done, failed, or stopped: gone without a last word."""
        if self.ended is None:
            return "running" if self.alive else "stopped"
        return "failed" if self.failed else "done"

    @property
    def current(self) -> StepSeen | None:
        """The step at work; None between two steps."""
        return next((step for step in self.steps.values() if step.state == "running"), None)

    def left(self, now: float) -> float | None:
        """Seconds until all steps should be done; None: unknown, or all are done.

        What is estimated of the steps to come is stretched by how much longer than estimated the others took.
        """
        if self.state != "running" or not self.steps_due:
            return None
        current = self.current
        coming = [step for step in self.steps_due if step not in self.steps]
        if not all(step in self.expected for step in coming) or not (coming or current):
            return None
        own = 0.0
        if current is not None:
            left, estimate = current.left(now), self.expected.get(current.name)
            if left is None and estimate is None:
                return None
            own = left if left is not None else max(0.0, self._stretch * (estimate or 0.0) - (now - current.since))
        return own + self._stretch * sum(self.expected[step] for step in coming)

    @property
    def _stretch(self) -> float:
        """Seconds that the computed steps took, for each that was estimated; those at work are not counted. 1 before the first."""
        done = [step for step in self.steps.values() if step.state == "computed" and step.name in self.expected]
        estimated = sum(self.expected[step.name] for step in done)
        return sum(step.seconds or 0.0 for step in done) / estimated if estimated >= ENOUGH else 1.0

    def add(self, event: Event) -> None:
        """Take one more event in; kinds that are not known are skipped."""
        at = float(event["at"])
        self.started = self.started or at
        match event["event"]:
            case "run_started":
                self.expected = {step: float(seconds) for step, seconds in (event.get("expected") or {}).items() if seconds is not None}
                self.steps_due = tuple(event.get("expected") or ())
            case "step_started":
                self.steps[event["step"]] = StepSeen(event["step"], "running", at)
            case "resume" | "progress" if event.get("step") in self.steps:
                self.steps[event["step"]].advance(event, at)
            case "step_finished":
                former = self.steps.get(event["step"])
                self.steps[event["step"]] = StepSeen(event["step"], event["state"], former.since if former else at, event["seconds"])
            case "verdict":
                self.outcome = event["outcome"]
            case "warning" | "promoted":
                self.last = str(event.get("message") or event.get("sentence"))
            case "result" | "error" as kind:
                self.ended, self.failed = at, kind == "error"
                self.last = str(event.get("message") or event.get("sentence") or "")


def run_at_work(workspace: Workspace, pipeline: str) -> RunSeen | None:
    """The run of ``pipeline`` that is at work now, as far as it has come; None: none is."""
    seen = Watch(workspace, pipeline).look()
    return seen if seen and seen.state == "running" else None


def require_idle(workspace: Workspace, pipeline: str) -> None:
    """Conflict while a run of ``pipeline`` is at work: what another would have to do is not known before it ends."""
    if seen := run_at_work(workspace, pipeline):
        where = f" at step {seen.current.name}" if seen.current else ""
        raise Conflict(f"{seen.run} is at work{where}; what there is left to run is known when it has ended", fix="regraft status --watch")


class Watch:
    """The newest run of a pipeline; every look takes in what was added since the last."""

    def __init__(self, workspace: Workspace, pipeline: str) -> None:
        self._folder, self._pipeline = workspace.scratch / "logs", pipeline
        self._path: Path | None = None
        self._read = 0
        self._seen = RunSeen("")

    def look(self) -> RunSeen | None:
        """The newest run as of now; None where no run has left events."""
        # A run's name begins with the time of its start, as the clock was then: one that is alive is newer than any other.
        every = self._folder.glob(f"{self._pipeline}-*{SUFFIX}")
        newest = max(every, key=lambda path: (lock.is_held(path), path.name), default=None)
        if newest is None:
            return None
        if newest != self._path:
            self._path, self._read, self._seen = newest, 0, RunSeen(newest.name.removesuffix(SUFFIX))
        self._seen.alive = lock.is_held(newest)  # asked first: what a run wrote before it ended is then read
        for event in self._added(newest):
            self._seen.add(event)
        return self._seen

    def _added(self, path: Path) -> Iterator[Event]:
        with path.open("rb") as handle:
            handle.seek(self._read)
            for line in handle:
                if not line.endswith(b"\n"):  # its writer is not done with it
                    break
                self._read += len(line)
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict) and {"at", "event"} <= event.keys():
                        yield event
