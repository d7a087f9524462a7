"""Texts on disk: written one after the other, then read in any order.

A corpus of 1 GB is millions of Python strings: 3 GB and more. Here a text costs 8 bytes of memory. The files have no
name, so they are gone with the process, however it ends.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Spool:
    """Named texts in a nameless file below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the spool
        self._starts = array("Q", [0])

    def append(self, name: str, text: str) -> None:
        """Add one text."""
        encoded = name.encode()
        # A length, not a mark, ends the name: an id may hold any character.
        record = len(encoded).to_bytes(4, "little") + encoded + text.encode()
        self._file.write(record)
        self._starts.append(self._starts[-1] + len(record))

    def flush(self) -> None:
        """Make what was appended readable."""
        self._file.flush()

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> tuple[str, str]:
        """``(name, text)`` of the ``number``-th text appended."""
        start, end = self._starts[number], self._starts[number + 1]
        record = os.pread(self._file.fileno(), end - start, start)
        text = 4 + int.from_bytes(record[:4], "little")
        return record[4:text].decode(), record[text:].decode()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (self[number] for number in range(len(self)))


def on_disk(folder: Path, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array of zeros in a nameless file below ``folder``: its pages are the file's, and may leave memory.

    :raises OSError: the disk has no room for all of it. (A mapped file with holes kills the process by SIGBUS when the
        disk is full.)
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
        return np.memmap(file, dtype, "r+", shape=shape) if size else np.empty(shape, dtype)
