"""What a step may know of the run it is part of: where to keep checkpoints, whether to stop, where to report.

``regraft step`` fills it in; a step function called directly (a test, a notebook) gets a quiet default. None of
it may influence what lands below ``out/``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from regraft.core.errors import Interrupted

T = TypeVar("T")

LOOK_SECONDS = 0.02


class Stop:
    """A flag that a signal handler may set at any moment, also in the middle of :meth:`wait`.

    ``threading.Event`` takes a lock for that: a signal that comes while the main thread holds it waits for itself for ever.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Whether the flag was set within ``seconds``; returns :data:`LOOK_SECONDS` later at the latest."""
        until = time.monotonic() + seconds
        while not self._is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
        return self._is_set


STOP = Stop()
"""Set by a signal or by the end of the lifeline; long loops look at it after every optimizer step."""


@dataclass
class Running:
    """The run around a step function."""

    pipeline: str = ""
    step: str = ""
    checkpoints: Path | None = None
    """Folder of this fingerprint's checkpoints; None: keep none."""
    embeddings: Path | None = None
    """Folder of vectors that were computed before (:mod:`regraft.evaluation.embeddings`); None: keep none."""
    allow_inexact: bool = False
    """Resume although the bits may differ (other threads, device or CPU capability)."""
    report: bool = False
    """Print progress events on stdout."""
    facts: dict[str, Any] = field(default_factory=dict)
    """device, threads, shards, workers, precision, exact: measured by the step, written into its record. ``workers_mb``: memory of
    processes that a training was shared with, which the record adds to the step's own."""
    part: int = 0
    """How often a step that does the same work several times has done it."""
    parts: int = 1
    warned: set[str] = field(default_factory=set)
    """Warnings that were sent: data is read twice where rows are quarantined, and what is wrong with it is said once."""


_current: ContextVar[Running | None] = ContextVar("regraft_running", default=None)


def current() -> Running:
    """The run around the calling step, or a quiet default."""
    return _current.get() or Running()


@contextlib.contextmanager
def running(context: Running) -> Iterator[Running]:
    """Make ``context`` what :func:`current` returns."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def emit(event: str, **values: Any) -> None:
    """Send one event to whoever watches: a line ``@@ {json}`` on stdout.

    A closed pipe is not an error: the terminal may go away while the step has a checkpoint to write.
    """
    context = current()
    if not context.report:
        return
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.write("@@ " + json.dumps({"event": event, "step": context.step, **values}) + "\n")
        sys.stdout.flush()


def warn_once(message: str) -> None:
    """Send ``message`` as a warning, unless this step sent it before."""
    warned = current().warned
    if message not in warned:
        warned.add(message)
        emit("warning", message=message)


def progress(done: int, total: int, unit: str, metrics: Mapping[str, float] | None = None, tokens: float | None = None) -> None:
    """Report ``done`` of ``total`` units; ``metrics`` become points of the live curves at x = ``done``.

    ``tokens`` are those of one unit, on average: people are then shown a speed in tokens; None: in units.
    """
    context = current()
    speed = {"tokens": tokens} if tokens else {}
    emit("progress", done=context.part * total + done, total=context.parts * total, unit=unit, metrics=dict(metrics or {}), **speed)


def watched(items: Iterable[T], unit: str, total: int = 0, size: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """Yield ``items`` as they come, each ``size`` units of ``total``, and report progress twice a second (total 0: never).

    :raises Interrupted: STOP was set. For steps of minutes, which keep no checkpoint.
    """
    done, last_report = 0, time.monotonic()
    for item in items:
        yield item
        done += size(item)
        if STOP.is_set():
            step, pipeline = current().step or "the step", current().pipeline or "PIPELINE"
            raise Interrupted(f"{step} stopped after {done:,} {unit}; it starts again from its inputs", fix=f"regraft run {pipeline}")
        if total and (time.monotonic() > last_report + 0.5 or done == total):
            last_report = time.monotonic()
            progress(done, total, unit)
