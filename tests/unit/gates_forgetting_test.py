"""The gate `forgetting`: what passes, fails and stays open, against numbers that were computed another way."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
from workbench import leave_scores, line, sure

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.data.tables import write_table
from regraft.evaluation.retention import GeneralLosses
from regraft.evaluation.stats.paired import Predictions
from regraft.gates import forgetting as gate_file
from regraft.gates.case import Case, Policy
from regraft.gates.decide import decide, rebuild
from regraft.gates.forgetting import LossTable
from regraft.gates.policy import evaluate, judge
from regraft.gates.stages import STAGES
from regraft.gates.telling import sentence
from regraft.gates.verdict import Finding, Rows
from regraft.reports import explain
from regraft.reports.document import document
from regraft.reports.page import render

evidence = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))["evidence"]
N = 120
LABELS = ("cat", "dog", "emu")
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]
MASKED = np.array([15 + i % 9 for i in range(60)])


def losses(adapted: float = 0.0, finetune: float = 0.0, finetune_base: float = 0.0, noise: float = 0.1) -> GeneralLosses:
    """60 sequences at about 3 nats a token; each stage costs so much more than the base model as it came."""
    rng = np.random.default_rng(7)
    base = MASKED * (3 + rng.normal(0, 0.5, 60))
    more = {"adapted": adapted, "finetune": finetune, "finetune_base": finetune_base}
    nats = {"came": base}
    for stage, by in more.items():
        drawn = MASKED * rng.normal(0, noise, 60)
        nats[stage] = base + MASKED * (by - drawn.sum() / MASKED.sum()) + drawn  # on average exactly ``by`` a token
    return GeneralLosses(MASKED, nats)


def answers(right: int) -> Predictions:
    said = [LABELS[(i + (i >= right)) % 3] for i in range(N)]
    return Predictions(IDS, TRUTH, said)


def measured(found: Case) -> dict[str, Any]:
    """What the gate measures of ``found``."""
    comparison = evaluate(found)[1]
    assert comparison is not None
    return gate_file.measured(comparison)


def case(general: GeneralLosses | None, *, adapted: int = 110, budget: float = 0.05, text: str | None = None) -> Case:
    """``adapted`` rows right with the adapted model, 80 with the base."""
    gate = line(forgetting={"max_loss_increase": budget, "text": text})
    made = {"adapted": answers(adapted), "base": answers(80), "tfidf": answers(40)}
    return Case("demo", Policy((gate,), 17, 1_999), {"adapted": "a", "base": "b"}, Rows("d", N), made, evidence={"general": general})


def last(found: Case) -> Finding:
    return judge(found).findings[-1]


@pytest.mark.parametrize(
    ("general", "budget", "outcome", "says"),
    [
        (losses(finetune=0.01), 0.05, "pass", "within the budget of 0.050."),
        (losses(adapted=-0.5, finetune=-0.2), 0.05, "pass", "0.200 less than at first"),
        (losses(finetune=0.2), 0.05, "fail", "0.200 more than at first"),
        (losses(finetune=0.035), 0.05, "inconclusive", "undecided; with `sequences: "),
        (losses(finetune=0.05), 0.05, "inconclusive", "so close that no sensible amount of text would tell"),
        (losses(noise=0), 0.0, "pass", "the same as at first (95 % interval 0.000 to 0.000;"),
        (losses(finetune_base=9.0), 0.05, "pass", "after adaptation and fine-tuning"),  # that the other candidate forgot is nothing to it
        (None, 0.05, "inconclusive", "nothing was measured on general text"),
    ],
)
def test_the_table_of_outcomes(general, budget, outcome, says):
    found = last(case(general, budget=budget))
    assert (found.gate, found.against, found.metric, found.outcome) == ("forgetting", None, None, outcome), sentence(found)
    assert says in sentence(found)
    assert found.n == (60 if general else 0)


def test_one_sequence_is_called_one():
    alone = GeneralLosses(np.array([1]), {stage: np.array([3.0]) for stage in ("came", "adapted", "finetune", "finetune_base")})
    assert "1 masked token in 1 held-out sequence)" in sentence(last(case(alone)))


def test_the_base_as_candidate_is_judged_by_its_own_fine_tuning():
    general = losses(finetune=-1.0, finetune_base=0.3)
    assert last(case(general)).outcome == "pass"
    found = last(case(general, adapted=80))
    assert (found.outcome, found.value) == ("fail", pytest.approx(0.3))
    assert "after fine-tuning without adaptation" in sentence(found)


def test_the_interval_is_scipys_paired_bootstrap_of_the_same_ratio():
    general = losses(finetune=0.1)
    increase = LossTable.of(general, 17, 9_999).increase("finetune", 0.05, 0.95, 0.8)

    def rise(masked, came, now, axis=-1):
        return (now.sum(axis=axis) - came.sum(axis=axis)) / masked.sum(axis=axis)

    data = (general.masked, general.nats["came"], general.nats["finetune"])
    theirs = scipy.stats.bootstrap(
        data, rise, paired=True, vectorized=True, method="percentile", n_resamples=9_999, rng=np.random.default_rng(1)
    )
    assert increase.value == pytest.approx(rise(*data), abs=1e-6)
    assert (increase.low, increase.high) == pytest.approx(tuple(theirs.confidence_interval), abs=2e-3)
    assert increase.detectable == pytest.approx((1.959964 + 0.841621) * theirs.standard_error, rel=0.05)


def test_the_same_sequences_for_every_stage_make_the_interval_narrow():
    """Sequences differ by 0.5 nats among themselves, stages by 0.1: unpaired, the interval would be five times as wide."""
    found = last(case(losses(finetune=0.1)))
    assert found.high - found.low < 4 * 0.1 / np.sqrt(60)


def test_losses_that_are_not_finite_fail_and_name_their_sequences():
    general = losses()
    general.nats["finetune"][[3, 5, 8, 40]] = [np.nan, np.inf, np.nan, np.nan]
    found = last(case(general))
    assert found.outcome == "fail"
    assert "after adaptation and fine-tuning is not finite (sequences 3, 5, 8 and 1 more); its training went wrong." in sentence(found)
    stages = {row["stage"]: row["loss"] for row in measured(case(general))["forgetting"]["stages"]}
    assert stages["finetune"] is None
    assert stages["adapted"] is not None


def test_the_text_is_called_what_it_is():
    assert "general technical English (the docstrings of Python's standard library)" in sentence(last(case(losses())))
    assert "the general text in data/wiki.txt" in sentence(last(case(losses(), text="data/wiki.txt")))


def test_everything_is_measured_and_nothing_without_the_gate():
    found = measured(case(losses(adapted=0.4, finetune=0.1)))["forgetting"]
    assert [row["stage"] for row in found["stages"]] == list(STAGES)
    assert [row["increase"] and row["increase"]["value"] for row in found["stages"]][:3] == [None, pytest.approx(0.4), pytest.approx(0.1)]
    assert (found["sequences"], found["masked_tokens"]) == (60, int(MASKED.sum()))
    without = case(losses())
    assert measured(Case(without.pipeline, Policy((), 17), without.digests, without.rows, without.predictions)) == {}


# --- on disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """``out`` of ``scores``, and beside it that of ``forgetting``."""
    out = tmp_path / "artifacts" / "scores" / "out"
    leave_scores(
        out,
        {model: sure(IDS, TRUTH, answers(right).preds, LABELS) for model, right in (("adapted", 110), ("base", 80), ("tfidf", 40))},
        LABELS,
    )
    general, types = losses(finetune=0.2), {"masked": pa.int64(), **dict.fromkeys(STAGES, pa.float64())}
    (tmp_path / "artifacts/forgetting/out").mkdir(parents=True)
    write_table(tmp_path / "artifacts/forgetting/out/losses.parquet", {"masked": general.masked, **general.nats}, **types)
    return out


GATE = {"forgetting": {"max_loss_increase": 0.05}}


def test_a_verdict_is_rebuilt_from_its_evidence_alone_and_tells_when_that_was_touched(scores, tmp_path):
    evidence = tmp_path / "evidence"
    assert decide("demo", [GATE], 17, scores, None, None, None, evidence).outcome == "fail"
    shutil.rmtree(tmp_path / "artifacts")
    assert rebuild(evidence) == (evidence / "verdict.json").read_text()
    explanation = explain.explanation(evidence)
    assert explanation.measurements["forgetting"]["stages"][2]["increase"]["value"] == pytest.approx(0.2)
    assert any(line.startswith("forgetting, in nats: the whole interval, now 0.1") for line in explanation.changes)
    (evidence / "general.parquet").write_bytes(b"PAR1")
    with pytest.raises(EnvironmentFault, match=r"general\.parquet is changed since the decision"):
        rebuild(evidence)


def test_a_decision_without_the_gate_keeps_nothing_of_it_and_leaves_nothing_behind(scores, tmp_path):
    decide("demo", [GATE], 17, scores, None, None, None, tmp_path / "evidence")
    decide("demo", [{"at_least": 0.3}], 17, scores, None, None, None, tmp_path / "evidence")
    assert not (tmp_path / "evidence" / "general.parquet").exists()
    assert "general" not in files.read_json(tmp_path / "evidence" / "decision.json")
    assert "forgetting" not in files.read_json(tmp_path / "evidence" / "measurements.json")


# --- the page ----------------------------------------------------------------------------------------------------


def test_the_page_shows_every_stage_only_where_a_gate_asked():
    pretrain = {"stopped_early": 1, "steps": 40, "general_loss_before": 3.0, "general_loss": 3.02, "general_loss_refused": 3.31}
    general = losses(adapted=0.4, finetune=0.1)
    general.nats["finetune_base"][0] = np.nan
    found = replace(evidence(), case=replace(evidence().case, policy=Policy((line(**GATE),), 17, 999), evidence={"general": general}))
    found.records["pretrain"]["metrics"].update(pretrain)
    page = render(document(found))
    assert "after adaptation and fine-tuning</th>" in page
    assert '<td class="n no" data-label="against the first">+0.400</td>' in page
    assert "not finite" in page
    assert "with the weights of step 40" in page
    assert 'id="forgetting"' not in render(document(evidence()))
