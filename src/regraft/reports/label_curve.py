"""Would more labels help? The TF-IDF baseline, trained again on ever larger parts of the training rows.

The language model itself would cost minutes a point, the baseline costs a second, and both learn from the same rows.
So the level of this curve says nothing about the language model; its slope says whether the labels of this task
still carry news. The parts are nested: each is the beginning of one order of the rows, drawn once from the seed, and
each doubles the one before. Intervals are paired bootstrap intervals on the same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from regraft.core.errors import DataRejected
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.measured import rounded
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Predictions, align
from regraft.reports.measure import Estimate

DOUBLINGS = 6
RESAMPLES = 999
CONFIDENCE = 0.95


@dataclass(frozen=True)
class LabelCurve:
    """Score by number of training rows."""

    metric: str
    rows: tuple[int, ...]
    """Training rows of each point, rising."""
    points: tuple[Estimate, ...]
    lead: Estimate
    """The last point minus the one before it: what the last doubling of the labels bought."""
    kept: int
    """Training rows that the run kept."""
    trained_on: int
    """Training rows that the run had."""


def label_curve(
    train: Mapping[str, Sequence[Any]],
    test: Mapping[str, Sequence[Any]],
    classes: Sequence[str],
    *,
    metric: str,
    seed: int,
    trained_on: int,
    max_ngram: int,
    inverse_regularization: float,
) -> LabelCurve:
    """Refit the baseline on nested parts of ``train`` (text, label) and score each on ``test`` (id, text, label).

    ``metric`` is one of :data:`regraft.evaluation.stats.metrics.COUNTED`. Sizes whose rows hold fewer than two labels are left
    out; DataRejected when fewer than two sizes remain.
    """
    from regraft.models.tfidf import Tfidf

    n = len(train["id"])
    order = np.argsort(np.random.Philox(key=seed).random_raw(n), kind="stable").tolist()
    predictions: dict[str, Predictions] = {}
    for size in sorted({n >> shift for shift in range(DOUBLINGS + 1)}):
        part = order[:size]
        try:
            model = Tfidf.train(
                [train["text"][i] for i in part],
                [train["label"][i] for i in part],
                classes,
                max_ngram=max_ngram,
                inverse_regularization=inverse_regularization,
            )
        except DataRejected:  # one label, or not one word: no model to score
            continue
        answers = model.predict(test["text"]).argmax(axis=1).tolist()
        predictions[str(size)] = Predictions(test["id"], test["label"], [classes[i] for i in answers])
    if len(predictions) < 2:
        raise DataRejected(f"{n} training rows are too few for a learning curve: fewer than two parts of them hold two labels")
    paired = align(predictions)
    resampled = replicates(paired, seed=seed, resamples=RESAMPLES, metrics=[metric])[metric]
    value = {size: scores(paired, size)[metric] for size in predictions}

    def estimate(model: str, against: str | None = None) -> Estimate:
        drawn = resampled[model] - (resampled[against] if against else 0.0)
        low, high = interval(drawn, CONFIDENCE)
        return Estimate(model, against, metric, rounded(value[model] - (value[against] if against else 0.0)), rounded(low), rounded(high))

    *_, before, last = predictions
    return LabelCurve(
        metric, tuple(map(int, predictions)), tuple(estimate(size) for size in predictions), estimate(last, before), n, trained_on
    )
