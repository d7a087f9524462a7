"""Seed noise: how far a score, or a difference of two, would move under other seeds as well as other rows.

One fine-tuning is one draw. With another seed for head, order and dropout the same recipe gives another model, and a
verdict from one model of each recipe takes the luck of a seed for its merit (Bouthillier et al. 2021, "Accounting for
variance in machine learning benchmarks"). So adapted and base are fine-tuned k times, every metric is the mean over
the k models, and a resample draws rows and seeds jointly, as in the Multi-Bootstrap (Sellam et al. 2022, "The
MultiBERTs", section 3). Number s of adapted and number s of base share their seed, so both are drawn together.

Rows and their stream are those of :mod:`regraft.evaluation.stats.bootstrap`. Seeds are drawn from the same generator under another
key, seed + 2**64: number h at position r * (k - 1) + j is draw j of resample r, the seed floor(h * k / 2**32).

Few seeds make a plain bootstrap too narrow, twice over. k draws of k seeds shrink their variance by (k - 1) / k, so
k - 1 are drawn (Rao & Wu 1988, "Resampling inference with complex survey data"). And k values cannot tell their own
variance well, so the percentile interval is widened about its median by the ratio of Student's quantile to the normal
one, with the degrees of freedom of a sum of two variances (Satterthwaite 1946): those of the rows are many, those of
the seeds k - 1. Seeds that never differ widen nothing. Rows and seeds are crossed, so what a seed does to single rows
counts in both draws, which errs towards wide intervals (Owen 2007, "The pigeonhole bootstrap").
"""

from __future__ import annotations

from dataclasses import replace
from math import floor, sqrt
from statistics import NormalDist

import numpy as np

from regraft.evaluation.stats.bootstrap import interval
from regraft.evaluation.stats.measured import Measured, rounded
from regraft.evaluation.stats.metric import METRICS
from regraft.evaluation.stats.paired import Floats
from regraft.evaluation.stats.power import quantile
from regraft.evaluation.stats.seeded import SeededMeasured

MANY = 1_000
"""Degrees of freedom from which Student's quantile is the normal one: 0.1 % off."""


def shares(count: int, seed: int, resamples: int) -> Floats:
    """[resamples, k] how often each seed was drawn, as a share; the first lines do not depend on how many follow."""
    draws = count - 1
    stream = np.asarray(np.random.Philox(key=seed + (1 << 64)).random_raw((resamples * draws + 1) // 2), dtype="<u8")
    numbers = stream.view("<u4")[: resamples * draws].astype(np.uint64)
    drawn = (numbers * np.uint64(count) >> np.uint64(32)).astype(np.int64).reshape(resamples, draws)
    flat = drawn + count * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * count).reshape(resamples, count) / draws


def measured_by_seeds(
    value: float, resampled: Floats, each: Floats, threshold: float, confidence: float, power: float | None
) -> SeededMeasured:
    """A number with the interval of its joint resamples.

    ``each``: [k] the number for each seed, of which ``value`` is the mean.
    """
    error, seed_error = float(resampled.std()), float(each.std(ddof=1)) / sqrt(len(each))
    student = student_quantile(degrees(error, seed_error, len(each)), confidence)
    middle, ends = float(np.median(resampled)), interval(resampled, confidence)
    low, high = (middle + (end - middle) * student / quantile(confidence) for end in ends)
    effect = (student + NormalDist().inv_cdf(power)) * error if power is not None else 0.0
    numbers = (rounded(value), rounded(low), rounded(high), rounded(threshold))
    return SeededMeasured(
        *numbers, confidence, power, rounded(effect), each=tuple(map(rounded, each.tolist())), error=error, seed_error=seed_error
    )


def within_range(score: Measured, metric: str) -> Measured:
    """The interval of a score cut at what the metric can reach: widening knows no such bound."""
    if not isinstance(score, SeededMeasured):
        return score
    bounds = METRICS[metric]
    return replace(score, low=max(score.low, bounds.least), high=min(score.high, bounds.most))


def degrees(error: float, seed_error: float, count: int) -> int:
    """Degrees of freedom of a variance of which seeds make up a part, rounded down as in tables of Welch's test."""
    if seed_error == 0 or error == 0:
        return MANY
    return floor(min(MANY, (count - 1) * max(1.0, (error / seed_error) ** 4)))


def student_quantile(df: int, confidence: float) -> float:
    """t of a two-sided interval: 4.303 for 2 degrees of freedom and 0.95."""
    if df >= MANY:
        return quantile(confidence)
    from scipy.special import stdtrit  # 0.3 s to import, and only pipelines with a gate `seeds` come here

    return float(stdtrit(df, (1 + confidence) / 2))
