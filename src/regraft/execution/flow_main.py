"""The flow's end of :mod:`regraft.execution.launch`: a process on a lifeline that prints events and ends with a result.

What a workspace's ``flows/`` do is their own; how it is stopped, heard and judged is here.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace

from regraft.core import limits
from regraft.core.errors import ConfigError, RegraftError
from regraft.core.workspace import Workspace
from regraft.execution import dvc_starter, step_server_start, supervise
from regraft.execution.launch import PREFIX, Event
from regraft.execution.repro import Run, step_environment


def run_flow(flow: Callable[[Run], Event]) -> int:
    """Run ``flow`` as the process that :func:`regraft.execution.launch.launch` started; its exit code.

    ``flow`` returns the fields of the ``result`` event. What it raises becomes an ``error`` event: errors of regraft
    in their own words, others as ``internal`` with the traceback in the log.
    """
    ending: list[int] = []
    # Registered first, so it runs last: tearing an interpreter down that holds MLflow and Prefect takes 1 s.
    atexit.register(lambda: os._exit(ending[0]) if ending else None)
    supervise.watch()
    workspace = Workspace.find()
    said = workspace.invocation()
    if not said:
        raise ConfigError(f"this is the inside of a run; start it with `regraft run`, not with {sys.argv[0]}", fix="regraft run PIPELINE")
    emit = _events_to_stdout()
    run = Run(workspace, said["pipeline"], said["run"], emit, bool(said["allow_inexact"]), part=said.get("part"))
    started: step_server_start.Started | None = None
    try:
        if not run.part:  # DVC is asked about every step, due or not
            dvc_starter.start(workspace, step_environment(workspace))
        started = step_server_start.start(workspace, run.pipeline, said.get("due"))
        result = flow(replace(run, step_server=started.socket if started else None))
        emit({"event": "result", "run": run.name, **result})
        ending.append(int(result["exit"]))
    except RegraftError as error:
        emit({"event": "error", **supervise.said_of(error)})
        ending.append(error.exit_code)
    except Exception as error:  # the border of the process: whatever it was has to reach a person
        traceback.print_exc()
        fault = limits.explain(error, "the run", workspace.root, fix=f"regraft run {run.pipeline}")
        message = f"internal error: {type(error).__name__}: {error}; log: {run.log}"
        internal: Event = {"error": "internal", "exit": 1, "message": message, "fix": "regraft doctor", "problems": []}
        emit({"event": "error", **(supervise.said_of(fault) if fault else internal)})
        ending.append(fault.exit_code if fault else 1)
    finally:
        if started:
            started.remove_socket()
    return ending[0]


def _events_to_stdout() -> Callable[[Event], None]:
    """Keep the real stdout for events and send whatever else is printed to stderr, which is the log.

    A reader that went away is no error: there is a checkpoint to write.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        with contextlib.suppress(BrokenPipeError):
            channel.write(f"{PREFIX}{json.dumps(event)}\n")
            channel.flush()

    return emit
