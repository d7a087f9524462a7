"""DVC imported once a run: the *starter* imports it and forks a ``dvc`` for each step.

Of the 0.85 processor seconds that DVC takes for a step, 0.6 are imports. The starter has one thread and opens no repository. It
forks twice and the process in between ends at once, so what it leaves has no parent; the kernel gives it to the flow, which
is a subreaper (prctl(2)) and waits for it, signals it and holds its lifeline as if it had started it itself. The end of the
starter changes nothing for what it has started, and the next step's DVC then imports for itself, as all do where
``REGRAFT_STEP_SERVER=0``.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from regraft.core.child import adopt_orphans, be_called, end_as_process
from regraft.core.uncollected import uncollected
from regraft.core.workspace import Workspace
from regraft.execution import step_wire as wire
from regraft.execution import supervise

MODULES = (
    *("dvc.cli", "dvc.cli.parser", "dvc.commands.repro", "dvc.repo.reproduce", "dvc.repo.open_repo", "dvc.repo.plots", "dvc.repo.stage"),
    *("dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.metrics", "dvc.repo.params", "dvc.stage.run", "dvc.stage.cache"),
    *("dvc.cachemgr", "dvc.data_cloud", "dvc.scm", "dvc.lock", "dvc.rwlock", "dvc.utils.strictyaml", "dvc_data.hashfile.status"),
)
"""What ``dvc repro`` imports on its way, in DVC 3.67; one that is no longer there is imported when it is needed."""
SLOW_STARTER = 60.0
"""Seconds after which a starter that says nothing is given up: its imports take less than one."""


@dataclass
class Starter:
    """The flow's end of a starter that is at work."""

    channel: socket.socket
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: int, stderr: int, **plain: Any) -> supervise.Process:
        """``subprocess.Popen`` for ``python -m regraft.execution.supervise dvc ...``, with a pipe as its stdout."""
        ours, theirs = os.pipe()
        request = {"argv": argv[argv.index("dvc") :], "folder": str(cwd), "environment": dict(env)}
        try:
            with self._one_at_a_time:
                wire.send(self.channel, request, [stdin, theirs, stderr])
                said, _ = wire.receive(self.channel)
            if said and said["pid"]:
                return _Adopted(said["pid"], os.fdopen(ours, "rb"))
            reason = "it could not fork" if said else "it is gone"
        except OSError as error:
            reason = str(error)
        finally:
            os.close(theirs)
        os.close(ours)
        _started.clear()
        sys.stderr.write(f"regraft: from here on DVC imports for itself: {reason}\n")
        return subprocess.Popen(argv, cwd=cwd, env=env, stdin=stdin, stderr=stderr, **plain)


class _Adopted:
    """A process that another one started and whose end is told to this one: what is used of ``subprocess.Popen``."""

    def __init__(self, pid: int, stdout: IO[bytes]) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = stdout
        self._returncode: int | None = None
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """The return code, -N after signal N; None while it runs."""
        if self._returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._returncode = os.waitstatus_to_exitcode(status)
                os.close(self._end)
        return self._returncode

    def wait(self, timeout: float | None = None) -> int:
        """The return code; waits for it. TimeoutExpired after ``timeout`` seconds."""
        while (code := self.poll()) is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("dvc", timeout or 0)
        return code


_started: list[Starter] = []


def start(workspace: Workspace, env: Mapping[str, str]) -> None:
    """Start the starter that :func:`begin` is to use in this process; nothing where a process cannot be handed over."""
    if sys.platform != "linux" or os.environ.get(wire.SWITCH) == "0" or not adopt_orphans():
        return
    ours, theirs = socket.socketpair()
    ours.settimeout(SLOW_STARTER)
    with theirs:
        argv = [sys.executable, "-m", "regraft.execution.dvc_starter", str(theirs.fileno())]
        supervise.spawn(argv, cwd=workspace.root, env=env, log=sys.stderr.fileno(), stdout=None, pass_fds=[theirs.fileno()])
    _started.append(Starter(ours))


def begin() -> Any:
    """What starts a DVC here: the starter of this process, or ``subprocess.Popen`` where it has none."""
    return _started[0].begin if _started else subprocess.Popen


# --- the starter ------------------------------------------------------------------------------------------------------


def main() -> None:
    """``python -m regraft.execution.dvc_starter FD``: fork what is asked for on the socket ``FD`` until its other end is closed."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    supervise.hold_run()
    be_called("dvc starter")
    sys.stderr = sys.stdout  # before DVC keeps the two for its log: its complaints go where the flow reads
    with uncollected(MODULES[0]):
        for name in MODULES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    while True:
        request, streams = wire.receive(channel, most_descriptors=3)
        if request is None:
            return
        pid = _leave(request, streams)
        for stream in streams:
            os.close(stream)
        wire.send(channel, {"pid": pid})


def _leave(request: Mapping[str, Any], streams: Sequence[int]) -> int:
    """Start what is asked for and let it go; its pid, 0 where nothing could be forked."""
    told, tell = os.pipe()
    try:
        between = os.fork()
    except OSError:
        between = -1
    if not between:
        try:
            if child := os.fork():
                os.write(tell, struct.pack("i", child))
                os._exit(0)
            _become(request, streams)
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        pid = answer.read()
    if between > 0:
        os.waitpid(between, 0)  # from here on the other one is the flow's
    return int(struct.unpack("i", pid)[0]) if pid else 0


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the process that the flow would have started: ``python -m regraft.execution.supervise dvc ARGUMENTS``."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[:] = request["argv"]
    be_called("dvc")
    supervise.follow_lifeline()
    os._exit(end_as_process(_dvc))


def _dvc() -> None:
    from dvc.cli import main as dvc

    sys.exit(dvc(sys.argv[1:]))


if __name__ == "__main__":
    # The package's own module, not this copy of it.
    from regraft.execution.dvc_starter import main as serve

    serve()
