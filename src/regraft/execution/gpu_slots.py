"""Which GPU a run of an agent has to itself: a lock a GPU, which the kernel takes away with whoever holds it, however that ends.

The locks are the machine's, so agents of several clones share its GPUs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from regraft.core import lock
from regraft.core.errors import EnvironmentFault

VARIABLE = "CUDA_VISIBLE_DEVICES"
LOOK_SECONDS = 1.0


def gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs that this machine gives us, as :data:`VARIABLE` names them: those it names already, or all that the driver shows."""
    if VARIABLE in environment:
        return tuple(name.strip() for name in environment[VARIABLE].split(",") if name.strip() not in ("", "-1"))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(str(number) for number, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU ")))


@contextlib.contextmanager
def hold(
    names: tuple[str, ...], count: int = 1, folder: Path | None = None, tell: Callable[[str], None] = lambda _: None
) -> Iterator[str | None]:
    """Hold ``count`` of the GPUs ``names``, and let children hold them on; waits until so many are free. None where there are none.

    Yields them as :data:`VARIABLE` takes them.

    :param folder: of the locks; None: one of this machine.
    :param tell: is told whom this waits for.
    """
    if not names:
        yield None
        return
    if count > len(names):
        message = f"each run here takes {count} GPUs, one a rank, and this machine shows {len(names)}"
        raise EnvironmentFault(message, fix=f"start the agent anew with --ranks {len(names)}, or less")
    folder = folder or Path(tempfile.gettempdir()) / f"regraft-gpus-{os.getuid()}"
    handles = {name: lock.open_lock(folder / f"{name}.lock") for name in names}
    try:
        while not (free := _taken(handles, count)):
            tell(f"waits for a GPU of this machine: {', '.join(_held(name, lock.holder(handles[name])) for name in names)}")
            time.sleep(LOOK_SECONDS)
        for name in free:
            lock.sign(handles[name])
            lock.hand_on(handles[name])
        yield ",".join(free)
    finally:
        for handle in handles.values():
            os.close(handle)


def _taken(handles: Mapping[str, int], count: int) -> list[str]:
    """``count`` of the locks, taken now; none of them where fewer are free: two that held half of theirs would wait for each other."""
    taken: list[str] = []
    for name, handle in handles.items():
        if len(taken) < count and lock.try_take(handle):
            taken.append(name)
    if len(taken) < count:
        for name in taken:
            lock.release(handles[name])
        return []
    return taken


def _held(name: str, pid: int | None) -> str:
    return f"{name} is held by process {pid or 'unknown'}"
