"""One writer at a time in a pipeline's registry, as a courtesy: what makes a promotion safe is the append to the journal."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from regraft.core import lock
from regraft.core.errors import Conflict

LEASE_SECONDS = 60.0


@contextlib.contextmanager
def lease(state: Path, pipeline: str, seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Hold a pipeline's registry alone, or raise :class:`Conflict` after ``seconds``, naming who holds it.

    The lease keeps honest writers from wasting work; what makes a promotion safe is the append. The kernel drops
    the lock of a process that dies.
    """
    handle = lock.open_lock(state / "journal" / f".{pipeline}.lock")
    try:
        if not lock.take_within(handle, seconds):
            holder = lock.holder(handle) or "unknown"
            message = f"the registry of '{pipeline}' has been held by process {holder} for more than {seconds:.0f} s"
            raise Conflict(message, fix=f"ps -p {holder}")
        lock.sign(handle)
        yield
    finally:
        os.close(handle)
