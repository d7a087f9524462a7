"""What a run says of itself in MLflow."""

from __future__ import annotations

from typing import Any

from regraft.registry import run_summary

INTERVAL = {"value": 0.6, "low": 0.55, "high": 0.65}
MEASUREMENTS = {
    "candidate": "base",
    "metrics": {"base": {"macro_f1": INTERVAL, "mcc": {"value": 0.5, "low": None, "high": None}}, "tfidf": {"macro_f1": INTERVAL}},
    "comparisons": [
        {"against": "tfidf", "metric": "accuracy", "value": 0.2, "low": 0.1, "high": 0.3},
        {"against": "tfidf", "metric": "macro_f1", "value": 0.07, "low": 0.03, "high": 0.1},
    ],
}


def verdict(*metrics: str | None) -> dict[str, Any]:
    candidate = {"name": "base", "digest": "abc"}
    return {"candidate": candidate, "outcome": "pass", "rows": {"n": 797}, "findings": [{"metric": metric} for metric in metrics]}


def test_scores_have_their_intervals_and_leads_are_in_the_metric_of_the_gates():
    assert run_summary.metrics(MEASUREMENTS, verdict(None, "macro_f1")) == {
        "test/macro_f1": 0.6, "test/macro_f1_low": 0.55, "test/macro_f1_high": 0.65, "test/mcc": 0.5,
        "test/lead_over_tfidf": 0.07, "test/lead_over_tfidf_low": 0.03, "test/lead_over_tfidf_high": 0.1,
    }  # fmt: skip
    assert run_summary.metrics(MEASUREMENTS, verdict("accuracy"))["test/lead_over_tfidf"] == 0.2
    assert run_summary.metrics({"schema": 1}, verdict()) == {}


def test_parameters_are_the_choices_of_the_resolved_file_and_no_text_of_its_own():
    resolved = {
        "schema": 1, "pipeline": "demo", "seed": 17, "gates": [{"beats": "tfidf", "confidence": 0.95}],
        "contract": {"labelled": "rows.csv", "contract": {"id": "own"}, "task": {"text": "body", "id": None}, "expected": ["a" * 600]},
        "finetune-base": {"epochs": 8, "base_model": "package:x", "digest": "0" * 64},
    }  # fmt: skip
    assert run_summary.parameters(resolved) == {
        "seed": "17", "gates": "beats=tfidf confidence=0.95", "contract.labelled": "rows.csv", "contract.task.text": "body",
        "contract.task.id": "", "finetune-base.epochs": "8", "finetune-base.base_model": "package:x",
    }  # fmt: skip


def test_tags_name_candidate_base_model_and_commit():
    resolved = {"schema": 1, "finetune-base": {"base_model": "package:x"}}
    tags = run_summary.tags(resolved, verdict("mcc"), {"sha": "c0ffee", "dirty": True})
    assert tags["regraft.candidate"] == "base"
    assert (tags["regraft.base_model"], tags["regraft.compared_by"]) == ("package:x", "mcc")
    assert (tags["mlflow.source.git.commit"], tags["regraft.git.dirty"]) == ("c0ffee", "true")
    assert "mlflow.source.git.commit" not in run_summary.tags(resolved, verdict(), {"sha": None, "dirty": False})
