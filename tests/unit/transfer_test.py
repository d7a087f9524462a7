"""Predicted against actual effect of adaptation: the plainest predictor, and how its past is told."""

from __future__ import annotations

import pytest

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.gates.adaptation_effect import NAME, history
from regraft.gates.transfer import Calibration, Effect, Predicted, calibration, predict
from regraft.reports.plots import transfer_plot
from regraft.reports.transfer import transfer


def effect(number: int, value: float, predicted: Predicted | None = None, metric: str = "macro_f1") -> Effect:
    return Effect(f"demo-{number}", metric, f"answers-{number}", value, value - 0.02, value + 0.02, 400, predicted)


def test_the_first_run_has_no_prediction_and_the_second_one_without_a_spread():
    assert predict([], "macro_f1") is None
    assert predict([effect(1, 0.5, metric="accuracy")], "macro_f1") is None
    assert predict([effect(1, 0.03)], "macro_f1") == Predicted(0.03, None, None, 1)


@pytest.mark.parametrize(
    ("values", "mean", "reach"),
    [
        ((0.01, 0.03), 0.02, 12.706205 * 0.01414214 * 1.2247449),  # t of 1 degree of freedom, s = 0.02 / sqrt 2, sqrt(1 + 1/2)
        ((0.0, 0.02, 0.04, 0.02), 0.02, 3.182446 * 0.01632993 * 1.1180340),
        ((0.05, 0.05, 0.05), 0.05, 0.0),
    ],
)
def test_the_prediction_is_the_mean_with_students_interval_for_one_more(values, mean, reach):
    found = predict([effect(n, value) for n, value in enumerate(values)], "macro_f1")
    assert (found.value, found.low, found.high) == pytest.approx((mean, mean - reach, mean + reach), abs=2e-6)


def test_calibration_counts_what_held_and_compares_with_no_effect():
    wide, narrow = Predicted(0.02, -0.1, 0.14, 2), Predicted(0.02, 0.01, 0.03, 3)
    effects = [effect(1, 0.5), effect(2, 0.03, Predicted(0.5, None, None, 1)), effect(3, 0.01, wide), effect(4, 0.06, narrow)]
    assert calibration(effects) == Calibration(3, round((0.47 + 0.01 + 0.04) / 3, 6), round(0.1 / 3, 6), 2, 1)
    assert calibration(effects[:1]) is None


def evidence(folder, value, models="ab", said=None):
    finding = {"gate": "adaptation", "metric": "macro_f1", "value": value, "low": value - 0.02, "high": value + 0.02, "n": 400}
    files.write_json(folder / "verdict.json", {"findings": [finding]})
    files.write_json(folder / "decision.json", {"digests": {"adapted": models[0], "base": models[1]}, "rows": {"digest": "r"}})
    if said:
        files.write_json(folder / NAME, said)
    return folder


def test_a_run_adds_its_effect_to_those_before_and_the_same_answers_count_once(tmp_path):
    first = history(evidence(tmp_path / "1", 0.05), "demo-1")
    assert [(e.run, e.value, e.predicted) for e in first] == [("demo-1", 0.05, None)]
    predicted = {"value": 0.05, "low": None, "high": None, "runs": 1}
    said = {"schema": 1, "metric": "macro_f1", "predicted": predicted, "earlier": [vars(e) for e in first]}
    second = history(evidence(tmp_path / "2", 0.01, "cb", said), "demo-2")
    assert [(e.run, e.predicted) for e in second] == [("demo-1", None), ("demo-2", Predicted(**predicted))]
    for models in ("ab", "xy"):  # a model is another one, too, where only its threshold to abstain is
        again = history(evidence(tmp_path / models, 0.05, models, said), "demo-3")
        assert again == first, "a run that measured nothing new would vouch for its own prediction"


def test_effects_that_were_kept_under_schema_1_are_read(tmp_path):
    (now,) = history(evidence(tmp_path / "1", 0.05), "demo-1")
    old = {("models" if key == "answers" else key): value for key, value in vars(now).items()}
    kept = evidence(tmp_path / "2", 0.01, "cb", {"schema": 1, "metric": "macro_f1", "predicted": None, "earlier": [old]})
    assert history(kept, "demo-2")[0] == now


def test_evidence_that_cannot_be_read_is_named(tmp_path):
    evidence(tmp_path, 0.05, said={"schema": 1, "earlier": [{"run": "x"}]})
    with pytest.raises(EnvironmentFault, match="cannot be read: KeyError"):
        history(tmp_path, "demo-1")


def test_the_page_says_what_was_expected_what_came_and_how_good_the_predictions_were():
    effects = [
        effect(1, 0.05),
        effect(2, 0.03, Predicted(0.05, None, None, 1)),
        effect(3, 0.046, Predicted(0.04, -0.14, 0.22, 2)),
    ]
    assert transfer(effects[:1], "demo-1", "macro_f1") is None
    said = " ".join(transfer(effects, "demo-3", "macro_f1").sentences)
    assert "From 2 earlier runs adaptation was expected to change macro-F1 by +0.040 (95 % prediction interval -0.140 to +0.220)" in said
    assert "it changed it by +0.046 (+0.026 to +0.066 on 400 test rows)" in said
    assert "2 predictions were off by 0.013 on average, better than to expect no effect each time, which was off by 0.038" in said
    assert "1 of 1 intervals held what was measured" in said
    assert "says nothing new" in transfer(effects, "demo-9", "macro_f1").sentences[0]
    assert transfer_plot(transfer(effects, "demo-3", "macro_f1")).count("run ") >= 3
