"""Gates about a model as it is served: they decide a run both ways, and cost a run without them nothing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from everything import FLOOR, Ran, configure

from regraft.core import files

Ask = Callable[..., Any]


def test_what_was_measured_is_in_the_evidence_and_tells_the_story(everything: Ran, ask: Ask) -> None:
    root, result = everything.root, everything.result
    story = ask(root, "explain", "tiny", "--json").json
    assert [f["outcome"] for f in story["verdict"]["findings"] if f["gate"] in ("calibration", "cost")] == ["pass", "pass"]
    cost, calibration = story["measurements"]["cost"], story["measurements"]["calibration"]
    folder = root / "artifacts/tiny" / f"finetune-{result['candidate']['name']}" / "out/model"
    assert cost["model"] == result["candidate"]["digest"] == files.digest(folder)
    assert cost["size_mb"] * 1e6 == sum(path.stat().st_size for path in files.walk(folder))
    assert [row["timings"] for row in cost["latency_ms"]] == [200, 120]
    assert 100 < cost["peak_mb"] < 4_000
    said = files.read_json(folder / "calibration.json")
    assert calibration["temperature"] == said["temperature"] != 1.0
    assert said["dev_loss"] <= said["dev_loss_before"]
    assert calibration["abstain"]["below"] == said["abstain"]["below"]


def test_the_report_shows_it_and_what_training_took(everything: Ran, ask: Ask, tmp_path: Path) -> None:
    root = everything.root
    assert ask(root, "report", "tiny", "--out", str(tmp_path / "page.html")).code == 0
    page = (tmp_path / "page.html").read_text()
    assert "Can its probabilities be trusted?" in page
    assert "It abstains below a probability of" in page
    assert "What serving takes" in page
    assert "12 W x" in page
    with sqlite3.connect(root / "state" / "mlflow.db") as connection:
        ((wh,),) = connection.execute("select value from latest_metrics where key = 'finetune-base/energy_wh'").fetchall()
    assert wh == files.read_json(root / "artifacts/tiny/finetune-base/record.json")["energy"]["wh"] > 0


def test_the_served_model_says_when_it_abstains(everything: Ran, ask: Ask) -> None:
    root = everything.root
    texts = ["seed soil rose bean", "of", "tide keel rope mast"]
    answers = ask(root, "predict", "tiny", *texts, "--json").json["answers"]
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


def test_a_budget_that_is_broken_fails_a_run_and_nothing_is_timed_twice(everything: Ran, refused: Ran) -> None:
    assert (refused.finding("cost")["outcome"], refused.finding("calibration")["outcome"]) == ("fail", "fail")
    assert "above the budget of 0.01 MB" in refused.finding("cost")["sentence"]
    assert "the Brier score is" in refused.finding("calibration")["sentence"]
    timed = [[path.stat().st_mtime_ns for path in (one.root / "state" / "serving").rglob("*.json")] for one in (everything, refused)]
    assert timed[0] == timed[1]
    assert len(timed[0]) == 1


def test_a_threshold_without_a_gate_on_what_is_left_is_an_error_with_its_line(tiny: Any, cli: Any) -> None:
    configure(tiny.root, gates=[FLOOR], abstain={"precision": 0.9})
    said = cli("plan", "tiny")
    assert said.code == 2
    assert "add `- {calibration: {min_coverage: 0.5}}`" in said.err
    assert "(line " in said.err
