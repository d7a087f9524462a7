"""What every kind of served model has in common: labels, columns, a temperature, and when it had rather not answer.

Self-contained: json and numpy, nothing of regraft. The file travels with the registered model beside the one of its kind
(:mod:`regraft.models.kinds`), so that what is measured before a promotion and what serves after it are the same code. A folder
holds ``labels.json`` (the classes in the order of the outputs) and ``serving.json`` (``text_column``, ``text_pair`` where a row is two
texts, and what its kind reads there).
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

Row = str | tuple[str, str]
Rows = Sequence[Row]
MARK = "\u241e"
"""Stands between the two texts of a pair where they are kept as one; that of :mod:`regraft.data.pairs`."""


@dataclass(frozen=True)
class Served:
    """Texts in, class probabilities out."""

    model: Any
    """Of its kind: ``logits`` and ``probabilities``."""
    apart: bool
    """Whether the kind reads a pair as a tuple; else as one text, with :data:`MARK` between."""
    labels: tuple[str, ...]
    text_column: str
    text_pair: str | None = None
    """None: a row is one text."""
    temperature: float = 1.0
    abstain_below: float | None = None
    """None: the model never abstains."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row's texts are called: one name, or two."""
        return (self.text_column,) if self.text_pair is None else (self.text_column, self.text_pair)

    def predict(self, rows: Rows, batch_size: int = 64) -> NDArray[np.float32]:
        """Probabilities ``[len(rows), len(labels)]``, rows summing to 1."""
        p: NDArray[np.float32] = self.model.probabilities(self.logits(rows, batch_size) / np.float32(self.temperature))
        return p

    def abstains(self, p: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """[rows] of :meth:`predict` that the model had rather not answer; None for one that never abstains."""
        return None if self.abstain_below is None else p.max(axis=1, initial=0.0).astype(np.float64) < self.abstain_below

    def logits(self, rows: Rows, batch_size: int = 64) -> NDArray[np.float32]:
        """What the model gives each label ``[len(rows), len(labels)]``, before the temperature.

        A row is a text; for a model that reads pairs, a tuple of two, or both as one text with :data:`MARK` between.

        :raises TypeError: a row is no text. ``ValueError``: it is not two where the model reads two.
        """
        if not len(rows):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        read: list[Row] = list(map(_text if self.text_pair is None else _pair, range(len(rows)), rows))
        if self.text_pair is not None and not self.apart:
            read = [f" {MARK} ".join(pair) for pair in read]
        logits: NDArray[np.float32] = self.model.logits(read, batch_size)
        return logits


def _text(number: int, row: Row) -> str:
    if not isinstance(row, str):
        raise TypeError(f"texts must be strings; row {number}: {type(row).__name__}")
    return row


def _pair(number: int, row: Row) -> tuple[str, str]:
    """The two texts of a row, without white space round them."""
    texts = row.split(MARK) if isinstance(row, str) else row
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"pairs must be two strings; row {number}: {type(row).__name__}")
    if len(texts) != 2 or any(MARK in text for text in texts):
        raise ValueError(f"row {number} is not two texts, which this model reads: (first, second), or 'first {MARK} second'; it is {row!r}")
    return texts[0].strip(), texts[1].strip()


def load(folder: str | Path, kind: Any, device: str | None = None) -> Served:
    """The model in ``folder``, read by the module of its kind.

    :param device: ``cpu`` or ``cuda``; None: the best of this machine.
    """
    folder = Path(folder)
    serving, labels = (json.loads((folder / name).read_text(encoding="utf8")) for name in ("serving.json", "labels.json"))
    path = folder / "calibration.json"
    calibration = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    calibrated = {"temperature": calibration.get("temperature", 1.0), "abstain_below": calibration.get("abstain", {}).get("below")}
    columns = {"text_column": serving["text_column"], "text_pair": serving.get("text_pair")}
    return Served(kind.load(folder, device), getattr(kind, "PAIRS", False), tuple(labels), **columns, **calibrated)
