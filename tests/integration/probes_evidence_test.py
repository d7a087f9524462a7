"""Probes as evidence: stored, decided on, rebuilt, shown on the page, and found out when they are not what they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reported import HOSTILE, evidence
from workbench import leave_scores, line

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.data.tables import write_table
from regraft.evaluation.predictions import Table
from regraft.evaluation.probing import Answers
from regraft.evaluation.variants import Variant
from regraft.gates.decide import decide, rebuild
from regraft.gates.evidence import probes as store
from regraft.gates.policy import judge
from regraft.gates.telling import sentence
from regraft.reports import explain
from regraft.reports.document import as_json, document
from regraft.reports.page import render

N, LABELS = 120, ["cat", "dog"]
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 2] for i in range(N)]
ROBUST = {"robustness": {"max_failure_rate": 0.2, "tests": ["case"]}}


def table(right: int) -> Table:
    p = np.full((N, 2), 0.2, dtype=np.float32)
    for i, label in enumerate(TRUTH):
        p[i, (LABELS.index(label) + (i >= right)) % 2] = 0.8
    return Table.of(IDS, TRUTH, p, LABELS)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """The out folder of ``scores``."""
    out = tmp_path / "scores" / "out"
    leave_scores(out, {model: table(right) for model, right in (("adapted", 110), ("base", 90), ("tfidf", 60))}, LABELS)
    write_table(out / "slices.parquet", {"id": IDS, "half": [f"h{i % 2}" for i in range(N)], "secret": IDS})
    return out


@pytest.fixture
def probes(tmp_path: Path) -> Path:
    """The out folder of ``probes``: of 120 rows adapted answers 6 otherwise and base 40."""
    variants = [Variant("robustness", "case", row, "no capitals", "text", "same") for row in IDS]
    said = {}
    for model, right, turned in (("adapted", 110, 6), ("base", 90, 40)):
        before = table(right).preds
        after = [LABELS[1 - LABELS.index(label)] if i < turned else label for i, label in enumerate(before)]
        said[model] = Answers(before, after, np.full(N, 0.9, dtype=np.float32))
    store.write(tmp_path / "probes" / "out" / store.FILE, variants, said)
    return tmp_path / "probes" / "out"


def test_variants_and_answers_are_the_same_bytes_and_come_back(probes, tmp_path):
    first = store.load(probes / store.FILE)
    variants = [Variant("robustness", "case", row, "no capitals", "text", "same") for row in IDS]
    store.write(tmp_path / "again.parquet", variants, first.answers)
    assert (tmp_path / "again.parquet").read_bytes() == (probes / store.FILE).read_bytes()
    assert (first.ids, set(first.kinds), set(first.expects), set(first.labels)) == (IDS, {"case"}, {"same"}, {None})
    assert sum(first.failed("robustness", "adapted")["case"].values()) == 6


def test_a_file_that_holds_no_probes_is_said_to(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1")
    with pytest.raises(EnvironmentFault, match="does not hold probes that can be read"):
        store.load(tmp_path / "p.parquet")


def test_a_decision_on_probes_is_rebuilt_byte_for_byte_and_explained(scores, probes, tmp_path):
    gates = [{"at_least": 0.3}, ROBUST, {"fairness": {"groups": ["half"], "max_gap": 0.5}}]
    verdict = decide("demo", gates, 17, scores, None, None, None, tmp_path / "evidence")
    assert [(f.gate, f.outcome) for f in verdict.findings] == [
        ("adaptation", "info"),
        ("at_least", "pass"),
        ("robustness", "pass"),
        ("fairness", "pass"),
    ]
    assert rebuild(tmp_path / "evidence") == (tmp_path / "evidence" / "verdict.json").read_text()
    explanation = explain.explanation(tmp_path / "evidence")
    assert [row["adapted"]["failed"] for row in explanation.measurements["probes"]] == [6]
    assert [row["rows"] for row in explanation.measurements["fairness"]] == [60, 60]
    assert any(line.startswith("robustness, on the test that decides: passes with ") for line in explanation.changes)
    assert "secret" not in (tmp_path / "evidence" / "slices.parquet").read_bytes().decode(errors="ignore")
    (tmp_path / "evidence" / "probes.parquet").unlink()
    with pytest.raises(EnvironmentFault, match=r"probes\.parquet is missing since the decision"):
        rebuild(tmp_path / "evidence")


def test_without_such_a_gate_the_evidence_is_what_it_was(scores, probes, tmp_path):
    decide("demo", [{"at_least": 0.3}], 17, scores, None, None, None, tmp_path / "evidence")
    assert not (tmp_path / "evidence" / "probes.parquet").exists()
    assert "probes" not in files.read_json(tmp_path / "evidence" / "decision.json")


def test_a_gate_without_probes_is_an_error_and_a_label_that_no_row_has_leaves_the_question_open(scores, tmp_path):
    with pytest.raises(EnvironmentFault, match="a gate needs what the step 'probes' leaves"):
        decide("demo", [ROBUST], 17, scores, None, None, None, tmp_path / "evidence")
    asked = {"fairness": {"groups": ["half"], "max_gap": 0.5, "rate": "recall", "label": "cta"}}
    verdict = decide("demo", [asked], 17, scores, None, None, None, tmp_path / "evidence")
    assert verdict.outcome == "inconclusive"
    assert sentence(verdict.findings[-1]) == "no test row is labelled 'cta', so there is no recall of cta."


def test_the_page_shows_tests_groups_and_changed_rows_and_only_where_they_were_asked_for():
    plain = document(evidence())
    assert plain.sections == ()
    assert 'id="changed-texts"' not in render(plain)
    gates = (
        line(counterfactual={"max_flip_rate": 0.2}),
        line(fairness={"groups": ("region",), "max_gap": 0.2}),
    )
    found = evidence(gates=gates, text=HOSTILE)
    variants = [Variant("counterfactual", "gender", row, "he to she", "text", "same") for row in found.test["id"][:50]]
    said = {}
    for model in ("adapted", "base"):
        known = dict(zip(found.tables[model].ids, found.tables[model].preds, strict=True))
        before = [known[variant.id] for variant in variants]
        said[model] = Answers(before, ["other" if i < 3 else label for i, label in enumerate(before)], np.linspace(0.5, 0.9, 50))
    rows = [[getattr(v, name) for v in variants] for name in ("gate", "kind", "id", "change", "expect", "label")]
    case = replace(found.case, evidence={"probes": store.Probes(*rows, said)})
    report = document(replace(found, case=case, verdict=judge(case).document()))
    groups, texts = report.sections
    assert [[row[i].text for i in (0, 1, 2, 7)] for row in texts.tables[0].rows] == [["gender", "counterfactual", "50", "3"]]
    assert [(e.id, e.remarks[0].word, e.remarks[-1].word) for e in texts.examples] == [
        ("r00002", "he to she", "other"),
        ("r00001", "he to she", "other"),
    ]
    assert {row[0].text for row in groups.tables[0].rows} == {f"region = region {n}" for n in range(4)}
    page = render(report)
    assert 'id="changed-texts"' in page
    assert 'id="groups"' in page
    assert HOSTILE not in page
    json.dumps(as_json(report))
