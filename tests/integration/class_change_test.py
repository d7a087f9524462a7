"""Classes that came or went since the champion was trained: compared where both know the class, and the new ones held to a floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workbench import leave_scores, sure

from regraft.core import files
from regraft.data.tables import write_table
from regraft.evaluation import predictions
from regraft.evaluation.predictions import Table
from regraft.gates.decide import decide, rebuild
from regraft.gates.telling import sentence
from regraft.gates.verdict import Champion, Finding, Verdict
from regraft.reports import explain

LABELS = ["cat", "dog", "emu"]
OLD = Champion("2", "c" * 64)
BEATS = {"beats": "champion", "metric": "accuracy"}


class Rows:
    """60 cats, 60 dogs and ``emus`` emus; every model is right but where it is told to be wrong."""

    def __init__(self, emus: int) -> None:
        self.truth = ["cat"] * 60 + ["dog"] * 60 + ["emu"] * emus
        self.ids = [f"r{i:03d}" for i in range(len(self.truth))]

    def table(self, wrong: dict[int, str], classes: list[str] = LABELS) -> Table:
        said = [wrong.get(i, label if label in classes else classes[0]) for i, label in enumerate(self.truth)]
        return sure(self.ids, self.truth, said, classes)


def swap(rows: range) -> dict[int, str]:
    """Wrong answers to the cats and dogs in ``rows``."""
    return {i: "dog" if i < 60 else "cat" for i in rows}


def decided(
    folder: Path, rows: Rows, candidate: dict[int, str], champion: Table, *gates: dict[str, Any]
) -> tuple[Verdict, dict[str, Finding]]:
    tables = {"adapted": rows.table(candidate), "base": rows.table(candidate), "tfidf": rows.table(swap(range(120)))}
    scores = leave_scores(folder / "scores" / "out", tables, LABELS)
    write_table(scores / "slices.parquet", {"id": rows.ids, "half": [str(i % 2) for i in range(len(rows.ids))]})
    predictions.write(folder / "champion.parquet", champion)
    verdict = decide("demo", list(gates), 17, scores, OLD, folder / "champion.parquet", None, folder / "evidence")
    assert rebuild(folder / "evidence") == (folder / "evidence" / "verdict.json").read_text()
    return verdict, {finding.gate: finding for finding in verdict.findings}


def test_a_new_class_no_longer_leaves_every_verdict_open(tmp_path):
    rows = Rows(30)
    champion = rows.table(swap(range(20)), ["cat", "dog"])
    gates = (BEATS, {"slices": ["half"], "non_inferior_by": 0.1}, {"negative_flips": {"max": 0.05}})
    verdict, findings = decided(tmp_path, rows, {}, champion, *gates)
    assert verdict.outcome == "pass"
    lead, new = findings["beats"], findings["new_classes"]
    assert (lead.n, lead.value) == (120, round(20 / 120, 6))
    assert sentence(lead).endswith("; of 150 test rows 30 rows of the new class emu are left out, which the champion cannot answer.")
    assert (new.outcome, new.metric, new.value, new.n, new.threshold) == ("pass", "recall", 1.0, 30, 0.3)
    assert sentence(new).startswith(
        "of the classes that the champion does not know, the fine-tuned-only model gets right: emu 100 % of 30 rows ("
    )
    told = explain.explanation(tmp_path / "evidence")
    assert told.measurements["shared"]["rows"] == 120
    assert [row["against"] for row in told.measurements["comparisons"] if row["against"] == "champion"] == []
    (flips,) = (flips for flips in told.flips if flips.against == "champion")
    assert (flips.gained, flips.lost, flips.both_right + flips.both_wrong) == (20, 0, 100)
    shared = "compared with the champion on the 120 rows of classes that both know: 20 rows newly right"
    assert any(shared in line for line in explain.lines(told))
    assert any("accuracy against the champion on the rows of classes that both know" in change for change in told.changes)
    assert files.read_json(tmp_path / "evidence" / "decision.json")["classes"] == {"new": ["emu"], "vanished": []}


def test_what_learning_a_class_costs_the_others_counts_against_the_candidate(tmp_path):
    rows = Rows(30)
    taken = dict.fromkeys(range(0, 120, 4), "emu")
    verdict, findings = decided(tmp_path, rows, taken, rows.table({}, ["cat", "dog"]), BEATS)
    assert (verdict.outcome, findings["beats"].value) == ("fail", -0.25)
    assert "30 other rows are taken for it" in sentence(findings["beats"])


@pytest.mark.parametrize(
    ("emus", "wrong", "gate", "outcome", "says"),
    [
        (30, 30, {}, "fail", "emu 0 % of 30 rows (95 % interval 0 % to 11.4 %), below the least asked of 30 %"),
        (30, 20, {}, "inconclusive", "an interval that contains the least asked of 30 %; undecided"),
        (30, 20, {"min_recall": 0.1}, "pass", "not below the least asked of 10 %"),
        (9, 9, {}, "info", "the new classes have fewer than 10 test rows each, so nothing is known of them: emu (9 rows)."),
    ],
)
def test_a_new_class_is_held_to_a_floor_of_its_own(emus, wrong, gate, outcome, says, tmp_path):
    rows = Rows(emus)
    more = [{"new_classes": gate}] if gate else []
    candidate = dict.fromkeys(range(120, 120 + wrong), "cat")
    verdict, findings = decided(tmp_path, rows, candidate, rows.table(swap(range(20)), ["cat", "dog"]), BEATS, *more)
    assert findings["new_classes"].outcome == outcome
    assert says in sentence(findings["new_classes"])
    assert verdict.outcome == ("pass" if outcome == "info" else outcome)
    assert sum(finding.gate == "new_classes" for finding in verdict.findings) == 1


def test_a_vanished_class_leaves_no_row_out_and_is_an_error_of_the_champion(tmp_path):
    rows = Rows(0)
    champion = rows.table(dict.fromkeys(range(15), "emu"), LABELS)
    tables = {model: sure(rows.ids, rows.truth, rows.truth, ["cat", "dog"]) for model in ("adapted", "base", "tfidf")}
    scores = leave_scores(tmp_path / "scores" / "out", tables, ["cat", "dog"])
    predictions.write(tmp_path / "champion.parquet", champion)
    verdict = decide("demo", [BEATS], 17, scores, OLD, tmp_path / "champion.parquet", None, tmp_path / "evidence")
    lead = verdict.findings[-1]
    assert (verdict.outcome, lead.gate, lead.n, lead.value) == ("pass", "beats", 120, 0.125)
    assert sentence(lead).endswith("; the champion answers emu, which is no class any more, to 15 rows.")


@pytest.mark.parametrize(
    ("classes", "cats", "says"),
    [
        (["yak", "gnu"], 60, "the label set changed (it knows gnu, yak; it does not know cat, dog, emu)"),
        (["cat", "gnu"], 12, "only 12 test rows have"),
    ],
)
def test_a_champion_with_too_little_in_common_stays_incomparable(classes, cats, says, tmp_path):
    rows = Rows(30)
    rows.truth[cats:60] = ["dog"] * (60 - cats)
    verdict, findings = decided(tmp_path, rows, {}, rows.table({}, classes), BEATS)
    assert verdict.outcome == "inconclusive"
    assert says in sentence(findings["beats"])
    assert "new_classes" not in findings


def test_an_error_that_falls_on_a_new_class_costs_precision_too(tmp_path):
    """As many rows wrong, all in the new class: on macro-F1 that is no better than wrong among the classes both know."""
    rows = Rows(30)
    taken, swapped = dict.fromkeys(range(0, 120, 5), "emu"), {i: "dog" if i < 60 else "cat" for i in range(0, 120, 5)}
    verdict, findings = decided(tmp_path, rows, taken, rows.table(swapped, ["cat", "dog"]), {"beats": "champion"})
    assert (verdict.outcome, findings["beats"].value) == ("inconclusive", 0.0)


def test_probabilities_of_classes_that_the_other_lacks_are_not_scaled_away(tmp_path):
    """log loss of shared rows is that of the probabilities as they were served."""
    rows = Rows(30)
    _, findings = decided(tmp_path, rows, {}, rows.table({}, ["cat", "dog"]), {"beats": "champion", "metric": "log_loss"})
    assert findings["beats"].value == 0.0, "0.8 for the right class from both, whatever the rest is given to"
    assert np.isclose(findings["beats"].facts["score"], -np.log(np.float32(0.8)), atol=1e-6)
