"""The metrics of a classifier by name: what people call them, which way is better, and what they can reach. Without numpy.

How each is computed stands in :mod:`regraft.evaluation.stats.metrics` and :mod:`regraft.evaluation.stats.ranking`; how a
metric of other answers is resampled, in :mod:`regraft.evaluation.stats.resampling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Metric:
    """One number that says how good answers are."""

    name: str
    """What files and options call it."""
    words: str
    """What a sentence calls it."""
    lower_is_better: bool = False
    """Its differences are then turned round: above 0 is better for every metric."""
    least: float = 0.0
    most: float = 1.0
    """The bounds that no interval leaves."""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("macro_f1", "macro-F1"),
        Metric("accuracy", "accuracy"),
        Metric("micro_f1", "micro-F1"),
        Metric("balanced_accuracy", "balanced accuracy"),
        Metric("mcc", "MCC", least=-1.0),
        Metric("roc_auc", "ROC AUC"),
        Metric("pr_auc", "PR AUC"),
        Metric("log_loss", "log loss", lower_is_better=True, most=inf),
    )
}
"""In the order in which they are reported."""
