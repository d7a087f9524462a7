"""What every kind of served model has in common: labels, columns, a temperature, and when it had rather not answer.

Self-contained: json and numpy, nothing of regraft. The file travels with the registered model beside the one of its kind
(:mod:`regraft.models.kinds`), so that what is measured before a promotion and what serves after it are the same code. A folder
holds ``labels.json`` (the classes in the order of the outputs) and ``serving.json`` (``text_column`` and what its kind reads there).
Where it holds ``calibration.json`` too, logits are divided by its ``temperature``, and answers whose probability is
below its ``abstain.below`` are marked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = Sequence[str]


@dataclass(frozen=True)
class Served:
    """Texts in, class probabilities out."""

    model: Any
    """Of its kind: ``logits`` and ``probabilities``."""
    labels: tuple[str, ...]
    text_column: str
    temperature: float = 1.0
    abstain_below: float | None = None
    """None: the model never abstains."""

    def predict(self, rows: Rows, batch_size: int = 64) -> NDArray[np.float32]:
        """Probabilities ``[len(rows), len(labels)]``, rows summing to 1."""
        p: NDArray[np.float32] = self.model.probabilities(self.logits(rows, batch_size) / np.float32(self.temperature))
        return p

    def abstains(self, p: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """[rows] of :meth:`predict` that the model had rather not answer; None for one that never abstains."""
        return None if self.abstain_below is None else p.max(axis=1, initial=0.0).astype(np.float64) < self.abstain_below

    def logits(self, rows: Rows, batch_size: int = 64) -> NDArray[np.float32]:
        """What the model gives each label ``[len(rows), len(labels)]``, before the temperature. TypeError for a row that is no text."""
        if bad := [f"{i}: {type(row).__name__}" for i, row in enumerate(rows) if not isinstance(row, str)]:
            raise TypeError(f"texts must be strings; row {bad[0]}")
        if not len(rows):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        logits: NDArray[np.float32] = self.model.logits(list(rows), batch_size)
        return logits


def load(folder: str | Path, kind: Any, device: str | None = None) -> Served:
    """The model in ``folder``, read by the module of its kind.

    :param device: ``cpu`` or ``cuda``; None: the best of this machine.
    """
    folder = Path(folder)
    serving, labels = (json.loads((folder / name).read_text(encoding="utf8")) for name in ("serving.json", "labels.json"))
    path = folder / "calibration.json"
    calibration = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    calibrated = {"temperature": calibration.get("temperature", 1.0), "abstain_below": calibration.get("abstain", {}).get("below")}
    return Served(kind.load(folder, device), tuple(labels), serving["text_column"], **calibrated)
