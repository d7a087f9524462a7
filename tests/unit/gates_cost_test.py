"""What serving takes: quantiles by order statistics against scipy, budgets, the store, and energy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from regraft.core import energy, files
from regraft.evaluation import predictions, serving_cost
from regraft.evaluation.predictions import Table
from regraft.evaluation.stats.paired import Predictions
from regraft.gates import cost
from regraft.gates.decide import candidate, decide
from regraft.gates.measurements import measurements
from regraft.gates.options import GateOptions
from regraft.gates.policy import Case, Policy, evaluate
from regraft.gates.registry import read
from regraft.gates.telling import sentence
from regraft.gates.verdict import Rows
from regraft.registry.stores.folder import Folder
from regraft.reports import explain

MACHINE = {"device": "cpu", "capability": "a processor", "threads": 1, "torch": "2"}
LABELS = ["cat", "dog"]


def measurement(**changes: object) -> dict[str, object]:
    """Timings 1, 2, ... 200 ms and 10, 20, ... 1200 ms."""
    taken = {"1": [float(i) for i in range(200, 0, -1)], "32": [10.0 * i for i in range(1, 121)]}
    sizes = {"peak_bytes": 400_000_000, "size_bytes": 91_000_000}
    return {"schema": 1, "model": "b", "machine": MACHINE, "load": 0.5, "milliseconds": taken, **sizes, **changes}


def case(found: dict[str, object] | None, *gates: GateOptions) -> Case:
    ids = [f"r{i:02d}" for i in range(40)]
    truth = [LABELS[i % 2] for i in range(40)]
    said = Predictions(ids, truth, truth, (), np.eye(2, dtype=np.float32)[[i % 2 for i in range(40)]], LABELS)
    models = dict.fromkeys(("adapted", "base", "tfidf"), said)
    return Case("demo", Policy(gates, 17, 199), {"adapted": "a", "base": "b"}, Rows("r", 40), models, evidence={"cost": found})


def asked(confidence: float = 0.95, **budgets: float) -> GateOptions:
    return read({"cost": budgets, "confidence": confidence})


@pytest.mark.parametrize("n", [120, 200, 1000])
@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_two_of_the_sorted_timings_enclose_the_quantile_with_the_asked_confidence(n, q, confidence):
    low, high = cost.ranks(n, q, confidence)
    outside = (1 - confidence) / 2
    below, above = binom.cdf(low - 1, n, q), binom.sf(high - 1, n, q)  # fewer than low, or at least high, lie below the quantile
    assert below <= outside < binom.cdf(low, n, q)
    assert above <= outside + 1e-12 < binom.sf(high - 2, n, q) + 2e-12


def test_too_few_timings_bound_no_quantile_and_those_we_take_are_enough():
    with pytest.raises(ValueError, match="71 timings"):
        cost.quantile([1.0] * 71, 0.95, 0.95)
    assert cost.quantile([1.0] * 72, 0.95, 0.95).high == 1.0
    for times in serving_cost.TIMINGS.values():
        cost.quantile([1.0] * times, 0.95, 0.99)


@pytest.mark.parametrize(
    ("gate", "outcome", "metric"),
    [
        (asked(p95_ms_batch_1=250, p50_ms_batch_32=900, size_mb=100, peak_mb=500), "pass", "p95_ms_batch_1"),
        (asked(p95_ms_batch_1=190), "inconclusive", "p95_ms_batch_1"),
        (asked(p95_ms_batch_1=250, p95_ms_batch_32=500), "fail", "p95_ms_batch_32"),
        (asked(p95_ms_batch_1=190, size_mb=90.9), "fail", "size_mb"),
        (asked(size_mb=91), "pass", "size_mb"),
    ],
)
def test_a_budget_is_kept_broken_or_left_open(gate, outcome, metric):
    verdict, comparison = evaluate(case(measurement(), gate))
    found = verdict.findings[-1]
    assert (found.gate, found.outcome, found.metric) == ("cost", outcome, metric), sentence(found)
    assert found.low <= found.value <= found.high
    assert sentence(found).startswith("serving the fine-tuned-only model on cpu (a processor, 1 thread): ")
    first = measurements(comparison.case, comparison)["cost"]["latency_ms"][0]
    assert (first["p50"]["value"], first["p95"]["value"], first["timings"]) == (100, 190, 200)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "was not measured"),
        ({"problem": "the model does not load"}, "could not be measured: the model does not load"),
        (measurement(model="c"), "another model (c) than the candidate (b)"),
    ],
)
def test_what_was_not_measured_leaves_the_gate_open(found, says):
    verdict, _ = evaluate(case(found, asked(size_mb=1)))
    assert (verdict.outcome, says in sentence(verdict.findings[-1])) == ("inconclusive", True), sentence(verdict.findings[-1])


# --- evidence ----------------------------------------------------------------------------------------------------


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """The out folder of a ``scores`` step whose candidates were calibrated and may abstain."""
    out, n = tmp_path / "scores" / "out", 200
    ids, truth = [f"r{i:03d}" for i in range(n)], [LABELS[i % 2] for i in range(n)]
    for model, right in (("adapted", 150), ("base", 160), ("tfidf", 120)):
        p = np.array([[0.8, 0.2] if (i % 2 == 0) == (i < right) else [0.2, 0.8] for i in range(n)], dtype=np.float32)
        predictions.write(out / f"{model}.parquet", Table.of(ids, truth, p, LABELS))
    files.write_json(out / "labels.json", LABELS)
    files.write_json(out / "digests.json", {"adapted": "a", "base": "b", "tfidf": "d", "rows": "e"})
    said = {"schema": 1, "temperature": 0.7, "dev_rows": 50}
    files.write_json(out / "calibration.json", {"adapted": said, "base": said})
    return out


GATES = [{"calibration": {"max_ece": 0.2}}, {"cost": {"size_mb": 100, "p95_ms_batch_1": 195}}]


def test_a_verdict_about_the_model_as_it_is_served_is_rebuilt_from_its_evidence_alone(scores, tmp_path):
    files.write_json(tmp_path / "serving.json", measurement())
    assert candidate(GATES, 17, scores) == "base"
    verdict = decide("demo", GATES, 17, scores, None, None, None, tmp_path / "evidence", measured={"cost": tmp_path / "serving.json"})
    shutil.rmtree(scores)
    explanation = explain.explanation(tmp_path / "evidence")
    assert [f.gate for f in verdict.findings] == ["adaptation", "calibration", "cost"]
    assert explanation.measurements["calibration"]["temperature"] == 0.7
    assert explanation.measurements["cost"]["size_mb"] == 91
    told = "\n".join(explain.lines(explanation))
    assert "calibration (ece): passes with" in told
    assert "cost (p95_ms_batch_1): the whole interval, now 184.000 to 197.000, would have to lie at or below 195.000." in told
    for name in ("cost.json", "calibration.json"):
        shutil.copytree(tmp_path / "evidence", tmp_path / name)
        (tmp_path / name / name).write_text("{}")
        with pytest.raises(explain.EnvironmentFault, match=f"{name} is changed since the decision"):
            explain.explanation(tmp_path / name)


def test_without_such_a_gate_the_evidence_is_what_it_always_was(scores, tmp_path):
    decide("demo", [{"at_least": 0.3}], 17, scores, None, None, None, tmp_path / "evidence")
    assert not {"calibration.json", "cost.json"} & set(files.tree(tmp_path / "evidence"))
    assert "served" not in files.read_json(tmp_path / "evidence" / "decision.json")


# --- measuring ---------------------------------------------------------------------------------------------------


def test_a_measurement_is_kept_for_its_model_and_its_kind_of_machine(tmp_path, monkeypatch):
    store = serving_cost.ServingStore(Folder(tmp_path))
    assert store.get("b") is None
    files.write_json(tmp_path / "measured.json", measurement())
    kept = store.put("b", tmp_path / "measured.json")
    assert store.get("b") == kept == tmp_path / "serving" / "b" / kept.name
    shutil.copytree(kept.parent, kept.parent.with_name("c"))
    assert store.get("c") is None, "a file that was moved is about another model"
    with monkeypatch.context() as patch:
        patch.setattr(serving_cost, "hardware", lambda: {"processor": "another"})
        assert store.get("b") is None
    files.write_text(kept, "{")
    assert store.get("b") is None


def test_energy_is_estimated_from_processor_time_and_says_so(tmp_path, monkeypatch):
    assert energy.estimate(300.0, 200.0, "cpu") == {"wh": 1.0, "basis": "12 W x 300.0 s of processor time"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "the GPU's power is not known and left out" in energy.estimate(300.0, 200.0, "cuda")["basis"]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 700.00\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert energy.estimate(300.0, 36.0, "cuda")["wh"] == 8.0
    assert energy.spent({"seconds": 2.0}) == {"seconds": 2.0}
