"""What a step will take where no record tells: what it took on the demo, for the size of the data and the speed of this machine.

The speed is measured in a process of its own (:mod:`regraft.models.speed`), in about two seconds and the time that torch takes to load,
and kept in ``.regraft/speed.json`` for an hour: neighbours come and go. It is asked for only where a step never ran.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from regraft.core import files
from regraft.core.cores import cores, device, workers
from regraft.core.workspace import Workspace
from regraft.data.options import listed
from regraft.execution import text_lengths
from regraft.execution.step import Step
from regraft.models import base_model
from regraft.models.speed import Shape, Speed

PLAIN_PYTHON = 0.0051
"""Seconds of :func:`regraft.models.speed.plain_python` on the machine that the numbers of the steps are from."""
TRAINING = 1.2
"""How many times as long as its layers alone a training takes: embeddings, head, padding, gradients added up."""
ANSWERING = 0.35
"""The share of a training's time that a token takes which is only read."""
COMPRESSED = {".gz": 4.0, ".parquet": 3.0}
"""Bytes of text for each byte of such a file, about."""
KEPT = "speed.json"
PATIENCE = 60.0
"""Seconds after which the process that measures is given up; loading torch takes most of its time."""
HOLDS = 3_600.0
"""Seconds that a measurement holds."""


class FirstRun:
    """Estimates for the steps of one pipeline; everything is looked up once, when it is first asked for."""

    def __init__(self, workspace: Workspace, resolved: Mapping[str, Any]) -> None:
        self._workspace, self._resolved = workspace, resolved

    def seconds(self, step: Step[Any], tokens: float | None) -> float | None:
        """What ``step`` will take; ``tokens`` are those that it trains on, if they are known. None: nobody can tell."""
        first = step.cost.first
        if first is None or self._speed is None:
            return None
        plain = (first.seconds + first.per_mb * self._bytes(first.data) / 1e6) * self._speed.python / PLAIN_PYTHON
        if first.learns is not None and tokens is None:
            tokens = self._row_tokens * self._train_share * first.learns(step.config.model_validate(self._resolved[step.name]))
        learned = (tokens or 0.0) * TRAINING + first.answers * self._row_tokens * ANSWERING
        if not learned:
            return plain
        return plain + learned / self._speed.tokens if self._speed.tokens else None

    @property
    def told(self) -> str:
        """What the estimates rest on, as a part of a sentence."""
        return "from the size of the data and the speed of this machine, as it never ran here"

    @cached_property
    def _speed(self) -> Speed | None:
        """How fast this machine is now; None where it cannot be measured, such as without torch."""
        sections = [section for section in self._resolved.values() if isinstance(section, Mapping)]
        spec = next((section["base_model"] for section in sections if section.get("base_model")), None)
        shape = Shape.of(base_model.locate(spec, self._workspace.root)) if spec else Shape(32, 64, 1, 1)
        if shape is None:
            return None
        processes = workers(self._shards(sections))
        if (known := kept(self._workspace, shape, processes)) is not None:
            return known
        speed = _measured(shape, processes)
        if speed is not None:
            keep(self._workspace, shape, processes, speed)
        return speed

    @staticmethod
    def _shards(sections: list[Mapping[str, Any]]) -> int:
        """Most parts that a batch of any training is computed in."""
        options = [section.get("finetune") or section.get("pretrain") or {} for section in sections]
        return max((each.get("shards", 1) for each in options if isinstance(each, Mapping)), default=1)

    def _bytes(self, key: str) -> float:
        """Bytes of text behind one key of the pipeline file; 0 for what lies on a hub."""
        paths = [self._workspace.root / path for path in listed(self._resolved["data"].get(key.removeprefix("data."), ()))]
        return sum(inner.stat().st_size * COMPRESSED.get(inner.suffix, 1.0) for path in paths for inner in _files(path))

    @cached_property
    def _row_tokens(self) -> float:
        """Tokens of all labelled rows, about: those of the first ones, by the bytes of all."""
        first = text_lengths.first_lengths(self._workspace, self._resolved)
        return sum(first.tokens) * self._bytes("data.labelled") / first.size if first.size else 0.0

    @property
    def _train_share(self) -> float:
        contract = self._resolved.get("contract", {})
        return float(1 - contract.get("test", 0.0) - contract.get("dev", 0.0))


def keep(workspace: Workspace, shape: Shape, processes: int, speed: Speed, at: float | None = None) -> None:
    """Keep what was measured ``at`` a time; None: now."""
    files.write_json(workspace.scratch / KEPT, {**_of(shape, processes), "at": at or time.time(), "speed": speed.document()})


def kept(workspace: Workspace, shape: Shape, processes: int) -> Speed | None:
    """What was measured within :data:`HOLDS`; None: nothing, or for what is not here."""
    try:
        known = files.read_json(workspace.scratch / KEPT)
        if {**known, **_of(shape, processes)} == known and time.time() - known["at"] < HOLDS:
            return Speed(**known["speed"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never measured, or by another version
    return None


def _of(shape: Shape, processes: int) -> dict[str, Any]:
    return {"shape": asdict(shape), "processes": processes, "cores": cores(), "device": device(), "torch": _torch()}


def _files(path: Path) -> list[Path]:
    return [inner for inner in path.rglob("*") if inner.is_file()] if path.is_dir() else [path] if path.is_file() else []


def _torch() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _measured(shape: Shape, processes: int) -> Speed | None:
    argv = [sys.executable, "-P", "-m", "regraft.models.speed", json.dumps(asdict(shape)), str(processes)]
    try:
        told = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
        return Speed(**json.loads(told.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return None
