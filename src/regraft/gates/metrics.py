"""Metrics from integer counts, over any number of resamples at once.

Counts are exact whatever the order of summation, so two machines can differ in the last bits of one division and
one mean, which the six decimals of a verdict do not show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from regraft.gates.paired import Ints, Paired

Floats = NDArray[np.float64]


def macro_f1(hits: NDArray[np.generic], named: NDArray[np.generic], sizes: Ints) -> Floats:
    """Mean over the K classes of 2 hits / (named + sizes): [..., K] counts -> [...].

    ``hits``: rows of the class that were given it; ``named``: rows of any class that were given it; ``sizes``: rows
    of the class, at least 1, so no F1 is undefined. The same as scikit-learn's ``f1_score(average="macro",
    labels=<the labels that occur>)``: a label that no row has costs recall where it is predicted and is not averaged.
    """
    return np.asarray((2.0 * hits.astype(np.float64) / (named.astype(np.float64) + sizes)).mean(axis=-1))


def accuracy(hits: NDArray[np.generic], sizes: Ints) -> Floats:
    """Share of rows that were given their class: [..., K] counts -> [...]."""
    return np.asarray(hits.astype(np.float64).sum(axis=-1) / sizes.sum())


def scores(paired: Paired, model: str) -> dict[str, float]:
    """``{metric: value}`` of one model on all rows."""
    classes = len(paired.classes)
    hits = np.bincount(paired.truth[paired.right(model)], minlength=classes)
    named = np.bincount(paired.preds[model], minlength=classes + 1)[:classes]
    return {"macro_f1": float(macro_f1(hits, named, paired.sizes)), "accuracy": float(accuracy(hits, paired.sizes))}


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided exact p-value that gained and lost rows are equally likely (McNemar 1947; Dietterich 1998, section 3.1).

    ``gained``: rows right only now; ``lost``: rows right only before. Integer arithmetic up to one division.
    """
    term = total = 1
    for k in range(min(gained, lost)):
        term = term * (gained + lost - k) // (k + 1)
        total += term
    return min(1.0, 2 * total / (1 << (gained + lost)))
