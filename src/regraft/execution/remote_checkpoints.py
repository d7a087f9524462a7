"""A step's checkpoints on the DVC remote, so that another machine goes on where one was lost.

Only the newest whole one is kept there, under ``checkpoints/<pipeline>/<step>/<fingerprint>/``, and none once the step is done. DVC brings
the connection, so every remote that it knows will do; as it takes a second to import, it is in a process of its own::

    python -m regraft.execution.remote_checkpoints FOLDER NAME
"""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regraft.core.workspace import Workspace
from regraft.execution import dvc, patient_dvc

SECONDS = 10.0
"""Between two looks for a newer checkpoint: a loop writes one a minute at most."""
LAST_SECONDS = 60.0
"""For the checkpoint that a step leaves when it is stopped, and for the first answer of the remote."""
MANIFEST = "manifest.json"
START = "start.json"


@contextmanager
def mirrored(workspace: Workspace, folder: Path, name: str) -> Iterator[None]:
    """Inside, ``folder`` goes on from what the remote has, and what it gets is pushed. A remote that fails costs copies, not training."""
    argv = [sys.executable, "-m", "regraft.execution.remote_checkpoints", str(folder), name]
    # Its stdin is its lifeline: should this process die, it pushes what is there and ends. A session of its own: whoever kills this group
    # leaves it the time for that.
    child = subprocess.Popen(
        argv, cwd=workspace.root, env=dvc.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert child.stdout
    select.select([child.stdout], [], [], LAST_SECONDS)  # it says when the newest checkpoint is here
    last = b"push\n"
    try:
        yield
        last = b"remove\n"
    finally:
        try:
            child.communicate(last, timeout=LAST_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            sys.stderr.write(f"checkpoints of {name}: the remote took longer than {LAST_SECONDS:.0f} s\n")


class Remote:
    """The folder ``checkpoints/<name>`` of the default DVC remote."""

    def __init__(self, root: Path, name: str) -> None:
        remote = patient_dvc.repository(str(root)).cloud.get_remote()
        self.fs: Any = remote.fs
        self.home: str = self.fs.join(remote.path, "checkpoints", *name.split("/"))

    def pull(self, folder: Path) -> None:
        """Have the newest checkpoint in ``folder``, unless it holds one that is as new."""
        numbers = self._numbers()
        if not numbers or numbers[-1] <= _newest(folder):
            return
        partial = folder / f".partial-{numbers[-1]}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path in self.fs.find(self.fs.join(self.home, numbers[-1])):
            self.fs.get_file(path, str(partial / self.fs.name(path)))
        if not (folder / START).is_file():
            self.fs.get_file(self.fs.join(self.home, START), str(partial / START))
            (partial / START).rename(folder / START)
        partial.rename(folder / numbers[-1])

    def push(self, folder: Path) -> None:
        """Have the newest of ``folder`` there, and no other."""
        before, newest = self._numbers(), _newest(folder)
        if newest and (not before or newest > before[-1]):
            self.fs.makedirs(self.fs.join(self.home, newest), exist_ok=True)
            self.fs.put_file(str(folder / START), self.fs.join(self.home, START))
            names = sorted((path.name for path in (folder / newest).iterdir()), key=lambda name: name == MANIFEST)
            for name in names:  # the manifest last: with it the checkpoint is whole
                self.fs.put_file(str(folder / newest / name), self.fs.join(self.home, newest, name))
            for number in before:
                self.fs.remove(self.fs.join(self.home, number), recursive=True)

    def remove(self) -> None:
        """Keep none."""
        if self.fs.exists(self.home):
            self.fs.remove(self.home, recursive=True)

    def _numbers(self) -> list[str]:
        """Steps of the whole checkpoints there are, as their folders are called, the newest last."""
        found = self.fs.find(self.home) if self.fs.exists(self.home) else []
        return sorted(self.fs.name(self.fs.parent(path)) for path in found if self.fs.name(path) == MANIFEST)


def _newest(folder: Path) -> str:
    """The folder of the newest whole checkpoint; empty: there is none. Their names have one width, so text compares as numbers do."""
    return max((path.parent.name for path in folder.glob(f"[0-9]*/{MANIFEST}")), default="")


def main() -> None:
    """Pull, say so, and push whatever is new until told on stdin what comes last: ``push``, ``remove``, or the end of the pipe.

    That end means that the step was killed: what it left is pushed, for whoever goes on elsewhere.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # of whoever ends all of an agent's processes: the step's last checkpoint is to come
        signal.signal(number, signal.SIG_IGN)
    folder, name = Path(sys.argv[1]), sys.argv[2]
    remote = Remote(Workspace.find().root, name)
    _tried("pull", remote.pull, folder)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], SECONDS)[0]:
        _tried("push", remote.push, folder)
    signal.alarm(round(LAST_SECONDS))  # nobody may be there any more to end it
    if sys.stdin.readline().strip() == "remove":
        _tried("remove", lambda _: remote.remove(), folder)
    else:
        _tried("push", remote.push, folder)


def _tried(verb: str, call: Callable[[Path], None], folder: Path) -> None:
    """A checkpoint that vanishes while it is read was replaced by a newer one, and a remote that fails may be there again next time."""
    try:
        call(folder)
    except Exception as error:  # whatever a remote raises: its plug-ins have no common error
        sys.stderr.write(f"checkpoints: {verb}: {type(error).__name__}: {error}\n")


if __name__ == "__main__":
    main()
