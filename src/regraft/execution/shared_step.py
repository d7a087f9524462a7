"""A training step in several processes of this machine, the ranks of :mod:`regraft.training.ranks`, as ``torchrun`` would start them.

The step's own process is rank 0: it alone reports, keeps checkpoints and leaves the output. The others (:mod:`regraft.execution.rank`)
compute the same function into a folder that goes with them; they are on the lifeline of the step, as everything of a run is. A rank that
ends ends the step, which says how that one ended; the next run goes on from the checkpoint, with any number of ranks.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from regraft.core.errors import ConfigError, EnvironmentFault, RegraftError
from regraft.core.workspace import Workspace
from regraft.execution import supervise

VARIABLE = "REGRAFT_RANKS"
"""How many processes share each training here. No key of a pipeline file: it changes no bit of what is trained."""
OWN_WORDS_SECONDS = 15.0
"""After another rank has ended, the step's own process hears so from the network and ends in order. Later than this it is ended."""
LOOK_SECONDS = 0.2
HEARD = "another of the ranks"
"""Stands in what a rank says that has only heard of another one's end (:mod:`regraft.training.ranks`)."""


def asked(environment: Mapping[str, str]) -> int:
    """The number of ranks that :data:`VARIABLE` says, 1 without it. ConfigError where that is no number of processes."""
    text = environment.get(VARIABLE, "1")
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{VARIABLE} is {text!r}, and no number of processes", fix=f"export {VARIABLE}=2, or unset {VARIABLE}")
    return int(text)


@contextmanager
def ranks(workspace: Workspace, pipeline: str, step: str, folder: Path) -> Iterator[None]:
    """Inside, this process is rank 0 of as many as :data:`VARIABLE` says; the others are at work, each with a folder below ``folder``.

    :raises EnvironmentFault: another rank ended first.
    """
    if (count := asked(os.environ)) == 1:
        yield
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _told(_environment(0, count, port)):
        others = _Others(workspace, pipeline, folder, {})
        try:
            for number in range(1, count):
                others.start(step, number, _environment(number, count, port))
            with others.watched():
                yield
        except EnvironmentFault as fault:
            raise others.fault() or fault from None
        finally:
            others.end()
            from regraft.training.ranks import Ranks

            Ranks.leave()


def _environment(number: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells a rank."""
    own = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    return {name: str(value) for name, value in own.items()} | {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


@contextmanager
def _told(variables: Mapping[str, str]) -> Iterator[None]:
    """Inside, this process's environment has ``variables``."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@dataclass
class _Others:
    """The ranks but this process."""

    workspace: Workspace
    pipeline: str
    folder: Path
    children: dict[int, supervise.Child]

    def start(self, step: str, number: int, environment: Mapping[str, str]) -> None:
        own = self.folder / f"rank-{number}"
        for name in ("out", "evidence"):
            (own / name).mkdir(parents=True)
        argv = supervise.module("regraft.execution.rank", step, self.pipeline, str(own))
        env = {**os.environ, **environment}
        self.children[number] = supervise.spawn(argv, cwd=self.workspace.root, env=env, log=sys.stderr.fileno(), stdout=None)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, this process is ended where another rank has ended and nothing tells it so: it may wait for one that never came."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_SECONDS):
                if self._ended() and not over.wait(OWN_WORDS_SECONDS) and (fault := self.fault()):
                    supervise.report_error(self.workspace, fault)
                    os._exit(fault.exit_code)

        thread = threading.Thread(target=watch, name="ranks", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _ended(self) -> dict[int, int]:
        """{rank: how it ended} of those that did not end well."""
        return {number: code for number, child in self.children.items() if (code := child.process.poll())}

    def fault(self) -> RegraftError | None:
        """Why a rank ended: what it said, or how it was killed, before what others heard of it. None: all are there, or ended well."""
        patience = time.monotonic() + 5 * LOOK_SECONDS  # the network tells of an end before the kernel does
        while not (ended := self._ended()) and time.monotonic() < patience:
            time.sleep(LOOK_SECONDS / 4)
        said = [error for number in ended if (error := supervise.read_error(self.folder / f"rank-{number}.json"))]
        if own := [error for error in said if HEARD not in str(error)]:
            return own[0]
        killed = {number: -code for number, code in ended.items() if code < 0}
        for number, received in killed.items():
            why = "; the kernel does that for want of memory" if received == signal.SIGKILL else ""
            how = f"rank {number} of {len(self.children) + 1} that share this training was killed by {signal.Signals(received).name}{why}"
            return EnvironmentFault(f"{how}; its checkpoints are kept", fix=f"regraft run {self.pipeline}")
        return said[0] if said else None

    def end(self) -> None:
        """End them: nothing that they still do is needed, and the folder that they write to goes."""
        for child in self.children.values():
            child.kill()
            child.process.wait()
            child.cut()
