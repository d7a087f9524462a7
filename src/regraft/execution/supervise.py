"""A process lives as long as its stdin: the lifeline.

Every process of a run is started with the read end of a pipe as its stdin. Its parent alone holds the write end and
never writes to it, so however the parent dies, the kernel closes the pipe and the child reads end-of-file. DVC
hands its stdin on to the command of a stage, so a step is on the same lifeline as the ``dvc repro`` around it and
outlives neither. At end-of-file a process cuts the lifelines it holds itself, interrupts itself as Ctrl-C would, and
is gone :data:`GRACE` seconds later, checkpoint written or not.

Who may still be writing is told by a lock, not by pids: every process on a lifeline holds its run's ``alive`` file
with a shared ``flock`` until the kernel takes it away, and a new run waits for the exclusive one.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Protocol

from regraft.core import files, lock
from regraft.core.errors import BY_NAME, Problem, RegraftError
from regraft.core.progress import STOP, Running, emit, running
from regraft.core.workspace import Workspace

GRACE = 2.0
"""Seconds from the end of the lifeline to the end of the process; the promise is 5."""
PATIENCE = 15.0
"""Seconds a child may take to write its checkpoint when a person asks it to stop; then its lifeline is cut."""
TICK = 0.1
"""Seconds between two looks at what no file descriptor announces: STOP, and a leader that died."""

STOPPED_BY: list[int] = []
"""The signals that set STOP, oldest first."""

_children: set[Child] = set()  # those that must not outlive our own parent
_cutting = threading.RLock()
_alive: list[int] = []  # the shared lock: open until the process ends


# --- the child's end -------------------------------------------------------------------------------------------


def watch() -> None:
    """What every process of a run does first: follow the lifeline, and let SIGINT and SIGTERM set STOP.

    Returns at once. Call it in the main thread, before anything is written.
    """
    stop_at_signals()
    follow_lifeline()


def stop_at_signals() -> None:
    """SIGINT and SIGTERM set STOP instead of raising; they are listed in :data:`STOPPED_BY`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    STOPPED_BY.append(number)
    STOP.set()


def follow_lifeline(grace: float = GRACE) -> None:
    """Follow the lifeline, if this process is on one; one that has already ended ends the process here.

    Without an invocation, or with a terminal or a file as stdin (``dvc repro`` typed by a person), nothing happens.
    """
    if not os.environ.get("REGRAFT_INVOCATION") or not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    hold_run()
    threading.Thread(target=_until_the_end, args=(grace,), name="lifeline", daemon=True).start()


def hold_run() -> None:
    """Be one of the processes that a new run waits for; a lifeline that has already ended ends the process here."""
    if alive := Workspace.find().invocation().get("alive"):
        _alive.append(lock.open_lock(Path(alive)))
        lock.take(_alive[-1], shared=True)
    # After the lock: a new run that held it exclusively saw our parent dead, and then the pipe says so, here.
    if select.select([0], [], [], 0)[0]:
        os._exit(1)


def _until_the_end(grace: float) -> None:
    while os.read(0, 4096):
        pass
    end(grace)


def end(grace: float = GRACE) -> None:
    """End this process and all it holds: now as by Ctrl-C, after ``grace`` seconds without asking. Not for the main thread."""
    STOP.set()
    for child in list(_children):
        child.cut()
    os.kill(os.getpid(), signal.SIGINT)  # what the process does at Ctrl-C: DVC releases its locks
    time.sleep(grace)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # a step below DVC that is deaf in native code goes as well
    os._exit(1)


# --- the parent's end ------------------------------------------------------------------------------------------


class Process(Protocol):
    """What is used of ``subprocess.Popen``."""

    pid: int
    stdout: IO[bytes] | None

    def poll(self) -> int | None:
        """The return code, -N after signal N; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The return code; ``subprocess.TimeoutExpired`` after ``timeout`` seconds."""


@dataclass(eq=False)
class Child:
    """A process in a session of its own, and the write end of its lifeline."""

    process: Process
    lifeline: int | None
    _rest: bytes = field(default=b"", repr=False)

    def cut(self) -> None:
        """End the lifeline: whatever is on it is gone within :data:`GRACE` seconds."""
        with _cutting:
            if self.lifeline is not None:
                os.close(self.lifeline)
            self.lifeline = None
            _children.discard(self)

    def interrupt(self) -> None:
        """SIGINT to its whole group: DVC waits for the step, the step writes its checkpoint."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to its whole group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is gone
            os.killpg(self.process.pid, number)

    def finish(self, on_line: Callable[[str], None]) -> int:
        """Hand its stdout over line by line until nobody holds it any more; the leader's return code.

        STOP interrupts the child and :data:`PATIENCE` seconds later, or at the second signal, cuts its lifeline.
        A leader that died is no reason to leave its descendants: the lifeline is cut and stdout followed to its end.
        """
        assert self.process.stdout is not None
        out, asked, cut = self.process.stdout.fileno(), None, None
        try:
            while True:
                if select.select([out], [], [], TICK)[0]:
                    if not (data := os.read(out, 1 << 16)):
                        break
                    self._lines(data, on_line)
                now = time.monotonic()
                if STOP.is_set() and asked is None:
                    asked = now
                    self.interrupt()
                impatient = asked is not None and (now > asked + PATIENCE or len(STOPPED_BY) > 1)
                if cut is None and (impatient or self.process.poll() is not None or self.lifeline is None):
                    cut = now
                    self.cut()
                if cut is not None and now > cut + GRACE + 0.5:
                    self.kill()
            self._lines(b"\n" if self._rest else b"", on_line)
            return self._leave()
        except BaseException:
            self.cut()
            raise

    def _leave(self) -> int:
        """stdout has ended, so the leader is about to; one that closed it and stays is killed."""
        try:
            return self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()
        finally:
            self.cut()

    def _lines(self, data: bytes, on_line: Callable[[str], None]) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            on_line(line.decode("utf8", "replace"))


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: IO[bytes] | int,
    stdout: int | None = subprocess.PIPE,
    outlives_us: bool = False,
    pass_fds: Sequence[int] = (),
    begin: Callable[..., Process] = subprocess.Popen,
) -> Child:
    """Start ``argv`` on a lifeline, with stderr going to ``log`` and stdout there too if it is None.

    When our own parent dies, the child's lifeline is cut at once; ``outlives_us`` leaves it until we are gone ourselves.
    ``begin`` is called as ``subprocess.Popen`` is.
    """
    read_end, write_end = os.pipe()
    try:
        process = begin(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=read_end,
            stdout=log if stdout is None else stdout,
            stderr=log,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    child = Child(process, write_end)
    if not outlives_us:
        with _cutting:
            _children.add(child)
    return child


def module(name: str, *argv: str) -> list[str]:
    """The command line that runs ``python -m name argv`` on the lifeline."""
    return [sys.executable, "-m", "regraft.execution.supervise", name, *argv]


# --- errors that cross the border --------------------------------------------------------------------------------


def said_of(error: RegraftError) -> dict[str, object]:
    """The fields of ``error``: exit, error, message, fix, problems, and the place (file, row, column) of the first."""
    place = error.problems[0] if error.problems else {}
    said = {"exit": error.exit_code, "error": type(error).__name__, "message": str(error), "fix": error.fix, "problems": error.problems}
    return {**said, **{key: place.get(key) for key in ("file", "row", "column")}}


def write_error(path: Path, error: RegraftError) -> None:
    """Leave ``error`` for the parent."""
    files.write_json(path, said_of(error))


def report_error(workspace: Workspace, error: RegraftError) -> None:
    """:func:`write_error` where the parent of this process looks for it; nothing without a parent."""
    if invocation := os.environ.get("REGRAFT_INVOCATION"):
        try:
            write_error(workspace.error_file(invocation), error)
        except OSError:  # a full disk holds no message that it is full: it goes through the pipe
            with running(Running(report=True)):
                emit("error", **said_of(error))


def read_error(path: Path) -> RegraftError | None:
    """The error in ``path``, as the type it was raised as; None where nobody left one."""
    return error_from(files.read_json(path)) if path.is_file() else None


def error_from(said: Mapping[str, object]) -> RegraftError:
    """The error behind the fields of :func:`said_of`."""
    kind = BY_NAME.get(str(said.get("error")), RegraftError)
    fix, problems = said.get("fix"), said.get("problems")
    found = [Problem(problem) for problem in problems] if isinstance(problems, list) else []
    return kind(str(said.get("message")), fix=str(fix) if fix else None, problems=found)


def main() -> None:
    """``python -m regraft.execution.supervise MODULE ...``: ``python -m MODULE ...``, on the lifeline.

    Its own complaints go to stdout, where the parent reads them; those of its children to stderr, which is the log.
    """
    del sys.argv[0]
    follow_lifeline()
    sys.stderr = sys.stdout
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    # The package's own module, not this copy of it: what the two would share must exist once.
    from regraft.execution.supervise import main as run

    run()
