"""One writer at a time in a pipeline's registry, as a courtesy: what makes a promotion safe is the append to the journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from regraft.core.errors import Conflict

LOCK_SECONDS = 60.0


@contextlib.contextmanager
def lease(state: Path, pipeline: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a pipeline's registry alone, or raise :class:`Conflict` after ``seconds``, naming who holds it.

    The lease keeps honest writers from wasting work; what makes a promotion safe is the append. The kernel drops
    the lock of a process that dies.
    """
    path = state / "journal" / f".{pipeline}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    handle.seek(0)
                    holder = handle.read().strip() or "unknown"
                    raise Conflict(
                        f"the registry of '{pipeline}' has been held by process {holder} for more than {seconds:.0f} s",
                        fix=f"ps -p {holder}",
                    ) from None
                time.sleep(0.02)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
