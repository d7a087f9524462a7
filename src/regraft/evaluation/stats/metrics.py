"""Metrics from integer counts, over any number of resamples at once.

Those from probabilities are in :mod:`regraft.evaluation.stats.ranking`.

Counts are exact whatever the order of summation, so two machines can differ in the last bits of one division and
one mean, which the six decimals of a verdict do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regraft.evaluation.stats.paired import Floats, Ints, Paired


@dataclass(frozen=True)
class Counts:
    """What is left of predictions once only numbers of rows matter; ``...`` is any number of resamples."""

    hits: Ints
    """[..., K] rows of the class that were given it."""
    named: Ints
    """[..., K] rows of any class that were given it."""
    sizes: Ints
    """[K] rows of the class, at least 1."""


def macro_f1(hits: NDArray[np.generic], named: NDArray[np.generic], sizes: Ints) -> Floats:
    """Mean over the K classes of 2 hits / (named + sizes): [..., K] counts -> [...].

    ``sizes`` are at least 1, so no F1 is undefined. The same as scikit-learn's ``f1_score(average="macro",
    labels=<the labels that occur>)``: a label that no row has costs recall where it is predicted and is not averaged.
    """
    return np.asarray((2.0 * hits.astype(np.float64) / (named.astype(np.float64) + sizes)).mean(axis=-1))


def accuracy(hits: NDArray[np.generic], sizes: Ints) -> Floats:
    """Share of rows that were given their class: [..., K] counts -> [...]."""
    return np.asarray(hits.astype(np.float64).sum(axis=-1) / sizes.sum())


def micro_f1(counts: Counts) -> Floats:
    """F1 of all classes taken together. It differs from accuracy where labels are predicted that no row has."""
    return np.asarray(2.0 * counts.hits.sum(axis=-1) / (counts.named.sum(axis=-1) + counts.sizes.sum()))


def balanced_accuracy(counts: Counts) -> Floats:
    """Mean recall of the classes."""
    return np.asarray((counts.hits / counts.sizes).mean(axis=-1))


def mcc(counts: Counts) -> Floats:
    """Matthews' correlation of truth and prediction for K classes (Gorodkin 2004), 0 where one of them is constant.

    ``hits * n - sum(named * sizes)`` over the root of both sides' own; labels that no row has count as one more class.
    """
    n, named = int(counts.sizes.sum()), np.asarray(counts.named, dtype=np.int64)
    other = n - named.sum(axis=-1)
    covariance = counts.hits.sum(axis=-1) * n - named @ counts.sizes
    spread = np.asarray((n * n - (named**2).sum(axis=-1) - other**2) * float(n * n - (counts.sizes**2).sum()))
    return np.asarray(np.divide(covariance, np.sqrt(spread), out=np.zeros(spread.shape), where=spread > 0))


COUNTED: Mapping[str, Callable[[Counts], Floats]] = {
    "macro_f1": lambda c: macro_f1(c.hits, c.named, c.sizes),
    "accuracy": lambda c: accuracy(c.hits, c.sizes),
    "micro_f1": micro_f1,
    "balanced_accuracy": balanced_accuracy,
    "mcc": mcc,
}
"""Metric -> function of counts. Higher is better."""


def counts(paired: Paired, model: str) -> Counts:
    """The counts of one model on all rows."""
    classes = len(paired.classes)
    hits = np.bincount(paired.truth[paired.right(model)], minlength=classes)
    named = np.bincount(paired.preds[model], minlength=classes + 1)[:classes]
    return Counts(hits, named, paired.sizes)


def scores(paired: Paired, model: str) -> dict[str, float]:
    """``{metric: value}`` of one model on all rows, for the metrics of :data:`COUNTED`."""
    counted = counts(paired, model)
    return {name: float(metric(counted)) for name, metric in COUNTED.items()}


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gained and lost rows are equally likely (McNemar 1947; Dietterich 1998, section 3.1).

    ``gained``: rows right only now; ``lost``: rows right only before. Integer arithmetic up to one division: p-values of few
    rows (0 and 4: 0.125) lie where the two digits of a stored sentence are rounded, so the last bit of a library would show.
    """
    term = total = 1
    for k in range(min(gained, lost)):
        term = term * (gained + lost - k) // (k + 1)
        total += term
    return min(1.0, 2 * total / (1 << (gained + lost)))
