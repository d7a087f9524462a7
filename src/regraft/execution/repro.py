"""A step through DVC: ``dvc repro --single-item STEP@PIPELINE``, and what its record says.

DVC decides whether the step has to run. Whether it ran is read from the record's ``invocation``, never from DVC's
output. What a step has to say when it fails comes through a file, because DVC turns every exit code into 255.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from regraft.config.resolved_file import read_resolved
from regraft.core import files, limits
from regraft.core.cores import device
from regraft.core.errors import EnvironmentFault, Interrupted, RegraftError
from regraft.core.progress import STOP
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc, dvc_starter, integrity, supervise
from regraft.execution.dvc_formats import says_busy, stage_exit
from regraft.execution.launch import Event, parse_event, write_invocation

PAUSES = (0.5, 1.0) + (2.0,) * 30
"""Seconds between attempts while another DVC holds its lock; each comes after the 3 s that DVC itself waits."""


@dataclass(frozen=True)
class Run:
    """The run that a step is part of."""

    workspace: Workspace
    pipeline: str
    name: str
    """The RUN id."""
    emit: Callable[[Event], None]
    """Where events go."""
    allow_inexact: bool = False
    mlflow_run_id: str = ""
    opening_mlflow: bool = False
    """``mlflow_run_id`` is still to come: steps start all the same, and read it when they write their record."""
    step_server: str | None = None
    """The socket of this run's step server; None: every step imports for itself."""
    part: Mapping[str, Any] | None = None
    """The one step of a run on another machine that this process is for: ``{step, fingerprint}``; None: it is for all of the run."""

    @property
    def log(self) -> str:
        """The log file as people type it."""
        return self.workspace.relative(self.workspace.log_file(self.name))


@dataclass(frozen=True)
class Outcome:
    """What became of a step."""

    step: str
    cached: bool
    seconds: float
    record: dict[str, Any] = field(repr=False)

    @property
    def event(self) -> Event:
        """The ``step_finished`` event."""
        said: Event = {"event": "step_finished", "step": self.step, "seconds": round(self.seconds, 3)}
        if self.cached:
            return {**said, "state": "cached", "from_run": self.record.get("run") or None}
        return {**said, "state": "computed"}


def run_step_with_dvc(run: Run, step: str, number: int) -> Outcome:
    """Let DVC bring ``step``, the ``number``-th of the run, up to date; raises what the step raised.

    However it ends, no process of the step is left when this returns. Its checkpoints are deleted only here, when
    DVC has its output: a kill between the step's last write and DVC's costs the write, not the training.
    """
    invocation = f"{run.name}-{number}"
    write_invocation(
        run.workspace,
        run.pipeline,
        run.name,
        invocation,
        allow_inexact=run.allow_inexact,
        opening_mlflow=run.opening_mlflow,
        step_server=_step_server(run, step),
    )
    started, kills = time.perf_counter(), limits.oom_kills()
    for pause in (*PAUSES, None):
        heard = _Heard(run, step)
        code = _repro(run, step, invocation, heard)
        if code == 0 or STOP.is_set() or pause is None or not heard.busy:
            break
        STOP.wait(pause)
    seconds = time.perf_counter() - started
    if code != 0 or STOP.is_set():
        run.emit({"event": "step_finished", "step": step, "state": "failed", "seconds": round(seconds, 3)})
        if _killed(code, heard) and limits.oom_kills() > kills and not STOP.is_set():
            raise _out_of_memory(run, step)
        raise _failure(run, step, invocation, code, heard)
    outcome = _outcome(run, step, invocation, seconds)
    shutil.rmtree(run.workspace.checkpoints(run.pipeline, step, outcome.record["fingerprint"]), ignore_errors=True)
    run.emit(outcome.event)
    return outcome


def step_environment(workspace: Workspace) -> dict[str, str]:
    """What every step of a run has in its environment, whichever step it is."""
    return {**dvc.environment(), "REGRAFT_WORKSPACE": str(workspace.root), "PYTHONUNBUFFERED": "1"}


class EarlyStep:
    """The first step of a run, begun in a thread while the flow still imports what is to look after it."""

    def __init__(self, run: Run, step: str) -> None:
        self._future: Future[Outcome] = Future()
        # A daemon: if the import fails, the process ends, and the step with it.
        threading.Thread(target=self._go, args=(run, step), name=step, daemon=True).start()

    def _go(self, run: Run, step: str) -> None:
        try:
            self._future.set_result(run_step_with_dvc(run, step, 1))
        except BaseException as error:  # whatever it was, it is raised where the outcome is asked for
            self._future.set_exception(error)

    def outcome(self) -> Outcome:
        """What became of the step; waits for it, and raises what it raised."""
        return self._future.result()


def _outcome(run: Run, step: str, invocation: str, seconds: float) -> Outcome:
    """What DVC brought. Bytes that this invocation did not write itself are checked before anything reads them."""
    try:
        record = files.read_json(run.workspace.artifacts(run.pipeline, step) / "record.json")
        cached = record["invocation"] != invocation
    except (OSError, ValueError, KeyError, TypeError):
        cached = True
    if cached:
        record = integrity.recorded(run.workspace, run.pipeline, step)
    return Outcome(step, cached, seconds, record)


class _Heard:
    """Reads the stdout of DVC and the step: events go on, the rest goes to the log."""

    def __init__(self, run: Run, step: str) -> None:
        self._run, self._step = run, step
        self.busy = False
        """DVC complained about a lock."""
        self.status: int | None = None
        """How the step's command ended, in DVC's words."""
        self.last = ""
        """DVC's last complaint."""

    def line(self, text: str) -> None:
        if event := parse_event(text):
            name = "step_started" if event["event"] == "start" else event["event"]
            self._run.emit({**event, "event": name, "step": self._step})
            return
        sys.stderr.write(text + "\n")
        if text.startswith("ERROR: "):
            self.last = text.removeprefix("ERROR: ")
            self.busy = self.busy or says_busy(text)
            if (status := stage_exit(text)) is not None:
                self.status = status


def _step_server(run: Run, step: str) -> dict[str, Any] | None:
    """Where ``step`` may be run without importing for itself; on a GPU nothing is forked."""
    models = composition.step_in(run.workspace, read_resolved(run.workspace, run.pipeline), step).gpu
    if run.step_server is None or (models and device() == "cuda"):
        return None
    return {"socket": run.step_server, "models": models}


def _repro(run: Run, step: str, invocation: str, heard: _Heard) -> int:
    env = {**step_environment(run.workspace), "REGRAFT_INVOCATION": invocation, "MLFLOW_RUN_ID": run.mlflow_run_id}
    argv = supervise.module("dvc", "repro", "--single-item", f"{step}@{run.pipeline}")
    child = supervise.spawn(argv, cwd=run.workspace.root, env=env, log=sys.stderr.fileno(), begin=dvc_starter.begin())
    return child.finish(heard.line)


def _failure(run: Run, step: str, invocation: str, code: int, heard: _Heard) -> RegraftError:
    """Why ``step`` is not there: what it said itself, or how it or DVC ended."""
    fix = f"regraft run {run.pipeline}"
    if STOP.is_set():
        return Interrupted(f"stopped during step '{step}'; `{fix}` continues", fix=fix)
    said = supervise.read_error(run.workspace.error_file(invocation))
    if said and code > 0:  # what a step says whose DVC was killed is only that it was asked to stop
        return said
    if number := _signal(code if code < 0 else heard.status):
        who = f"DVC, running step '{step}'," if code < 0 else f"step '{step}'"
        why = " (by hand, or by the kernel for want of memory)" if number == signal.SIGKILL else ""
        message = f"{who} was killed by signal {number.value}, {number.name}{why}; `{fix}` continues from its checkpoint; log: {run.log}"
        return RegraftError(message, fix=fix)
    if heard.busy:
        return EnvironmentFault(f"step '{step}' did not start: another process holds DVC's lock for too long; log: {run.log}", fix=fix)
    if heard.status is None:
        return RegraftError(f"DVC refused step '{step}': {heard.last or f'exit {code}'}; log: {run.log}", fix="regraft doctor")
    return RegraftError(f"step '{step}' failed with exit {heard.status}; log: {run.log}", fix="regraft doctor")


def _killed(code: int, heard: _Heard) -> bool:
    return _signal(code if code < 0 else heard.status) == signal.SIGKILL


def _out_of_memory(run: Run, step: str) -> EnvironmentFault:
    """The kernel killed the step, which could not say anything itself: what its section says of its batches."""
    message, fix = f"step '{step}' was killed by the kernel for want of memory", f"regraft run {run.pipeline}"
    section = read_resolved(run.workspace, run.pipeline)[step]
    for name, options in section.items():
        if not isinstance(options, dict) or not options.keys() & {"sequence_length", "max_length"}:
            continue
        length = options.get("sequence_length") or options.get("max_length")
        if (rows := options.get("batch_size", 1)) > 1:
            size = f"{rows} x {length} tokens" if length else f"{rows} rows"
            message += f" at batches of {size}; half as many rows are the next to try"
            fix += f" --set {name}.batch_size={rows // 2}"
    return EnvironmentFault(f"{message}; log: {run.log}", fix=fix)


def _signal(status: int | None) -> signal.Signals | None:
    """The signal behind an exit status; a shell between DVC and the step reports it as 128 + n."""
    number = 0 if status is None else -status if status < 0 else status - 128
    return signal.Signals(number) if number in set(signal.Signals) else None
