"""What a forked process asks of a Linux kernel: to end with its parent, and to be called something. Elsewhere both do nothing."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LIBC = ctypes.CDLL(None, use_errno=True)  # here: in a fork, other threads' locks may be held


def end_with_parent(number: signal.Signals, parent: int) -> None:
    """From now on the end of ``parent`` is signal ``number`` here; ends this process where it is too late for that."""
    if not hasattr(_LIBC, "prctl"):
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def be_called(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show, at most 15 bytes: forked processes all have their parent's command line."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
