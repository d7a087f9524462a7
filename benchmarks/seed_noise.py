"""How often two equally good recipes are called different: ``python benchmarks/seed_noise.py [TRIALS]``, some minutes.

A recipe's models differ by seed: each has a skill of its own around 0.7. Compared are one model of each by rows alone, as
without a gate ``seeds``, and k of each by rows and seeds together, in accuracy at 95 % on 150 test rows.
"""

from __future__ import annotations

import sys

import numpy as np

from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.paired import Paired
from regraft.evaluation.stats.seed_noise import measured_by_seeds
from regraft.gates.repeats import Repeats, seed_name

ROWS, SKILL = 150, 0.7
ROW_ERROR = (2 * SKILL * (1 - SKILL) / ROWS) ** 0.5
"""Of a difference of two models that err independently."""


def recipes(rng: np.random.Generator, count: int, noise: float) -> Paired:
    """``count`` models of both; ``noise``: standard deviation of a model's skill."""
    truth = np.repeat(np.arange(3), ROWS // 3)
    right = rng.random((2 * count, ROWS)) < SKILL + rng.normal(0, noise, (2 * count, 1))
    names = [seed_name(model, n) for model in ("adapted", "base") for n in range(1, count + 1)]
    said = np.where(right, truth, (truth + 1) % 3)
    return Paired(tuple(map(str, range(ROWS))), ("a", "b", "c"), truth, dict(zip(names, said, strict=True)))


def alarms(count: int, ratio: float, trials: int) -> tuple[float, float]:
    """Shares of test sets with a false alarm: by rows alone, jointly. ``ratio``: deviation by seed over error by rows, of a difference."""
    alone = jointly = 0
    for trial in range(trials):
        paired = recipes(np.random.default_rng(trial), count, ratio * ROW_ERROR / 2**0.5)
        rows = replicates(paired, seed=trial, resamples=399, metrics=["accuracy"])["accuracy"]
        low, high = interval(rows[seed_name("adapted", 1)] - rows[seed_name("base", 1)], 0.95)
        alone += not low <= 0 <= high
        names = {model: [seed_name(model, n) for n in range(1, count + 1)] for model in ("adapted", "base")}
        accuracy = {model: np.array([paired.right(name).mean() for name in each]) for model, each in names.items()}
        each, drawn = accuracy["adapted"] - accuracy["base"], Repeats(count, paired, trial).drawn(rows)
        found = measured_by_seeds(float(each.mean()), drawn["adapted"] - drawn["base"], each, 0.0, 0.95, None)
        jointly += found.outcome() != "inconclusive"
    return alone / trials, jointly / trials


def main(trials: int) -> None:
    print("seeds  seed noise / row noise  rows alone  rows and seeds")
    for count in (3, 5, 10):
        for ratio in (0.0, 0.5, 1.0, 2.0):
            alone, jointly = alarms(count, ratio, trials)
            print(f"{count:>5}  {ratio:>22.1f}  {alone:>9.1%}  {jointly:>13.1%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
