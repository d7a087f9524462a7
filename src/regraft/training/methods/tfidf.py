"""``tfidf``: runs of words weighted by TF-IDF, and a logistic regression on them (Joachims 1998, "Text Categorization with Support
Vector Machines", for why so many weak words do well; Wang & Manning 2012, "Baselines and Bigrams", for the pairs).

It reads no encoder, so ``start`` says nothing about it, and it serves from numpy alone. The step ``tfidf`` trains the same model with
settings that are the same for every pipeline, which is what gates hold candidates against; as a candidate it may be released.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from regraft.training.options import MethodOptions
from regraft.training.plugins import Learning, Start

ABSENT = 20.0
"""Nats by which a class that no training row has lies below the rarest: 2e-9 of its probability."""


class TfidfOptions(MethodOptions):
    """Words and runs of words, and a logistic regression on them; no encoder."""

    method: Literal["tfidf"]
    """Words are counted, no encoder is read."""
    max_ngram: int = Field(2, ge=1, le=5)
    """Longest run of words that is a feature."""
    inverse_regularization: float = Field(10.0, gt=0, le=1e4)
    """scikit-learn's C: larger fits the training rows closer."""


class TfidfMethod:
    """:class:`regraft.models.tfidf.Tfidf` as a candidate."""

    name = "tfidf"
    version = 1
    rank = 10
    kind = "tfidf"
    options = TfidfOptions
    starts: tuple[Start, ...] = ()
    extra: str | None = None
    modules: tuple[str, ...] = ()

    def describe(self, options: TfidfOptions) -> dict[str, Any]:
        """What a word is: the folder has to say it, as the kind knows nothing of regraft."""
        from regraft.core.words import TOKEN

        return {"word": TOKEN}

    def train(self, learning: Learning, options: TfidfOptions) -> dict[str, float]:
        """Fit in seconds; returns how many terms there are, and words as tokens."""
        from dataclasses import replace

        import numpy as np

        from regraft.models.tfidf import Tfidf

        rows = learning.training.sort_values("id")
        model = Tfidf.train(
            rows["text"].tolist(),
            rows["label"].tolist(),
            learning.labels,
            max_ngram=options.max_ngram,
            inverse_regularization=options.inverse_regularization,
        )
        known = np.isfinite(model.bias)
        replace(model, bias=np.where(known, model.bias, model.bias[known].min() - np.float32(ABSENT))).save(learning.out)
        return {"tokens": learning.words, "terms": len(model.vocabulary)}


TFIDF = TfidfMethod()
