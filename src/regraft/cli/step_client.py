"""``regraft step`` as the client of the run's step server: it stands in DVC's process tree for a step that runs elsewhere.

The server (:mod:`regraft.cli.step_server`) has imported torch and the rest once, and runs the step in a process
forked from itself, with this process's arguments, folder, environment, limits and standard streams. The client hands
INT and TERM on and ends with the step's own status or signal. If it is killed, the server kills the step.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from regraft.execution import step_wire as wire

FORWARDED = (signal.SIGINT, signal.SIGTERM)


def hand_over() -> None:
    """Let the server run the step of this command line, and end as the step ends.

    Returns where the step has to run in this process; a reason that is not the user's own choice goes to the log.
    """
    if (server := _server()) is None:
        return
    channel = socket.socket(socket.AF_UNIX)
    try:
        with wire.address(Path(server["socket"])) as address:
            channel.connect(address)
        reason = _Client(channel).run(models=bool(server["models"]))
    except OSError as error:
        reason = f"its run's step server does not answer ({error})"
    channel.close()
    sys.stderr.write(f"regraft: this step imports for itself: {reason}\n")
    sys.stderr.flush()


def _server() -> dict[str, Any] | None:
    """What the parent said about the run's server; None where there is none for this process."""
    root, invocation = os.environ.get("REGRAFT_WORKSPACE"), os.environ.get("REGRAFT_INVOCATION")
    if sys.platform != "linux" or os.environ.get(wire.SWITCH) == "0" or not root or not invocation:
        return None
    try:
        said = json.loads(Path(root, ".regraft", "invocations", f"{invocation}.json").read_text(encoding="utf8"))
    except (OSError, ValueError):
        return None
    server: dict[str, Any] | None = said.get("step_server")
    return server


def _request(models: bool) -> dict[str, Any]:
    umask = os.umask(0)
    os.umask(umask)
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")}
    return {
        "identity": wire.identity(),
        "argv": sys.argv,
        "path": sys.path,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "limits": limits,
        "models": models,
    }


class _Client:
    """One conversation with the server."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._forwarded: list[int] = []

    def run(self, *, models: bool) -> str:
        """Returns the reason why the server does not take the step; otherwise this process ends with the step."""
        handlers = {number: signal.signal(number, self._forward) for number in FORWARDED}
        answer: dict[str, Any] | None = None
        try:
            self._ask(models)
            answer, _ = wire.receive(self._channel)
        finally:
            if not answer or "refused" in answer:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                for early in self._forwarded:  # they were meant for the step, which is this process now
                    os.kill(os.getpid(), early)
        if not answer:
            return "its run's step server ended"
        if "refused" not in answer:
            self._follow()
        return str(answer["refused"])

    def _ask(self, models: bool) -> None:
        """Send the request; a signal waits meanwhile, or its byte would stand before the request or inside it."""
        former = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        try:
            wire.send(self._channel, _request(models), (0, 1, 2))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, former)

    def _forward(self, number: int, _: FrameType | None) -> None:
        self._forwarded.append(number)
        with suppress(OSError):  # the server is gone, and the step with it
            self._channel.send(bytes([number]))

    def _follow(self) -> NoReturn:
        """End as the step ends; with SIGKILL where the server ended, which is how the step ended then."""
        step: int | None = None
        with suppress(OSError):
            while (said := wire.receive(self._channel)[0]) is not None:
                if "status" in said:
                    _end(said["status"])
                with suppress(ProcessLookupError):
                    step = os.pidfd_open(said["pid"])
        if step is not None:
            select.select([step], [], [])  # DVC drops its locks when we are gone: the step has to be gone before
        _end(signal.SIGKILL)


def _end(status: int) -> NoReturn:
    """End this process with a status as ``wait`` gives it."""
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the step has left its own
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
        signal.pause()
    os._exit(os.WEXITSTATUS(status))
