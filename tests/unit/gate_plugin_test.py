"""A gate that no file of regraft knows: the example of docs/extend/gate.md, from a package that is installed beside it."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gate_package import install
from pydantic import ValidationError
from reported import evidence
from workbench import leave_scores, sure

from regraft.config.schema import schema
from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.gates.decide import decide, reevaluate
from regraft.gates.policy import judge
from regraft.gates.registry import GATES, needs_step, read
from regraft.gates.telling import Row, row
from regraft.registry.waivers import cover
from regraft.reports import explain
from regraft.reports.card.render import card
from regraft.reports.document import document
from regraft.reports.page import render

N, LABELS = 120, ["cat", "dog", "emu"]
IDS = [f"r{i:03d}" for i in range(N)]
TRUTH = [LABELS[i % 3] for i in range(N)]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(install(tmp_path / "site"))
    GATES.__dict__.pop("places", None)
    yield
    GATES.__dict__.pop("places", None)


def artifacts(folder: Path, doubted: int) -> Path:
    """What the steps leave, with ``doubted`` suspect test rows and one suspect training row; the out folder of the scores."""
    rows = {"id": [*IDS[:doubted], "t1"], "split": ["test"] * doubted + ["train"], "text": ["a text"] * (doubted + 1)}
    (folder / "suspects" / "out").mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "suspects" / "out" / "suspects.parquet")
    said = {"adapted": TRUTH, "base": TRUTH, "tfidf": [LABELS[(i + (i < 60)) % 3] for i in range(N)]}
    return leave_scores(folder / "scores" / "out", {model: sure(IDS, TRUTH, answers, LABELS) for model, answers in said.items()}, LABELS)


@pytest.mark.parametrize(("doubted", "outcome"), [(0, "pass"), (6, "inconclusive"), (40, "fail")])
def test_it_decides_is_rebuilt_and_told_without_another_edit(doubted, outcome, tmp_path):
    folder = tmp_path / "evidence"
    gates = [{"at_least": 0.3}, {"label_noise": {"max": 0.05}}]
    verdict = decide("demo", gates, 17, artifacts(tmp_path / "steps", doubted), None, None, None, folder)
    assert verdict.outcome == outcome
    assert set(files.read_json(folder / "decision.json")["evidence"]) == {"label_noise.parquet"}
    assert pq.read_table(folder / "label_noise.parquet").column_names == ["id"], "no text is kept"
    assert reevaluate(folder).texts()["verdict.json"] == (folder / "verdict.json").read_text()
    explanation = explain.explanation(folder)
    told = "\n".join(explain.lines(explanation))
    assert f"{doubted} labels of 120 test rows are probably wrong: " in told
    assert "labels that are probably wrong: " in told.partition("What would change the decision:")[2]
    assert explanation.measurements["label_noise"]["doubted"] == doubted


def test_a_decision_names_a_gate_that_is_not_installed_any_longer(tmp_path, monkeypatch):
    folder = tmp_path / "evidence"
    decide("demo", [{"at_least": 0.3}, {"label_noise": {"max": 0.05}}], 17, artifacts(tmp_path / "steps", 0), None, None, None, folder)
    monkeypatch.syspath_prepend(tmp_path)  # another path, so what is installed is looked up anew
    monkeypatch.setattr("sys.path", [place for place in sys.path if place != str(tmp_path / "site")])
    GATES.__dict__.pop("places", None)
    with pytest.raises(EnvironmentFault, match="taken with the gate `label_noise`, which is not installed here"):
        reevaluate(folder)


def test_a_gate_that_reads_its_old_line_no_longer_is_named_with_the_key(tmp_path):
    folder = tmp_path / "evidence"
    decide("demo", [{"label_noise": {"max": 0.05}}], 17, artifacts(tmp_path / "steps", 0), None, None, None, folder)
    decision = files.read_json(folder / "decision.json")
    files.write_json(folder / "decision.json", {**decision, "gates": [{"label_noise": {"most": 0.05}}]})
    with pytest.raises(EnvironmentFault, match="the gate `label_noise`, whose line it does not read"):
        reevaluate(folder)


def test_it_has_its_section_of_the_page_its_headline_and_can_be_waived():
    made = evidence()
    line = read({"label_noise": {"max": 0.01}})
    case = replace(made.case, policy=replace(made.case.policy, gates=(line,)), evidence={"label_noise": made.test["id"][:90]})
    verdict = json.loads(json.dumps(judge(case).document()))
    report = document(replace(made, case=case, verdict=verdict))
    page = render(report)
    assert report.headline.endswith("too many labels of its test rows are probably wrong.")
    assert '<section id="label-noise">' in page
    assert '<a href="#label-noise">Label noise</a>' in page
    assert '<td class="n no" data-label="doubted">90</td>' in page
    made_up = runpy.run_path(str(Path(__file__).with_name("card_render_test.py")))
    page_of_the_version = card(replace(made_up["FACTS"], verdict={**made_up["VERDICT"], "findings": verdict["findings"]}), made_up["SAID"])
    assert "| label noise | at most 0.010 | 0.300 | 0.251 to 0.354 | fail |" in page_of_the_version
    assert "- Not proven by a gate: 90 labels of 300 test rows are probably wrong: 30 % (" in page_of_the_version
    assert row(verdict["findings"][-1]) == Row("label noise", "at most 0.010", "0.300", "0.251 to 0.354", "fail")
    (waiver,) = cover(verdict, ["label_noise"], "2999-01-01", "demo-1")
    assert waiver.sentence.startswith("90 labels of ")


def test_its_step_its_keys_and_its_faults_are_known_to_the_plan():
    line = read({"label_noise": {"max": 0.05}})
    assert needs_step([line], "suspects")
    assert not needs_step([read({"at_least": 0.5})], "suspects")
    assert "label_noise" in [choice["title"] for choice in schema("pipeline")["properties"]["gates"]["items"]["oneOf"]]
    with pytest.raises(ValidationError, match="unknown key"):
        read({"label_noise": {"max": 0.05, "min": 0.1}})
