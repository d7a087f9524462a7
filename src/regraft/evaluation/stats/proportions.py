"""Shares of rows: the paired difference of two of them, the interval of one, and many questions at once.

A slice is often small and its classes smaller, where a bootstrap draws the same few rows again and again and its
intervals are too narrow. Accuracy needs no bootstrap: a paired difference of shares has a score test of its own
(Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17), which holds its level in small samples. Everything works on arrays, one entry a
slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regraft.evaluation.stats.power import quantile

Floats = NDArray[np.float64]
HALVINGS = 50
"""2 / 2**50 is below 1e-14: the interval's ends are exact to the six decimals of a verdict."""


def tango(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, difference: ArrayLike) -> Floats:
    """Score statistic of "the paired difference of shares is ``difference``": standard normal if that is true.

    ``gained``: rows right only now; ``lost``: rows right only before; of ``n``. Positive: the rows show more than
    ``difference``, which lies within (-1, 1). At 0 it is McNemar's (gained - lost) / sqrt(gained + lost). Tango's
    equations 3 and 4; q is the share of lost rows that is most likely if the difference is the asked one.
    """
    b, c, m, d = (np.asarray(x, dtype=np.float64) for x in (gained, lost, n, difference))
    linear = (2 * m - b + c) * d - (b + c)
    q = (np.sqrt(np.maximum(linear**2 + 8 * m * c * d * (1 - d), 0)) - linear) / (4 * m)
    variance = m * (2 * q + d * (1 - d))
    distance = b - c - m * d
    return np.asarray(np.divide(distance, np.sqrt(np.maximum(variance, 0)), out=np.zeros(distance.shape), where=variance > 1e-12))


def tango_interval(gained: ArrayLike, lost: ArrayLike, n: ArrayLike, z: ArrayLike) -> tuple[Floats, Floats]:
    """Every difference that :func:`tango` does not reject at ``z``: (lows, highs)."""
    b, c, m, limit = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (gained, lost, n, z)))
    ends = []
    for target in (limit, -limit):
        low, high = np.full(b.shape, -1.0), np.full(b.shape, 1.0)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = tango(b, c, m, middle) > target  # the statistic falls as the asked difference grows
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        ends.append((low + high) / 2)
    return ends[0], ends[1]


def two_sided(statistic: ArrayLike) -> Floats:
    """p-values of normal statistics."""
    return np.array([erfc(abs(z) / sqrt(2)) for z in np.atleast_1d(statistic).tolist()])


@dataclass(frozen=True)
class Holm:
    """Which of many hypotheses are rejected, and at which level each was asked."""

    rejected: NDArray[np.bool_]
    levels: Floats
    """A hypothesis is rejected exactly when its p-value is at most its level."""


def holm(p: ArrayLike, alpha: float) -> Holm:
    """Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure": at most alpha of all families see a false rejection.

    The k-th smallest p-value (k from 0) of m is held against alpha / (m - k), up to the first that is above it; the
    rest is held against that one's level. Whatever the hypotheses have to do with one another.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = alpha / np.arange(len(values), 0, -1)
    failed = np.flatnonzero(values[order] > steps)
    if len(failed):
        steps[failed[0] :] = steps[failed[0]]
    levels = np.empty(len(values))
    levels[order] = steps
    return Holm(values <= levels, levels)


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Interval of one share, ``hits`` of ``n`` >= 1 (Wilson 1927); at 0 and at n hits it ends exactly at 0 and at 1."""
    z = quantile(confidence)
    centre, half = hits + z * z / 2, z * sqrt(hits * (n - hits) / n + z * z / 4)
    low = 0.0 if hits == 0 else (centre - half) / (n + z * z)
    return low, 1.0 if hits == n else (centre + half) / (n + z * z)
