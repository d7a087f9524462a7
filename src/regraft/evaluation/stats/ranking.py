"""Metrics from probabilities, over any number of resamples at once: ROC AUC, PR AUC, log loss.

The two areas are one-vs-rest and the mean over the classes; with two classes whose probabilities sum to 1, ROC AUC is
the usual binary one. A resample is how often each row was drawn. Rows are sorted by their probability of a class
once; in a resample, positives and negatives are then counted between the distinct scores of the positives, so areas
come from integer counts too. One value agrees with scikit-learn's ``roc_auc_score(multi_class="ovr")``,
``average_precision_score`` and ``log_loss`` of the same float32 probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from regraft.evaluation.stats.counting import GroupSum
from regraft.evaluation.stats.paired import Floats, Ints, Paired
from regraft.evaluation.stats.resampling import Additive, Scorer, on_all_rows

RANKED = ("roc_auc", "pr_auc", "log_loss")
SMALLEST = float(np.finfo(np.float32).eps)
"""A probability below this counts as this, as in scikit-learn: one row must not make the mean infinite."""


@dataclass(frozen=True)
class Areas:
    """[..., K] one-vs-rest areas; NaN where there is no negative row."""

    roc: Floats
    pr: Floats


class Ranking:
    """One model's probabilities, sorted once for every class."""

    def __init__(self, paired: Paired, model: str) -> None:
        p, truth = paired.probabilities[model], paired.truth
        self.sizes = paired.sizes
        self.classes = [_OneClass(p[:, k], truth == k) for k in range(len(paired.classes))]

    def areas(self, drawn: Ints) -> Areas:
        """``drawn``: [block, n] how often each row was drawn, class sizes kept -> [block, K] areas."""
        by_class = [ranked.areas(drawn) for ranked in self.classes]
        return Areas(np.stack([roc for roc, _ in by_class], axis=-1), np.stack([pr for _, pr in by_class], axis=-1))

    def __call__(self, drawn: Ints) -> dict[str, Floats]:
        """The areas on every resample, each the mean over the classes: a weighted metric."""
        areas = self.areas(drawn)
        return {"roc_auc": areas.roc.mean(axis=-1), "pr_auc": areas.pr.mean(axis=-1)}


def log_loss(paired: Paired, model: str) -> Additive:
    """The mean over rows of minus the logarithm of the true class's probability."""
    of_truth = paired.probabilities[model][np.arange(len(paired.ids)), paired.truth]
    losses = -np.log(np.clip(of_truth, SMALLEST, 1 - SMALLEST))
    return Additive(np.stack([losses, np.ones(len(losses))], axis=-1), {"log_loss": lambda sums: sums[..., 0] / sums[..., 1]})


def scorer(paired: Paired, model: str, metrics: Sequence[str] = RANKED) -> Scorer:
    """What gives ``metrics`` of ``model`` on any resample; rows are sorted only where an area is asked for."""
    parts: list[Scorer] = [log_loss(paired, model)] if "log_loss" in metrics else []
    if {"roc_auc", "pr_auc"} & set(metrics):
        parts.append(Ranking(paired, model))

    def values(drawn: Ints) -> dict[str, Floats]:
        return {name: value for part in parts for name, value in part(drawn).items() if name in metrics}

    return values


class _OneClass:
    """One class against the rest. Distinct scores of positives, from high to low, are numbered g = 0..m-1."""

    def __init__(self, score: Floats, positive: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        steps = -np.unique(-score[positive])
        self.positives, self.negatives = int(positive.sum()), int((~positive).sum())
        # Negatives: 2g above step g and below the one before it, 2g + 1 at step g, 2m below all.
        above = np.searchsorted(-steps, -score, side="left")
        at = (above < len(steps)) & (score == steps[np.minimum(above, len(steps) - 1)])
        self.count_positive = GroupSum(above, positive, len(steps))
        self.count_negative = GroupSum(2 * above + at, ~positive, 2 * len(steps) + 1)

    def areas(self, drawn: Ints) -> tuple[Floats, Floats]:
        if not self.negatives:
            nothing = np.full(len(drawn), np.nan)
            return nothing, nothing
        true, false = self.count_positive(drawn), np.cumsum(self.count_negative(drawn), axis=1)
        at_least, higher = false[:, 1::2], false[:, 0:-1:2]  # negatives with this score or more, with more
        pairs = self.positives * self.negatives
        roc = 1 - (true * (at_least + higher)).sum(axis=1) / (2 * pairs)  # a tie is half an inversion
        hits = np.cumsum(true, axis=1)
        precision = np.divide(hits, hits + at_least, out=np.zeros(hits.shape), where=hits > 0)
        return np.asarray(roc), np.asarray((true * precision).sum(axis=1) / self.positives)


def scores(paired: Paired, model: str) -> dict[str, float]:
    """``{metric: value}`` on all rows, for :data:`RANKED`, in the order in which stored measurements list them."""
    return on_all_rows(scorer(paired, model), len(paired.ids))
