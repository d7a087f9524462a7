"""Metrics from probabilities, and the ones from counts that came later: scikit-learn's numbers, on all rows and on every resample."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from regraft.evaluation.stats import metrics, ranking
from regraft.evaluation.stats.bootstrap import class_counts, replicates
from regraft.evaluation.stats.paired import Paired, Predictions, align
from regraft.evaluation.stats.resampling import row_counts


def model(rows: int, classes: int, decimals: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, Predictions]:
    """(truth, p, predictions) with labels c0, c1, ...; few decimals make ties."""
    rng, truth = np.random.default_rng(seed), np.arange(rows) % classes
    z = rng.normal(size=(rows, classes))
    z[np.arange(rows), truth] += 1
    p = np.round(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), decimals) + 1e-6
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    labels = [f"c{k}" for k in range(classes)]
    ids = [f"r{i:04d}" for i in range(rows)]
    return truth, p, Predictions(ids, [labels[t] for t in truth], [labels[k] for k in p.argmax(axis=1)], (), p, labels)


def paired(rows: int, classes: int, decimals: int = 6) -> tuple[np.ndarray, np.ndarray, Paired]:
    truth, p, predictions = model(rows, classes, decimals)
    return truth, p, align({"m": predictions})


def reference(truth: np.ndarray, p: np.ndarray) -> dict[str, float]:
    one_hot = np.eye(p.shape[1])[truth]
    return {
        "roc_auc": roc_auc_score(one_hot, p, average="macro"),
        "pr_auc": average_precision_score(one_hot, p, average="macro"),
        "log_loss": log_loss(truth, p, labels=list(range(p.shape[1]))),
    }


@pytest.mark.parametrize(("rows", "classes", "decimals"), [(60, 3, 1), (300, 16, 2), (50, 2, 1), (40, 4, 6), (9, 3, 0)])
def test_the_metrics_are_those_of_scikit_learn(rows, classes, decimals):
    truth, p, lined_up = paired(rows, classes, decimals)
    assert ranking.scores(lined_up, "m") == pytest.approx(reference(truth, p), abs=1e-6)
    found, answers = metrics.scores(lined_up, "m"), p.argmax(axis=1)
    assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, answers))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, answers))
    assert found["micro_f1"] == pytest.approx(f1_score(truth, answers, average="micro"))


def test_the_last_bit_of_a_loss_does_not_depend_on_what_is_computed_beside_it():
    """A product of BLAS adds in an order of its own, which differs with the processor and with the number of rows of a block."""
    _, _, lined_up = paired(801, 3)
    ((_, drawn), *_) = row_counts(lined_up.strata, seed=1, resamples=64)
    of_draws = ranking.log_loss(lined_up, "m")
    alone = [of_draws(drawn[i : i + 1])["log_loss"][0] for i in range(len(drawn))]
    assert of_draws(drawn)["log_loss"].tolist() == alone


def test_every_resample_has_the_metrics_of_the_rows_it_drew():
    truth, p, lined_up = paired(45, 3, 1)
    position = [int(row[1:]) for row in lined_up.ids]
    found = replicates(lined_up, seed=3, resamples=20, metrics=("roc_auc", "pr_auc", "log_loss", "mcc"))
    ((_, drawn),) = row_counts(lined_up.strata, seed=3, resamples=20)
    for r in range(20):
        rows = np.repeat(position, drawn[r])
        for name, value in reference(truth[rows], p[rows]).items():
            assert found[name]["m"][r] == pytest.approx(value, abs=1e-6)
        assert found["mcc"]["m"][r] == pytest.approx(matthews_corrcoef(truth[rows], p[rows].argmax(axis=1)))


def test_rows_are_drawn_alike_for_answers_and_for_probabilities():
    _, _, lined_up = paired(30, 3)
    ((_, drawn),) = row_counts(lined_up.strata, seed=3, resamples=8)
    ((_, _, counts),) = class_counts(lined_up, ["m"], seed=3, resamples=8)
    right = lined_up.right("m")
    assert (drawn[:, right].sum(axis=1) == counts.hits.sum(axis=1)).all()


def test_a_label_that_only_a_model_knows_counts_against_mcc_as_in_scikit_learn():
    truth, said = ["a", "a", "b", "b", "b"], ["a", "x", "b", "y", "a"]
    found = metrics.scores(align({"m": Predictions(list("12345"), truth, said)}), "m")["mcc"]
    assert found == pytest.approx(matthews_corrcoef(truth, ["a", "x", "b", "x", "a"]))  # one more class, whatever they are called


@pytest.mark.parametrize("answer", ["a", "b"])
def test_rows_of_one_class_leave_areas_undefined_and_nothing_crashes(answer):
    p = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    lined_up = align({"m": Predictions(["1", "2"], ["a", "a"], [answer, "b"], (), p, ("a", "b"))})
    found = ranking.scores(lined_up, "m")
    assert isnan(found["roc_auc"])
    assert isnan(found["pr_auc"])
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.2]).mean(), abs=1e-6)
    assert metrics.scores(lined_up, "m")["mcc"] == 0.0


def test_a_class_that_a_model_does_not_know_has_probability_zero_and_a_finite_loss():
    p = np.ones((2, 1), dtype=np.float32)
    found = ranking.scores(align({"m": Predictions(["1", "2"], ["a", "b"], ["a", "a"], (), p, ("a",))}), "m")
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2, rel=1e-3)
    assert found["roc_auc"] == 0.5


def test_columns_in_another_order_are_the_same_model():
    _, p, predictions = model(30, 3)
    other = Predictions(predictions.ids, predictions.labels, predictions.preds, (), p[:, ::-1], tuple(reversed(predictions.columns)))
    lined_up = align({"m": predictions, "n": other})
    assert ranking.scores(lined_up, "m") == ranking.scores(lined_up, "n")
