"""Any metric under the bootstrap of :mod:`regraft.evaluation.stats.bootstrap`: all it has to know is how often each row was drawn.

A metric is of one of two kinds.

- **Additive**: a function of sums over rows. F1 of spans is one (spans found, named and true), and so are ROUGE (a mean),
  BLEU (matches and lengths), perplexity and log loss. Its rows give their statistics once; a resample adds them up.
- **Weighted**: any function of how often each row was drawn, such as ROC AUC, a calibration error or Spearman's rank
  correlation, which no sum over rows gives.

Both are a :data:`Scorer` and get the same draws, so their findings never contradict one another. Metrics of
classes counted from answers, which are additive too, have a faster way: rows that are alike are counted together
(:func:`regraft.evaluation.stats.bootstrap.class_counts`).

Coverage of the 95 % interval of a difference of two models, 1,000 simulations each (``benchmarks/coverage.py``), with 60 and with
300 rows: accuracy of six classes 92.8 and 94.3 %, macro-F1 92.6 and 94.3 %, F1 of spans 95.5 and 95.0 %, a mean over rows 93.5 and
94.5 %, Spearman's correlation 95.4 and 95.1 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from regraft.evaluation.stats.paired import Floats, Ints, Strata

BLOCK = 1 << 18
"""Draws handled at once: 2 MB of int64, which stays in a core's cache."""

Scorer = Callable[[Ints], Mapping[str, Floats]]
"""[block, n] how often each row was drawn -> metric -> [block]: one model's values on a block of resamples.

It may depend on the drawn numbers alone, line by line, and adds in an order of its own: a matrix product of floats goes
through BLAS, which adds in another order on every processor.
"""
Replicates = Mapping[str, Mapping[str, Floats]]
"""metric -> model -> [resamples]; position r belongs to the same resample for every model."""


@dataclass(frozen=True)
class Additive:
    """Metrics that are functions of the same sums over rows."""

    statistics: Ints | Floats
    """[n, s] what each row adds: integers where it counts something, which are summed exactly."""
    metrics: Mapping[str, Callable[[Floats], Floats]]
    """Metric -> function of sums: [..., s] -> [...]."""

    def __call__(self, drawn: Ints) -> Mapping[str, Floats]:
        columns = [(drawn * column).sum(axis=-1, dtype=column.dtype) for column in self.statistics.T]
        sums = np.stack(columns, axis=-1).astype(np.float64)
        return {name: np.asarray(of_sums(sums)) for name, of_sums in self.metrics.items()}


def resampled(strata: Strata, scorers: Mapping[str, Scorer], *, seed: int, resamples: int) -> Replicates:
    """Every metric of every model on the same ``resamples`` stratified resamples of n rows.

    :param scorers: model -> its scorer; its rows have the order of ``strata``.
    """
    replicates: dict[str, dict[str, Floats]] = {}
    for start, drawn in row_counts(strata, seed=seed, resamples=resamples):
        for model, scorer in scorers.items():
            for metric, values in scorer(drawn).items():
                of_model = replicates.setdefault(metric, {}).setdefault(model, np.empty(resamples))
                of_model[start : start + len(values)] = values
    return replicates


def on_all_rows(scorer: Scorer, rows: int) -> dict[str, float]:
    """metric -> its value where each of ``rows`` counts once."""
    return {name: float(value[0]) for name, value in scorer(np.ones((1, rows), dtype=np.int64)).items()}


def row_counts(strata: Strata, *, seed: int, resamples: int) -> Iterator[tuple[int, Ints]]:
    """Blocks (first resample, [block, n] how often each row was drawn)."""
    for start, rows in draws(strata, seed, resamples):
        yield start, times(rows, len(strata.of))


def times(cells: Ints, size: int) -> Ints:
    """[block, n] numbers below ``size`` -> [block, size] how often each stands in its line."""
    flat = cells + size * np.arange(len(cells))[:, None]
    return np.bincount(flat.ravel(), minlength=len(cells) * size).reshape(len(cells), size)


def draws(strata: Strata, seed: int, resamples: int) -> Iterator[tuple[int, Ints]]:
    """Blocks (first resample, [block, n] drawn rows); the numbers do not depend on the size of a block.

    The stream is part of the evidence and must be the same in ten years: the 64-bit words of Philox-4x64-10 with the seed
    as key and the counter at 0, each split into its low and then its high 32 bits. Number h at position r * n + j draws,
    for the j-th row of resample r, the row floor(h * size / 2**32) of that row's stratum: biased by less than
    size / 2**32.
    """
    stream = np.random.Philox(key=seed)
    size = strata.sizes[strata.of].astype(np.uint64)
    offset = np.array([0, *accumulate(strata.sizes.tolist())], dtype=np.uint64)[strata.of]
    n = len(size)
    block = max(2, BLOCK // n // 2 * 2)  # even: a block ends at the end of a 64-bit word
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        words = np.asarray(stream.random_raw((rows * n + 1) // 2), dtype="<u8")
        numbers = words.view("<u4")[: rows * n].reshape(rows, n)
        drawn = np.multiply(numbers, size, dtype=np.uint64)
        drawn >>= np.uint64(32)
        drawn += offset
        yield start, drawn.view(np.int64)
