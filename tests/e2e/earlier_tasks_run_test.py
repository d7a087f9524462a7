"""The gate `earlier_tasks` decides a run both ways, and rows that changed run its step alone."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import yaml
from conftest import TOPICS, sentence
from workbench import told

from regraft.core import files

FLOOR = {"metric": "macro_f1", "at_least": 0.01}


def write_earlier(path: Path) -> None:
    rng = random.Random(9)
    rows = [{"said": sentence(rng, sorted(TOPICS)[n % 3], 10), "topic": "abc"[n % 3]} for n in range(400)]
    files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def configure(root: Path, budget: float, **finetune: float) -> None:
    path = root / "pipelines" / "tiny.yaml"
    value = yaml.safe_load(path.read_text())
    task = {"data": "data/earlier.jsonl", "text": "said", "label": "topic"}
    value["gates"] = [FLOOR, {"earlier_tasks": {"max_accuracy_loss": budget, "tasks": {"topics": task}}}]
    value["finetune"].update(finetune)
    files.write_text(path, yaml.safe_dump(value, sort_keys=False))


def test_the_gate_decides_a_run_both_ways(tiny_template: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tiny_template, tmp_path / "w")
    write_earlier(root / "data" / "earlier.jsonl")
    configure(root, 0.5)
    told(root, 0, "run", "tiny")
    explanation = told(root, 0, "explain", "tiny")
    (found,) = (f for f in explanation["verdict"]["findings"] if f["gate"] == "earlier_tasks")
    assert (found["outcome"], found["threshold"], found["metric"]) == ("pass", 0.5, "accuracy")
    assert found["low"] <= found["value"] <= found["high"]
    metrics = files.read_json(root / "artifacts/tiny/earlier_tasks/record.json")["metrics"]
    (task,) = explanation["measurements"]["earlier_tasks"]["tasks"]
    assert [round(stage["accuracy"]["value"], 5) for stage in task["stages"]] == [
        round(metrics[f"{name}_accuracy"], 5) for name in ("came", "adapted", "finetune", "finetune_base")
    ]
    assert 'id="earlier-tasks"' in next((root / "state/mlartifacts").rglob("report.html")).read_text()

    with (root / "data" / "earlier.jsonl").open("a") as handle:
        handle.write(json.dumps({"said": "salt oven", "topic": "c"}) + "\n")
    due = [step["name"] for step in told(root, 0, "plan", "tiny")["steps"] if step["state"] != "fresh"]
    assert due == ["earlier_tasks"]

    configure(root, 0.1, learning_rate=0.5)
    failed = told(root, 4, "run", "tiny")
    assert "above the budget of 0.100" in failed["sentence"]
    assert failed["champion"]["version"] == "1"
