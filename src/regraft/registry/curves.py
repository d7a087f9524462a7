"""Live curves: a step's progress events become points in MLflow, in batches, without ever holding the step up.

A tracking server that does not answer costs curves, not training: points wait for the next attempt, one warning is
shown, and what is left at the end of the step goes with the step's record, which is retried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from regraft.core.errors import EnvironmentFault
from regraft.registry.tracking import Tracker

Event = dict[str, Any]
SECONDS = 2.0
"""Time between two writes: a batch of points costs 40 microseconds each, a commit some milliseconds."""
PAUSE = 30.0
"""Time until the next attempt after one that failed."""


class Curves:
    """The points of one run that MLflow does not have yet."""

    def __init__(self, emit: Callable[[Event], None], tracker: Tracker) -> None:
        self._emit, self.tracker = emit, tracker
        self.mlflow_run_id: str | None = None
        """Points wait until this is known."""
        self._points: dict[str, list[tuple[str, float, int]]] = {}
        self._next = time.monotonic() + SECONDS
        self._warned = False

    def hear(self, event: Event) -> None:
        """Take the points of a ``progress`` event; the run's own listener hears every event first."""
        self._emit(event)
        if event["event"] != "progress":
            return
        points = self._points.setdefault(event["step"], [])
        points += [(key, float(value), int(event["done"])) for key, value in event["metrics"].items()]
        if self.mlflow_run_id and time.monotonic() > self._next:
            self._try()

    def _try(self) -> None:
        try:
            self.flush()
            self._next = time.monotonic() + SECONDS
        except EnvironmentFault as fault:
            self._next = time.monotonic() + PAUSE
            if not self._warned:
                self._emit({"event": "warning", "message": f"{fault}; curves are kept and sent later"})
            self._warned = True

    def flush(self) -> None:
        """Send every point, or raise ``EnvironmentFault`` and keep those that were not sent."""
        while self._points and self.mlflow_run_id:
            step = next(iter(self._points))
            self.tracker.log_points(self.mlflow_run_id, step, self._points[step])
            del self._points[step]
