"""A run's step server: it imports once what steps need, and forks a process for each step.

One a run, started by the flow on a lifeline. It imports libraries and regraft, never ``tasks`` or ``pipelines``, and
calls no operation of torch: a process forked after the first parallel one hangs for ever (libgomp's threads are not
forked). It has one thread, so what it forks dies with it (``PR_SET_PDEATHSIG``), and no lock is held in a fork.

A step has two processes. The *keeper* watches the client: it hands signals on, kills the step when the client is
gone, and reports its end. The *step* is the keeper's child in a session of its own, with the client's streams,
folder, environment and limits. The keeper is there so that all this happens at once, also while the server imports.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from regraft.cli.app import with_verbs
from regraft.core.child import be_called, end_as_process, end_with_parent
from regraft.execution import step_wire as wire
from regraft.execution import supervise
from regraft.execution.step_server_start import DATA, STEP

WAIT_FOR_FIRST = 2.0
"""Seconds in which the run's first step is expected: it should not wait until torch, which it does not need, is imported."""
LIFELINE = 0
SLOW_CLIENT = 5.0
"""Seconds a client has for its request."""


@dataclass
class _Request:
    """What a client asks for."""

    channel: socket.socket
    said: dict[str, Any]
    streams: list[int]

    def close(self) -> None:
        for descriptor in self.streams:
            os.close(descriptor)
        self.channel.close()


@dataclass
class Server:
    """The process that is forked."""

    listener: socket.socket
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    """As it was before anything was imported."""
    identity: dict[str, Any] = field(default_factory=wire.identity)
    _keepers: set[int] = field(default_factory=set)
    _later: list[_Request] = field(default_factory=list)
    """Requests for steps that run a model, as long as not all is imported."""
    _warm: bool = False

    def warm(self, modules: Sequence[str]) -> None:
        """Import ``modules``, looking for requests in between.

        A library that does not import is for the step that needs it to complain about; a module of regraft's own has to be there.
        """
        for name in modules:
            try:
                importlib.import_module(name)
            except ImportError as fault:
                if (fault.name or "").split(".")[0] == "regraft":
                    raise
            self.look(0)
        gc.collect()
        gc.freeze()  # the collector of a forked process would write into, and so copy, every page

    def ready(self) -> None:
        """All is imported: take what had to wait for it."""
        self._warm = True
        for request in self._later:
            self._take(request)
        self._later.clear()

    def look(self, seconds: float | None) -> bool:
        """Take the requests that come within ``seconds`` (None: however long it takes), the first one at once.

        Returns whether there was any. Does not return when the lifeline ends.
        """
        readable = select.select([self.listener.fileno(), LIFELINE], [], [], seconds)[0]
        self._reap()
        if LIFELINE in readable and not os.read(LIFELINE, 4096):
            self._end()
        if self.listener.fileno() not in readable:
            return False
        with contextlib.suppress(OSError, ValueError):  # a client that went away
            self._hear(self.listener.accept()[0])
        return True

    def _hear(self, channel: socket.socket) -> None:
        channel.settimeout(SLOW_CLIENT)
        request = _Request(channel, {}, [])
        try:
            said, request.streams = wire.receive(channel, most_descriptors=3)
            request.said = said or {}
            if reason := self._refusal(request) if said else "nothing was asked":
                _refuse(request, reason)
            elif request.said["models"] and not self._warm:
                self._later.append(request)
            else:
                self._take(request)
        except BaseException:
            request.close()  # a stream that stays open here is one whose end its reader waits for
            raise

    def _refusal(self, request: _Request) -> str | None:
        """Why a step is not forked from this process; None where it is."""
        said = request.said
        peer = struct.unpack("3i", request.channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if peer[1] != os.geteuid():
            return "another user's server"
        theirs = said.get("identity", {})
        for name, ours in self.identity.items():
            if theirs.get(name) != ours:
                return f"{name}: not what the step server has"
        if names := wire.differing(self.environment, said["environment"]):
            return f"{', '.join(names)}: not what the step server was started with"
        if len(request.streams) != 3:
            return "its streams did not arrive"
        for name, (_, hard) in said["limits"].items():
            ours = resource.getrlimit(getattr(resource, name))[1]
            if ours != resource.RLIM_INFINITY and not 0 <= hard <= ours:
                return f"{name} is higher than the step server's"
        return None

    def _take(self, request: _Request) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        try:
            keeper = os.fork()
        except OSError as error:  # too many processes, or too little memory
            _refuse(request, f"no process could be forked ({error.strerror})")
            return
        if keeper:
            self._keepers.add(keeper)
            request.close()
            return
        try:
            self.listener.close()
            _keep(request, parent, self._imported_variables())
        finally:
            os._exit(1)

    def _imported_variables(self) -> dict[str, str]:
        """The variables that an import has set, as it would have in the step's own process."""
        return {name: value for name, value in os.environ.items() if self.environment.get(name) != value}

    def _reap(self) -> None:
        for keeper in list(self._keepers):
            if os.waitpid(keeper, os.WNOHANG)[0]:
                self._keepers.discard(keeper)

    def _end(self) -> NoReturn:
        """The lifeline has ended: steps are on one of their own and have their time; then they go with this process."""
        self.listener.close()
        deadline = time.monotonic() + supervise.GRACE + 1
        while self._keepers and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        os._exit(0)


def _refuse(request: _Request, reason: str) -> None:
    """Tell the client to run the step itself."""
    with contextlib.suppress(OSError):  # it went away
        wire.send(request.channel, {"refused": reason})
    request.close()


# --- a step's two processes --------------------------------------------------------------------------------------


def _keep(request: _Request, server: int, variables: dict[str, str]) -> NoReturn:
    """Start the step, watch the client and the step, and end when both have."""
    end_with_parent(signal.SIGKILL, server)
    be_called("step keeper")
    channel = request.channel
    channel.settimeout(None)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    wire.send(channel, {"taken": True})  # from here on the client must not run the step itself
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # until the step has its handlers
    keeper = os.getpid()
    if not (step := os.fork()):
        try:
            _become(request, keeper, variables)
        finally:
            os._exit(1)
    for descriptor in request.streams:
        os.close(descriptor)
    ended = os.pidfd_open(step)
    with contextlib.suppress(OSError):  # the client is gone, which the next line sees
        wire.send(channel, {"pid": step})
    watched: list[Any] = [ended, channel]
    while ended not in select.select(watched, [], [])[0]:
        if not (said := _said(channel)):
            watched.remove(channel)  # the client is gone
        for forwarded in said or bytes([signal.SIGKILL]):
            _signal(step, forwarded)
    _signal(step, signal.SIGKILL)  # what is left of its group; its number is ours until the next line
    status = os.waitpid(step, 0)[1]
    with contextlib.suppress(OSError):
        wire.send(channel, {"status": status})
    os._exit(0)


def _said(channel: socket.socket) -> bytes:
    """The numbers of the signals that the client hands on; none where it is gone."""
    try:
        return channel.recv(64)
    except OSError:
        return b""


def _signal(step: int, number: int) -> None:
    try:
        os.killpg(step, number)
    except ProcessLookupError:  # it is about to lead a group
        with contextlib.suppress(ProcessLookupError):
            os.kill(step, number)


def _become(request: _Request, keeper: int, variables: dict[str, str]) -> NoReturn:
    """Be the process that the client would have been, and run the command line."""
    os.setsid()
    end_with_parent(signal.SIGKILL, keeper)
    said = request.said
    request.channel.detach()  # or the end of this object would close whatever has its number then
    for number, descriptor in enumerate(request.streams):
        os.dup2(descriptor, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.close(int(name))
    os.environ.clear()
    os.environ.update({**said["environment"], **variables})
    os.umask(said["umask"])
    for name, limit in said["limits"].items():
        resource.setrlimit(getattr(resource, name), tuple(limit))
    os.chdir(said["folder"])
    sys.argv[:], sys.path[:] = said["argv"], said["path"]
    be_called(f"step {sys.argv[2]}")
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # as a new process has it: not what every step of the run has
    gc.enable()
    supervise.stop_at_signals()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os._exit(end_as_process(lambda: with_verbs()(prog_name="regraft")))


# --- the process ---------------------------------------------------------------------------------------------------


def _orphaned(*_: object) -> None:
    """The flow is gone, and an import may keep us from seeing it: be gone in time whatever it does."""
    signal.alarm(int(supervise.GRACE) + 1)


def main() -> None:
    """``python -m regraft.cli.step_server FD PARENT [MODULE ...]``: serve on ``FD`` until the lifeline ends.

    ``MODULE``: what has to be imported for models; without any, no step runs one.
    """
    descriptor, parent, models = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    del sys.path[0]  # the workspace: its folders are for the steps
    signal.signal(signal.SIGTERM, _orphaned)
    end_with_parent(signal.SIGTERM, parent)
    gc.disable()
    server = Server(socket.socket(fileno=descriptor))
    supervise.hold_run()
    be_called("step server")
    server.warm(STEP)
    with_verbs()
    if models:
        server.warm(DATA)
        server.look(WAIT_FOR_FIRST)
        server.warm(models)
    server.ready()
    while True:
        server.look(None)


if __name__ == "__main__":
    main()
