"""From how many labels a class on one way of training is better than another: where two learning curves cross, with its interval.

Both ways were trained on the same nested subsets of the training rows, each class with as many rows as any other, several times with other
rows (draws). The crossing is the last one: below it the way for few labels leads at some size, above it the other leads at every size
measured. Between two sizes it is placed by a straight line over the logarithm of the size. The interval is a paired percentile bootstrap:
dev rows are drawn again as in :mod:`regraft.evaluation.stats.bootstrap`, and the draws of training rows with them (Efron & Tibshirani 1993,
"An Introduction to the Bootstrap", chapter 13), each resample with a crossing of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regraft.core.randomness import uniform
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Floats, Predictions, align

CONFIDENCE = 0.95
RESAMPLES = 1_999
"""(RESAMPLES + 1) * 0.025 is whole. Two dozen models are compared, so that ten thousand would take a minute."""
METRIC = "macro_f1"
FEW, FULL = "few", "full"
Key = tuple[str, int, int]
"""(FEW or FULL, training rows a class, draw)."""


@dataclass(frozen=True)
class SwitchPoint:
    """Where fine-tuning becomes the better way, in training rows a class."""

    sizes: tuple[int, ...]
    """Rows a class that were measured, rising."""
    few: tuple[float, ...]
    """Of each size the score of the way for few labels, the mean of its draws."""
    full: tuple[float, ...]
    value: float
    """0: below the smallest size; infinite: above the largest."""
    low: float
    high: float
    draws: int
    """How often the rows of each size were drawn."""
    n: int
    """Dev rows that every model answered."""

    @property
    def few_to(self) -> int | None:
        """Most rows of the rarest class for which the way for few labels may be the better one; None: no number is known to be more."""
        return None if math.isinf(self.high) else max(math.floor(self.high), self.sizes[0])

    @property
    def full_from(self) -> int | None:
        """Fewest rows of the rarest class for which fine-tuning may be the better one; None: it may be for any number."""
        if not self.low:
            return None
        return self.sizes[-1] + 1 if math.isinf(self.low) else math.ceil(self.low)


def name_of(key: Key) -> str:
    """What the model of ``key`` is called where all are compared."""
    return "-".join(map(str, key))


def switch_point(answers: Mapping[Key, Predictions], *, seed: int, resamples: int = RESAMPLES) -> SwitchPoint:
    """The crossing of the curves behind ``answers`` to dev rows: of both ways, at each size, in each draw."""
    sizes = tuple(sorted({size for _, size, _ in answers}))
    draws = tuple(sorted({draw for *_, draw in answers}))
    paired = align({name_of(key): answers[key] for key in answers})
    moved = replicates(paired, seed=seed, resamples=resamples, metrics=(METRIC,))[METRIC]
    once = {name: np.array([scores(paired, name)[METRIC]]) for name in paired.preds}
    again = np.floor(uniform(resamples * len(draws), seed, "switch point") * len(draws)).astype(np.int64).reshape(resamples, len(draws))
    leads = _leads(moved, sizes, draws)  # [resamples, sizes, draws]
    drawn = np.take_along_axis(leads, np.broadcast_to(again[:, None, :], leads.shape), axis=2).mean(axis=2)
    low, high = interval(crossings(drawn, sizes), CONFIDENCE)
    few, full = ([float(np.mean([once[name_of((way, size, draw))] for draw in draws])) for size in sizes] for way in (FEW, FULL))
    (value,) = crossings(_leads(once, sizes, draws).mean(axis=2), sizes)
    return SwitchPoint(sizes, tuple(few), tuple(full), float(value), low, high, len(draws), len(paired.truth))


def _leads(scored: Mapping[str, Floats], sizes: Sequence[int], draws: Sequence[int]) -> Floats:
    """By how much fine-tuning is better: ``[resamples, sizes, draws]``."""
    way = {name: [[scored[name_of((name, size, draw))] for draw in draws] for size in sizes] for name in (FEW, FULL)}
    return np.moveaxis(np.asarray(way[FULL]) - np.asarray(way[FEW]), 2, 0)


def crossings(leads: Floats, sizes: Sequence[int]) -> Floats:
    """Of each line of ``[lines, sizes]`` the size from which it is 0 or more up to the last; 0: it is throughout; infinite: at none."""
    scale = np.log2(np.asarray(sizes, dtype=np.float64))
    found = np.zeros(len(leads))
    for line, lead in enumerate(leads):
        behind = np.flatnonzero(lead < 0)
        if not len(behind):
            continue
        last = behind[-1]
        if last == len(sizes) - 1:
            found[line] = np.inf
        else:
            share = -lead[last] / (lead[last + 1] - lead[last])
            found[line] = 2.0 ** (scale[last] + share * (scale[last + 1] - scale[last]))
    return found
