"""What adaptation was expected to change, and what it changed, over the runs of a pipeline.

The prediction is the plainest one that can be wrong: the mean effect (adapted minus base, in the policy's first metric)
of the pipeline's earlier runs. Its interval is Student's prediction interval for one more observation, mean +- t(k - 1)
s sqrt(1 + 1/k) (Hahn & Meeker 1991, "Statistical Intervals", section 4.7); one earlier run has no spread, and so
gives no interval. It knows nothing of a run's new data, and says so by missing. A run whose models gave the same
answers to the same rows as those of an earlier one is no new observation. Pure: no clock, no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from regraft.evaluation.stats.measured import rounded

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Predicted:
    """The effect that a run's adaptation is expected to have."""

    value: float
    low: float | None
    """None: fewer than two earlier runs. Likewise ``high``."""
    high: float | None
    runs: int
    """Earlier effects that it is the mean of."""


@dataclass(frozen=True)
class Effect:
    """What adaptation changed in one run; above 0 is better for every metric."""

    run: str
    metric: str
    answers: str
    """Digest of the test rows, and of value and interval on them: where all are the same, so were the answers. Digests of the
    models would tell models apart that differ in a threshold or a temperature alone."""
    value: float
    low: float
    high: float
    n: int
    """Test rows."""
    predicted: Predicted | None

    @property
    def held(self) -> bool | None:
        """Whether the prediction's interval holds the effect; None: there was none."""
        if self.predicted is None or self.predicted.low is None or self.predicted.high is None:
            return None
        return self.predicted.low <= self.value <= self.predicted.high


@dataclass(frozen=True)
class Calibration:
    """How good the predictions were, beside the one that costs nothing: no effect at all."""

    predictions: int
    error: float
    """Mean absolute error of the predictions."""
    error_of_none: float
    """The same, had 0 been predicted each time."""
    with_interval: int
    held: int


def predict(earlier: Sequence[Effect], metric: str) -> Predicted | None:
    """From the effects of earlier runs, oldest first; None where none was measured in ``metric``."""
    values = [effect.value for effect in earlier if effect.metric == metric]
    if not values:
        return None
    mean = fmean(values)
    if len(values) == 1:
        return Predicted(rounded(mean), None, None, 1)
    from scipy.stats import t

    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * stdev(values) * sqrt(1 + 1 / len(values))
    return Predicted(rounded(mean), rounded(mean - reach), rounded(mean + reach), len(values))


def calibration(effects: Sequence[Effect]) -> Calibration | None:
    """Of the effects that were predicted; None where none was."""
    errors = [abs(effect.value - effect.predicted.value) for effect in effects if effect.predicted]
    if not errors:
        return None
    none = [abs(effect.value) for effect in effects if effect.predicted]
    held = [effect.held for effect in effects if effect.held is not None]
    return Calibration(len(errors), rounded(fmean(errors)), rounded(fmean(none)), len(held), sum(held))
