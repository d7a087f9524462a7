"""What a machine runs out of, disk and memory, however the library that met the limit puts it.

torch reports a full disk as ``RuntimeError: unexpected pos 704 vs 598`` and a failed allocation as ``RuntimeError`` or
``torch.OutOfMemoryError``, safetensors and arrow have words of their own. Here they get one vocabulary, without
importing any of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from regraft.core import owners
from regraft.core.errors import EnvironmentFault, RegraftError
from regraft.core.quantities import size

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Full disk, exceeded quota, and a file above ``ulimit -f``."""
DENIED = frozenset({errno.EACCES, errno.EPERM})
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how Rust (safetensors, tokenizers) writes an errno
_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|out of memory|STATUS_ALLOC_FAILED|could not (create|execute) a primitive", re.IGNORECASE
)
"""cuBLAS and cuDNN, which take memory for themselves, end their names of it with the fourth; the last is all that oneDNN says of a failed
allocation (measured under ``ulimit -v``)."""


def os_error(error: BaseException) -> OSError | None:
    """The operating system's refusal at the bottom of ``error``, or None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause
        if match := _OS_ERROR.search(str(cause)):
            return OSError(int(match[1]), os.strerror(int(match[1])))
        cause = cause.__cause__ or cause.__context__
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` is a failed allocation: Python's, numpy's, or torch's on a CPU or a GPU."""
    torch_s = isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
    return torch_s or isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def oom_kills() -> int:
    """Processes that the kernel has killed for want of memory since it started, on the machine or in any container on it."""
    with contextlib.suppress(OSError, StopIteration):  # not Linux
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def free(path: Path) -> int:
    """Bytes that a process without special rights may still write where ``path`` is, or will be."""
    return shutil.disk_usage(next(place for place in (path, *path.parents) if place.exists())).free


@contextlib.contextmanager
def explained(doing: str, where: Path, need: Callable[[], str], fix: str) -> Iterator[None]:
    """Inside, what :func:`explain` knows is raised as an :class:`EnvironmentFault`."""
    try:
        yield
    except Exception as error:  # every library has its own class; what is no limit of the machine goes on as it was
        if fault := explain(error, doing, where, need, fix):
            raise fault from error
        raise


def explain(
    error: Exception, doing: str, where: Path, need: Callable[[], str] = str, fix: str = "regraft doctor"
) -> EnvironmentFault | None:
    """``error`` as a limit of the machine that ``doing`` met; None if it is none, or was told already.

    :param fix: the command to type where memory ran out.
    :param need: tells what ``doing`` needs, as a part of a sentence; asked for when the disk is full.
    """
    if isinstance(error, RegraftError):
        return None
    if out_of_memory(error):
        return EnvironmentFault(f"{doing}: out of memory ({str(error).strip() or type(error).__name__})", fix=fix)
    refused = os_error(error)
    if refused is not None and refused.errno in DENIED and isinstance(refused.filename, str):
        whose, remedy = owners.told(Path(refused.filename))
        return EnvironmentFault(f"{doing}: {os.strerror(refused.errno)} ({refused.filename}): {whose}", fix=remedy)
    if refused is None or refused.errno not in {*NO_ROOM, errno.EIO, errno.EROFS}:
        return None
    message = f"{doing}: {os.strerror(refused.errno)} ({refused.filename or where})"
    if refused.errno not in NO_ROOM:
        return EnvironmentFault(message, fix="regraft doctor")
    return EnvironmentFault("; ".join(filter(None, [message, f"{size(free(where))} are free", need()])), fix="regraft gc")
