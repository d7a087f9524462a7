"""Locks between processes: a ``flock`` on a file, which the kernel takes away with its holder, however that ends.

A descriptor from :func:`open_lock` is locked with :func:`take`, :func:`try_take` or :func:`take_within`, and unlocked by
closing it. Whoever makes others wait signs the file (:func:`sign`), so that they can name the process they wait for.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

POLL = 0.02
"""Seconds between two tries of :func:`take_within`."""


def open_lock(path: Path) -> int:
    """A descriptor of the lock file ``path``; children do not inherit it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def take(handle: int, *, shared: bool = False) -> None:
    """Lock ``handle``, waiting for as long as that takes."""
    fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_take(handle: int, *, shared: bool = False) -> bool:
    """Lock ``handle`` now; False: another process holds it."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_within(handle: int, seconds: float, *, poll: float = POLL) -> bool:
    """Lock ``handle`` alone; False: another process still holds it after ``seconds``. It is tried at least once."""
    deadline = time.monotonic() + seconds
    while not try_take(handle):
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def release(handle: int) -> None:
    """Unlock ``handle``, which stays open."""
    fcntl.flock(handle, fcntl.LOCK_UN)


def hand_on(handle: int) -> None:
    """Let children have a locked ``handle`` (``close_fds=False``): it is held until the last of them has ended."""
    os.set_inheritable(handle, True)


def sign(handle: int) -> None:
    """Write this process's id into a file that it has locked."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def holder(handle: int) -> int | None:
    """The process that signed the file; None: it has not (yet)."""
    text = os.pread(handle, 20, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else None


def is_held(path: Path, *, by_readers: bool = False) -> bool:
    """Whether a process holds the lock file ``path`` alone, or with ``by_readers`` shares it; a file that is not there is held by none.

    To ask is to hold the lock for a moment: never ask it of a lock that turns others away at once.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_take(handle, shared=not by_readers)
    finally:
        os.close(handle)
