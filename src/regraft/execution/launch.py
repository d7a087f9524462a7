"""``regraft run`` as the parent of the flow: one run a pipeline, watched to its end.

The flow is a child process on a lifeline (:mod:`regraft.execution.supervise`) that prints events as lines ``@@ {json}``;
whatever else it and its descendants say goes to ``.regraft/logs/<run>.log``. Events are kept beside it, for those who
watch from elsewhere (:mod:`regraft.execution.events`). They are, all with ``event``:

========================  ==================================================================================
``run_started``           run, log, steps: their names in order, [expected: seconds of each step that may run, null: unknown]
``waiting``               pid of the process that holds the pipeline
``step_started``          step
``progress``              step, done, total, unit, metrics{name: float}, [tokens: of one unit]
``withheld``              candidate, message: who is not trained, and why
``chosen``                candidate: who was chosen on dev rows; only where that is so
``step_finished``         step, state (computed | cached | failed | not_chosen | withheld), seconds, from_run (cached: who computed it)
``warning``               message
``verdict``               outcome (pass | fail | inconclusive), sentence, findings[{gate, outcome, sentence}]
``promoted``              version, digest, sentence
``error``                 error, exit, message, fix, problems[]
``result``                run, mlflow_run_id, outcome, exit, sentence, candidate, champion, ...: the last one
========================  ==================================================================================
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from regraft.config.resolved_file import read_resolved
from regraft.core import files
from regraft.core.errors import RegraftError
from regraft.core.progress import STOP
from regraft.core.workspace import Workspace
from regraft.execution import composition, dvc, going_on, supervise
from regraft.execution.events import Recorder, events_file
from regraft.execution.run_lock import alive_file, wait_until_quiet

Event = dict[str, Any]
PREFIX = "@@ "


def new_run_id(pipeline: str) -> str:
    """``<pipeline>-<UTC yyyymmddThhmmss>-<6 hex>``: the Prefect and MLflow run name."""
    return f"{pipeline}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def run_time(run: str) -> str:
    """When the run called so began, ISO 8601 in UTC."""
    return datetime.strptime(run.split("-")[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat(timespec="seconds")


def parse_event(line: str) -> Event | None:
    """The event in a line of a child's stdout, or None: then the line is for the log."""
    if not line.startswith(PREFIX):
        return None
    try:
        value = json.loads(line.removeprefix(PREFIX))
    except ValueError:  # two writers' lines ran into one another
        return None
    return value if isinstance(value, dict) and "event" in value else None


def _ignore(_: Event) -> None:
    """Nobody is watching."""


def write_invocation(
    workspace: Workspace,
    pipeline: str,
    run: str,
    name: str,
    *,
    allow_inexact: bool,
    opening_mlflow: bool = False,
    due: Sequence[str] | None = None,
    step_server: Mapping[str, Any] | None = None,
    part: Mapping[str, Any] | None = None,
) -> None:
    """What the process with ``REGRAFT_INVOCATION=name`` may know of its run.

    :param opening_mlflow: the MLflow run is not there yet; its id will be in :meth:`Workspace.mlflow_run_file`.
    :param due: for the flow, the steps that may run; None: it was not looked.
    :param step_server: for a step, the ``socket`` of the server that may run it, and whether it needs ``models``.
    :param part: for the flow, the one step that it is to run for a run on another machine (:mod:`regraft.execution.handover`).
    """
    value: dict[str, Any] = {"run": run, "pipeline": pipeline, "allow_inexact": allow_inexact, "opening_mlflow": opening_mlflow}
    value |= {"alive": str(alive_file(workspace, pipeline)), "due": due, "step_server": step_server, "part": part}
    files.write_json(workspace.scratch / "invocations" / f"{name}.json", value)


def launch(
    workspace: Workspace,
    pipeline: str,
    *,
    allow_inexact: bool = False,
    due: Sequence[str] | None = None,
    again: str | None = None,
    run: str | None = None,
    part: Mapping[str, Any] | None = None,
    expected: Mapping[str, float | None] | None = None,
    on_event: Callable[[Event], None] = _ignore,
) -> Event:
    """Run the flow for ``pipeline`` to its end and return its ``result`` event without ``event``.

    ``due`` are the steps that are not fresh, for which the flow makes ready; None: all of them may run. ``expected``: how many seconds
    each of them is estimated to take, which those are told who watch. ``again`` is the command that goes on with the run; None: the
    plain one. ``part``: of the ``run`` on another machine, run this step alone.

    Call it inside :func:`~regraft.execution.run_lock.run_lock`, in the main thread. SIGINT and SIGTERM are handed on: the step at work
    writes its checkpoint, and the result's ``exit`` is 130 or 143. An ``error`` event is raised as the error it was.
    """
    run = run or new_run_id(pipeline)
    invocation = f"{run}-0"
    log = workspace.log_file(run)
    log.parent.mkdir(parents=True, exist_ok=True)
    write_invocation(workspace, pipeline, run, invocation, allow_inexact=allow_inexact, due=due, part=part)
    env = {**dvc.environment(), "REGRAFT_WORKSPACE": str(workspace.root), "REGRAFT_INVOCATION": invocation, "PYTHONUNBUFFERED": "1"}
    last: dict[str, Event] = {}
    record = Recorder(events_file(workspace, run))

    def tell(event: Event) -> None:
        record(event)
        on_event(event)

    def on_line(line: str) -> None:
        if event := parse_event(line):
            last.setdefault(event["event"], event)  # of two errors the first is the cause
            (record if event["event"] in ("result", "error") else tell)(event)

    steps = [part["step"]] if part else [step.name for step in composition.steps_in(workspace, read_resolved(workspace, pipeline))]
    more = {"expected": dict(expected)} if expected else {}
    tell({"event": "run_started", "run": run, "log": workspace.relative(log), "steps": steps, **more})
    with contextlib.closing(record), _forwarding_signals() as received, log.open("ab") as out:
        flow = supervise.spawn([sys.executable, "-m", "flows"], cwd=workspace.root, env=env, log=out)
        code = flow.finish(on_line)
        wait_until_quiet(workspace, pipeline)
        return _concluded(workspace, again or going_on.command(pipeline), run, last, code, received)


def _concluded(workspace: Workspace, again: str, run: str, last: dict[str, Event], code: int, received: list[int]) -> Event:
    """The result; or the error that stands in for it."""
    log = workspace.relative(workspace.log_file(run))
    if "result" in last:
        return {key: value for key, value in last["result"].items() if key != "event"}
    if received:
        sentence = f"stopped by {signal.Signals(received[0]).name}; `{again}` continues"
        return {"run": run, "outcome": None, "exit": 128 + received[0], "sentence": sentence, "champion": None, "candidate": None}
    if "error" in last:
        raise supervise.error_from(last["error"])
    how = (
        f"was killed by {signal.Signals(-code).name}"
        if code < 0
        else f"ended with exit {code} and no result{_last_words(workspace.log_file(run))}"
    )
    raise RegraftError(f"the flow {how}; `{again}` continues; log: {log}", fix=again)


def _last_words(log: Path) -> str:
    """What an interpreter that could not even start the flow said last, to stand after a sentence."""
    lines = log.read_text(encoding="utf8", errors="replace").split("\n") if log.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f" ({last.strip()[:300]})" if re.match(r"[\w.]+(Error|Exception|Exit)\b", last) else ""


@contextlib.contextmanager
def _forwarding_signals() -> Iterator[list[int]]:
    """Inside, SIGINT and SIGTERM set STOP, which :meth:`supervise.Child.finish` turns into a SIGINT of the child."""
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    supervise.stop_at_signals()
    try:
        yield supervise.STOPPED_BY
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        supervise.STOPPED_BY.clear()
        STOP.clear()
