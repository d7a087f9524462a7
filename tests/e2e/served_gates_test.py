"""Gates about a model as it is served: they decide a run both ways, and cost a run without them nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from workbench import regraft

from regraft.core import files

GATES = [
    {"metric": "macro_f1", "at_least": 0.01},
    {"calibration": {"max_ece": 1, "max_brier": 2, "min_coverage": 0.05}},
    {"cost": {"p95_ms_batch_1": 60_000, "p50_ms_batch_32": 60_000, "peak_mb": 64_000, "size_mb": 10}},
]


def configure(root: Path, **changes: Any) -> None:
    path = root / "pipelines" / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


@pytest.fixture(scope="module")
def passed(tiny_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A workspace whose run passed gates about calibration, abstaining and cost; read only."""
    root = shutil.copytree(tiny_template, tmp_path_factory.mktemp("served") / "w")
    configure(root, gates=GATES, abstain={"precision": 0.1})
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return root, json.loads(done.stdout)


def test_what_was_measured_is_in_the_evidence_and_tells_the_story(passed: tuple[Path, dict[str, Any]]) -> None:
    root, result = passed
    explanation = json.loads(regraft(root, "explain", "tiny", "--json").stdout)
    assert [f["outcome"] for f in explanation["verdict"]["findings"] if f["gate"] in ("calibration", "cost")] == ["pass", "pass"]
    cost, calibration = explanation["measurements"]["cost"], explanation["measurements"]["calibration"]
    folder = root / "artifacts/tiny" / {"base": "finetune_base", "adapted": "finetune"}[result["candidate"]["name"]] / "out/model"
    assert cost["model"] == result["candidate"]["digest"] == files.digest(folder)
    assert cost["size_mb"] * 1e6 == sum(path.stat().st_size for path in files.walk(folder))
    assert [row["timings"] for row in cost["latency_ms"]] == [200, 120]
    assert 100 < cost["peak_mb"] < 4_000
    said = files.read_json(folder / "calibration.json")
    assert calibration["temperature"] == said["temperature"] != 1.0
    assert said["dev_loss"] <= said["dev_loss_before"]
    assert calibration["abstain"]["below"] == said["abstain"]["below"]


def test_the_report_shows_it_and_what_training_took(passed: tuple[Path, dict[str, Any]]) -> None:
    root, _ = passed
    assert regraft(root, "report", "tiny", "--out", "page.html").returncode == 0
    page = (root / "page.html").read_text()
    assert "Can its probabilities be trusted?" in page
    assert "It abstains below a probability of" in page
    assert "To serve it" in page
    assert "12 W x" in page
    with sqlite3.connect(root / "state" / "mlflow.db") as connection:
        ((wh,),) = connection.execute("select value from latest_metrics where key = 'finetune/energy_wh'").fetchall()
    assert wh == files.read_json(root / "artifacts/tiny/finetune/record.json")["energy"]["wh"] > 0


def test_the_served_model_says_when_it_abstains(passed: tuple[Path, dict[str, Any]]) -> None:
    root, _ = passed
    texts = ["seed soil rose bean", "of", "tide keel rope mast"]
    answers = json.loads(regraft(root, "predict", "tiny", *texts, "--json").stdout)["answers"]
    code = """
import json, sys, mlflow
mlflow.set_tracking_uri("sqlite:///state/mlflow.db")
model = mlflow.pyfunc.load_model("models:/tiny/1")
print(model.metadata.signature.outputs.input_names(), file=sys.stderr)
print(model.predict(json.loads(sys.argv[1])).to_json(orient="records"))
"""
    done = subprocess.run([sys.executable, "-c", code, json.dumps(texts)], cwd=root, capture_output=True, text=True, check=False)
    assert "['label', 'score', 'abstains']" in done.stderr, done.stderr
    served = json.loads(done.stdout)
    below = files.read_json(next((root / "state").rglob("model/calibration.json")))["abstain"]["below"]
    assert [row["abstains"] for row in served] == [row["abstains"] for row in answers] == [row["score"] < below for row in served]
    assert [row["label"] for row in served] == [row["label"] for row in answers]


def test_a_budget_that_is_broken_fails_a_run_and_nothing_is_timed_twice(passed: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root = shutil.copytree(passed[0], tmp_path / "w")
    (kept,) = (root / "state" / "serving").rglob("*.json")
    before = kept.stat().st_mtime_ns
    configure(root, gates=[*GATES[:2], {"cost": {"p95_ms_batch_1": 60_000, "size_mb": 0.01}}])
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "above the budget of 0.01 MB" in json.loads(done.stdout)["sentence"]
    assert [path.stat().st_mtime_ns for path in (root / "state" / "serving").rglob("*.json")] == [before]

    configure(root, gates=[*GATES[:1], {"calibration": {"max_brier": 0.001, "min_coverage": 0.05}}])
    done = regraft(root, "run", "tiny", "--json")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the Brier score is" in json.loads(done.stdout)["sentence"]
    evidence = next(
        path.parent for path in (root / ".regraft" / "evidence").rglob("verdict.json") if json.loads(done.stdout)["run"] in str(path)
    )
    assert not (evidence / "cost.json").exists(), "no gate asked what serving takes"


def test_a_threshold_without_a_gate_on_what_is_left_is_an_error_with_its_line(tiny: Any, cli: Any) -> None:
    configure(tiny.root, gates=GATES[:1], abstain={"precision": 0.9})
    said = cli("plan", "tiny")
    assert said.code == 2
    assert "add `- {calibration: {min_coverage: 0.5}}`" in said.err
    assert "(line " in said.err
