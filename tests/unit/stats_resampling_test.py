"""Metrics that no class counts give: sums over rows, and functions of the draws, against the plain computation on the drawn rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from regraft.evaluation.stats import metrics, ranking
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metric import METRICS
from regraft.evaluation.stats.paired import Paired, Predictions, Strata, align
from regraft.evaluation.stats.resampling import Additive, on_all_rows, resampled, row_counts


def span_f1(statistics):
    return Additive(statistics, {"f1": lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2]), "precision": lambda s: s[..., 0] / s[..., 1]})


def spans(rng: np.random.Generator, n: int, skill: float) -> np.ndarray:
    """[n, 3] spans of each row that are right, named and true."""
    true = rng.poisson(2, n) + 1
    right = rng.binomial(true, skill)
    return np.stack([right, right + rng.poisson(0.5, n), true], axis=-1)


def rank_correlation(truth, score):
    def values(drawn):
        every = np.arange(len(truth))
        rows = [np.repeat(every, times) for times in drawn]
        return {"spearman": np.array([spearmanr(truth[r], score[r]).statistic for r in rows])}

    return values


def test_every_resample_has_the_metrics_of_the_rows_it_drew():
    rng = np.random.default_rng(0)
    statistics, truth = spans(rng, 40, 0.7), rng.normal(size=40)
    score = truth + rng.normal(size=40)

    def both(drawn):
        return {**span_f1(statistics)(drawn), **rank_correlation(truth, score)(drawn)}

    replicated = resampled(Strata.one(40), {"m": both}, seed=3, resamples=25)
    ((_, drawn),) = row_counts(Strata.one(40), seed=3, resamples=25)
    for r in range(25):
        rows = np.repeat(np.arange(40), drawn[r])
        right, named, true = statistics[rows].sum(axis=0)
        assert replicated["f1"]["m"][r] == 2 * right / (named + true)
        assert replicated["precision"]["m"][r] == right / named
        assert replicated["spearman"]["m"][r] == pytest.approx(spearmanr(truth[rows], score[rows]).statistic)


def test_a_metric_of_other_answers_gets_the_draws_that_classes_get():
    """Accuracy is additive: as sums over rows it is, resample by resample, what class counts say."""
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(3), 20)
    answers = {model: np.where(rng.random(60) < 0.7, truth, (truth + 1) % 3) for model in "ab"}
    paired = Paired(tuple(map(str, range(60))), ("x", "y", "z"), truth, answers)
    ones = np.ones(60, dtype=np.int64)
    right = {m: Additive(np.stack([paired.right(m), ones], axis=-1), {"accuracy": lambda s: s[..., 0] / s[..., 1]}) for m in "ab"}
    of_sums = resampled(paired.strata, right, seed=7, resamples=199)["accuracy"]
    of_counts = replicates(paired, seed=7, resamples=199, metrics=["accuracy"])["accuracy"]
    assert {m: v.tolist() for m, v in of_sums.items()} == {m: v.tolist() for m, v in of_counts.items()}


def test_rows_stay_within_their_stratum():
    strata = Strata(np.array([0, 0, 0, 1, 2, 2]))
    for _, drawn in row_counts(strata, seed=1, resamples=50):
        assert (drawn[:, :3].sum(axis=1) == 3).all()
        assert (drawn[:, 3] == 1).all()


def test_integers_are_summed_exactly_where_floats_would_lose_a_row():
    large = 2**53
    statistics = np.array([[large, 1], [1, 1], [1, 1]])
    values = on_all_rows(Additive(statistics, {"odd": lambda s: s[..., 0] - large}), 3)
    assert values == {"odd": 2.0}


def test_the_interval_of_an_additive_metric_covers_the_truth_about_95_times_in_100():
    """The difference of two F1 of spans; 60 rows. benchmarks/coverage.py measures more kinds."""
    covered = 0
    of_many = [
        on_all_rows(span_f1(spans(np.random.default_rng(seed), 200_000, skill)), 200_000)["f1"] for seed, skill in ((1, 0.7), (2, 0.6))
    ]
    for trial in range(300):
        rng = np.random.default_rng(100 + trial)
        scorers = {"a": span_f1(spans(rng, 60, 0.7)), "b": span_f1(spans(rng, 60, 0.6))}
        drawn = resampled(Strata.one(60), scorers, seed=trial, resamples=399)["f1"]
        low, high = interval(drawn["a"] - drawn["b"], 0.95)
        covered += low <= of_many[0] - of_many[1] <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_every_metric_has_a_name_for_people_and_a_way_to_be_computed():
    assert {*metrics.COUNTED, *ranking.RANKED} == set(METRICS)
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    lined_up = align({"m": Predictions(["1", "2", "3"], ["a", "b", "b"], ["a", "b", "a"], (), p, ("a", "b"))})
    for name, value in {**metrics.scores(lined_up, "m"), **ranking.scores(lined_up, "m")}.items():
        assert METRICS[name].least <= value <= METRICS[name].most
