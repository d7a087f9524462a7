"""A kind of model as another package brings it: it counts words. Nothing but numpy, and nothing of regraft."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

REQUIREMENTS = ("numpy",)


class Counter:
    """Gives each label the number of its words in a text."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def logits(self, rows, batch_size):
        return np.array([[row.split().count(word) for word in self.words] for row in rows], dtype=np.float32)

    def probabilities(self, logits):
        e = np.exp(logits)
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)


def load(folder: Path, device: str | None) -> Counter:
    return Counter(json.loads((folder / "words.json").read_text()))
