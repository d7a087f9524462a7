"""What processes that fork ask of a Linux kernel, which elsewhere does nothing; and how one that was forked ends as others do."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_LIBC = ctypes.CDLL(None, use_errno=True)  # here: in a fork, other threads' locks may be held


def end_with_parent(number: signal.Signals, parent: int) -> None:
    """From now on the end of ``parent`` is signal ``number`` here; ends this process where it is too late for that."""
    if not hasattr(_LIBC, "prctl"):
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def tied(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start ``command``, which is asked to end (SIGTERM) when this process ends, however that is; ``options`` as Popen has them."""
    parent = os.getpid()
    return subprocess.Popen(command, preexec_fn=lambda: end_with_parent(signal.SIGTERM, parent), **options)


def be_called(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show, at most 15 bytes: forked processes all have their parent's command line."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def adopt_orphans() -> bool:
    """Be the parent of descendants whose own parent has ended (a subreaper, prctl(2)); returns whether that is so."""
    return hasattr(_LIBC, "prctl") and _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def end_as_process(main: Callable[[], object]) -> int:
    """Run ``main`` and do what the interpreter does at the end of a process; the exit code, 0 to 255."""
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code & 0xFF
