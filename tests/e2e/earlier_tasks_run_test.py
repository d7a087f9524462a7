"""The gate `earlier_tasks` in a real run: what was measured, where it is shown, and that rows that changed run its step alone."""

from __future__ import annotations

import json

from regraft.core import files
from regraft.gates.stages import STAGES


def test_what_was_measured_is_what_the_gate_judged_and_the_page_shows(everything):
    found = everything.finding("earlier_tasks")
    assert (found["outcome"], found["threshold"], found["metric"]) == ("pass", 0.5, "accuracy")
    assert found["low"] <= found["value"] <= found["high"]
    metrics = everything.record("earlier_tasks-adapted")["metrics"]
    ends = [metrics["finetuned_accuracy"], everything.record("earlier_tasks-base")["metrics"]["finetuned_accuracy"]]
    (task,) = everything.measurements["earlier_tasks"]["tasks"]
    assert {stage["stage"]: round(stage["accuracy"]["value"], 5) for stage in task["stages"]} == {
        stage: round(accuracy, 5)
        for stage, accuracy in zip(STAGES, (metrics["came_accuracy"], metrics["adapted_accuracy"], *ends), strict=True)
    }
    assert 'id="earlier-tasks"' in (everything.root / everything.result["report"]).read_text()


def test_rows_of_an_earlier_task_that_changed_run_its_step_alone(ran, cli):
    path = ran.root / "data" / "earlier.jsonl"
    files.write_text(path, path.read_text() + json.dumps({"said": "salt oven", "topic": "c"}) + "\n")
    steps = cli("plan", "tiny", "--json").json["steps"]
    assert [step["name"] for step in steps if step["state"] != "fresh"] == ["earlier_tasks-base", "earlier_tasks-adapted"]
