"""Predictions under further seeds: kept beside a decision, judged again from there, and found out when touched; their cost and page."""

from __future__ import annotations

import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from workbench import leave_scores, line

from regraft.core import files
from regraft.core.errors import EnvironmentFault
from regraft.evaluation import predictions
from regraft.evaluation.predictions import Table
from regraft.gates.decide import decide, reevaluate
from regraft.gates.policy import judge
from regraft.reports import explain
from regraft.reports.document import as_json, document
from regraft.reports.page import render

N, LABELS = 120, ["cat", "dog", "emu"]
GATES = [{"at_least": 0.3}, {"seeds": 3}]
reported = runpy.run_path(str(Path(__file__).parents[1] / "reported.py"))


def table(right: int) -> Table:
    ids, truth = [f"r{i:03d}" for i in range(N)], [i % 3 for i in range(N)]
    p = np.full((N, 3), 0.1, dtype=np.float32)
    p[np.arange(N), [(label + (i >= right)) % 3 for i, label in enumerate(truth)]] = 0.8
    return Table.of(ids, [LABELS[label] for label in truth], p, LABELS)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """The out folder of a ``scores`` step; that of ``seeds`` is beside it."""
    out, seeds = tmp_path / "scores" / "out", tmp_path / "seeds" / "out"
    leave_scores(out, {model: table(right) for model, right in (("adapted", 100), ("base", 90), ("tfidf", 60))}, LABELS)
    for name, right in (("adapted.2", 96), ("adapted.3", 98), ("base.2", 84), ("base.3", 88)):
        predictions.write(seeds / f"{name}.parquet", table(right))
    files.write_json(seeds / "digests.json", {"rows": "e" * 64, "seeds": 3})
    return out


def decided(scores: Path, gates: list[dict[str, object]]) -> Path:
    evidence = scores.parents[1] / "evidence"
    decide("demo", gates, 17, scores, None, None, None, evidence, 1)
    return evidence


def test_a_decision_about_seeds_is_rebuilt_byte_for_byte_wherever_its_evidence_lies(scores, tmp_path):
    evidence = decided(scores, GATES)
    shutil.rmtree(scores)
    shutil.rmtree(tmp_path / "seeds")
    moved = evidence.rename(tmp_path / "archive")
    assert {name: (moved / name).read_text() for name in ("verdict.json", "measurements.json")} == reevaluate(moved).texts()
    told = explain.explanation(moved)
    assert told.measurements["seeds"]["number"] == 3
    assert told.scores["adapted"]["accuracy"] == round(100 / N, 6), "the registered model's own"
    assert told.measurements["metrics"]["adapted"]["accuracy"]["value"] == round(98 / N, 6)
    assert not [line for line in told.changes if "seed" in line]


def test_the_next_decision_without_seeds_leaves_what_it_always_left(scores, tmp_path):
    decided(scores, GATES)
    again = files.tree(decided(scores, GATES[:1]))
    shutil.rmtree(tmp_path / "evidence")
    shutil.rmtree(tmp_path / "seeds")
    assert files.tree(decided(scores, GATES[:1])) == again
    assert not [name for name in again if "seeds" in name]
    assert "seeds" not in files.read_json(tmp_path / "evidence" / "decision.json")


@pytest.mark.parametrize("touch", [lambda path: predictions.write(path, table(1)), Path.unlink], ids=["changed", "missing"])
def test_a_seed_that_was_touched_is_found_out(scores, tmp_path, touch):
    evidence = decided(scores, GATES)
    touch(evidence / "seeds" / "base.3.parquet")
    with pytest.raises(EnvironmentFault, match=r"base.3.parquet is (changed|missing) since the decision"):
        explain.explanation(evidence)


@pytest.mark.parametrize(
    ("gates", "digests", "says"),
    [
        (GATES, None, "a gate asks for 3 seeds and .*seeds/out holds no predictions"),
        ([{"seeds": 4}], {"rows": "e" * 64, "seeds": 3}, "is about 3 seeds and rows eeeeeeeeeeee, not 4 and"),
        (GATES, {"rows": "f" * 64, "seeds": 3}, "is about 3 seeds and rows ffffffffffff, not 3 and eeeeeeeeeeee"),
    ],
)
def test_predictions_that_are_not_those_asked_for_are_an_error(scores, tmp_path, gates, digests, says):
    (tmp_path / "seeds" / "out" / "digests.json").unlink()
    if digests:
        files.write_json(tmp_path / "seeds" / "out" / "digests.json", digests)
    with pytest.raises(EnvironmentFault, match=says):
        decided(scores, gates)
    assert not (tmp_path / "evidence" / "verdict.json").exists()


def test_the_page_shows_what_the_seed_does_and_only_where_seeds_were_asked_for():
    plain = reported["evidence"](rows=90)
    assert document(plain).seeds is None
    assert "How much the random seed matters" not in render(document(plain))
    case = plain.case
    further = {model: (case.predictions[other], case.predictions["tfidf"]) for model, other in (("adapted", "base"), ("base", "adapted"))}
    case = replace(case, seeds=further, policy=replace(case.policy, gates=(*case.policy.gates, line(seeds=3))))
    found = document(replace(plain, case=case, verdict=judge(case).document()))
    page = render(found)
    assert "How much the random seed matters" in page
    assert "fine-tuned 3 times each" in page
    rows = {(row["model"], row["against"]): row for row in as_json(found)["seeds"]["scores"]}
    assert rows["adapted", None]["each"][1:] == [rows["base", None]["each"][0], rows["base", None]["each"][2]]
    mean = next(e.value for e in found.estimates if (e.model, e.against, e.metric) == ("adapted", None, "macro_f1"))
    assert mean == pytest.approx(sum(rows["adapted", None]["each"]) / 3, abs=2e-6)
