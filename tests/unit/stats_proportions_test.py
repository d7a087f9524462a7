"""Shares of rows: the score test, Holm's correction, and what a test set can show."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from regraft.evaluation.stats.power import detectable, disagreement_error, more_rows, quantile
from regraft.evaluation.stats.proportions import holm, tango, tango_interval, two_sided, wilson

TABLES = [(3, 7, 40), (0, 1, 44), (5, 5, 100), (12, 3, 30), (0, 0, 30), (30, 0, 30), (0, 30, 30), (1, 0, 10)]


def by_maximum_likelihood(gained: int, lost: int, n: int, difference: float) -> float:
    """Tango's statistic with the nuisance share found by search instead of the closed form."""
    counts = np.array([gained, lost, n - gained - lost])

    def surprise(q: float) -> float:
        p = np.array([q + difference, q, 1 - 2 * q - difference])
        return float(-(counts * np.log(np.maximum(p, 1e-300)))[counts > 0].sum())

    q = minimize_scalar(surprise, bounds=(max(0, -difference), (1 - difference) / 2), method="bounded", options={"xatol": 1e-11}).x
    return (gained - lost - n * difference) / sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("difference", [-0.3, -0.05, 0.02, 0.2])
def test_the_statistic_is_the_score_at_the_most_likely_shares(table, difference):
    assert float(tango(*table, difference)) == pytest.approx(by_maximum_likelihood(*table, difference), abs=2e-3)


def test_at_no_difference_it_is_mcnemars():
    assert float(tango(5, 14, 200, 0.0)) == pytest.approx(-9 / sqrt(19))
    assert float(tango(0, 0, 30, 0.0)) == 0.0  # models that never differ


@pytest.mark.parametrize("table", TABLES)
def test_an_interval_holds_exactly_what_is_not_rejected(table):
    gained, lost, n = table
    (low,), (high,) = tango_interval([gained], [lost], [n], quantile(0.95))
    assert low - 1e-9 <= (gained - lost) / n <= high + 1e-9
    for end, inside in ((low, 1e-4), (high, -1e-4)):
        assert abs(float(tango(*table, np.clip(end + inside, -1 + 1e-9, 1 - 1e-9)))) < quantile(0.95) + 1e-6
        if abs(end) < 0.999:
            assert abs(float(tango(*table, end - inside))) > quantile(0.95)


def test_an_interval_turned_round_is_the_other_models():
    (low,), (high,) = tango_interval([3], [9], [50], 1.96)
    (other_low,), (other_high,) = tango_interval([9], [3], [50], 1.96)
    assert (low, high) == (pytest.approx(-other_high, abs=1e-12), pytest.approx(-other_low, abs=1e-12))


def test_a_95_percent_interval_covers_the_truth_in_small_slices():
    rng = np.random.default_rng(4)
    cells = rng.multinomial(40, [0.12, 0.22, 0.66], size=4_000)  # 10 points worse, 34 % disagreement
    low, high = tango_interval(cells[:, 0], cells[:, 1], np.full(4_000, 40), quantile(0.95))
    covered = float(np.mean((low <= -0.10) & (high >= -0.10)))
    assert 0.94 <= covered <= 0.97


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (30, 30), (1, 7), (37, 797)])
def test_wilson_is_scipys(hits, n):
    wanted = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert wilson(hits, n, 0.9) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


@pytest.mark.parametrize(
    ("p", "rejected", "levels"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True], [0.05 / 3, 0.025, 0.025, 0.0125]),  # Holm's own example
        ([0.5], [False], [0.05]),
        ([0.001, 0.001], [True, True], [0.025, 0.05]),
        ([0.03, 0.04], [False, False], [0.025, 0.025]),  # both below 0.05; neither after the correction
    ],
)
def test_holm_steps_down_and_stops_at_the_first_that_fails(p, rejected, levels):
    found = holm(p, 0.05)
    assert found.rejected.tolist() == rejected
    assert found.levels == pytest.approx(levels)


@pytest.mark.parametrize("disagreement", [0.1, 0.3, 0.6])
def test_equal_models_on_20_slices_raise_a_false_alarm_in_at_most_5_of_100_test_sets(disagreement):
    """1,000 pairs, the hardest margin (0). "Worse" is half of what the two-sided level allows, so no tolerance is needed for it;

    for any false decision 64 = 50 + 2 * sqrt(1000 * 0.05 * 0.95) are allowed: 0.05 and two binomial standard errors.
    """
    rng, worse, any_decision = np.random.default_rng(20), 0, 0
    for _ in range(1_000):
        n = rng.integers(30, 200, size=20)
        differ = rng.binomial(n, disagreement)
        gained = rng.binomial(differ, 0.5)
        statistic = tango(gained, differ - gained, n, 0.0)
        decided = holm(two_sided(statistic), 0.05).rejected
        worse += bool((decided & (statistic < 0)).any())
        any_decision += bool(decided.any())
    assert worse <= 50
    assert any_decision <= 64


def test_one_slice_that_is_really_worse_is_found_among_twenty():
    n, gained, lost = np.full(20, 100), np.full(20, 10), np.full(20, 10)
    gained[7], lost[7] = 4, 28
    found = holm(two_sided(tango(gained, lost, n, -0.02)), 0.05)
    assert np.flatnonzero(found.rejected).tolist() == [7]


def test_a_detectable_difference_is_detected_four_times_of_five():
    n, rng = 400, np.random.default_rng(8)
    effect = detectable(disagreement_error(60, 60, n), 0.95)  # 30 % disagreement
    cells = rng.multinomial(n, [0.15 + effect / 2, 0.15 - effect / 2, 0.7], size=4_000)
    shown = tango(cells[:, 0], cells[:, 1], np.full(4_000, n), 0.0) > quantile(0.95)
    assert 0.77 <= float(shown.mean()) <= 0.83


def test_rows_to_label_grow_with_the_square_of_what_is_missing():
    assert more_rows(800, 0.05, 0.1) == 2_400
    assert more_rows(800, -0.05, 0.1) == 2_400
    assert more_rows(800, 0.1, 0.1) == 0
    assert more_rows(800, 0.0, 0.1) is None
    assert more_rows(800, 0.01, 0.1) is None  # 100 times the rows
    assert disagreement_error(0, 0, 30) > 0  # thirty rows without a difference do not prove that there is none
