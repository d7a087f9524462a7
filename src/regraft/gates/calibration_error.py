"""How far a model's probabilities are from how often it is right: ECE, the Brier score, and what is left when it abstains.

**ECE** (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, section 3) of the best label: rows are sorted by its
probability and cut into bins of equally many rows (Nixon et al. 2019, "Measuring Calibration in Deep Learning"),
``sum over bins of |sum over rows of (right - p)| / n``. Noise never cancels under an absolute value, so the plain
number is too high: 0.039 where the truth is 0, of 800 rows in 15 bins. And a resample adds the noise once more: a
percentile interval of a model without error lay above 0 in all of 200 simulations. Hence

- the value: less the bias that the bootstrap shows, ``2 * ece - mean(ece*)``;
- the upper end: the basic bootstrap's, ``2 * ece - q(ece*)`` (Davison & Hinkley 1997, section 5.2);
- the lower end: ``ece - q(sum over bins of |d* - d|)``, which by the triangle inequality is below the truth as often as
  it says, however near to 0 the truth is.

**Brier score** for K classes (Brier 1950): mean over rows of ``sum over classes of (p - [class is true])^2``, 0 to 2; all
classes the model knows count, also those that no test row has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from regraft.evaluation.stats.bootstrap import interval
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.paired import Floats, Ints
from regraft.evaluation.stats.power import POWER, detectable
from regraft.evaluation.stats.resampling import row_counts
from regraft.gates.comparison import Comparison

MOST_BINS, FEWEST_BINS, ROWS_A_BIN = 15, 5, 50
"""15 is Guo et al.'s number; fewer where bins would have fewer than 50 rows."""


@dataclass(frozen=True)
class Sure:
    """What one model was sure of, rows in the order of ``Comparison.paired``."""

    p: Floats
    """[n] probability of the best label."""
    right: Floats
    """[n] whether that label is right: 1 or 0."""
    brier: Floats
    """[n] Brier score of each row."""
    bins: Ints
    """[n] bin of each row, the least sure first."""

    @property
    def n(self) -> int:
        return len(self.p)

    @property
    def count(self) -> int:
        """How many bins there are; each has a row."""
        return int(self.bins.max()) + 1

    @cached_property
    def gaps(self) -> Floats:
        """[n] what each row adds to its bin's gap between right and p."""
        return (self.right - self.p) / self.n

    def drawn(self, times: Ints) -> tuple[Floats, Floats]:
        """``times``: [block, n] how often each row was drawn -> [block, bins] gaps and [block] Brier scores.

        No matrix products: BLAS adds in another order on every processor.
        """
        by_bin = np.argsort(self.bins, kind="stable")
        starts = np.searchsorted(self.bins[by_bin], np.arange(self.count))
        gaps = np.add.reduceat(np.take(times, by_bin, axis=1) * self.gaps[by_bin], starts, axis=1)
        return gaps, (times * (self.brier / self.n)).sum(axis=1)


def sure(comparison: Comparison, model: str) -> Sure | None:
    """What ``model`` was sure of; None where it gave no probabilities."""
    answers = comparison.case.predictions[model]
    if answers.p is None:
        return None
    place = {row: position for position, row in enumerate(answers.ids)}
    order = [place[row] for row in comparison.paired.ids]
    p = np.asarray(answers.p, dtype=np.float64)[order]
    column = {label: number for number, label in enumerate(answers.columns)}
    truth = np.array([column.get(answers.labels[i], -1) for i in order])
    has_column = truth >= 0
    of_truth = np.where(has_column, p[np.arange(len(p)), truth], 0.0)
    right = np.array([answers.labels[i] == answers.preds[i] for i in order], dtype=np.float64)
    best = p.max(axis=1)
    return Sure(best, right, (p**2).sum(axis=1) - 2 * of_truth + 1, equal_mass(best))


def equal_mass(p: Floats) -> Ints:
    """[n] bin of each row, of equally many rows; rows that are equally sure share a bin, so ties can leave fewer or uneven ones."""
    n = len(p)
    count = min(MOST_BINS, max(FEWEST_BINS, n // ROWS_A_BIN), n)
    cuts = np.sort(p)[np.arange(1, count) * n // count]
    return np.unique(np.searchsorted(cuts, p, side="right"), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Calibrated:
    """ECE and Brier score of one model, each with its interval; ``plain_ece`` before the bias was taken off."""

    sure: Sure
    ece: Measured
    brier: Measured
    plain_ece: float


def measure(comparison: Comparison, sure: Sure, confidence: float, max_ece: float = 0.0, max_brier: float = 0.0) -> Calibrated:
    """Both numbers on the verdict's own resamples."""
    policy = comparison.case.policy
    drawn = [sure.drawn(times) for _, times in row_counts(comparison.paired.strata, seed=policy.seed, resamples=policy.resamples)]
    gaps, brier = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    bin_gaps = np.bincount(sure.bins, weights=sure.gaps)
    plain, eces = float(np.abs(bin_gaps).sum()), np.abs(gaps).sum(axis=1)
    noise = np.abs(gaps - bin_gaps).sum(axis=1)
    low, high = max(0.0, plain - interval(noise, confidence)[1]), max(0.0, 2 * plain - interval(eces, confidence)[0])
    value = min(max(2 * plain - float(eces.mean()), low), high)
    power = policy.power or POWER
    effect = detectable(float(eces.std()), confidence, power)
    ece = Measured(rounded(value), rounded(low), rounded(high), rounded(max_ece), confidence, power, rounded(effect))
    mean = float(sure.brier.mean())
    return Calibrated(sure, ece, comparison.measured(mean, brier, np.array([mean]), max_brier, confidence), rounded(plain))
