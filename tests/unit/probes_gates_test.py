"""Gates on changed texts and on groups: what passes, what fails, what stays open, and numbers from elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from workbench import line

from regraft.core.errors import EnvironmentFault
from regraft.evaluation.probing import Answers, Probes
from regraft.evaluation.stats.paired import Predictions
from regraft.evaluation.stats.slices import SliceTable
from regraft.gates.fairness import Group, largest_gap, newcombe
from regraft.gates.measurements import measurements
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate, judge
from regraft.gates.probes import rates, settling
from regraft.gates.telling import sentence
from regraft.gates.verdict import Finding, Rows

N, LABELS = 200, ("cat", "dog")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 2] for i in range(N)]
Spec = list[tuple[str, str, range, set[int], set[int]]]
"""gate, kind, rows with a variant, those that adapted answers otherwise, those that base does."""


def other(label: str) -> str:
    return LABELS[1 - LABELS.index(label)]


def answers(right: set[int]) -> Predictions:
    said = [label if i in right else other(label) for i, label in enumerate(TRUTH)]
    p = np.array([[0.9, 0.1] if label == "cat" else [0.1, 0.9] for label in said], dtype=np.float32)
    return Predictions(IDS, TRUTH, said, (), p, LABELS)


def probes(spec: Spec, models: dict[str, Predictions], bad: tuple[int, ...] = ()) -> Probes:
    """One variant a row and kind; with a negative number in ``bad`` that variant's probability is not finite."""
    rows = [(gate, kind, i) for gate, kind, members, _, _ in spec for i in members]
    turned = {"adapted": 3, "base": 4}
    said = {}
    for model, place in turned.items():
        before = [models[model].preds[i] for _, _, i in rows]
        wrong = {(part[0], part[1], i) for part in spec for i in part[place]}
        after = [other(label) if row in wrong else label for row, label in zip(rows, before, strict=True)]
        p = np.full(len(rows), 0.9, dtype=np.float32)
        p[list(bad)] = np.nan
        said[model] = Answers(before, after, p)
    gates, kinds = [gate for gate, _, _ in rows], [kind for _, kind, _ in rows]
    nothing = [None] * len(rows)
    return Probes(gates, kinds, [IDS[i] for _, _, i in rows], ["x to y"] * len(rows), ["same"] * len(rows), nothing, said)


def case(gate: GateOptions, spec: Spec | None = None, *, adapted: bool = False, group: list[str | None] | None = None, **more) -> Case:
    """The candidate is base, and with ``adapted`` the adapted model, which is then right on 60 more rows."""
    everywhere = set(range(N))
    models = {"adapted": answers(everywhere), "base": answers(set(range(140)) if adapted else everywhere), "tfidf": answers(set())}
    made = probes(spec, models, more.pop("bad", ())) if spec is not None else None
    table = SliceTable(IDS, {"group": group or ["g"] * N})
    digests = {"adapted": "a", "base": "b"}
    return Case("demo", Policy((gate,), 17, 999), digests, Rows("d", N), models, slices=table, evidence={"probes": made})


def last(found: Case) -> Finding:
    return judge(found).findings[-1]


def some(n: int) -> set[int]:
    return set(range(n))


ROBUST = line(robustness={"max_failure_rate": 0.05})
SWAPPED = line(counterfactual={"max_flip_rate": 0.1})
ALL = range(N)


@pytest.mark.parametrize(
    ("gate", "spec", "outcome", "says"),
    [
        (ROBUST, [("robustness", "case", ALL, some(0), some(0))], "pass",
         "model changes its answer to 0 of 200 test rows in other capitals: 0 % (95 % interval 0 % to 1.88 %), within the 5 %"),
        (ROBUST, [("robustness", "case", ALL, some(9), some(40))], "fail",
         "40 of 200 test rows in other capitals: 20 % (95 % interval 15 % to 26.1 %), above the 5 % allowed; with adapted it is 9 rows"),
        (ROBUST, [("robustness", "case", ALL, some(0), some(9))], "inconclusive", "an interval that contains the 5 % allowed"),
        (ROBUST, [("robustness", "case", ALL, some(0), some(0)), ("robustness", "typos", ALL, some(0), some(60))], "fail",
         "60 of 200 test rows after a typo: 30 % (97.5 % interval 23.3 % to 37.7 %), above the 5 % allowed"),
        (ROBUST, [("robustness", "case", ALL, some(0), some(0)), ("robustness", "typos", range(20), some(0), some(20))], "pass",
         "of 1 test 1 within; too few rows for typos (20 rows)."),
        (ROBUST, [("robustness", "case", range(20), some(0), some(0))], "inconclusive",
         "fewer than 30 test rows can be changed by one test (case 20), so nothing is judged."),
        (SWAPPED, [("counterfactual", "gender", range(100), some(0), some(2))], "pass",
         "2 of 100 test rows when its terms of gender are exchanged: 2 % (95 % interval 0.55 % to 7 %), within the 10 % allowed"),
        (SWAPPED, [], "inconclusive", "no test row holds a term of the list."),
        (ROBUST, [], "inconclusive", "no test row can be changed by these tests."),
        (ROBUST, None, "inconclusive", "the step `probes` has not answered this question."),
    ],
)  # fmt: skip
def test_the_table_of_outcomes(gate, spec, outcome, says):
    found = last(case(gate, spec))
    assert (found.gate, found.outcome) == (gate.gate, outcome), sentence(found)
    assert says in sentence(found)


def test_what_the_adaptation_added_is_told_from_what_was_there_before():
    spec: Spec = [("counterfactual", "gender", range(100), set(range(20)), set(range(5, 30)))]
    found = last(case(SWAPPED, spec, adapted=True))
    assert (found.outcome, found.value, found.n) == ("fail", 0.2, 100)
    assert "15 of these rows change with the fine-tuned-only model too, 5 only since the adaptation, and 10 no longer do" in sentence(found)
    (row,) = measured(case(SWAPPED, spec, adapted=True))["probes"]
    assert (row["in_both"], row["only_adapted"], row["only_base"], row["adapted"]["failed"], row["base"]["failed"]) == (15, 5, 10, 20, 25)
    # Tango 1998 for 5 gained and 10 lost of 100; the score test of "no difference" is McNemar's, not significant here.
    assert row["added"]["low"] < -0.05 < 0 < row["added"]["high"]
    assert row["added"]["value"] == -0.05


def test_a_row_with_several_variants_counts_once():
    spec: Spec = [("counterfactual", "faith", range(50), some(0), some(5))] * 2
    found = last(case(line(counterfactual={"max_flip_rate": 0.5}), spec))
    assert (found.n, found.value) == (50, 0.1)


@pytest.mark.parametrize(("wrong", "n"), [(0, 40), (3, 100), (17, 211), (90, 100)])
def test_an_interval_of_one_test_is_wilsons(wrong, n):
    (rate,) = rates({"case": {str(i): i < wrong for i in range(n)}}, 0.1, 0.95)
    theirs = binomtest(wrong, n).proportion_ci(0.95, method="wilson")
    assert (rate.measured.low, rate.measured.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_several_tests_share_the_error_and_are_decided_where_their_interval_says():
    """Holm by hand: z of 0, 1 and 12 of 100 against 5 % is -2.29, -1.84, 3.21; only the last is below 0.05 / 3."""
    failed = {kind: {str(i): i < wrong for i in range(100)} for kind, wrong in (("a", 0), ("b", 1), ("c", 12))}
    found = rates(failed, 0.05, 0.95)
    assert [rate.outcome for rate in found] == ["pass", "inconclusive", "fail"]
    assert [round(1 - rate.measured.confidence, 4) for rate in found] == [0.025, 0.05, 0.0167]
    assert settling(found).kind == "c"
    for rate in found:
        theirs = binomtest(rate.failed, 100).proportion_ci(rate.measured.confidence, method="wilson")
        assert (rate.measured.low, rate.measured.high) == pytest.approx((theirs.low, theirs.high), abs=1e-5)


def test_variants_without_a_finite_probability_fail_and_are_named():
    found = last(case(ROBUST, [("robustness", "case", ALL, some(0), some(0))], bad=(3, 5)))
    assert (found.outcome, found.value) == ("fail", None)
    assert sentence(found) == "the fine-tuned-only model gives probabilities that are not finite for case r003, case r005."


def test_probes_of_other_answers_are_an_error():
    found = case(ROBUST, [("robustness", "case", ALL, some(0), some(0))])
    probes = found.evidence["probes"]
    probes.check(found.predictions)
    with pytest.raises(EnvironmentFault, match="the probes hold another answer of base to row 'r000' than the predictions do"):
        probes.check({**found.predictions, "base": answers(set(range(1, N)))})


def templated(expects: list[str], preds: list[str], before: list[str | None], labels: list[str | None]) -> Probes:
    said = Answers(before, preds, np.full(len(preds), 0.9, dtype=np.float32))
    n = len(expects)
    ids = [str(i) for i in range(n)]
    return Probes(
        ["templates"] * n, ["names"] * 2 + ["negation"] * (n - 2), ids, [""] * n, expects, labels, {"adapted": said, "base": said}
    )


@pytest.mark.parametrize(
    ("budget", "preds", "outcome", "says"),
    [
        (0.0, ["cat", "cat", "cat", "dog"], "pass", "0 of 4 cases of the templates wrong, 0 % (an exact count), within the 0 % allowed."),
        (0.0, ["cat", "dog", "cat", "dog"], "fail", "1 of 4 cases of the templates wrong, 25 % (an exact count), above the 0 % allowed; n"),
        (0.5, ["cat", "cat", "dog", "cat"], "pass", "2 of 4 cases of the templates wrong, 50 % (an exact count), within the 50 % allowed"),
        (0.4, ["cat", "cat", "dog", "cat"], "fail", "negation (2 of 2)."),
    ],
)  # fmt: skip
def test_cases_of_templates_are_counted_exactly(budget, preds, outcome, says):
    gate = line(templates={"file": "t.yaml", "max_failure_rate": budget})
    made = templated(["label", "label", "same", "different"], preds, [None, None, "cat", "cat"], ["cat", "cat", None, None])
    found = last(replace(case(gate), evidence={"probes": made}))
    assert (found.outcome, found.low, found.value, found.n) == (outcome, found.value, found.high, 4)
    assert says in sentence(found)


def test_one_of_a_thing_is_called_one():
    first, second = "cat", "dog"
    gate = line(templates={"file": "t.yaml"})
    one = templated(["label"], [second], [None], [first])
    found = last(replace(case(gate), evidence={"probes": replace(one, kinds=["plain"])}))
    assert "gets 1 of 1 case of the templates wrong" in sentence(found)
    four = templated(["label"] * 4, [second] * 4, [None] * 4, [first] * 4)
    found = last(replace(case(gate), evidence={"probes": replace(four, kinds=["a", "b", "c", "d"])}))
    assert sentence(found).endswith("a (1 of 1), b (1 of 1), c (1 of 1) and 1 more test.")
    spec = [("robustness", "case", ALL, {0}, set()), ("robustness", "typos", range(1), set(), set())]
    found = last(case(ROBUST, spec))
    assert "with adapted it is 1 row;" in sentence(found)
    assert sentence(found).endswith("too few rows for typos (1 row).")
    found = last(case(line(fairness={"groups": ("group",), "max_gap": 0.2}), group=["a"] * (N - 1) + ["b"]))
    assert "group = b (1 row)." in sentence(found)


# --- fairness ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),  # Newcombe 1998, table II, method 10: examples a, b, c, d, g, h
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_an_interval_of_a_gap_is_newcombes(one, other, low, high):
    found = newcombe(Group("g", "a", one[1], one[0]), Group("g", "b", other[1], other[0]), 0.95)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_the_gap_is_the_largest_of_all_pairs_of_one_column_at_a_level_for_all_of_them():
    found = [Group("g", "a", 100, 90), Group("g", "b", 100, 70), Group("g", "c", 100, 80), Group("h", "x", 100, 10)]
    gap = largest_gap(found, 0.1, 0.95)
    assert gap is not None
    assert (gap.above.value, gap.below.value, gap.pairs, gap.measured.value) == ("a", "b", 3, 0.2)
    low, high = newcombe(found[0], found[1], 1 - 0.05 / 3)
    assert (gap.measured.low, gap.measured.high) == pytest.approx((low, high), abs=1e-6)
    assert largest_gap(found[:1] + found[3:], 0.1, 0.95) is None


def by(*sizes: int) -> list[str | None]:
    """The first rows are group a, the next b, ...; the rest has none."""
    named = [name for name, size in zip("abc", sizes, strict=False) for _ in range(size)]
    return [*named, *[None] * (N - len(named))]


@pytest.mark.parametrize(
    ("asked", "group", "outcome", "value", "says"),
    [
        ({"max_gap": 0.2}, by(100, 100), "pass", 0.0, "has accuracy 1.000 on group = a (100 rows) and 1.000 on group = b (100 rows)"),
        ({"max_gap": 0.01}, by(100, 100), "inconclusive", 0.0, "an interval that contains the 0.010 allowed"),
        ({"max_gap": 0.5}, by(190, 5), "inconclusive", None, "fewer than 2 groups of group have 30 rows that count for accuracy: group"),
        ({"max_gap": 0.5}, by(0), "inconclusive", None, "that count for accuracy: there is none."),
        ({"max_gap": 0.5, "rate": "recall", "label": "emu"}, by(100, 100), "inconclusive", None, "no test row is labelled 'emu'"),
    ],
)  # fmt: skip
def test_the_table_of_gaps(asked, group, outcome, value, says):
    found = last(case(line(fairness=dict(groups=("group",), **asked)), group=group))
    assert (found.gate, found.outcome, found.value) == ("fairness", outcome, value), sentence(found)
    assert says in sentence(found)


@pytest.mark.parametrize(
    ("rate", "one", "other"),
    [("accuracy", 0.9, 0.6), ("recall", 0.8, 1.0), ("selection_rate", 0.4, 0.9)],
)
def test_rates_of_groups_are_those_of_a_table_made_by_hand(rate, one, other):
    """a: 50 cats, 40 of them found, 50 dogs, all found. b: 50 cats, all found, 50 dogs, 10 of them found."""
    wrong = {*range(0, 20, 2), *range(101, 181, 2)}
    right = set(range(N)) - wrong
    label = None if rate == "accuracy" else "cat"
    asked = case(line(fairness={"groups": ("group",), "max_gap": 0.05, "rate": rate, "label": label}), group=by(100, 100))
    made = {**asked.predictions, "base": answers(right), "adapted": answers(right)}
    verdict, comparison = evaluate(replace(asked, predictions=made))
    table = measurements(asked, comparison)["fairness"]
    assert [(row["value"], row["base"]["value"]) for row in table] == [("a", one), ("b", other)]
    assert verdict.findings[-1].value == pytest.approx(abs(one - other))
    assert verdict.findings[-1].outcome == "fail"


def measured(found: Case) -> dict[str, object]:
    return measurements(found, evaluate(found)[1])


def test_without_such_a_gate_measurements_are_what_they_were():
    assert not {"probes", "fairness"} & set(measured(case(line(at_least=0.5))))
