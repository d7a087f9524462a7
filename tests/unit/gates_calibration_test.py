"""Temperature, thresholds, ECE and Brier score against numbers from scikit-learn, scipy and by hand."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import brier_score_loss, log_loss

from regraft.config.pipeline import PipelineOptions
from regraft.core import files
from regraft.evaluation import temperature as fitting
from regraft.evaluation.stats.paired import Predictions, align
from regraft.evaluation.stats.resampling import row_counts
from regraft.gates import calibration_error
from regraft.gates.comparison import Comparison
from regraft.gates.measurements import measurements
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate
from regraft.gates.registry import read
from regraft.gates.telling import sentence
from regraft.gates.verdict import Rows

LABELS = ("cat", "dog", "emu")


def drawn(n: int, sharpness: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(logits [n, 3], classes): labels are drawn from the softmax of the logits; then the logits are multiplied."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    p = fitting.softmax(logits, 1.0)
    return logits * sharpness, (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_logits_too_sharp_or_too_flat(sharpness):
    logits, truth = drawn(4000, sharpness)
    found = fitting.fit(logits, truth)
    assert found == pytest.approx(sharpness, rel=0.1)
    assert fitting.loss(logits, truth, found) == pytest.approx(log_loss(truth, fitting.softmax(logits / found, 1.0)), abs=1e-9)


def test_the_temperature_is_the_best_there_is():
    logits, truth = drawn(300, 2.0)
    found = fitting.fit(logits, truth)
    grid = [t for t in np.geomspace(0.05, 20, 400) if fitting.loss(logits, truth, t) < fitting.loss(logits, truth, found) - 1e-4]
    assert grid == [], "one more row of unknown label moves the optimum of 300 rows by less than 0.0001 nats"


@pytest.mark.parametrize("seed", range(20))
def test_fitting_never_worsens_the_loss_and_never_changes_an_answer(seed):
    logits, truth = drawn(15, 1.0, seed)
    found = fitting.fit(logits, truth)
    assert fitting.loss(logits, truth, found) <= fitting.loss(logits, truth, 1.0)
    assert (fitting.softmax(logits, found).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_few_rows_that_are_all_right_do_not_make_the_model_certain():
    found = fitting.calibrate(np.eye(3)[[0, 1, 2] * 4] * 2.0, [0, 1, 2] * 4, None)
    assert fitting.softmax(np.array([[2.0, 0.0, 0.0]]), found.temperature).max() == pytest.approx((12 + 1 / 3) / 13, abs=1e-5)


@pytest.mark.parametrize(("logits", "truth"), [(np.zeros((0, 3)), []), (np.full((4, 3), np.nan), [0, 1, 2, 0])])
def test_nothing_to_fit_on_leaves_temperature_1(logits, truth, tmp_path):
    found = fitting.calibrate(logits, truth, None)
    found.write(tmp_path)
    assert fitting.read(tmp_path) == {"schema": 1, "temperature": 1.0, "dev_rows": 0}
    assert fitting.read(tmp_path / "elsewhere") is None


def test_a_threshold_is_the_lowest_at_which_the_dev_rows_show_the_precision():
    p = np.linspace(0.99, 0.5, 50)
    right = np.arange(50) < 40  # the 40 surest are right
    found = fitting.threshold(p, right, 0.9)
    # Wilson's lower end of 90 %: 40 of 41 0.898, 40 of 40 0.937; so 40 rows answer, and the threshold lies half way to the next.
    assert (found.dev_answered, found.dev_right) == (40, 40)
    assert found.below == pytest.approx((p[39] + p[40]) / 2, abs=1e-6)
    assert fitting.threshold(p, np.ones(50, dtype=bool), 0.9).below == 0.0, "everything is answered"
    assert fitting.threshold(p, ~right, 0.9).below == fitting.NEVER
    assert fitting.threshold(p[:5], right[:5], 0.9).below == fitting.NEVER, "five rows show no precision of 0.9"


def test_rows_that_are_equally_sure_are_answered_together_or_not_at_all():
    p, right = np.repeat([0.9, 0.6], 30), np.repeat([True, False], 30)
    right[35:] = True
    assert fitting.threshold(p, right, 0.85).dev_answered in (30, 60)


# --- the gate ----------------------------------------------------------------------------------------------------


def case(n: int, sharpness: float, *gates: GateOptions, abstain: dict[str, float] | None = None) -> Case:
    logits, truth = drawn(n, sharpness, seed=7)
    p = fitting.softmax(logits, 1.0).astype(np.float32)
    ids, labels = [f"r{i:05d}" for i in range(n)], [LABELS[k] for k in truth]
    said = Predictions(ids, labels, [LABELS[k] for k in p.argmax(axis=1)], (), p, LABELS)
    told = {"temperature": 1.0, **({"abstain": abstain} if abstain else {})}
    models = dict.fromkeys(("adapted", "base", "tfidf"), said)
    digests = {"adapted": "a", "base": "b"}
    return Case("demo", Policy(gates, 17, 499), digests, Rows("r", n), models, evidence={"calibration": {"adapted": told, "base": told}})


def asked(confidence: float = 0.95, **budgets: float) -> GateOptions:
    return read({"calibration": budgets, "confidence": confidence})


def compared(found: Case) -> tuple[Comparison, calibration_error.Calibrated]:
    comparison = Comparison(found, align(found.predictions))
    sure = calibration_error.sure(comparison, "base")
    assert sure is not None
    return comparison, calibration_error.measure(comparison, sure, 0.95)


def test_ece_and_brier_score_are_those_of_the_textbook():
    found = case(600, 2.0)
    _, measured = compared(found)
    said = found.predictions["base"]
    p, classes = np.asarray(said.p, dtype=np.float64), np.array([LABELS.index(label) for label in said.labels])
    sure, right = p.max(axis=1), p.argmax(axis=1) == classes
    by_hand = 0.0
    for part in np.array_split(np.argsort(sure), 12):  # 600 rows in bins of 50
        by_hand += len(part) / 600 * abs(right[part].mean() - sure[part].mean())
    assert measured.plain_ece == pytest.approx(by_hand, abs=1e-6)
    assert measured.brier.value == pytest.approx(brier_score_loss(classes, p, scale_by_half=False), abs=1e-6)
    assert measured.brier.low < measured.brier.value < measured.brier.high
    assert measured.ece.low <= measured.ece.value <= measured.plain_ece


def test_a_resample_has_the_gaps_and_the_brier_score_of_the_rows_it_drew_to_the_last_bit():
    """Not to the bits of BLAS, which adds in an order of its own: see the test of the log loss."""
    comparison, _ = compared(case(801, 2.0))
    sure = calibration_error.sure(comparison, "base")
    ((_, times), *_) = row_counts(comparison.paired.strata, seed=1, resamples=40)
    gaps, brier = sure.drawn(times)
    for i, drawn in enumerate(times):
        rows = np.repeat(np.arange(sure.n), drawn)
        by_hand = np.bincount(sure.bins[rows], weights=(sure.right - sure.p)[rows], minlength=sure.count) / sure.n
        assert gaps[i] == pytest.approx(by_hand, abs=1e-12)
        assert brier[i] == pytest.approx(sure.brier[rows].mean(), abs=1e-12)
        alone = sure.drawn(times[i : i + 1])
        assert (gaps[i].tolist(), brier[i]) == (alone[0][0].tolist(), alone[1][0])


def test_rows_that_are_all_equally_sure_are_one_bin():
    n = 60
    p = np.tile(np.array([0.6, 0.2, 0.2], dtype=np.float32), (n, 1))
    made = case(n, 1.0, asked(max_ece=0.5))
    same = {model: replace(said, p=p, preds=["cat"] * n) for model, said in made.predictions.items()}
    verdict, comparison = evaluate(replace(made, predictions=same))
    assert "(ECE over 1 bin of all rows, 95 % interval" in sentence(verdict.findings[-1])
    assert len(measurements(comparison.case, comparison)["calibration"]["bins"]) == 1


def test_the_order_of_rows_changes_nothing():
    found = case(200, 2.0)
    turned = {m: replace(p, ids=p.ids[::-1], labels=p.labels[::-1], preds=p.preds[::-1], p=p.p[::-1]) for m, p in found.predictions.items()}
    assert compared(found)[1].ece == compared(replace(found, predictions=turned))[1].ece


def test_a_calibrated_model_is_not_said_to_be_wrong_and_a_sharpened_one_is():
    """The plain number of the first is 0.03 and more, noise alone."""
    (_, honest), (_, sharp) = compared(case(800, 1.0)), compared(case(800, 4.0))
    assert honest.ece.low == 0.0
    assert honest.ece.high < 0.06 < sharp.ece.low


@pytest.mark.parametrize(
    ("sharpness", "gate", "outcome", "metric"),
    [
        (1.0, asked(max_ece=0.1, max_brier=0.6), "pass", "ece"),
        (4.0, asked(max_ece=0.05, max_brier=2), "fail", "ece"),
        (1.0, asked(max_ece=0.1, max_brier=0.3), "fail", "brier"),
        (1.0, asked(max_ece=0.02), "inconclusive", "ece"),
    ],
)
def test_a_budget_is_kept_broken_or_left_open(sharpness, gate, outcome, metric):
    verdict, comparison = evaluate(case(800, sharpness, gate))
    found = verdict.findings[-1]
    assert (found.gate, found.outcome, found.metric) == ("calibration", outcome, metric), sentence(found)
    assert found.low <= found.value <= found.high
    assert sentence(found).startswith("the fine-tuned-only model on 800 test rows: ")
    assert ("undecided" in sentence(found)) is (outcome == "inconclusive")
    table = measurements(comparison.case, comparison)["calibration"]
    assert (sum(row["rows"] for row in table["bins"]), len(table["bins"])) == (800, 15)


def test_what_is_answered_is_held_to_a_coverage():
    abstain = {"precision": 0.8, "below": 0.7, "dev_answered": 10, "dev_right": 9}
    verdict, comparison = evaluate(case(400, 1.0, asked(min_coverage=0.2), abstain=abstain))
    found, said = verdict.findings[-1], measurements(comparison.case, comparison)["calibration"]["abstain"]
    p = comparison.case.predictions["base"].p.max(axis=1)
    assert (found.outcome, found.metric, found.value) == ("pass", "coverage", pytest.approx((p >= 0.7).mean()))
    assert said["answered"]["value"] == found.value
    assert said["right"]["low"] <= said["right"]["value"] <= said["right"]["high"]
    assert evaluate(case(400, 1.0, asked(min_coverage=0.9), abstain=abstain))[0].outcome == "fail"
    mute = evaluate(case(400, 1.0, asked(min_coverage=0.2), abstain={**abstain, "below": fitting.NEVER}))
    assert mute[0].outcome == "fail"
    assert measurements(mute[1].case, mute[1])["calibration"]["abstain"]["right"] is None
    assert evaluate(case(400, 1.0, asked(min_coverage=0.2)))[0].outcome == "inconclusive", "a model from before `abstain` was asked for"


def test_a_class_that_no_test_row_has_counts_in_the_brier_score():
    p = np.array([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]], dtype=np.float32)
    said = Predictions(["a", "b"], ["cat", "dog"], ["cat", "dog"], (), p, LABELS)
    found = Case("demo", Policy((), 1, 99), {"base": "b"}, Rows("r", 2), {"base": said})
    sure = calibration_error.sure(Comparison(found, align(found.predictions)), "base")
    assert sure.brier.tolist() == [0.5, 0.5]


def test_rows_that_are_equally_sure_share_a_bin():
    assert calibration_error.equal_mass(np.array([0.9, 0.8, 0.9, 0.7, 0.6, 0.5] * 20)).tolist() == [4, 3, 4, 2, 1, 0] * 20
    assert set(calibration_error.equal_mass(np.full(100, 0.8)).tolist()) == {0}


def test_without_a_gate_or_a_threshold_nothing_is_measured():
    found = replace(case(100, 1.0), evidence={})
    assert "calibration" not in measurements(found, evaluate(found)[1])


# --- the options -------------------------------------------------------------------------------------------------

PIPELINE = {"version": 1, "base_model": "models/x", "data": {"corpus": "c", "labelled": "l"}}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"gates": [{"calibration": {}}]}, "write at least one of `max_ece`, `max_brier`, `min_coverage`"),
        ({"gates": [{"calibration": {"max_ece": 0.1}, "metric": "accuracy"}]}, "`calibration` does not read `metric`"),
        ({"gates": [{"calibration": {"min_coverage": 0.5}}]}, "add `abstain: {precision: 0.9}`"),
        ({"abstain": {"precision": 0.9}}, "add `- {calibration: {min_coverage: 0.5}}`"),
        ({"abstain": {"precision": 1.0}}, "less than 1"),
        ({"gates": [{"cost": {}}]}, "write at least one of `p50_ms_batch_1`"),
        ({"gates": [{"cost": {"size_mb": 1}, "confidence": 0.999}]}, "0.99, not more"),
    ],
)
def test_a_gate_that_asks_for_nothing_or_for_what_is_not_there_is_refused(said, problem):
    with pytest.raises(ValidationError, match=problem.replace("{", r"\{").replace("(", r"\(")):
        PipelineOptions.model_validate({**PIPELINE, **said})


def test_a_pipeline_that_never_abstains_has_the_section_it_always_had():
    sys.path.append(str(Path(__file__).parents[2]))
    from tasks.finetune import FinetuneConfig

    given = {"finetune": {}, "text_column": "text", "seed": 1}
    assert "abstain" not in FinetuneConfig.model_validate(given).model_dump()
    assert FinetuneConfig.model_validate({**given, "abstain": {"precision": 0.9}}).model_dump()["abstain"] == {"precision": 0.9}
    assert files.canonical(FinetuneConfig.model_validate(given).model_dump()) == files.canonical(
        FinetuneConfig.model_validate({**given, "abstain": None}).model_dump()
    )
