"""Telling people of a verdict: a command and a webhook of the pipeline file, each given the same JSON document.

A notification is a courtesy: whatever goes wrong with it is a warning in the run that sent it, and nothing else. It
runs in a process of its own, on the lifeline of the run and under a time limit, so a hook that hangs, forks or
ignores its stdin ends with the run at the latest. An address may hold a secret: warnings name its host only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from regraft.config.notify import NotifyOptions
from regraft.core import files
from regraft.core.progress import STOP
from regraft.core.workspace import Workspace
from regraft.execution import dvc, supervise
from regraft.gates.telling import row, sentences

SCHEMA = 2
NOT_FOR_HOOKS = ("REGRAFT_INVOCATION", "MLFLOW_RUN_ID", "PYTHONUNBUFFERED")
"""What ties a process to the run: a regraft that a hook calls would take the pipe on its stdin for a lifeline."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def document(result: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What a hook gets: how the run ended, and the content of verdict.json as ``verdict``.

    Its findings are there in words too: ``sentences``, and ``rows`` of five cells.
    """
    summary = {key: result.get(key) for key in ("pipeline", "run", "mlflow_run_id", "outcome", "exit", "sentence", "champion")}
    told = {"sentences": sentences(verdict["findings"]), "rows": [asdict(row(finding)) for finding in verdict["findings"]]}
    return {"schema": SCHEMA, "event": "verdict", **summary, "verdict": dict(verdict), **told}


def notify(workspace: Workspace, run: str, options: Mapping[str, Any] | None, verdict_document: Mapping[str, Any]) -> list[str]:
    """Tell everyone that the ``notify`` section ``options`` names; what went wrong, as sentences."""
    if not options:
        return []
    letter = workspace.scratch / "notify" / f"{run}.json"
    files.write_json(letter, {"options": dict(options), "document": dict(verdict_document)})
    problems: list[str] = []
    env = {**dvc.environment(), "REGRAFT_WORKSPACE": str(workspace.root)}
    try:
        child = supervise.spawn(
            supervise.module("regraft.execution.notify", str(letter)), cwd=workspace.root, env=env, log=sys.stderr.fileno()
        )
        code = child.finish(problems.append)
    finally:
        letter.unlink(missing_ok=True)
    if code == 0:
        return problems
    last = problems[-1] if problems else f"ended with exit {code}"
    return ["notify: stopped before it was delivered" if STOP.is_set() else f"notify: {last}"]


def deliver(options: NotifyOptions, text: str) -> Iterator[str]:
    """Run the command and call the webhook; yields a sentence for each that failed."""
    for kind, target in (("command", options.command), ("webhook", options.webhook)):
        if target is None:
            continue
        send = _run if kind == "command" else _post
        try:
            with _at_most(options.seconds):
                problem = send(target, text)
        except _TimeUp:
            problem = f"took longer than {options.seconds:g} s and was stopped"
        if problem:
            yield f"notify.{kind}: {problem}"


class _TimeUp(BaseException):
    """Not an Exception: urllib3 would take it for a timeout of its own."""


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise :class:`_TimeUp` in the main thread after ``seconds``: a limit on all of it, not on each read of a socket."""

    def ring(_: int, __: FrameType | None) -> None:
        raise _TimeUp

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _run(command: str, text: str) -> str | None:
    """Run ``command`` in a shell. What it prints goes to the log of the run; None: it ended with 0."""
    env = {name: value for name, value in os.environ.items() if name not in NOT_FOR_HOOKS}
    log = sys.__stderr__.fileno() if sys.__stderr__ else None
    process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, stdout=log, stderr=log, env=env, process_group=0)
    try:
        process.communicate(text.encode())
    except BaseException:  # the time limit, or the end of the run: nothing of the hook stays behind
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return f"ended with exit {process.returncode}: {command}" if process.returncode else None


def _post(webhook: str, text: str) -> str | None:
    """Send ``text`` to ``webhook``; None: it was taken, else what went wrong."""
    import requests

    missing: list[str] = []
    address = _VARIABLE.sub(_from_environment(missing), webhook)
    if missing:
        return f"{', '.join(missing)} is not set in the environment; nothing was sent"
    try:
        host = urllib.parse.urlsplit(address).hostname
    except ValueError:  # half a bracket of an IPv6 address
        host = None
    if not host:
        return "it is not an address"
    try:
        # Redirects are not followed: a POST that is redirected arrives as a GET, without its document.
        answer = requests.post(address, data=text.encode(), headers={"Content-Type": "application/json"}, allow_redirects=False)
    except requests.ConnectionError:
        return f"{host} cannot be reached"
    except requests.RequestException as error:  # its text may hold the address
        return f"{host}: {type(error).__name__}"
    return None if 200 <= answer.status_code < 300 else f"{host} answered {answer.status_code} {answer.reason}"


def _from_environment(missing: list[str]) -> Callable[[re.Match[str]], str]:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not os.environ.get(name):
            missing.append(name)
        return os.environ.get(name, "")

    return value


def main() -> None:
    """``python -m regraft.execution.supervise regraft.execution.notify LETTER``: deliver one, and print what went wrong."""
    letter = files.read_json(Path(sys.argv[1]))
    for problem in deliver(NotifyOptions.model_validate(letter["options"]), files.canonical(letter["document"]) + "\n"):
        print(problem, flush=True)  # noqa: T201  the parent reads it


if __name__ == "__main__":
    main()
