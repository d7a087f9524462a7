"""The numbers of a page, from predictions alone. Pure: no file, no model, no clock.

Scores and differences come from the resamples of the verdict (:mod:`regraft.evaluation.stats.bootstrap`), so a page and a verdict
never disagree. Intervals of a slice are Wilson's score intervals (Wilson 1927; Agresti & Coull 1998), which hold
their coverage for the few rows a slice has. F1 of a class is 2J / (1 + J) with J = hits / (hits + misses + false
alarms), a proportion of rows (Hand, Christen & Kirielle 2021, "F*: an interpretable transformation of the
F-measure"): its interval is J's, sent through the same function.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.paired import Paired
from regraft.evaluation.stats.proportions import wilson
from regraft.gates.comparison import Comparison

CONFIDENCE = 0.95
"""Coverage of the interval of a slice."""
MIN_ROWS = 10
"""A value of a column with fewer test rows is not a slice: its interval would span half the scale."""


@dataclass(frozen=True)
class Estimate:
    """A score or a difference of two, with its interval."""

    model: str
    against: str | None
    """None: ``value`` is the model's score; else its score minus this model's."""
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Slice:
    """How the candidate does on one part of the test rows."""

    column: str
    """``label``, or a column of the data."""
    value: str
    n: int
    accuracy: float
    low: float
    """95 % interval of the accuracy, as ``high``."""
    high: float
    before: float | None
    """Accuracy of the model compared with; None: there is no such model."""
    f1: float | None
    """F1 of a class; None for any other slice. Likewise the two ends of its 95 % interval."""
    f1_low: float | None
    f1_high: float | None


@dataclass(frozen=True)
class Confusion:
    """[truth, prediction] counts over ``labels``, and which mistakes are the most frequent."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    mixups: tuple[tuple[str, str, int, int], ...]
    """(truth, prediction, rows, rows of this truth), most rows first."""


def estimates(comparison: Comparison, metrics: Sequence[str], confidence: float) -> Iterator[Estimate]:
    """Every model's scores, the candidate's first, then the candidate's lead over every other one.

    A lead above 0 is better for every metric. What a metric does not define for a model is left out.
    """
    candidate, scores = comparison.candidate, comparison.scores
    known = (candidate, "champion", "adapted", "base", "tfidf")
    order = sorted(comparison.paired.preds, key=lambda model: known.index(model) if model in known else len(known))
    for metric in metrics:
        defined = [model for model in order if not isnan(scores[model].get(metric, float("nan")))]
        for model in defined:
            yield _estimate(model, None, metric, comparison.score(model, metric, confidence))
        for other in defined if candidate in defined else ():
            if other != candidate:
                yield _estimate(candidate, other, metric, comparison.difference(candidate, other, metric, confidence))


def _estimate(model: str, against: str | None, metric: str, measured: Measured) -> Estimate:
    return Estimate(model, against, metric, measured.value, measured.low, measured.high)


def _share(hits: int, n: int) -> tuple[float, float]:
    low, high = wilson(hits, n, CONFIDENCE)
    return rounded(low), rounded(high)


def class_slices(paired: Paired, model: str, before: str | None) -> list[Slice]:
    """One slice a class, the surely worst first: by the upper end of the accuracy's interval."""
    classes = len(paired.classes)
    right = paired.right(model)
    hits = np.bincount(paired.truth[right], minlength=classes)
    named = np.bincount(paired.preds[model], minlength=classes + 1)[:classes]
    earlier = np.bincount(paired.truth[paired.right(before)], minlength=classes) if before else None
    slices = []
    for index, label in enumerate(paired.classes):
        n, hit = int(paired.sizes[index]), int(hits[index])
        rows = n + int(named[index]) - hit
        f1 = [rounded(2 * j / (1 + j)) for j in (hit / rows, *_share(hit, rows))]
        accuracy_before = rounded(int(earlier[index]) / n) if earlier is not None else None
        slices.append(Slice("label", label, n, rounded(hit / n), *_share(hit, n), accuracy_before, *f1))
    return _worst_first(slices)


def column_slices(paired: Paired, model: str, before: str | None, column: str, values: Mapping[str, str]) -> list[Slice]:
    """One slice for each value of ``column`` (row id -> value) with at least MIN_ROWS rows, the surely worst first.

    Empty when there are fewer than two such values: then there is nothing to compare.
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(paired.ids):
        if row in values:
            rows[values[row]].append(index)
    right = paired.right(model)
    earlier = paired.right(before) if before else None
    slices = []
    for value, indices in rows.items():
        n = len(indices)
        if n >= MIN_ROWS:
            hit = int(right[indices].sum())
            accuracy_before = rounded(int(earlier[indices].sum()) / n) if earlier is not None else None
            slices.append(Slice(column, value, n, rounded(hit / n), *_share(hit, n), accuracy_before, None, None, None))
    return _worst_first(slices) if len(slices) > 1 else []


def _worst_first(slices: list[Slice]) -> list[Slice]:
    return sorted(slices, key=lambda s: (s.high, s.accuracy, -s.n, s.value))


def confusion(truth: Sequence[str], preds: Sequence[str], labels: Sequence[str], most: int = 15) -> Confusion:
    """Counts over ``labels``, which hold every label that occurs, and the ``most`` frequent mix-ups."""
    index = {label: number for number, label in enumerate(labels)}
    pairs = Counter(zip(truth, preds, strict=True))
    counts: NDArray[np.int64] = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (true, pred), n in pairs.items():
        counts[index[true], index[pred]] = n
    sizes = Counter(truth)
    wrong = sorted(((t, p, n, sizes[t]) for (t, p), n in pairs.items() if t != p), key=lambda m: (-m[2], m[3], m[0], m[1]))
    return Confusion(tuple(labels), tuple(tuple(row) for row in counts.tolist()), tuple(wrong[:most]))
