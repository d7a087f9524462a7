"""Checkpoints that are whole or named as broken, and that continue to the same bits.

``<folder>/start.json`` says on which machine a run began. ``<folder>/<step>/`` holds one checkpoint: ``state.pt``
(weights, optimizer; tensors only) and ``manifest.json`` with the size and sha256 of each file. A checkpoint
is written under a temporary name, synced and renamed, so that a crash or a full disk leaves the one before it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regraft.core import files, limits, lock
from regraft.core.errors import EnvironmentFault, Interrupted
from regraft.core.progress import STOP, emit
from regraft.models.machine import Machine, Start

SCHEMA = 1
KEPT = 2
STATE, MANIFEST, START = "state.pt", "manifest.json", "start.json"
POLL = 0.2  # seconds between two looks at a lock


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read back."""

    step: int
    """Optimizer steps done, over all phases."""
    phase: str
    notes: dict[str, float]
    """Numbers measured on the way, such as the held-out loss before adaptation."""
    state: dict[str, Any]
    """``{model, optimizer}``."""
    seconds: float = 0.0
    """Training time up to here, over all processes that took part."""


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; wait for whoever holds it, saying so. The lock ends with its process, however that ends."""
    handle = _locked(folder)
    try:
        lock.sign(handle)
        for leftover in folder.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _locked(folder: Path) -> int:
    path, announced = folder / "lock", False
    while True:
        handle = lock.open_lock(path)
        if lock.try_take(handle):
            # The holder before us may have finished and removed the folder: then this lock guards nothing.
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        elif not announced:
            emit("waiting", message=f"another process is training here (pid {lock.holder(handle) or '?'})")
            announced = True
        os.close(handle)
        if STOP.wait(POLL):
            raise Interrupted("stopped while waiting for another process that trains the same step")


class Checkpoints:
    """The checkpoints of one step's fingerprint; with ``folder=None`` nothing is kept."""

    def __init__(self, folder: Path | None, machine: Machine | None = None) -> None:
        self.folder, self.machine = folder, machine

    def start(self) -> Start | None:
        """Where the run began, as its first start wrote it down; None where none did."""
        if self.folder is None or not (path := self.folder / START).is_file():
            return None
        value = files.read_json(path)
        return Start(Machine.of(value["machine"]), value["exact"])

    def begin(self, machine: Machine, exact: bool) -> None:
        """Write down where the run begins, or goes on."""
        self.machine = machine
        if self.folder is not None:
            files.write_json(self.folder / START, {"schema": SCHEMA, "machine": machine.facts(), "exact": exact})

    def save(self, step: int, phase: str, notes: dict[str, float], state: dict[str, Any], seconds: float = 0.0) -> bool:
        """Write one checkpoint and drop all but the newest two; a full disk is a warning, and the old ones stay.

        :raises EnvironmentFault: the disk failed otherwise, at an fsync for instance: what it says it holds may be lost.
        """
        if self.folder is None:
            return False
        partial = self.folder / f".partial-{step:08d}"
        try:
            self._write(partial, step, phase, notes, state, seconds)
            final = self.folder / f"{step:08d}"
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            files.sync_folder(self.folder)
        except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
            shutil.rmtree(partial, ignore_errors=True)
            self._refused(step, state, error)
            return False
        for old in self.numbers()[:-KEPT]:
            shutil.rmtree(self.folder / f"{old:08d}", ignore_errors=True)
        return True

    def _refused(self, step: int, state: dict[str, Any], error: Exception) -> None:
        """Say what a full disk would have to hold; raise whatever else it was."""
        assert self.folder is not None
        refused = limits.os_error(error)
        if refused is None:
            raise error
        if refused.errno not in limits.NO_ROOM:
            raise EnvironmentFault(
                f"the checkpoint of step {step} could not be written: {refused.strerror} ({refused.filename or self.folder}); "
                "the one before it is kept",
                fix="regraft doctor",
            ) from error
        counted = _Counted()
        torch.save(state, counted)  # type: ignore[arg-type]  # it only writes
        emit(
            "warning",
            message=f"the checkpoint of step {step} needs {counted.size:,} bytes: {refused.strerror} "
            f"({limits.free(self.folder):,} bytes free in {self.folder}); the one before it is kept",
        )

    def _write(self, partial: Path, step: int, phase: str, notes: dict[str, float], state: dict[str, Any], seconds: float) -> None:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        with (partial / STATE).open("wb") as handle:
            torch.save(state, handle)
            handle.flush()
            os.fsync(handle.fileno())
        listed = {STATE: {"size": (partial / STATE).stat().st_size, "sha256": files.sha256_file(partial / STATE)}}
        machine = self.machine.facts() if self.machine else None
        position = {"step": step, "phase": phase, "notes": notes, "seconds": round(seconds, 3)}
        manifest = {"schema": SCHEMA, **position, "files": listed, "machine": machine}
        files.write_json(partial / MANIFEST, manifest)  # last: a manifest means a whole checkpoint

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; broken ones are named in a warning and left out; None: there is none."""
        numbers = self.numbers()
        for place, number in reversed(list(enumerate(numbers))):
            assert self.folder is not None
            home = self.folder / f"{number:08d}"
            if fault := broken(home):
                instead = "using the one before it" if place else "there is none before it, so the step begins again"
                emit("warning", message=f"checkpoint {number} is not whole: {fault}; {instead}")
                continue
            manifest = files.read_json(home / MANIFEST)
            state = torch.load(home / STATE, map_location="cpu", weights_only=True)
            return Checkpoint(manifest["step"], manifest["phase"], manifest["notes"], state, manifest.get("seconds", 0.0))
        return None

    def numbers(self) -> list[int]:
        """Steps of the checkpoints there are, whole or not."""
        return sorted(int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdigit()) if self.folder else []


class _Counted(io.RawIOBase):
    """A file that keeps nothing but its size."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += memoryview(data).nbytes
        return memoryview(data).nbytes


def broken(home: Path) -> str:
    """What is wrong with one checkpoint folder, naming the file; empty if it is whole."""
    try:
        manifest = files.read_json(home / MANIFEST)
        listed = manifest["files"].items()
        schema = manifest["schema"]
    except OSError:
        return f"{MANIFEST} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} cannot be read"
    if schema != SCHEMA:
        return f"{MANIFEST} has schema {schema}, this version reads {SCHEMA}"
    for name, expected in listed:
        path = home / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != expected["size"]:
            return f"{name} has {size:,} of {expected['size']:,} bytes"
        if files.sha256_file(path) != expected["sha256"]:
            return f"{name} is not what was written (sha256 differs)"
    return ""
