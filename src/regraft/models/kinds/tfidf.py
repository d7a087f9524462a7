"""Words weighted by TF-IDF and a linear layer on them: what the method ``tfidf`` leaves.

Self-contained: json and numpy, nothing of regraft, and no scikit-learn in production. The file travels with the registered model. The
folder holds ``vocabulary.json`` (terms in column order), in ``serving.json`` the pattern ``word``, and ``model.safetensors`` (idf
``[terms]``, weight ``[labels, terms]``, bias ``[labels]``; float32). A text's vector is what scikit-learn's
``TfidfVectorizer(sublinear_tf=True)`` makes of it: runs of words, 1 + ln(count), times idf, to length 1.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REQUIREMENTS = ("safetensors",)
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TfidfLayer:
    """Terms that are known, what each of them weighs, and what it says for each label."""

    columns: dict[str, int]
    """Term -> its column."""
    idf: Floats
    weight: Floats
    bias: Floats
    longest: int
    """Words of the longest term."""
    word: re.Pattern[str]
    """What finds words."""

    def logits(self, rows: Sequence[str], batch_size: int) -> Floats:
        """``[rows, labels]``; a text without a known term gets the bias alone."""
        return np.stack([self.bias + self._one(row) for row in rows]).astype(np.float32)

    def probabilities(self, logits: Floats) -> Floats:
        """Softmax."""
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)

    def _one(self, text: str) -> Any:
        counts = Counter(column for term in self._terms(text) if (column := self.columns.get(term)) is not None)
        if not counts:
            return np.zeros_like(self.bias)
        columns = np.fromiter(sorted(counts), dtype=np.int64)
        values = (1 + np.log([counts[column] for column in columns.tolist()])) * self.idf[columns].astype(np.float64)
        return self.weight[:, columns].astype(np.float64) @ (values / np.linalg.norm(values))

    def _terms(self, text: str) -> Iterator[str]:
        words = self.word.findall(text.lower())
        for length in range(1, self.longest + 1):
            yield from (" ".join(words[start : start + length]) for start in range(len(words) - length + 1))


def load(folder: Path, device: str | None) -> TfidfLayer:
    """The model in ``folder``; it has no use for a device."""
    from safetensors.numpy import load_file

    terms = json.loads((folder / "vocabulary.json").read_text(encoding="utf8"))
    tensors = load_file(folder / "model.safetensors")
    longest = max((term.count(" ") + 1 for term in terms), default=1)
    columns = {term: column for column, term in enumerate(terms)}
    word = re.compile(json.loads((folder / "serving.json").read_text(encoding="utf8"))["word"])
    return TfidfLayer(columns, tensors["idf"], tensors["weight"], tensors["bias"], longest, word)
