"""How often a 95 % interval holds the true difference of two models: ``python benchmarks/coverage.py [TRIALS]``, some minutes.

An additive metric (F1 of spans), one that is a mean over rows (as ROUGE is), and a weighted one (Spearman's rank correlation of
a score with the truth), beside accuracy and macro-F1 of counted classes. The truth is measured on 200,000 rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Floats, Ints, Paired, Strata
from regraft.evaluation.stats.resampling import Additive, Scorer, on_all_rows, resampled

TRUE_ROWS = 200_000
MODELS = {"a": 0.72, "b": 0.66}
"""Skill of each: how often a part of a row comes out right."""


def span_f1(rng: np.random.Generator, n: int) -> dict[str, Scorer]:
    """Rows hold 0 to 5 spans, of which the models name the same hard ones wrongly; each names a few that are none."""
    true, hard = rng.poisson(2, n).clip(0, 5), rng.beta(4, 4, n) - 0.5
    scorers: dict[str, Scorer] = {}
    for model, skill in MODELS.items():
        right = rng.binomial(true, (skill - 0.4 * hard).clip(0, 1))
        named = right + rng.poisson(0.4, n)
        scorers[model] = Additive(np.stack([right, named, true], axis=-1), {"metric": lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2])})
    return scorers


def mean_of_rows(rng: np.random.Generator, n: int) -> dict[str, Scorer]:
    """A skewed score of each row, from 0 to 1."""
    ease = rng.normal(0, 1, n)
    values = {model: 1 / (1 + np.exp(-(ease + rng.normal(4 * skill - 3, 1.0, n)))) for model, skill in MODELS.items()}
    return {m: Additive(np.stack([v, np.ones(n)], axis=-1), {"metric": lambda s: s[..., 0] / s[..., 1]}) for m, v in values.items()}


def spearman(rng: np.random.Generator, n: int) -> dict[str, Scorer]:
    """Scores that follow a true number of each row with noise."""
    truth = rng.gamma(2.0, size=n)
    return {model: _rank_correlation(truth, truth + rng.normal(0, 2.2 - 2 * skill, n)) for model, skill in MODELS.items()}


def _rank_correlation(truth: Floats, score: Floats) -> Scorer:
    def values(drawn: Ints) -> dict[str, Floats]:
        return {"metric": np.array([_weighted(truth, score, row) for row in drawn])}

    return values


def _weighted(truth: Floats, score: Floats, times: Ints) -> float:
    rows = np.repeat(np.arange(len(truth)), times)
    return float(np.corrcoef(rankdata(truth[rows]), rankdata(score[rows]))[0, 1])


def classes(rng: np.random.Generator, n: int) -> Paired:
    """Six classes of equally many rows, some harder than others."""
    truth = np.repeat(np.arange(6), n // 6)
    ease, same = np.linspace(-0.2, 0.15, 6)[truth], rng.random(len(truth)) < 0.5
    shared, wrong = rng.random(len(truth)), (truth + rng.integers(1, 6, len(truth))) % 6
    draw = {model: np.where(same, shared, rng.random(len(truth))) for model in MODELS}
    answers = {model: np.where(draw[model] < skill + ease, truth, wrong) for model, skill in MODELS.items()}
    return Paired(tuple(map(str, range(len(truth)))), tuple("abcdef"), truth, answers)


def of_rows(sample: Callable[[np.random.Generator, int], dict[str, Scorer]], rows: int, trials: int, resamples: int) -> float:
    exact = {model: on_all_rows(scorer, TRUE_ROWS)["metric"] for model, scorer in sample(np.random.default_rng(1), TRUE_ROWS).items()}
    covered = 0
    for trial in range(trials):
        drawn = resampled(Strata.one(rows), sample(np.random.default_rng(100 + trial), rows), seed=trial, resamples=resamples)["metric"]
        low, high = interval(drawn["a"] - drawn["b"], 0.95)
        covered += low <= exact["a"] - exact["b"] <= high
    return covered / trials


def of_classes(metric: str, rows: int, trials: int, resamples: int) -> float:
    population = classes(np.random.default_rng(1), TRUE_ROWS)
    exact = scores(population, "a")[metric] - scores(population, "b")[metric]
    covered = 0
    for trial in range(trials):
        drawn = replicates(classes(np.random.default_rng(100 + trial), rows), seed=trial, resamples=resamples, metrics=[metric])[metric]
        low, high = interval(drawn["a"] - drawn["b"], 0.95)
        covered += low <= exact <= high
    return covered / trials


def main(trials: int, resamples: int = 399) -> None:
    print("metric            rows  covered")
    for rows in (60, 300):
        for metric in ("accuracy", "macro_f1"):
            print(f"{metric:<16}  {rows:>4}  {of_classes(metric, rows, trials, resamples):>7.1%}", flush=True)
        for sample in (span_f1, mean_of_rows, spearman):
            print(f"{sample.__name__:<16}  {rows:>4}  {of_rows(sample, rows, trials, resamples):>7.1%}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
