"""What a step's client and the run's step server say to each other, and how each tells who the other is.

A frame is four bytes of length and a JSON document; file descriptors travel with a frame's first byte. Nothing but the
standard library's smallest parts is imported: the client has to be on its way to the server in milliseconds.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PROTOCOL = 1
SWITCH = "REGRAFT_STEP_SERVER"
"""Set to 0, every step runs in a process that imports for itself."""
LONGEST = 100
"""Bytes of a socket's path; Linux takes 107."""
_NAMES = {"REGRAFT_INVOCATION", "PWD", "OLDPWD", "SHLVL", "_"}
_PREFIXES = ("DVC_", "PREFECT_", "MLFLOW_")
_SITES = ("site-packages", "dist-packages")


def may_differ(variable: str) -> bool:
    """Whether a step may have another value of ``variable`` than its server: nothing the server imports reads it."""
    return variable in _NAMES or variable.startswith(_PREFIXES)


def differing(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The variables that a library may have read while it was imported and that are not the same in both environments."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name) and not may_differ(name))


def identity() -> dict[str, Any]:
    """What two processes must have in common for one to take over the imports of the other; JSON-ready."""
    package = Path(__file__).parents[1]
    code = [entry.stat() for entry in _sources(str(package))]
    return {
        "protocol": PROTOCOL,
        "interpreter": [sys.executable, sys.version, sys.prefix, list(sys.flags), list(sys.warnoptions), sorted(sys._xoptions)],
        "regraft's source": [str(package), len(code), max(stat.st_mtime_ns for stat in code), sum(stat.st_size for stat in code)],
        # pip renames into these folders, so whatever it installs or removes changes their time.
        "installed packages": sorted(
            [path, os.stat(path).st_mtime_ns] for path in sys.path if path.endswith(_SITES) and os.path.isdir(path)
        ),
        "cores": sorted(os.sched_getaffinity(0)),
        "user": [os.geteuid(), os.getegid()],
    }


def _sources(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield entry


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """What to bind or to connect to for the socket ``path``, also where that is longer than a socket's address may be."""
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def send(channel: socket.socket, document: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one frame."""
    body = json.dumps(document).encode()
    frame = struct.pack("!I", len(body)) + body
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    if rest := frame[channel.sendmsg([frame], ancillary) :]:  # sending nothing fails where the answer is there already
        channel.sendall(rest)


def receive(channel: socket.socket, most_descriptors: int = 0) -> tuple[dict[str, Any] | None, list[int]]:
    """The next frame and the descriptors that came with it; None where the other side is gone."""
    first, descriptors, _, _ = socket.recv_fds(channel, 4, most_descriptors)
    try:
        head = first + (_exactly(channel, 4 - len(first)) if first else b"")
        body = _exactly(channel, struct.unpack("!I", head)[0]) if head else b""
        return (dict(json.loads(body)) if body else None), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := channel.recv(size - len(data))):
            raise ConnectionError("the other side went away in the middle of a frame")
        data += part
    return data
