"""A process that is killed at its n-th write: what one leaves, the next has to go on from."""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regraft.core import files

WRITES = (
    (os, ("rename", "replace", "fsync")),
    (files, ("sync_folder", "sync_tree")),
    (shutil, ("rmtree",)),
    (Path, ("unlink",)),
)


def _dying(real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    """``real``, which kills the process that calls it once none is ``left``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return call


def do_and_die(do: Callable[[], Any], writes: int) -> int:
    """The status of a process that does it, and is killed once it has written so often."""
    if pid := os.fork():  # importing what it needs anew would take each of them seconds
        return os.waitpid(pid, 0)[1]
    try:
        left = [writes]
        for module, names in WRITES:
            for name in names:
                setattr(module, name, _dying(getattr(module, name), left))
        do()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
