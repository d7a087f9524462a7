"""What a classifier's probabilities are worth, learned on dev rows: a temperature, and a threshold below which it abstains.

Both end in ``calibration.json`` of the model folder, which :mod:`regraft.models.served` reads wherever the model
answers. A folder without the file has temperature 1 and never abstains. Neither changes an answer: dividing logits
by a positive number keeps their order (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regraft.core import files
from regraft.evaluation.stats.proportions import wilson

FILE = "calibration.json"
SCHEMA = 1
BOUNDS = (0.01, 100.0)
"""Bounds of the temperature. A model that tells dev rows no better than chance ends at the upper one: all labels are equally likely."""
CONFIDENCE = 0.9
"""Two-sided, so that the lower end of a share holds with 95 %."""
NEVER = 2.0
"""A threshold that no probability reaches: the model abstains from every text."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Abstain:
    """Below which probability a model does not answer, and what that was chosen on."""

    precision: float
    """The share of right answers asked for."""
    below: float
    """Texts whose best label has a lower probability are not answered; above 1 where no threshold holds."""
    dev_answered: int
    dev_right: int


@dataclass(frozen=True)
class Calibration:
    """The content of ``calibration.json``."""

    temperature: float
    dev_rows: int
    dev_loss_before: float | None
    """Mean negative log-likelihood of the dev rows at temperature 1; None without dev rows."""
    dev_loss: float | None
    """The same at ``temperature``: never more."""
    abstain: Abstain | None = None

    def write(self, folder: Path) -> None:
        """Write it into a model folder, without keys that say nothing."""
        fields = {key: value for key, value in asdict(self).items() if value is not None}
        files.write_json(folder / FILE, {"schema": SCHEMA, **fields})

    def metrics(self) -> dict[str, float]:
        """The numbers that the record of the fitting step holds."""
        numbers = {"temperature": self.temperature}
        if self.abstain:
            numbers |= {"abstain_below": self.abstain.below, "dev_answered": self.abstain.dev_answered, "dev_right": self.abstain.dev_right}
        return numbers


def read(folder: Path) -> dict[str, Any] | None:
    """What a model folder says of its calibration; None for one that was never calibrated."""
    return dict(files.read_json(folder / FILE)) if (folder / FILE).is_file() else None


def calibrate(logits: Floats, truth: ArrayLike, precision: float | None) -> Calibration:
    """Calibrate on dev rows: ``logits`` [n, classes] and the class of each; n may be 0.

    :param precision: the share of right answers that the threshold has to hold; None: the model never abstains.
    """
    classes = np.asarray(truth, dtype=np.int64)
    if not len(classes) or not np.isfinite(logits).all():  # a broken training is for the gates to refuse
        return Calibration(1.0, 0, None, None, None if precision is None else Abstain(precision, NEVER, 0, 0))
    temperature = fit(logits, classes)
    p = softmax(logits, temperature)
    abstain = None if precision is None else threshold(p.max(axis=1), p.argmax(axis=1) == classes, precision)
    before, after = (round(loss(logits, classes, t), 6) for t in (1.0, temperature))
    return Calibration(temperature, len(classes), before, after, abstain)


def fit(logits: Floats, truth: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood, to six decimals; 1 where no other is better.

    A few dev rows that are all right would be best described by a temperature of 0, which is certain of everything.
    So one more row is taken to have been seen whose label may be any, as Platt (1999, "Probabilistic Outputs for
    Support Vector Machines", section 2.2) does for two classes: targets are ``(n * onehot + uniform) / (n + 1)``.
    """
    from scipy.optimize import minimize_scalar

    n = len(truth)

    def smoothed(log_temperature: float) -> float:
        log_p = _log_softmax(logits, exp(log_temperature))
        return float(-(n * log_p[np.arange(n), truth].mean() + log_p.mean()) / (n + 1))

    # Convex in 1 / T, so unimodal in log T: one bounded search finds the minimum.
    minimum = minimize_scalar(smoothed, bounds=tuple(map(log, BOUNDS)), method="bounded", options={"xatol": 1e-7})
    temperature = round(exp(float(minimum.x)), 6)
    return temperature if loss(logits, truth, temperature) < loss(logits, truth, 1.0) else 1.0


def loss(logits: Floats, truth: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(-_log_softmax(logits, temperature)[np.arange(len(truth)), truth].mean())


def softmax(logits: Floats, temperature: float) -> Floats:
    """[n, classes] probabilities."""
    return np.asarray(np.exp(_log_softmax(logits, temperature)))


def _log_softmax(logits: Floats, temperature: float) -> Floats:
    from scipy.special import log_softmax

    return np.asarray(log_softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1))


def threshold(sure: Floats, right: NDArray[np.bool_], precision: float) -> Abstain:
    """The lowest threshold at which the dev rows show ``precision``.

    ``sure``: [n] probability of the best label. "Show" is the lower end of Wilson's 90 % interval of the share of
    right answers: the share itself is an optimist, because the threshold was chosen by it. The threshold lies half
    way to the next row, so that the last bit of a probability decides nothing.
    """
    order = np.argsort(-sure, kind="stable")
    ranked, hits = sure[order], np.cumsum(right[order])
    lasts = [i for i in range(len(ranked)) if i + 1 == len(ranked) or ranked[i + 1] < ranked[i]]  # equal rows stay together
    holds = [i for i in lasts if wilson(int(hits[i]), i + 1, CONFIDENCE)[0] >= precision]
    if not holds:
        return Abstain(precision, NEVER, 0, 0)
    last = holds[-1]
    if last + 1 == len(ranked):
        return Abstain(precision, 0.0, last + 1, int(hits[last]))
    return Abstain(precision, round(float(ranked[last] + ranked[last + 1]) / 2, 6), last + 1, int(hits[last]))
