"""The baseline: runs of one and two words (:mod:`regraft.core.words`) weighted by TF-IDF, and a logistic regression on them.

It costs seconds and reads no pretrained weights; a language model that does not beat it on the same rows has not
earned its keep. The model folder holds no pickle: ``vocabulary.json`` (terms in column order), ``model.safetensors``
(idf [terms], weight [classes, terms], bias [classes]; float32) and ``labels.json`` (the classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.core import files
from regraft.core.errors import DataRejected
from regraft.core.words import TOKEN


def _vectorizer(max_ngram: int, vocabulary: Sequence[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, max_ngram), sublinear_tf=True, token_pattern=TOKEN, vocabulary=vocabulary, dtype=np.float32)


@dataclass(frozen=True)
class Tfidf:
    """A trained baseline."""

    vocabulary: tuple[str, ...]
    idf: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    labels: tuple[str, ...]

    @classmethod
    def train(
        cls, texts: Sequence[str], labels: Sequence[str], classes: Sequence[str], *, max_ngram: int, inverse_regularization: float
    ) -> Tfidf:
        """Fit on training rows; ``classes`` are the columns of the predictions, those without a row have probability 0.

        DataRejected when the rows hold fewer than two labels or not one word.
        """
        from sklearn.linear_model import LogisticRegression

        if len(set(labels)) < 2:
            raise DataRejected(
                f"the training rows hold {len(set(labels))} label(s); a classifier needs at least 2", fix="label rows of another class"
            )
        vectorizer = _vectorizer(max_ngram)
        try:
            features = vectorizer.fit_transform(texts)
        except ValueError as fault:  # "empty vocabulary"
            raise DataRejected(f"no training text holds a word: {fault}", fix="look at the text column of data.labelled") from fault
        model = LogisticRegression(C=inverse_regularization, max_iter=1_000).fit(features, labels)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(coefficients) == 1:  # two classes are one logistic function: the softmax of (0, z)
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercepts)
        # New arrays, so C order: scikit-learn's is Fortran's, which safetensors 0.8 writes as if it were C.
        weight, bias = np.zeros((len(classes), features.shape[1]), np.float32), np.full(len(classes), -np.inf, np.float32)
        column = [list(classes).index(label) for label in model.classes_]
        weight[column], bias[column] = coefficients, intercepts
        return cls(tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_.astype(np.float32), weight, bias, tuple(classes))

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities [texts, labels]."""
        z = self.features(texts) @ self.weight.T + self.bias
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float32)

    def features(self, texts: Sequence[str]) -> Any:
        """TF-IDF vectors: a sparse matrix [texts, terms] of unit length."""
        vectorizer = _vectorizer(max(term.count(" ") for term in self.vocabulary) + 1, self.vocabulary)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(texts)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save

        files.write_json(folder / "vocabulary.json", self.vocabulary)
        files.write_json(folder / "labels.json", self.labels)
        files.write_bytes(folder / "model.safetensors", save({"idf": self.idf, "weight": self.weight, "bias": self.bias}))

    @classmethod
    def load(cls, folder: Path) -> Tfidf:
        from safetensors.numpy import load_file

        tensors = load_file(folder / "model.safetensors")
        vocabulary, labels = files.read_json(folder / "vocabulary.json"), files.read_json(folder / "labels.json")
        return cls(tuple(vocabulary), tensors["idf"], tensors["weight"], tensors["bias"], tuple(labels))
