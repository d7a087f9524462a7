"""The gate `earlier_tasks`: what passes, fails and stays open, against numbers that were computed another way."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm
from workbench import leave_scores, line, sure

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.data.options import EarlierTask
from regraft.evaluation.retention import EarlierAnswers
from regraft.evaluation.stats.paired import Predictions
from regraft.gates import earlier_tasks as gate_file
from regraft.gates.case import Case, Policy
from regraft.gates.decide import decide, rebuild
from regraft.gates.evidence import earlier_tasks as kept
from regraft.gates.options import GateOptions
from regraft.gates.policy import evaluate, judge
from regraft.gates.stages import STAGES
from regraft.gates.telling import sentence
from regraft.gates.verdict import Finding, Rows
from regraft.reports import explain
from regraft.reports.document import document
from regraft.reports.page import render

evidence = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))["evidence"]
N = 60
LABELS = ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
Turned = tuple[int, int]
"""Rows that a stage gains and loses against the base model as it came."""


def task(
    n: int = 400, came: int = 300, *, adapted: Turned = (0, 0), finetune: Turned = (0, 0), finetune_base: Turned = (0, 0)
) -> EarlierAnswers:
    """``n`` rows, of which the base model as it came gets the first ``came`` right."""
    labels = [LABELS[i % 3] for i in range(n)]
    answers = {}
    for stage, (gained, lost) in {"came": (0, 0), "adapted": adapted, "finetune": finetune, "finetune_base": finetune_base}.items():
        right = [lost <= i < came + gained for i in range(n)]
        answers[stage] = [label if hit else LABELS[(i + 1) % 3] for i, (label, hit) in enumerate(zip(labels, right, strict=True))]
    return EarlierAnswers(labels, answers)


def answers(right: int) -> Predictions:
    return Predictions(IDS, TRUTH, [LABELS[(i + (i >= right)) % 3] for i in range(N)])


def gate(budget: float, *names: str) -> GateOptions:
    return line(earlier_tasks={"max_accuracy_loss": budget, "tasks": {name: EarlierTask(data=f"{name}.csv") for name in names or ("a",)}})


def measured(found: Case) -> dict[str, Any]:
    """What the gate measures of ``found``."""
    comparison = evaluate(found)[1]
    assert comparison is not None
    return gate_file.measured(comparison)


def case(tasks: dict[str, EarlierAnswers] | None, budget: float = 0.05, *names: str, adapted: int = 55) -> Case:
    """``adapted`` rows right with the adapted model, 30 with the base."""
    made = {"adapted": answers(adapted), "base": answers(30), "tfidf": answers(20)}
    policy = Policy((gate(budget, *(names or tasks or ())),), 17, 999)
    return Case("demo", policy, {"adapted": "a", "base": "b"}, Rows("d", N), made, evidence={"earlier_tasks": tasks})


def last(found: Case) -> Finding:
    return judge(found).findings[-1]


@pytest.mark.parametrize(
    ("tasks", "budget", "outcome", "says"),
    [
        ({"a": task(finetune=(4, 8))}, 0.05, "pass", "0.010 less than at first"),
        ({"a": task(finetune=(40, 10))}, 0.05, "pass", "0.075 more than at first"),
        ({"a": task(finetune=(5, 65))}, 0.05, "fail", "above the budget of 0.050."),
        ({"a": task(finetune=(4, 16))}, 0.05, "inconclusive", "more rows of a.csv for 80 % power, of which every other one is held out"),
        ({"a": task(finetune=(0, 20))}, 0.05, "inconclusive", "no sensible number of rows decides that"),
        ({"a": task(), "b": task(finetune=(5, 65))}, 0.05, "fail", "held-out rows: b 0.750 as the base model came"),
        ({"a": task(), "b": task(200, 150, finetune=(2, 10))}, 0.05, "inconclusive", "; a 0.750 as the base model came"),
        ({"a": task(finetune_base=(0, 200))}, 0.05, "pass", "the same as at first"),  # what the other candidate forgot is nothing to it
        (None, 0.05, "inconclusive", "nothing was measured on a,"),
    ],
)
def test_the_table_of_outcomes(tasks, budget, outcome, says):
    found = last(case(tasks, budget))
    assert (found.gate, found.against, found.outcome) == ("earlier_tasks", None, outcome), sentence(found)
    assert says in sentence(found)


def test_the_base_as_candidate_is_judged_by_its_own_fine_tuning():
    tasks = {"a": task(finetune=(50, 0), finetune_base=(0, 100))}
    assert last(case(tasks)).outcome == "pass"
    found = last(case(tasks, adapted=30))
    assert (found.outcome, found.value, found.n) == ("fail", 0.25, 400)
    assert "0.500 after fine-tuning without adaptation" in sentence(found)


def test_the_stages_between_are_told():
    said = sentence(last(case({"a": task(adapted=(0, 40), finetune=(4, 8))})))
    assert "a 0.750 as the base model came, 0.650 after adaptation, 0.740 after adaptation and fine-tuning" in said


def test_thirty_rows_of_which_none_changed_are_no_proof():
    """A bootstrap would draw the same 0 every time, and call a loss of 2 % excluded."""
    found = last(case({"a": task(30, 20)}, 0.02))
    assert (found.outcome, found.value) == ("inconclusive", 0.0)
    assert found.high > 0.1


def score_interval(gained: int, lost: int, n: int, confidence: float) -> list[float]:
    """Interval of (lost - gained) / n by Tango's score statistic, its nuisance parameter found by maximising the likelihood."""
    z = norm.ppf((1 + confidence) / 2)

    def statistic(d: float) -> float:
        def unlikely(q: float) -> float:  # q: share gained; q + d: share lost
            return -(gained * np.log(q) + lost * np.log(q + d) + (n - gained - lost) * np.log(1 - 2 * q - d))

        q = minimize_scalar(unlikely, bounds=(max(0, -d) + 1e-12, (1 - d) / 2 - 1e-12), method="bounded", options={"xatol": 1e-12}).x
        return float((lost - gained - n * d) / np.sqrt(n * (2 * q + d - d * d)))

    return [brentq(lambda d, end: statistic(d) - end, -0.9, 0.9, args=(end,)) for end in (z, -z)]


@pytest.mark.parametrize(("gained", "lost", "n"), [(4, 8, 400), (5, 65, 400), (40, 10, 400), (2, 3, 60)])
def test_the_interval_inverts_the_score_test(gained, lost, n):
    found = last(case({"a": task(n, n // 2, finetune=(gained, lost))}))
    assert found.value == pytest.approx((lost - gained) / n, abs=1e-6)
    assert (found.low, found.high) == pytest.approx(score_interval(gained, lost, n, 0.95), abs=2e-5)


def test_several_tasks_share_the_error():
    """Holm: the surest of two is asked at 2.5 %, so its interval is the one of 97.5 %."""
    tasks = {"a": task(finetune=(5, 65)), "b": task(finetune=(5, 12))}
    a, b = (found["stages"][2]["lost"] for found in measured(case(tasks))["earlier_tasks"]["tasks"])
    assert (a["confidence"], b["confidence"]) == (0.975, 0.95)
    assert (a["low"], a["high"]) == pytest.approx(score_interval(5, 65, 400, 0.975), abs=2e-5)


def test_features_that_are_not_finite_fail_and_name_their_rows():
    broken = task()
    broken.answers["finetune"][:] = [None if i in (3, 5, 8, 40) else said for i, said in enumerate(broken.answers["finetune"])]
    found = last(case({"fine": task(), "a": broken}))
    assert found.outcome == "fail"
    assert "of a after adaptation and fine-tuning are not finite (held-out rows 3, 5, 8 and 1 more); its training" in sentence(found)
    fine, a = measured(case({"fine": task(), "a": broken}))["earlier_tasks"]["tasks"]
    assert a["stages"][2] == {"stage": "finetune", "accuracy": None, "lost": None, "detectable": None}
    assert fine["stages"][2]["lost"]["value"] == 0.0


def test_everything_is_measured_and_nothing_without_the_gate():
    (found,) = measured(case({"a": task(adapted=(0, 40), finetune=(4, 8))}))["earlier_tasks"]["tasks"]
    assert (found["rows"], found["classes"]) == (400, 3)
    assert [row["stage"] for row in found["stages"]] == list(STAGES)
    assert [row["accuracy"]["value"] for row in found["stages"]] == [0.75, 0.65, 0.74, 0.75]
    assert [row["lost"] and row["lost"]["value"] for row in found["stages"]] == [None, 0.1, 0.01, 0.0]
    assert (found["stages"][2]["gained_rows"], found["stages"][2]["lost_rows"]) == (4, 8)
    without = case(None)
    assert measured(Case(without.pipeline, Policy((), 17), without.digests, without.rows, without.predictions)) == {}


# --- on disk -----------------------------------------------------------------------------------------------------

GATE = {"earlier_tasks": {"max_accuracy_loss": 0.05, "tasks": {"a": {"data": "a.csv"}, "b": {"data": "b.csv"}}}}


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """``out`` of ``scores``, and beside it that of ``earlier_tasks``."""
    out = tmp_path / "artifacts" / "scores" / "out"
    leave_scores(
        out,
        {model: sure(IDS, TRUTH, answers(right).preds, LABELS) for model, right in (("adapted", 55), ("base", 30), ("tfidf", 20))},
        LABELS,
    )
    (tmp_path / "artifacts/earlier_tasks/out").mkdir(parents=True)
    kept.write(tmp_path / "artifacts/earlier_tasks/out" / kept.FILE, {"a": task(finetune=(5, 65)), "b": task(90, 50)})
    return out


def test_a_verdict_is_rebuilt_from_its_evidence_alone_and_tells_when_that_was_touched(scores, tmp_path):
    evidence = tmp_path / "evidence"
    assert decide("demo", [GATE], 17, scores, None, None, None, evidence).outcome == "fail"
    shutil.rmtree(tmp_path / "artifacts")
    assert rebuild(evidence) == (evidence / "verdict.json").read_text()
    explanation = explain.explanation(evidence)
    assert [found["rows"] for found in explanation.measurements["earlier_tasks"]["tasks"]] == [400, 90]
    assert any(
        line.startswith("accuracy lost on the earlier task that decides: the whole interval, now 0.1") for line in explanation.changes
    )
    (evidence / kept.FILE).write_bytes(b"PAR1")
    with pytest.raises(EnvironmentFault, match=r"earlier_tasks\.parquet is changed since the decision"):
        rebuild(evidence)


def test_a_decision_without_the_gate_keeps_nothing_of_it_and_leaves_nothing_behind(scores, tmp_path):
    decide("demo", [GATE], 17, scores, None, None, None, tmp_path / "evidence")
    decide("demo", [{"at_least": 0.3}], 17, scores, None, None, None, tmp_path / "evidence")
    assert not (tmp_path / "evidence" / kept.FILE).exists()
    assert files.read_json(tmp_path / "evidence" / "decision.json")["evidence"] == {}
    assert "earlier_tasks" not in files.read_json(tmp_path / "evidence" / "measurements.json")


def test_answers_that_are_not_there_are_kept_as_such(tmp_path):
    said = EarlierAnswers(["x", "y"], {stage: ["x", None] for stage in STAGES})
    kept.write(tmp_path / kept.FILE, {"b": said, "a": task(3, 2)})
    assert kept.load(tmp_path / kept.FILE) == {"b": said, "a": task(3, 2)}


# --- the page ----------------------------------------------------------------------------------------------------


def test_the_page_shows_every_task_only_where_a_gate_asked():
    tasks = {"a": task(adapted=(0, 40), finetune=(5, 65)), "<b>": task(90, 50)}
    tasks["a"].answers["finetune_base"][0] = None
    asked = gate(0.05, *tasks)
    found = replace(evidence(), case=replace(evidence().case, policy=Policy((asked,), 17, 999), evidence={"earlier_tasks": tasks}))
    page = render(document(found))
    assert '<h3>a</h3>\n<p class="hint">400 held-out rows of 3 classes.</p>' in page
    assert '<td class="n no" data-label="lost since the first">+0.150</td>' in page
    assert "not finite" in page
    assert "corrected for 2 tasks" in page
    assert "<h3>&lt;b&gt;</h3>" in page
    assert document(evidence()).sections == ()
