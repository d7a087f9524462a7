"""One run a pipeline, on one machine: held by its process, and until all that an earlier run started is gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from regraft.core import lock
from regraft.core.errors import Conflict, EnvironmentFault
from regraft.core.workspace import Workspace
from regraft.execution.dvc_repair import repair

QUIET_SECONDS = 20.0
"""Longest wait for the processes of a killed run; they are gone in 5 s unless the machine stands still."""


def _ignore(event: dict[str, Any]) -> None:
    """Tell nobody."""


@contextlib.contextmanager
def run_lock(
    workspace: Workspace, pipeline: str, *, wait: bool = True, on_event: Callable[[dict[str, Any]], None] = _ignore
) -> Iterator[None]:
    """Hold ``pipeline`` for this process, after the last process of any earlier run of it is gone.

    Someone else holding it is a ``waiting`` event and a wait, or with ``wait=False`` a :class:`Conflict` naming the
    pid. What a killed run left half-written in DVC's files is repaired here, before anything reads them.
    """
    handle = lock.open_lock(workspace.scratch / "locks" / f"{pipeline}.lock")
    try:
        if not lock.try_take(handle):
            pid = lock.holder(handle)
            if not wait:
                raise Conflict(f"a run of '{pipeline}' is in progress (pid {pid or 'unknown'})", fix=f"regraft run {pipeline} --wait")
            on_event({"event": "waiting", "pid": pid})
            lock.take(handle)
        lock.sign(handle)
        wait_until_quiet(workspace, pipeline)
        for sentence in repair(workspace):
            on_event({"event": "warning", "message": sentence})
        yield
    finally:
        os.close(handle)


def alive_file(workspace: Workspace, pipeline: str) -> Path:
    """What every process of a run of ``pipeline`` holds a lock on."""
    return workspace.scratch / "locks" / f"{pipeline}.alive"


def wait_until_quiet(workspace: Workspace, pipeline: str) -> None:
    """Return when no process of any run of ``pipeline`` is left."""
    handle = lock.open_lock(alive_file(workspace, pipeline))
    try:
        if not lock.take_within(handle, QUIET_SECONDS):
            shown = workspace.relative(alive_file(workspace, pipeline))
            message = f"processes of an earlier run of '{pipeline}' did not end within {QUIET_SECONDS:.0f} s"
            raise EnvironmentFault(message, fix=f"fuser -v {shown}")
    finally:
        os.close(handle)
