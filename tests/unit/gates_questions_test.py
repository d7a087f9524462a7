"""The questions a gate can ask besides `beats` and `at_least`: what passes, what fails, what stays open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from workbench import line

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.stats.paired import Predictions, align
from regraft.evaluation.stats.slices import MISSING, SliceTable, members
from regraft.gates import slice_gate
from regraft.gates.measurements import measurements, power_summary
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate, judge
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion, Finding, Rows
from regraft.gates.words import power_lines

N, LABELS = 240, ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
OLD = Champion("3", "digest-of-old")
REGION = ["north" if i < 80 else "south" if i < 200 else "east" if i < 230 else None for i in range(N)]
SLICES = SliceTable(IDS, {"region": REGION, "few": ["one" if i < 5 else "two" if i < 9 else f"v{i}" for i in range(N)]})


def answers(wrong: set[int], unusable: tuple[str, ...] = ()) -> Predictions:
    """A model that gets all rows right but ``wrong``, and is 70 % sure."""
    said = [(i + (i in wrong)) % 3 for i in range(N)]
    p = np.full((N, 3), 0.15, dtype=np.float32)
    p[np.arange(N), said] = 0.7
    return Predictions(IDS, TRUTH, [LABELS[k] for k in said], unusable, p, LABELS)


def case(candidate: set[int], champion: set[int] | None, *gates: GateOptions, **more: object) -> Case:
    """adapted and base both are the candidate, so base stands; the baseline is wrong everywhere."""
    made = {"adapted": answers(candidate), "base": answers(candidate), "tfidf": answers(set(range(N)))}
    known = None if champion is None else OLD
    if champion is not None:
        made["champion"] = answers(champion)
    digests = {"adapted": "digest-of-adapted", "base": "digest-of-base"}
    return Case("demo", Policy(gates, 17, 999), digests, Rows("d", N), made, champion=known, slices=SLICES, **more)  # type: ignore[arg-type]


def last(found: Case) -> Finding:
    return judge(found).findings[-1]


def rows(start: int, stop: int, step: int = 1) -> set[int]:
    return set(range(start, stop, step))


MARGIN = line(metric="accuracy", non_inferior_by=0.05)
BY_REGION = line(slices=("region",), non_inferior_by=0.1)
FLIPS = line(negative_flips={"max": 0.05})


@pytest.mark.parametrize(
    ("gate", "candidate", "champion", "outcome", "says"),
    [
        (MARGIN, rows(0, 40), rows(0, 40), "pass", "exactly as much as the champion (95 % interval 0.000 to 0.000), exact McNemar p = 1"),
        (MARGIN, rows(0, 80), rows(0, 20), "fail", "worse by more than the 0.050 allowed"),
        (MARGIN, rows(0, 32), rows(20, 40), "inconclusive", "an interval that contains the 0.050 allowed; undecided"),
        (FLIPS, rows(0, 40), rows(0, 40), "pass", "gets 0 of 240 test rows wrong that the champion gets right: 0 %"),
        (FLIPS, rows(0, 40), rows(100, 180), "fail", "gets 40 of 240 test rows wrong that the champion gets right: 16.7 %"),
        (FLIPS, rows(0, 10), rows(100, 180), "inconclusive", "an interval that contains the budget of 5 %"),
        (BY_REGION, rows(0, 10), rows(0, 10), "inconclusive", "of 3 slices 1 open (region = east), 2 good enough; 1 with too few rows"),
        (BY_REGION, rows(80, 110), rows(0, 10), "fail",
         "on region = south (120 rows) the fine-tuned-only model is 0.250 below the champion"),
        (BY_REGION, rows(0, 10), rows(0, 80) | rows(200, 225), "pass", "of 3 slices 3 good enough"),
    ],
)  # fmt: skip
def test_the_table_of_outcomes(gate, candidate, champion, outcome, says):
    found = last(case(candidate, champion, gate))
    assert (found.outcome, found.against) == (outcome, "champion"), sentence(found)
    assert says in sentence(found)


def test_a_part_that_gets_worse_is_found_where_the_whole_got_better():
    candidate, champion = rows(200, 228), rows(0, 60)  # 28 of 30 rows in the east lost, 60 elsewhere gained
    assert last(case(candidate, champion, MARGIN)).outcome == "pass"
    found = last(case(candidate, champion, BY_REGION))
    assert (found.outcome, found.n, found.value) == ("fail", 30, round(-28 / 30, 6))


def test_the_interval_of_a_slice_is_wider_the_more_slices_there_are():
    alone = replace(case(rows(0, 40), rows(20, 60), BY_REGION), slices=SliceTable(IDS, {"region": ["all"] * N}))
    many = replace(alone, slices=SliceTable(IDS, {"region": ["all"] * N, "fold": [str(i % 6) for i in range(N)]}))
    together = line(slices=("region", "fold"), non_inferior_by=0.1)
    one = last(alone)
    several = evaluate(replace(many, policy=Policy((together,), 17, 999)))[1]
    (whole,) = (r for r in slice_gate.results(together, several)[0] if r.value == "all")
    assert (one.low, one.high) != (whole.measured.low, whole.measured.high)
    assert whole.measured.confidence > 0.95
    assert whole.measured.low < one.low < one.high < whole.measured.high


def test_slices_that_are_all_too_small_leave_the_question_open():
    found = last(case(set(), set(), line(slices=("few",), non_inferior_by=0.1)))
    assert (found.outcome, found.value) == ("inconclusive", None)
    assert sentence(found) == "no slice by few has 30 rows; 233 with too few rows (240 in all) not judged."


def test_a_missing_value_is_a_slice_of_its_own():
    names = [s.value for s in members(align({"m": answers(set())}), SLICES, ["region"])]
    assert names == [MISSING, "east", "north", "south"]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (SliceTable(IDS[1:], {"region": REGION[1:]}), "the slices are those of 239 rows, the predictions of 240"),
        (SliceTable(["x", *IDS[1:]], {"region": REGION}), "they do not match"),
        (SliceTable(IDS, {"place": REGION}), "no column 'region' to slice by; they have place"),
    ],
)
def test_slices_of_other_rows_or_without_the_column_are_an_error(table, says):
    with pytest.raises(EnvironmentFault, match=says):
        judge(replace(case(set(), set(), BY_REGION), slices=table))


@pytest.mark.parametrize("gate", [MARGIN, BY_REGION, FLIPS, line(metric="log_loss", beats="champion")])
def test_without_a_champion_there_is_nothing_to_compare_and_an_unusable_one_leaves_it_open(gate):
    assert last(case(set(), None, gate)).outcome == "info"
    unusable = replace(case(set(), set(), gate), champion_problem={"code": "failed", "message": "it does not load"})
    assert (last(unusable).outcome, last(unusable).value) == ("inconclusive", None)
    assert "cannot be compared with: it does not load" in sentence(last(unusable))


@pytest.mark.parametrize("gate", [MARGIN, BY_REGION, FLIPS])
def test_the_champion_again_is_not_compared_with_itself(gate):
    verdict = judge(replace(case(set(), set(), gate), champion=Champion("3", "digest-of-base")))
    assert [f.gate for f in verdict.findings] == ["adaptation", "identity"]


@pytest.mark.parametrize(
    ("decisions", "outcome", "says"),
    [
        (1, "pass", "this is the first decision on these test rows; the budget is 3."),
        (3, "pass", "the budget is 3."),
        (4, "inconclusive", "label fresh rows, and let them test: regraft renew-test."),
        (None, "inconclusive", "were not counted."),
    ],
)
def test_test_rows_that_have_decided_too_often_decide_no_more(decisions, outcome, says):
    found = last(case(set(), None, line(holdout={"budget": 3}), decisions=decisions))
    assert found.outcome == outcome
    assert sentence(found).endswith(says)
    assert found.value == found.low == found.high == decisions


def test_a_lower_log_loss_is_better_and_the_difference_is_above_zero():
    found = last(case(rows(0, 20), rows(0, 60), line(metric="log_loss", beats="champion")))
    assert found.outcome == "pass"
    assert found.low > 0
    assert "better than the champion" in sentence(found)
    worse = last(case(rows(0, 60), rows(0, 20), line(metric="log_loss", beats="champion")))
    assert (worse.outcome, worse.value) == ("fail", -found.value)
    assert "worse than the champion" in sentence(worse)


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "micro_f1", "balanced_accuracy", "mcc", "roc_auc", "pr_auc", "log_loss"])
def test_models_with_the_same_answers_differ_by_nothing_in_any_metric(metric):
    found = last(case(rows(0, 40), rows(0, 40), line(metric=metric, beats="champion")))
    assert (found.value, found.low, found.high, found.outcome) == (0.0, 0.0, 0.0, "inconclusive")
    assert "detectable" not in sentence(found), "models that never differ say nothing about power"


def test_rows_of_one_class_leave_a_gate_open_that_needs_two():
    p = np.ones((3, 1), dtype=np.float32)
    one = Predictions(["1", "2", "3"], ["cat"] * 3, ["cat"] * 3, (), p, ("cat",))
    gate = line(metric="roc_auc", beats="tfidf")
    found = Case(
        "demo", Policy((gate,), 1, 99), {"adapted": "a", "base": "b"}, Rows("d", 3), dict.fromkeys(("adapted", "base", "tfidf"), one)
    )
    verdict, comparison = evaluate(found)
    assert [f.outcome for f in verdict.findings] == ["info", "inconclusive"]
    assert sentence(verdict.findings[1]) == "ROC AUC is not defined: all test rows have one label."
    assert measurements(found, comparison)["metrics"]["base"]["roc_auc"] is None


def test_the_first_gate_with_a_metric_of_all_rows_decides_how_adaptation_is_judged():
    gates = (line(holdout={"budget": 3}), BY_REGION, FLIPS, line(metric="mcc", beats="tfidf", confidence=0.9))
    assert Policy(gates, 17).adaptation == ("mcc", 0.9)
    assert Policy(gates[:3], 17).adaptation == ("macro_f1", 0.95)


def test_a_policy_without_power_has_the_digest_and_the_words_of_the_first_decisions():
    gate = line(beats="tfidf")
    assert Policy((gate,), 17, power=None).document() == {
        "gates": [{"metric": "macro_f1", "beats": "tfidf", "confidence": 0.95}], "seed": 17, "resamples": 9_999,
    }  # fmt: skip
    silent = replace(case(rows(0, 30), rows(20, 50), line(beats="champion")), policy=Policy((gate,), 17, 999, power=None))
    assert "power" not in "".join(sentence(f) for f in judge(silent).findings)


def test_measurements_have_an_interval_for_every_number_and_the_power_of_every_comparison():
    found = case(rows(0, 40), rows(20, 60), line(at_least=0.5), decisions=2)
    document = measurements(found, evaluate(found)[1])
    assert document["decisions_on_these_rows"] == 2
    assert set(document["metrics"]) == {"adapted", "base", "tfidf", "champion"}
    for value in document["metrics"]["base"].values():
        assert value["low"] <= value["value"] <= value["high"]
    assert [(c["label"], c["rows"]) for c in document["classes"]] == [("cat", 80), ("dog", 80), ("emu", 80)]
    compared = {(c["against"], c["metric"]) for c in document["comparisons"]}
    assert compared == {(against, metric) for against in ("champion", "tfidf") for metric in document["metrics"]["base"]}
    assert document["flips"]["champion"] == {"gained": 20, "lost": 20, "share_lost": {"value": 0.083333, "low": 0.054591, "high": 0.125203}}
    south = next(row for row in document["slices"] if row["value"] == "south")
    assert (south["rows"], south["difference"]["value"], south["against"]) == (120, 0.0, "champion")
    lines = list(power_lines(power_summary(document)))
    assert lines[0].startswith("240 rows against the champion: 0.0")
    assert lines[-1].startswith("3 slices by region against the champion: 0.")


def test_predictions_that_cannot_be_used_leave_empty_measurements():
    found = case(set(), None, line(at_least=0.5))
    broken = replace(found, predictions={**found.predictions, "base": answers(set(), unusable=("r001",))})
    verdict, comparison = evaluate(broken)
    assert (verdict.outcome, comparison) == ("fail", None)
    assert measurements(broken, comparison)["metrics"] == {}


@pytest.mark.parametrize("gate", [MARGIN, BY_REGION, FLIPS, line(holdout={"budget": 3}), line(metric="pr_auc", beats="tfidf")])
def test_a_finding_with_a_value_has_an_interval_and_a_threshold(gate):
    """Cards and reports print them together."""
    found = last(case(rows(0, 40), rows(20, 60), gate, decisions=5))
    assert None not in (found.value, found.low, found.high, found.threshold)
    assert found.low <= found.value <= found.high


def test_a_candidate_that_is_what_a_gate_compares_with_is_told_so_and_not_asked():
    equal = case(rows(0, 40), None, line(beats="tfidf", metric="accuracy"))
    equal = replace(equal, predictions={**equal.predictions, "tfidf": answers(rows(0, 40))})
    assert last(equal).outcome == "inconclusive", "another model that answers the same"
    itself = last(replace(equal, same={"tfidf": "base"}))
    assert (itself.gate, itself.outcome, itself.value) == ("identity", "info", None)
    assert sentence(itself) == "the fine-tuned-only model is what `beats` compares with: nothing to compare."
