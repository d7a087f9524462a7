"""The paired bootstrap: what must not change its numbers, and whether its intervals cover."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats import resampling
from regraft.evaluation.stats.bootstrap import interval, replicates
from regraft.evaluation.stats.metrics import macro_f1, mcnemar, scores
from regraft.evaluation.stats.paired import Paired, Predictions, align

LABELS = ("cat", "dog", "emu", "yak")
ROW = st.tuples(*[st.sampled_from(LABELS)] * 3)
ROWS = st.lists(ROW, min_size=1, max_size=40)


def two(rows: list[tuple[str, str, str]], ids: list[str] | None = None) -> dict[str, Predictions]:
    """Rows of (label, a's answer, b's answer)."""
    truth, a, b = zip(*rows, strict=True)
    ids = ids or [f"r{i:03d}" for i in range(len(rows))]
    return {"a": Predictions(ids, truth, a), "b": Predictions(ids, truth, b)}


def difference(models: dict[str, Predictions], resamples: int = 199) -> list[float]:
    found = replicates(align(models), seed=5, resamples=resamples)["macro_f1"]
    return list((found["a"] - found["b"]).tolist())


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_the_metrics_are_those_of_scikit_learn(rows):
    truth, a, _ = zip(*rows, strict=True)
    found = scores(align(two(rows)), "a")
    assert found["macro_f1"] == pytest.approx(f1_score(truth, a, average="macro", labels=sorted(set(truth))), abs=1e-12)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, a), abs=1e-12)


@given(ROWS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_shuffling_the_rows_changes_no_bit(rows, rng):
    ids = [f"r{i:03d}" for i in range(len(rows))]
    order = list(range(len(rows)))
    rng.shuffle(order)
    assert difference(two(rows, ids)) == difference(two([rows[i] for i in order], [ids[i] for i in order]))


@given(ROWS, st.permutations(LABELS))
@settings(max_examples=30, deadline=None)
def test_renaming_the_labels_changes_no_bit(rows, names):
    new = dict(zip(LABELS, names, strict=True))
    assert difference(two(rows)) == difference(two([tuple(new[label] for label in row) for row in rows]))


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_a_model_does_not_differ_from_itself(rows):
    found = difference(two([(truth, a, a) for truth, a, _ in rows]))
    assert interval(np.array(found), 0.95) == (0.0, 0.0)


@given(ROWS, st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_the_size_of_a_block_changes_no_bit(rows, block):
    whole, size = difference(two(rows), 41), resampling.BLOCK
    try:
        resampling.BLOCK = block
        assert difference(two(rows), 41) == whole
    finally:
        resampling.BLOCK = size


def test_a_third_model_does_not_change_what_is_said_of_two():
    rows = [random.Random(i).choices(LABELS, k=3) for i in range(60)]
    models = two([tuple(row) for row in rows])
    more = {"c": Predictions(models["a"].ids, models["a"].labels, ["dog"] * 60), **models}
    assert difference(models) == difference(more)


def test_the_stream_is_the_documented_one():
    """Words of Philox, low half first, multiply-shift within the class: redone here in plain integers."""
    rows = [("cat", "cat", "cat"), ("dog", "dog", "cat"), ("cat", "dog", "cat"), ("dog", "cat", "dog"), ("cat", "cat", "dog")]
    ordered = ["r000", "r002", "r004", "r001", "r003"]  # by (class, id): three cats, two dogs
    words = np.random.Philox(key=5).random_raw(10).tolist()
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    paired = align(two(rows))
    assert list(paired.ids) == ordered
    for r in range(4):
        numbers = halves[5 * r : 5 * r + 5]
        drawn = [number * 3 >> 32 for number in numbers[:3]] + [3 + (number * 2 >> 32) for number in numbers[3:]]
        right = sum(int(paired.right("a")[i]) for i in drawn)
        assert replicates(paired, seed=5, resamples=4)["accuracy"]["a"][r] == right / 5


def test_raw_philox_is_what_it_was():
    """Salmon et al. 2011, Philox4x64-10; numpy 2.4's words for key 17. If this fails, no old verdict can be rebuilt."""
    assert np.random.Philox(key=17).random_raw(3).tolist() == [5789060593502342483, 7726179307141663495, 4808140339412292857]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: Predictions(p.ids[:-1], p.labels[:-1], p.preds[:-1]), "the predictions of b lack 1 of a's rows, the first is 'r2'"),
        (lambda p: Predictions([*p.ids, "x"], [*p.labels, "cat"], [*p.preds, "cat"]), "hold 1 rows that a lacks, the first is 'x'"),
        (lambda p: Predictions(["r0", "r1", "r1"], p.labels, p.preds), "hold row 'r1' twice"),
        (lambda p: Predictions(p.ids, ["dog", *p.labels[1:]], p.preds), "row 'r0' has label 'cat' for a and 'dog' for b"),
    ],
)
def test_models_that_were_asked_about_other_rows_are_not_compared(change, says):
    models = two([("cat", "cat", "dog"), ("dog", "dog", "dog"), ("emu", "cat", "emu")], ["r0", "r1", "r2"])
    with pytest.raises(EnvironmentFault, match=says.replace("'", ".")):
        align({"a": models["a"], "b": change(models["b"])})


def test_no_rows_are_an_error_and_not_a_perfect_score():
    with pytest.raises(EnvironmentFault, match="no rows"):
        align({"a": Predictions([], [], [])})


def test_an_interval_leaves_out_the_same_number_of_replicates_on_both_sides():
    values = np.random.default_rng(0).permutation(np.arange(1, 10_000)).astype(float)
    assert interval(values, 0.95) == (250.0, 9_750.0)
    assert interval(values, 0.9) == (500.0, 9_500.0)
    assert interval(values[:10] * 0 + 3, 0.99) == (3.0, 3.0)


@given(st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    n, k = gained + lost, min(gained, lost)
    tail = Fraction(sum(comb(n, i) for i in range(k + 1)), 2**n)
    assert mcnemar(gained, lost) == float(min(Fraction(1), 2 * tail))


def sample(rng: np.random.Generator, size: int) -> Paired:
    """Six classes of ``size`` rows; b is right where a is for half of the rows, and 5 points worse."""
    truth = np.repeat(np.arange(6), size)
    shared, u, v = rng.random(len(truth)) < 0.5, rng.random(len(truth)), rng.random(len(truth))
    ease, wrong = np.linspace(-0.2, 0.15, 6)[truth], (truth + rng.integers(1, 6, len(truth))) % 6
    a, b = np.where(u < 0.7 + ease, truth, wrong), np.where(np.where(shared, u, v) < 0.65 + ease, truth, wrong)
    return Paired(tuple(map(str, range(len(truth)))), tuple("abcdef"), truth, {"a": a, "b": b})


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    def gap(paired: Paired) -> float:
        return scores(paired, "a")["macro_f1"] - scores(paired, "b")["macro_f1"]

    truth = gap(sample(np.random.default_rng(1), 50_000))
    covered = 0
    for trial in range(300):
        found = replicates(sample(np.random.default_rng(100 + trial), 30), seed=trial, resamples=399)["macro_f1"]
        low, high = interval(found["a"] - found["b"], 0.95)
        covered += low <= truth <= high
    assert 0.90 <= covered / 300 <= 0.99


def test_macro_f1_of_many_resamples_is_that_of_each():
    rng, sizes = np.random.default_rng(3), np.array([4, 7, 2])
    hits, extra = rng.integers(0, sizes + 1, (9, 3)), rng.integers(0, 5, (9, 3))
    assert macro_f1(hits, hits + extra, sizes).tolist() == [float(macro_f1(h, h + e, sizes)) for h, e in zip(hits, extra, strict=True)]
