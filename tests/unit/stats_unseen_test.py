"""Intervals of answers in which nothing varies."""

from __future__ import annotations

import numpy as np
import pytest

from regraft.evaluation.stats import unseen
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metrics import scores
from regraft.evaluation.stats.paired import Predictions, align
from regraft.evaluation.stats.power import quantile
from regraft.evaluation.stats.proportions import tango_interval, wilson
from regraft.gates.comparison import Comparison
from regraft.gates.policy import Case, Policy
from regraft.gates.verdict import Rows

IDS = [f"r{i:02d}" for i in range(76)]
TRUTH = ["cat", "dog"] * 38
PERFECT = Predictions(IDS, TRUTH, TRUTH)
ALL_CATS = Predictions(IDS, TRUTH, ["cat"] * 76)


def comparison(interval: str | None, **models: Predictions) -> Comparison:
    case = Case("demo", Policy((), 17, 199, interval=interval), {}, Rows("d", 76), models)
    return Comparison(case, align(models))


@pytest.mark.parametrize("n", [5, 31, 76, 800])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_what_is_left_open_is_where_the_score_intervals_of_no_change_end(n, confidence):
    share = unseen.share(n, confidence)
    assert 1 - share == pytest.approx(wilson(n, n, confidence)[0])
    low, high = tango_interval([0], [0], [n], quantile(confidence))
    assert (low[0], high[0]) == pytest.approx((-share, share))


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "balanced_accuracy", "mcc"])
def test_a_perfect_score_is_not_certain_to_be_one(metric):
    score = comparison(unseen.NAME, adapted=PERFECT).score("adapted", metric, 0.95)
    assert score.high == 1.0
    assert score.low == pytest.approx(0.952 if metric != "mcc" else 0.904, abs=5e-4)
    point = comparison(None, adapted=PERFECT).score("adapted", metric, 0.95)
    assert (point.low, point.high) == (1.0, 1.0), "decisions up to 0.2 keep their bytes"


def test_models_that_agree_on_every_row_may_differ_on_others_and_the_interval_says_what_could_be_seen():
    lead = comparison(unseen.NAME, adapted=PERFECT, base=PERFECT).difference("adapted", "base", "macro_f1", 0.95)
    assert (lead.low, lead.value, lead.high) == pytest.approx((-0.048, 0.0, 0.048), abs=5e-4)
    assert lead.detectable > 0.048


def test_one_class_for_every_row_has_an_interval_too():
    score = comparison(unseen.NAME, adapted=ALL_CATS).score("adapted", "macro_f1", 0.95)
    assert score.value == pytest.approx(1 / 3, abs=1e-6)
    assert score.low < score.value < score.high


def test_an_interval_that_is_wide_enough_is_the_bootstrap_s_own():
    mixed = Predictions(IDS, TRUTH, [label if i % 4 != 1 else "cat" for i, label in enumerate(TRUTH)])
    opened, alone = (comparison(name, adapted=mixed).score("adapted", "macro_f1", 0.95) for name in (unseen.NAME, None))
    assert opened == alone


def test_models_that_are_nearly_always_right_are_covered():
    """76 rows of four classes, 99 % right, 200 simulations: the bootstrap alone covers about half of them."""
    rng, truth, labels, alone, opened = np.random.default_rng(5), 0.99, np.repeat(np.arange(4), 19), 0, 0
    for number in range(200):
        answers = np.where(rng.random(76) < truth, labels, (labels + rng.integers(1, 4, 76)) % 4)
        paired = align({"a": Predictions(IDS, list(map(str, labels)), list(map(str, answers)))})
        ends = interval(replicates(paired, seed=number, resamples=199, metrics=["macro_f1"])["macro_f1"]["a"], 0.95)
        low, high = unseen.opened(ends, scores(paired, "a")["macro_f1"], 76, 0.95, 0.0, 1.0)
        alone, opened = alone + (ends[0] <= truth <= ends[1]), opened + (low <= truth <= high)
    assert alone < 130
    assert opened > 185
